/* faults.bpf.c - a classifier for the egress side of a bridge port: drops, duplicates and damages
 * frames at random.
 *
 * Damage is done to UDP payloads only, half of it with the UDP checksum taken away, so that only
 * CRC32C can notice.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))

static unsigned int (*random32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*clone_redirect)(struct __sk_buff *, __u32, __u64) = (void *)BPF_FUNC_clone_redirect;
static long (*store_bytes)(
	struct __sk_buff *, __u32, const void *, __u32, __u64) = (void *)BPF_FUNC_skb_store_bytes;
static long (*load_bytes)(const void *, __u32, void *, __u32) = (void *)BPF_FUNC_skb_load_bytes;

enum {
	CLONE = 0x7e1a,
	ETHER_TYPE = 12,
	IP_PROTOCOL = 14 + 9,
	UDP_CHECKSUM = 14 + 20 + 6,
	UDP_PAYLOAD = 14 + 20 + 8
};

/* One frame in `n`. */
static inline int one_in(unsigned int n)
{
	return random32() < 0xffffffffu / n;
}

static inline void damage(struct __sk_buff *skb)
{
	__u8 protocol = 0, byte = 0;
	__u16 none = 0;
	__u32 at;

	if (load_bytes(skb, IP_PROTOCOL, &protocol, 1) || protocol != 17 ||
		skb->len <= UDP_PAYLOAD + 8)
		return;
	at = UDP_PAYLOAD + random32() % (skb->len - UDP_PAYLOAD);
	if (load_bytes(skb, at, &byte, 1))
		return;
	byte ^= 1u << random32() % 8;
	store_bytes(skb, at, &byte, 1, 0);
	if (random32() & 1)
		store_bytes(skb, UDP_CHECKSUM, &none, 2, 0);
}

SEC("classifier") int faults(struct __sk_buff *skb)
{
	if (skb->mark == CLONE) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	if (one_in(DROP_ONE_IN))
		return TC_ACT_SHOT;
	if (one_in(DUPLICATE_ONE_IN)) {
		skb->mark = CLONE; /* the copy comes through here as well */
		clone_redirect(skb, skb->ifindex, 0);
		skb->mark = 0;
	}
	if (one_in(DAMAGE_ONE_IN))
		damage(skb);
	return TC_ACT_OK;
}

SEC("license") char faults_license[] = "GPL";
