#include "pair.h"

struct buffer {
	struct pair *pair;
	uint8_t bytes[PAIR_DATAGRAM];
};

uint64_t pair_random(struct pair *p)
{
	/* splitmix64 (Steele, Lea and Flood, 2014) */
	uint64_t z = (p->seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool chance(struct pair *p, double probability)
{
	return probability > 0 && (double)(pair_random(p) >> 11) / 9007199254740992.0 < probability;
}

static void wire_put(
	struct pair *p, uint8_t to, const struct net_addr *from, const void *data, uint32_t len)
{
	struct pair_frame *f;

	if (p->n_wire == PAIR_WIRE || chance(p, p->loss))
		return;
	f = malloc(sizeof(*f));
	CHECK(f && len <= sizeof(f->bytes));
	f->at_ns = p->now_ns + p->delay_ns +
		   (chance(p, p->reorder) ? pair_random(p) % (20 * p->delay_ns + 1) : 0);
	f->refs = 1;
	f->len = len;
	f->to = to;
	f->from = *from;
	memcpy(f->bytes, data, len);
	if (len && chance(p, p->corrupt))
		f->bytes[pair_random(p) % len] ^= (uint8_t)(1u << pair_random(p) % 8);
	p->wire[p->n_wire++] = f;
	p->sent++;
}

static void transmit(struct pair_end *e, const void *data, uint32_t len)
{
	struct pair *p = e->pair;
	struct net_addr from = {.ip = e->ip, .udp = 7447, .netif = 0};
	uint8_t to = e == &p->end[0] ? 1 : 0;

	wire_put(p, to, &from, data, len);
	if (chance(p, p->duplicate))
		wire_put(p, to, &from, data, len);
}

static void *io_get(void *io, const struct path *path, uint8_t **ret_data, uint32_t *ret_room)
{
	struct pair_end *e = io;
	struct buffer *b;

	(void)path;
	if (e->pair->buffers_fail && pair_random(e->pair) % e->pair->buffers_fail == 0)
		return NULL;
	b = malloc(sizeof(*b));
	CHECK(b);
	b->pair = e->pair;
	e->pair->n_buffers++;
	*ret_data = b->bytes;
	*ret_room = (uint32_t)e->pair->mtu - 28;
	return b;
}

static void io_drop(void *io, void *buf)
{
	(void)io;
	((struct buffer *)buf)->pair->n_buffers--;
	free(buf);
}

static void frame_put(struct pair_frame *f)
{
	if (--f->refs == 0)
		free(f);
}

static void *io_hold(void *io, const struct path *path)
{
	struct pair_end *e = io;

	(void)path;
	if (!e->in_hand || e->holds_none)
		return NULL;
	e->in_hand->refs++;
	e->n_held++;
	return e->in_hand;
}

static void io_release(void *io, void *held)
{
	((struct pair_end *)io)->n_held--;
	frame_put(held);
}

static void io_settle(void *io)
{
	struct pair_end *e = io;

	for (uint32_t i = 0; i < e->n_borrowed; i++) {
		const struct pair_borrowed *b = &e->borrowed[i];
		struct buffer *buffer = b->buf;

		CHECK(b->len + b->more_len <= sizeof(buffer->bytes));
		memcpy(buffer->bytes + b->len, b->more, b->more_len);
		transmit(e, buffer->bytes, b->len + b->more_len);
		io_drop(e, buffer);
	}
	e->n_borrowed = 0;
}

static void io_send_from(void *io, const struct path *path, void *buf, uint32_t len,
	const void *more, uint32_t more_len)
{
	struct pair_end *e = io;

	(void)path;
	if (e->n_borrowed == ARRAY_SIZE(e->borrowed))
		io_settle(e);
	e->borrowed[e->n_borrowed++] = (struct pair_borrowed){buf, more, len, more_len};
	e->pair->n_borrowed++;
}

static bool io_borrows(void *io, const struct path *path)
{
	(void)path;
	return ((struct pair_end *)io)->pair->borrows;
}

static void io_send(void *io, const struct path *path, void *buf, uint32_t len)
{
	(void)path;
	io_settle(io); /* in order */
	transmit(io, ((struct buffer *)buf)->bytes, len);
	io_drop(io, buf);
}

static void io_send_raw(void *io, const struct net_addr *to, const void *data, uint32_t len)
{
	(void)to;
	transmit(io, data, len);
}

static int io_resolve(void *io, struct path *path)
{
	(void)io;
	path->head.len = NET_HEAD_IPV4;
	return 0;
}

static uint64_t io_random(void *io)
{
	return pair_random(((struct pair_end *)io)->pair);
}

static uint64_t io_clock(void *io)
{
	return ((struct pair_end *)io)->pair->now_ns;
}

static uint16_t io_mtu(void *io, uint16_t netif)
{
	(void)netif;
	return ((struct pair_end *)io)->pair->mtu;
}

static bool io_shared(void *io, uint16_t netif)
{
	(void)netif;
	return ((struct pair_end *)io)->pair->shared_memory;
}

static bool io_forwards(void *io, const struct path *path)
{
	(void)path;
	return !((struct pair_end *)io)->forwards_none;
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
	.shared_memory = io_shared,
	.forwards = io_forwards};

static void end_init(struct pair *p, int i, const struct tela_budgets *budgets)
{
	struct pair_end *e = &p->end[i];
	struct machine_config cfg = {.node_id = 100 + (uint64_t)i,
		.incarnation = pair_random(p) | 1,
		.n_cores = 1,
		.peer_silence_ns = 50 * NS_PER_MS,
		.services = &e->table,
		.forwards = &e->forwards};

	if (budgets)
		cfg.budgets = *budgets;
	memset(e, 0, sizeof(*e));
	e->pair = p;
	e->ip = 0x0a000001u + (uint32_t)i;
	CHECK(!machine_init(&e->m, &cfg, &ops, e, &e->counts));
	machine_begin(&e->m, p->now_ns);
}

void pair_serve(struct pair *p, int end, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links)
{
	struct pair_end *e = &p->end[end];
	char err[200];
	struct tela_image *image;

	e->service = service_create(NULL, desc, 0);
	CHECK(e->service);
	image = image_build(e->service, 1, links, n_links, err, sizeof(err));
	CHECK(image);
	image_swap(e->service, image);
	service_table_free(atomic_exchange(&e->table, service_table_build(&e->service, 1)));
}

static void end_fini(struct pair_end *e)
{
	machine_fini(&e->m);
	if (e->service) {
		tela_image_free(atomic_load(&e->service->image));
		service_free(e->service);
		service_table_free(atomic_load(&e->table));
	}
}

void pair_init(struct pair *p, uint64_t seed, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links, const struct tela_budgets *budgets)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->now_ns = NS_PER_S;
	p->step_ns = 2000;
	p->delay_ns = 1000;
	p->mtu = 1500;
	p->shared_memory = true;
	end_init(p, 0, budgets);
	end_init(p, 1, budgets);
	pair_serve(p, 1, desc, links, n_links);
}

void pair_connect(struct pair *p, const struct tela_service_desc *desc, uint32_t n)
{
	struct net_addr to = {.ip = p->end[1].ip, .udp = 7447};
	struct pair_end *e = &p->end[0];

	e->path = path_create(&e->m, &to, true);
	CHECK(e->path);
	for (uint32_t i = 0; i < n; i++)
		CHECK(!caller_session_open(&e->m, &e->sessions[i], e->path, desc));
}

void pair_restart(struct pair *p, int end, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links)
{
	struct tela_budgets budgets = p->end[end].m.cfg.budgets;

	end_fini(&p->end[end]);
	end_init(p, end, &budgets);
	pair_serve(p, end, desc, links, n_links);
}

/* What has arrived and waits. */
static uint32_t waiting(const struct pair *p, int end)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_wire; i++)
		n += p->wire[i]->to == end && p->wire[i]->at_ns <= p->now_ns;
	return n;
}

static void receive(struct pair *p, int end)
{
	uint32_t left = p->end[end].burst ? p->end[end].burst : UINT32_MAX;

	/* In order of arrival; what a pass sends arrives in a later one. */
	for (uint32_t i = 0; i < p->n_wire && left;) {
		struct pair_frame *f = p->wire[i];

		if (f->to != end || f->at_ns > p->now_ns) {
			i++;
			continue;
		}
		left--;
		memmove(p->wire + i, p->wire + i + 1, (--p->n_wire - i) * sizeof(*p->wire));
		p->end[end].in_hand = f;
		if (!p->end[end].deaf)
			machine_rx(&p->end[end].m, &f->from, f->bytes, f->len);
		p->end[end].in_hand = NULL;
		frame_put(f);
	}
}

void pair_inject(struct pair *p, int to, const void *data, uint32_t len)
{
	struct net_addr from = {.ip = p->end[1 - to].ip, .udp = 7447};
	uint8_t *copy =
		malloc(len ? len : 1); /* exactly its length, so that a read beyond it shows */

	CHECK(copy);
	memcpy(copy, data, len);
	machine_rx(&p->end[to].m, &from, copy, len);
	free(copy);
}

void pair_pass(struct pair *p)
{
	p->now_ns += p->step_ns;
	for (int i = 0; i < 2; i++) {
		struct machine *m = &p->end[i].m;

		if (p->end[i].frozen)
			continue;
		m->rx_left = p->end[i].burst && waiting(p, i) > p->end[i].burst;
		machine_begin(m, p->now_ns);
		receive(p, i);
		machine_local(m);
		machine_timers(m);
		machine_flush(m, p->now_ns + p->step_ns / 2);
	}
}

void pair_run(struct pair *p, uint64_t ns)
{
	for (uint64_t end = p->now_ns + ns; p->now_ns < end;)
		pair_pass(p);
}

void pair_fini(struct pair *p)
{
	for (uint32_t i = 0; i < p->n_wire; i++)
		free(p->wire[i]);
	end_fini(&p->end[0]);
	end_fini(&p->end[1]);
}
