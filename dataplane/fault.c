/* fault.c - one random number a frame and kind of fault; one frame held back at a time.
 *
 * A held frame is sent after 1 to 4 later ones, or after HOLD_FLUSHES flushes, whichever comes
 * first.
 */
#include "fault.h"

#include "dpdk.h"

enum { HOLD_FRAMES = 4, HOLD_FLUSHES = 1000 };

struct fault {
	uint64_t random;
	uint64_t loss, duplicate, reorder; /* of 2^32 */
	struct rte_mbuf *held;
	uint32_t frames_left, flushes_left;
};

/* splitmix64 */
static uint32_t next_random(struct fault *f)
{
	uint64_t z = f->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 32);
}

static uint64_t threshold(double probability)
{
	return probability <= 0   ? 0
	       : probability >= 1 ? 1ull << 32
				  : (uint64_t)(probability * 4294967296.0);
}

struct fault *fault_create(double loss, double duplicate, double reorder, uint64_t seed)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->random = seed;
	f->loss = threshold(loss);
	f->duplicate = threshold(duplicate);
	f->reorder = threshold(reorder);
	return f;
}

void fault_destroy(struct fault *f)
{
	if (f)
		rte_pktmbuf_free(f->held);
	free(f);
}

static unsigned put_twice(
	struct fault *f, struct rte_mbuf *m, struct counts *counts, struct rte_mbuf **out)
{
	struct rte_mbuf *copy = NULL;

	out[0] = m;
	if (next_random(f) < f->duplicate)
		copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);
	if (!copy)
		return 1;
	copy->ol_flags = m->ol_flags;
	copy->tx_offload = m->tx_offload;
	count(counts, count_fault_duplicate);
	out[1] = copy;
	return 2;
}

unsigned fault_send(
	struct fault *f, struct rte_mbuf *m, struct counts *counts, struct rte_mbuf **ret_out)
{
	unsigned n;

	if (next_random(f) < f->loss) {
		count(counts, count_fault_loss);
		rte_pktmbuf_free(m);
		return 0;
	}
	if (!f->held && next_random(f) < f->reorder) {
		count(counts, count_fault_reorder);
		f->held = m;
		f->frames_left = 1 + next_random(f) % HOLD_FRAMES;
		f->flushes_left = HOLD_FLUSHES;
		return 0;
	}
	n = put_twice(f, m, counts, ret_out);
	if (f->held && !--f->frames_left) {
		m = f->held;
		f->held = NULL;
		n += put_twice(f, m, counts, ret_out + n);
	}
	return n;
}

struct rte_mbuf *fault_flush(struct fault *f)
{
	struct rte_mbuf *m = f->held;

	if (!m || --f->flushes_left)
		return NULL;
	f->held = NULL;
	return m;
}
