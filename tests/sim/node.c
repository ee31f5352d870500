/* node.c - a machine and the world it sees: the passes of its loop as poll.c makes them, rings of
 * bounded length, buffers, a clock of its own, and one life after the other.
 *
 * The clock is monotonic, as the TSC is: it starts anywhere and may jump forward (the machine was
 * suspended, or moved to another host), never back. A process that is stopped and continued is a
 * pause: nothing is lost but what its rings do not hold. A process that ends loses its memory and
 * comes back as a new incarnation; two lives that share one incarnation (a restored snapshot) are
 * what incarnations exclude, and are not made. */
#include "sim.h"

enum {
	MANY_NODES = 100,
	LOOP_SPINS_NS = 40000,
	CHORES_NS = 2000,
	REST_IDLE_NS = 2000000,
	WAITS_IDLE_NS = 8000,
	STUDY_PASS_NS = 500
};

/* ---- what the machine asks of the world ---- */

static uint16_t io_mtu(void *io, uint16_t netif)
{
	const struct node *n = io;

	/* Not the same everywhere: the smaller one of two counts. */
	return netif ? 2048 : (n->index % 5 == 4 ? 1280 : 1500);
}

static bool io_shared(void *io, uint16_t netif)
{
	(void)io;
	return netif;
}

static struct frame *frame_of(void *data)
{
	return data;
}

static void *io_get(void *io, const struct path *path, uint8_t **ret_data, uint32_t *ret_room)
{
	struct node *n = io;
	struct frame *f;

	if (n->n_buffers - n->m.wheel.n_held >= n->tx_ring + 4 || alloc_fails())
		return NULL;
	*ret_room = io_mtu(n, path->peer.netif) - 28u;
	f = frame_new(n->sim, *ret_room);
	*ret_data = f->bytes;
	n->n_buffers++;
	return f;
}

static void io_drop(void *io, void *buf)
{
	struct node *n = io;

	n->n_buffers--;
	frame_free(n->sim, buf);
}

/* False: dropped. */
static bool queue(struct node *n, struct frame *f, const struct net_addr *to, uint32_t len)
{
	f->from = n->index;
	f->to = to->ip - 0x0a000001u;
	f->netif = to->netif;
	f->len = len;
	if (n->n_tx >= n->tx_ring) {
		n->sim->fault_hit[FAULT_rings]++;
		trace_frame(n->sim, "has no place for", f);
		io_drop(n, f);
		return false;
	}
	n->tx[(n->tx_head + n->n_tx++) % RING_MAX] = f;
	return true;
}

/* Between two nodes that share memory; what was borrowed is read as late as it may be. */
static bool io_borrows(void *io, const struct path *path)
{
	return io_shared(io, path->peer.netif);
}

static void io_send_from(void *io, const struct path *path, void *buf, uint32_t len,
	const void *more, uint32_t more_len)
{
	struct node *n = io;

	CHECK(n->n_borrowed < ARRAY_SIZE(n->borrowed));
	if (n->n_tx >= n->tx_ring) /* it is dropped, and told of whole */
		memcpy(frame_of(buf)->bytes + len, more, more_len);
	if (queue(n, frame_of(buf), &path->peer, len + more_len))
		n->borrowed[n->n_borrowed++] = (struct borrowed){buf, more, more_len};
}

static void io_settle(void *io)
{
	struct node *n = io;

	for (uint32_t i = 0; i < n->n_borrowed; i++) {
		const struct borrowed *b = &n->borrowed[i];

		memcpy(b->frame->bytes + b->frame->len - b->len, b->more, b->len);
	}
	n->n_borrowed = 0;
}

static void io_send(void *io, const struct path *path, void *buf, uint32_t len)
{
	queue(io, frame_of(buf), &path->peer, len);
}

static void taken_put(struct taken *t)
{
	if (--t->refs)
		return;
	list_del(&t->of_node);
	free(t);
}

static void *io_hold(void *io, const struct path *path)
{
	struct node *n = io;

	(void)path;
	if (alloc_fails())
		return NULL;
	n->in_hand->refs++;
	n->n_held++;
	return n->in_hand;
}

static void io_release(void *io, void *held)
{
	((struct node *)io)->n_held--;
	taken_put(held);
}

static void io_send_raw(void *io, const struct net_addr *to, const void *data, uint32_t len)
{
	struct node *n = io;
	struct frame *f = frame_new(n->sim, len);

	n->n_buffers++;
	memcpy(f->bytes, data, len);
	queue(n, f, to, len);
}

static int io_resolve(void *io, struct path *path)
{
	(void)io;
	if (alloc_fails())
		return -EAGAIN;
	path->head.len = NET_HEAD_IPV4;
	return 0;
}

static uint64_t io_random(void *io)
{
	return rng_next(&((struct node *)io)->random);
}

static uint64_t io_clock(void *io)
{
	return node_clock(io) + ((struct node *)io)->spent_ns;
}

static const struct machine_ops ops = {.get = io_get,
	.send = io_send,
	.drop = io_drop,
	.send_from = io_send_from,
	.borrows = io_borrows,
	.settle = io_settle,
	.hold = io_hold,
	.release = io_release,
	.send_raw = io_send_raw,
	.resolve = io_resolve,
	.random = io_random,
	.clock = io_clock,
	.mtu = io_mtu,
	.shared_memory = io_shared};

/* ---- lives ---- */

void node_create(struct node *n, struct sim *sim, uint32_t index)
{
	struct rng r = {rng_mix(sim->s.seed ^ 0xa0000 ^ (uint64_t)index << 20)};

	n->sim = sim;
	list_init(&n->taken);
	list_init(&n->replies_lent);
	n->index = index;
	n->random.s = rng_next(&r);
	n->offset_ns = NS_PER_S + rng_below(&r, 1000 * NS_PER_S);
	n->spins = rng_below(&r, 100) < sim->s.spin_percent;
	n->idle_max_ns = n->spins ? LOOP_SPINS_NS : rng_scale(&r, 20000, 500000);
	n->cost_ns = rng_scale(&r, 300, 3000);
	if (rng_below(&r, 16) == 0 && scenario_has(&sim->s, FAULT_slow))
		n->cost_ns = rng_scale(&r, 20000, 400000);
	if (sim->s.study)
		n->cost_ns = STUDY_PASS_NS;
	n->usual_cost_ns = n->cost_ns;
	n->rx_ring = sim->s.rx_ring;
	n->tx_ring = sim->s.tx_ring;
	n->burst = n->tx_burst = 32;
	if (sim->s.handler_ns)
		n->burst = 4; /* what a pass answers leaves when it begins */
	n->under_way = -1;
}

static void images_free(struct node *n)
{
	for (uint32_t i = 0; i < SERVICES; i++) {
		if (!n->service[i])
			continue;
		tela_image_free(atomic_load(&n->service[i]->image));
		service_free(n->service[i]);
		n->service[i] = NULL;
	}
	while (n->old) {
		struct tela_image *next = n->old->next;

		tela_image_free(n->old);
		n->old = next;
	}
	service_table_free(atomic_load(&n->table));
	atomic_store(&n->table, NULL);
}

static bool serve(struct node *n)
{
	for (uint32_t i = 0; i < SERVICES; i++) {
		n->service[i] = service_create(NULL, app_desc[i][0], i);
		if (!n->service[i])
			return false;
		n->service[i]->shed_ns = n->m.shed.target_ns;
		node_publish(n, i);
		if (!atomic_load(&n->service[i]->image))
			return false;
	}
	atomic_store(&n->table, service_table_build(n->service, SERVICES));
	return atomic_load(&n->table) != NULL;
}

/* The old image goes when no pending call holds it: between two passes of the only core there is no
 * other reader. */
void node_publish(struct node *n, uint32_t service)
{
	struct tela_image_link links[APP_LINKS];
	struct tela_service *s = n->service[service];
	struct tela_image *old = atomic_load(&s->image), *image;
	char err[200];

	image = image_build(s, 1, links, app_links(n, links), err, sizeof(err));
	if (!image)
		return;
	image_swap(s, image);
	if (old) {
		old->next = n->old;
		n->old = old;
	}
}

static void reap_images(struct node *n)
{
	for (struct tela_image **at = &n->old; *at;) {
		struct tela_image *i = *at;

		if (image_pins(i)) {
			at = &i->next;
		} else {
			*at = i->next;
			tela_image_free(i);
		}
	}
}

bool node_boot(struct node *n)
{
	struct sim *sim = n->sim;
	struct machine_config cfg = {.node_id = 1000 + n->index,
		.incarnation = rng_next(&n->random) | 1,
		.n_cores = 1,
		.peer_silence_ns = sim->s.silence_ns,
		.pause_ns = n->spins ? 0 : sim->s.pause_ns,
		.budgets = sim->s.budgets,
		.services = &n->table};

	if (sim->s.hub && !n->index) {
		cfg.budgets.paths += sim->s.n_nodes;
		cfg.budgets.slots += 8 * SESSIONS_MAX * sim->s.n_nodes;
		cfg.budgets.messages_64k += sim->s.study ? 2 * sim->s.n_nodes : 0;
	}
	memset(&n->counts, 0, sizeof(n->counts));
	if (machine_init(&n->m, &cfg, &ops, n, &n->counts))
		return false;
	n->m.shed.target_ns = sim->s.shed_ns ? sim->s.shed_ns : SHED_NEVER;
	if (!sim->s.study)
		n->m.shed.until_ns = UINT64_MAX; /* few seeds bring enough to make it so */
	if (!serve(n)) {
		images_free(n);
		machine_fini(&n->m);
		return false;
	}
	n->life++;
	n->up = true;
	n->chores_ns = n->slept_ns = 0;
	trace(sim, "starts", n->index, -1, n->life, 0);
	machine_begin(&n->m, node_clock(n));
	app_connect(n);
	n->pass_at_ns = UINT64_MAX;
	node_wake(n, sim->now_ns);
	return true;
}

static void rings_empty(struct node *n)
{
	for (; n->n_rx; n->n_rx--, n->rx_head = (n->rx_head + 1) % RING_MAX)
		frame_free(n->sim, n->rx[n->rx_head]);
	while (!list_empty(&n->taken)) {
		struct taken *t = list_entry(n->taken.next, struct taken, of_node);

		list_del(&t->of_node);
		free(t);
	}
	n->n_held = 0;
	for (; n->n_tx; n->n_tx--, n->tx_head = (n->tx_head + 1) % RING_MAX)
		io_drop(n, n->tx[n->tx_head]);
}

void node_end(struct node *n)
{
	if (!n->up)
		return;
	n->up = false;
	trace(n->sim, "ends", n->index, -1, n->life, 0);
	rings_empty(n);
	machine_fini(&n->m);
	app_end(n);
	if (n->n_buffers)
		sim_violation(
			"node %u ends and %u buffers are not given back", n->index, n->n_buffers);
	images_free(n);
	oracle_died(n);
	n->n_todo = n->n_peers = 0;
	n->local_open = false;
	n->pass_number++; /* passes under way are of the old life */
	n->pass_at_ns = UINT64_MAX;
}

/* ---- passes ---- */

void node_wake(struct node *n, uint64_t at_ns)
{
	at_ns = max_u64(at_ns, n->began_ns + n->cost_ns + n->spent_ns);
	if (!n->up || n->paused || n->pass_at_ns <= at_ns)
		return;
	n->pass_at_ns = at_ns;
	sim_at(n->sim, at_ns, EVENT_PASS, n->index, ++n->pass_number, NULL);
}

void node_todo(struct node *n, enum todo_kind kind, uint32_t what)
{
	if (!n->up)
		return;
	if (n->n_todo == TODO_MAX) {
		sim_at(n->sim, n->sim->now_ns + NS_PER_MS, EVENT_TODO, n->index,
			(uint64_t)kind << 32 | what, NULL);
		return;
	}
	n->todo[n->n_todo++] = (struct todo){kind, what};
	if (n->spins && n->sim->current != n)
		node_wake(n, n->sim->now_ns);
}

static void transmit(struct node *n)
{
	for (uint32_t i = 0; i < n->tx_burst && n->n_tx; i++) {
		struct frame *f = n->tx[n->tx_head];

		n->tx_head = (n->tx_head + 1) % RING_MAX;
		n->n_tx--;
		n->n_buffers--;
		n->sent++;
		wire_send(n->sim, f);
	}
}

static uint32_t receive(struct node *n)
{
	uint32_t frames = min_u32(n->n_rx, n->burst);
	struct sim *sim = n->sim;

	for (uint32_t i = 0; i < frames; i++) {
		struct frame *f = n->rx[n->rx_head];
		struct net_addr from = {
			.ip = 0x0a000001u + f->from, .udp = 7447, .netif = f->netif};
		/* Exactly its length, so that a sanitizer sees a read beyond it. */
		struct taken *t = malloc(sizeof(*t) + f->len);

		CHECK(t);
		t->refs = 1;
		list_add_tail(&n->taken, &t->of_node);
		memcpy(t->bytes, f->bytes, f->len);
		n->in_hand = t;
		n->rx_head = (n->rx_head + 1) % RING_MAX;
		n->n_rx--;
		sim->max_age_ns = max_u64(sim->max_age_ns, sim->now_ns - f->born_ns);
		trace_frame(sim, "takes", f);
		machine_rx(&n->m, &from, t->bytes, f->len);
		n->in_hand = NULL;
		taken_put(t);
		frame_free(sim, f);
		if (machine_flush_early(&n->m))
			transmit(n);
	}
	return frames;
}

static bool do_todo(struct node *n)
{
	struct todo todo[TODO_MAX];
	uint32_t count = n->n_todo;

	memcpy(todo, n->todo, count * sizeof(*todo));
	n->n_todo = 0;
	for (uint32_t i = 0; i < count; i++)
		app_todo(n, &todo[i]);
	return count > 0;
}

static void next_pass(struct node *n, bool worked)
{
	/* To save real time: with the load over, a node that has nothing to do sleeps longer; and
	 * so do all where there are many. */
	bool idle = n->under_way < 0 && !n->m.n_calls_busy;
	bool rests = idle && (n->sim->phase != PHASE_LOAD || n->sim->s.n_nodes > MANY_NODES);
	uint64_t idle_max = rests ? REST_IDLE_NS : n->idle_max_ns;

	if (!idle && !machine_idle_ns(&n->m))
		idle_max = min_u64(idle_max, n->sim->s.study ? CHORES_NS : WAITS_IDLE_NS);
	n->idle_ns = worked ? 0 : min_u64(2 * n->idle_ns + 1000, idle_max);
	if (n->idle_ns > 20000 && (!n->spins || rests))
		n->slept_ns = n->idle_ns;
	n->pass_at_ns = UINT64_MAX;
	node_wake(n, n->began_ns + n->cost_ns + n->spent_ns + n->idle_ns);
}

void node_pass(struct node *n)
{
	struct sim *sim = n->sim;
	uint64_t shed = count_read(&n->counts, count_calls_shed);
	bool worked, timers = false;
	uint32_t frames;

	sim->current = n;
	sim->n_passes++;
	n->passes++;
	n->began_ns = sim->now_ns;
	n->spent_ns = 0;
	n->m.slept_ns = n->slept_ns;
	n->slept_ns = 0;
	/* A loop that spins has looked just now, though that pass was not made. */
	if (n->spins && !n->m.rx_left && n->m.emptied_ns + n->idle_ns <= node_clock(n))
		n->m.emptied_ns += n->idle_ns;
	n->m.rx_left = n->n_rx > n->burst;
	machine_begin(&n->m, node_clock(n));
	frames = receive(n);
	n->spent_ns += (count_read(&n->counts, count_calls_shed) - shed) * sim->s.refuse_ns;
	machine_flush(&n->m, node_clock(n) + n->cost_ns / 2);
	transmit(n);
	n->m.tx_waits = n->n_tx > n->tx_ring / 2 ? UINT8_MAX : 0;
	worked = do_todo(n) || frames;
	worked |= machine_local(&n->m);
	if (n->m.now_ns >= n->chores_ns || n->m.n_bulks) {
		n->chores_ns = n->m.now_ns + CHORES_NS;
		worked |= machine_timers(&n->m);
		timers = true;
	}
	machine_flush(&n->m, node_clock(n) + n->cost_ns);
	transmit(n);
	reap_images(n);
	oracle_after_pass(n, timers);
	sim->current = NULL;
	next_pass(n, worked || n->n_tx || n->n_rx);
}
