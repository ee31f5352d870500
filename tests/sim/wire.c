/* wire.c - what happens to a datagram between two nodes. */
#include "sim.h"

enum { NETIF_ETHERNET, NETIF_SHARED };

static uint64_t pair_hash(const struct sim *sim, uint32_t a, uint32_t b)
{
	return rng_mix(sim->s.seed ^ ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15ull);
}

/* The same seen from either side. */
uint16_t wire_netif(const struct sim *sim, uint32_t a, uint32_t b)
{
	uint64_t h = pair_hash(sim, min_u32(a, b), a < b ? b : a);

	return h % 100 < sim->s.shared_percent ? NETIF_SHARED : NETIF_ETHERNET;
}

struct frame *frame_new(struct sim *sim, uint32_t room)
{
	/* Exactly its room, so that a sanitizer sees a write beyond it. */
	struct frame *f = malloc(sizeof(*f) + room);

	CHECK(f);
	*f = (struct frame){.born_ns = sim->current ? sim->current->began_ns : sim->now_ns};
	sim->frames++;
	return f;
}

void frame_free(struct sim *sim, struct frame *f)
{
	sim->frames--;
	free(f);
}

static bool cut_off(const struct sim *sim, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < sim->n_rules; i++) {
		const struct rule *r = &sim->rule[i];

		if (r->partition) {
			if ((rng_mix(r->from ^ (uint64_t)from << 8) ^
				    rng_mix(r->from ^ (uint64_t)to << 8)) &
				1)
				return true;
		} else if ((r->from == UINT32_MAX || r->from == from) &&
			   (r->to == UINT32_MAX || r->to == to)) {
			return true;
		}
	}
	return false;
}

/* CRC-32C finds every damage of up to 5 bits in 5,243 and every burst of up to 32; what is cut off
 * or overwritten passes once in 4 billion times. */
static void damage(struct sim *sim, struct frame *f)
{
	struct rng *r = &sim->wire_rng;
	uint64_t at = rng_below(r, f->len), bits;

	switch (rng_below(r, 4)) {
	case 0:
		f->len = (uint32_t)at;
		break;
	case 1:
		bits = rng_next(r);
		memcpy(f->bytes + at, &bits, min_u32(4, f->len - (uint32_t)at));
		break;
	default:
		for (uint64_t n = rng_between(r, 1, 4); n; n--)
			f->bytes[rng_below(r, f->len)] ^= (uint8_t)(1u << rng_below(r, 8));
	}
}

static uint64_t travel_ns(struct sim *sim, const struct frame *f)
{
	struct rng *r = &sim->wire_rng;
	const struct scenario *s = &sim->s;
	uint64_t ns = s->delay_ns / 2 + pair_hash(sim, f->from, f->to) % s->delay_ns;

	if (sim->clean)
		return ns;
	if (s->jitter_ns)
		ns += rng_below(r, s->jitter_ns);
	if (rng_ppm(r, s->reorder_ppm))
		ns += rng_below(r, 20 * s->delay_ns);
	if (rng_ppm(r, s->late_ppm))
		ns += rng_scale(r, NS_PER_MS, 1500 * NS_PER_MS);
	return ns;
}

/* A datagram waits for those before it; then it takes its own time. False: no room. */
static bool link_takes(struct sim *sim, const struct frame *f, uint64_t *ret_ns)
{
	enum { ETHERNET_IP_UDP = 18 + 20 + 28 }; /* preamble, gap and checksum of the frame too */
	struct link *l = &sim->link;
	uint64_t wait = l->free_ns > sim->now_ns ? l->free_ns - sim->now_ns : 0;
	uint64_t ps = sim->s.link_ps_per_byte;

	*ret_ns = 0;
	if (!ps || f->to != 0)
		return true;
	if (wait * 1000 / ps + f->len > sim->s.link_queue_bytes) {
		l->dropped++;
		return false;
	}
	l->frames++;
	l->wait_sum_ns += wait;
	l->wait_max_ns = max_u64(l->wait_max_ns, wait);
	l->from[f->from] += f->len + ETHERNET_IP_UDP;
	*ret_ns = wait + (f->len + ETHERNET_IP_UDP) * ps / 1000;
	l->free_ns = sim->now_ns + *ret_ns;
	return true;
}

static void drop(struct sim *sim, const char *why, struct frame *f)
{
	trace_frame(sim, why, f);
	sim->n_dropped++;
	frame_free(sim, f);
}

static void depart(struct sim *sim, struct frame *f)
{
	uint64_t at, queue_ns;

	if (!link_takes(sim, f, &queue_ns)) {
		drop(sim, "queue full", f);
		return;
	}
	at = sim->now_ns + queue_ns + travel_ns(sim, f);

	if (!sim->s.jitter_ns && !sim->s.reorder_ppm && !sim->s.late_ppm) {
		/* In order. Pairs may share a place, which only delays. */
		uint64_t *last = &sim->fifo[pair_hash(sim, f->from, f->to) % ARRAY_SIZE(sim->fifo)];

		at = *last = max_u64(at, *last + 1);
	}
	sim_at(sim, at, EVENT_ARRIVE, f->to, 0, f);
}

void wire_send(struct sim *sim, struct frame *f)
{
	const struct scenario *s = &sim->s;
	struct rng *r = &sim->wire_rng;
	struct frame *again;

	sim->n_frames++;
	trace_frame(sim, "sends", f);
	if (f->to >= s->n_nodes || cut_off(sim, f->from, f->to)) {
		drop(sim, "cut off", f);
		return;
	}
	if (!sim->clean && rng_ppm(r, s->loss_ppm)) {
		sim->fault_hit[FAULT_loss]++;
		drop(sim, "lost", f);
		return;
	}
	if (!sim->clean && rng_ppm(r, s->duplicate_ppm)) {
		sim->fault_hit[FAULT_duplicate]++;
		again = frame_new(sim, f->len);
		memcpy(again, f, sizeof(*f) + f->len);
		depart(sim, again);
	}
	if (!sim->clean && f->len && f->netif == NETIF_ETHERNET && rng_ppm(r, s->corrupt_ppm)) {
		sim->fault_hit[FAULT_corrupt]++;
		damage(sim, f);
	}
	depart(sim, f);
}

void wire_arrive(struct sim *sim, struct frame *f)
{
	struct node *n = &sim->node[f->to];

	if (!n->up) {
		drop(sim, "nobody", f);
	} else if (n->n_rx >= n->rx_ring) {
		drop(sim, "ring full", f);
	} else {
		n->rx[(n->rx_head + n->n_rx++) % RING_MAX] = f;
		if (n->spins)
			node_wake(n, sim->now_ns);
	}
}
