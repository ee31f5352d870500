#include "machine.h"

#include "slab.h"

/* ---- the wheel: paths by the time when their next datagram may go ---- */

int wheel_init(struct wheel *w, size_t *bytes)
{
	size_t size = CONGEST_HELD * sizeof(*w->held);

	for (int i = 0; i < CONGEST_TICKS; i++)
		list_init(&w->at[i]);
	w->held = slab_take(size);
	if (!w->held)
		return -ENOMEM;
	*bytes += size;
	for (int i = 0; i < CONGEST_HELD; i++) {
		w->held[i].next = w->free;
		w->free = &w->held[i];
	}
	return 0;
}

void wheel_fini(struct wheel *w)
{
	slab_give(w->held, CONGEST_HELD * sizeof(*w->held));
}

static void wheel_enter(struct machine *m, struct path *p)
{
	struct wheel *w = &m->wheel;
	uint64_t tick = p->congest.next_ns / CONGEST_TICK_NS + 1;

	/* Not into the place that is being emptied; farther than a turn is looked at earlier. */
	tick = max_u64(tick, w->tick + 1);
	tick = min_u64(tick, w->tick + CONGEST_TICKS - 1);
	list_add_tail(&w->at[tick % CONGEST_TICKS], &p->congest.wheel);
	w->n++;
}

static void wheel_leave(struct machine *m, struct path *p)
{
	if (list_empty(&p->congest.wheel))
		return;
	list_del(&p->congest.wheel);
	m->wheel.n--;
}

/* A round that is not over when its window has been sent is one whose answers wait in a queue:
 * every further window of it is sent at a quarter of the rate of the one before. */
static void charge(struct machine *m, struct path *p, uint32_t len)
{
	struct congest *c = &p->congest;
	uint64_t sent = c->tx_bytes - c->round_bytes, cost = c->cost;

	for (; unlikely(sent > c->window) && cost < CONGEST_COST_MAX; sent -= c->window)
		cost *= 4;
	c->next_ns = max_u64(c->next_ns, m->now_ns - CONGEST_BURST_NS) + (len * cost >> 16);
	c->next_ns = min_u64(c->next_ns, m->now_ns + CONGEST_WAIT_MAX_NS);
}

static bool held_take(struct machine *m, struct congest *c, struct dgram *ret)
{
	struct held_dgram *h = c->first;

	if (!h)
		return false;
	*ret = h->dgram;
	c->first = h->next;
	c->n_held--;
	h->next = m->wheel.free;
	m->wheel.free = h;
	m->wheel.n_held--;
	return true;
}

static void release(struct machine *m, struct path *p)
{
	struct congest *c = &p->congest;
	struct dgram d;

	while ((!c->paced || c->next_ns <= m->now_ns) && held_take(m, c, &d)) {
		charge(m, p, d.len);
		path_send(m, p, &d, m->now_ns);
	}
	if (c->n_held)
		wheel_enter(m, p);
}

bool wheel_turn(struct machine *m)
{
	struct wheel *w = &m->wheel;
	uint64_t now = m->now_ns / CONGEST_TICK_NS;
	bool worked = false;

	if (now - w->tick >= CONGEST_TICKS)
		w->tick = now - CONGEST_TICKS + 1; /* once around is everything */
	while (w->n && w->tick < now) {
		struct list *at = &w->at[++w->tick % CONGEST_TICKS];

		while (!list_empty(at)) {
			struct path *p = container_of(at->next, struct path, congest.wheel);

			wheel_leave(m, p);
			release(m, p);
			worked = true;
		}
	}
	return worked;
}

bool congest_pass(struct machine *m, struct path *p)
{
	struct congest *c = &p->congest;
	struct held_dgram *h = m->wheel.free;

	/* Where nothing can be held any more, it goes, and is paid for by what comes later. */
	if ((!c->n_held && c->next_ns <= m->now_ns) || p->open.urgent || c->slow_start || !h) {
		charge(m, p, p->open.len);
		return true;
	}
	m->wheel.free = h->next;
	*h = (struct held_dgram){.dgram = p->open};
	if (c->first)
		c->last->next = h;
	else
		c->first = h;
	c->last = h;
	c->held_back = true;
	m->wheel.n_held++;
	count(m->counts, count_paced);
	if (!m->wheel.n)
		m->wheel.tick = m->now_ns / CONGEST_TICK_NS; /* it stood still meanwhile */
	if (!c->n_held++)
		wheel_enter(m, p);
	p->open.buf = NULL;
	return false;
}

bool congest_waits(struct machine *m, struct path *p)
{
	const struct congest *c = &p->congest;

	if (p->open.buf && p->open.len > p->header_len)
		path_flush_midway(m, p); /* what it holds is to be paid for first */
	return c->n_held || c->next_ns > m->now_ns;
}

/* ---- the window ---- */

static void round_begin(struct machine *m, struct path *p)
{
	struct congest *c = &p->congest;

	c->cost = c->window ? (c->rtt_ns << 16) / c->window : 0;
	c->round_ns = m->now_ns;
	c->round_min_ns = UINT64_MAX;
	c->round_bytes = c->tx_bytes;
	c->round_number = p->tx_number;
	c->lost = 0;
	c->held_back = false;
}

static void window_set(struct machine *m, struct path *p, uint64_t bytes)
{
	struct congest *c = &p->congest;

	c->window = max_u64(CONGEST_WINDOW_MIN, bytes);
	if (c->window < CONGEST_WINDOW_MAX)
		return;
	c->paced = c->watched = c->slow_start = false;
	wheel_leave(m, p);
	release(m, p);
}

static void pace(struct machine *m, struct path *p, uint64_t window, bool slow_start)
{
	struct congest *c = &p->congest;

	c->paced = c->watched = true;
	c->slow_start = slow_start;
	c->quiet = c->streak = 0;
	c->next_ns = m->now_ns;
	window_set(m, p, min_u64(window, CONGEST_WINDOW_MAX / 2));
}

/* On a long path a queue is good as long as it is an eighth of the round trip: its jitter is larger
 * too, and a cut costs more. */
static uint64_t good_ns(const struct congest *c)
{
	return max_u64(CONGEST_TARGET_NS, c->min_ns == UINT64_MAX ? 0 : c->min_ns / 8);
}

/* Who has the larger window is content with less of a queue, so that shares become equal (Swift's
 * flow scaling): from the whole target down to a quarter. */
static uint64_t target_ns(const struct congest *c)
{
	return good_ns(c) / 4 +
	       good_ns(c) * 3 / 4 * CONGEST_WINDOW_EVEN / (CONGEST_WINDOW_EVEN + c->window);
}

static void cut(struct machine *m, struct path *p, uint64_t queue_ns, bool lossy)
{
	struct congest *c = &p->congest;
	uint64_t percent = 0, window;

	if (queue_ns > target_ns(c))
		percent = CONGEST_BETA_PERCENT * (queue_ns - target_ns(c)) / queue_ns;
	window = c->window - c->window * min_u64(percent, CONGEST_CUT_MAX_PERCENT) / 100;
	if (lossy && c->window > CONGEST_WINDOW_LOSS)
		window = min_u64(window, max_u64(CONGEST_WINDOW_LOSS, c->window / 2));
	count(m->counts, count_window_cuts);
	c->slow_start = false;
	c->streak = 0;
	window_set(m, p, window);
}

/* The longer the round trip, the more: a rate grows as fast whatever the distance. */
static uint64_t step_bytes(const struct congest *c)
{
	return CONGEST_STEP_BYTES * max_u64(1, c->min_ns / CONGEST_TARGET_NS);
}

static void grow(struct machine *m, struct path *p, uint64_t queue_ns)
{
	struct congest *c = &p->congest;

	if (c->tx_bytes - c->round_bytes > c->window / 2 || c->held_back) {
		c->quiet = 0;
		c->slow_start &= queue_ns < good_ns(c) / 8; /* others start too */
		/* Faster with every round, as long as there is hardly a queue. */
		c->streak = queue_ns < good_ns(c) / 4
				    ? (uint8_t)min_u32(c->streak + 1u, CONGEST_STREAK_MAX)
				    : 1;
		window_set(m, p,
			c->slow_start ? 2 * c->window : c->window + step_bytes(c) * c->streak);
	} else if (!c->slow_start && ++c->quiet >= CONGEST_QUIET_ROUNDS) {
		window_set(m, p, CONGEST_WINDOW_MAX);
	}
}

/* The round's shortest delay is that of a queue that never emptied: jitter alone does not show. */
static void round_end(struct machine *m, struct path *p, uint64_t since_ns)
{
	struct congest *c = &p->congest;
	/* The shortest of all may have been forgotten a little since (congest_look). */
	uint64_t queue_ns = c->round_min_ns - min_u64(c->min_ns, c->round_min_ns);
	uint64_t datagrams = p->tx_number - c->round_number;
	bool lossy =
		c->lost >= CONGEST_LOSS_MIN && c->lost * (uint64_t)CONGEST_LOSS_SHARE > datagrams;
	bool bad = queue_ns > (c->paced ? target_ns(c) : good_ns(c)) || lossy;

	if (!c->paced) {
		c->watched = false;
		if (!bad || datagrams < CONGEST_ENTER_DATAGRAMS)
			return;
		count(m->counts, count_congested);
		pace(m, p, (c->tx_bytes - c->round_bytes) * c->rtt_ns / since_ns, false);
	}
	if (bad)
		cut(m, p, queue_ns, lossy);
	else
		grow(m, p, queue_ns);
	round_begin(m, p);
}

/* A path without a window has shown delay or loss: is it so for a whole round trip? */
static void watch(struct machine *m, struct path *p)
{
	p->congest.watched = true;
	round_begin(m, p);
}

void congest_delay(struct machine *m, struct path *p, uint64_t rtt_ns)
{
	struct congest *c = &p->congest;
	bool above;

	c->min_ns = min_u64(c->min_ns, rtt_ns);
	/* What comes seconds late says nothing of the path as it is. */
	c->rtt_ns = (c->rtt_ns + min_u64(rtt_ns, CONGEST_RTT_MAX_NS)) / 2;
	c->rtt_ns = max_u64(c->rtt_ns, CONGEST_RTT_MIN_NS);
	above = c->network && rtt_ns - c->min_ns > good_ns(c);
	if (!c->watched) {
		if (above)
			watch(m, p);
		return;
	}
	c->round_min_ns = min_u64(c->round_min_ns, rtt_ns);
	if (m->now_ns - c->round_ns >= c->rtt_ns || (c->slow_start && above))
		round_end(m, p, m->now_ns - c->round_ns);
}

void congest_loss(struct machine *m, struct path *p)
{
	if (!p->congest.network)
		return;
	if (!p->congest.watched)
		watch(m, p);
	p->congest.lost++;
}

/* ---- life ---- */

static void start_slowly(struct machine *m, struct path *p)
{
	pace(m, p, CONGEST_WINDOW_FIRST, true);
	round_begin(m, p);
}

void congest_begin(struct machine *m, struct path *p, uint64_t rtt_ns, bool shared_memory)
{
	struct congest *c = &p->congest;

	DCHECK(!c->n_held);
	*c = (struct congest){.min_ns = rtt_ns, .look_ns = m->now_ns + CONGEST_LOOK_NS};
	list_init(&c->wheel);
	c->rtt_ns = CONGEST_RTT_FIRST_NS;
	c->network = !shared_memory;
	if (c->network)
		start_slowly(m, p);
}

void congest_end(struct machine *m, struct path *p)
{
	struct dgram d;

	if (!p->congest.n_held)
		return;
	wheel_leave(m, p);
	while (held_take(m, &p->congest, &d))
		m->ops->drop(m->io, d.buf);
}

void congest_look(struct machine *m, struct path *p)
{
	struct congest *c = &p->congest;

	c->look_ns = m->now_ns + CONGEST_LOOK_NS;
	if (c->tx_bytes == c->look_bytes) {
		if (c->network && !c->n_held && !c->slow_start)
			start_slowly(m, p);
	} else if (c->paced && c->round_min_ns == UINT64_MAX &&
		   m->now_ns - c->round_ns >= CONGEST_LOOK_NS) {
		/* A loop whose passes are long measures nothing, and no round would ever end. */
		window_set(m, p, 2 * c->window);
		round_begin(m, p);
	}
	c->look_bytes = c->tx_bytes;
	if (c->min_ns != UINT64_MAX)
		c->min_ns += c->min_ns / 8192 + 1; /* an eighth in 80 s: routes change */
}
