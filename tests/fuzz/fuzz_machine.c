/* fuzz_machine.c - the protocol machine alone, between two ends on a virtual clock.
 *
 * An input is a list of steps: calls made, small and large; packets that look like a peer's, with
 * numbers near the true ones; raw datagrams; pending calls answered; a wire that loses, repeats and
 * delays; time. At the end every path is taken down, every pending call answered, and nothing may
 * be left: no call, slot, buffer or message.
 */
#include "crc32c.h"
#include "fuzz.h"
#include "identity.h"
#include "pair.h"

enum {
	PARKED_MAX = 32,
	STEPS_MAX = 200,
	CALLS_MAX = 64,
	METHODS = 6,
	STEP_NS = 20000, /* coarse: a second of virtual time is 50,000 passes */
};

/* ---- the service ---- */

static struct tela_handle parked[PARKED_MAX];
static uint32_t n_parked;
static uint32_t n_made, n_ended;

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	return tela_reply_copy(call, call->request, call->request_len);
}

/* As many bytes as the request says. */
static enum tela_verdict grow(struct tela_call *call, void *self)
{
	uint32_t len;
	uint8_t *to;

	memcpy(&len, call->request, 4);
	len %= 1200000;
	to = tela_reply_begin(call, len);
	if (!to)
		return TELA_ANSWER;
	memset(to, 7, len);
	return tela_reply_commit(call, len);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	if (n_parked == PARKED_MAX || tela_call_pend(call, &parked[n_parked], NULL, NULL))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no room");
	n_parked++;
	return TELA_PENDING;
}

/* A status and much metadata: the largest envelopes there are. */
static enum tela_verdict talk(struct tela_call *call, void *self)
{
	static const char text[] = "a message that is longer than what a slot keeps beside the "
				   "metadata of a reply, or very nearly so, as messages go; and "
				   "longer than two hundred bytes, so that it is cut; which it is "
				   "by now, surely, or will be in a moment";
	char key[] = "k0";

	for (int i = 0; i < call->request[0] % 16; i++, key[1]++)
		tela_reply_metadata(call, key, "some value of an ordinary length");
	return tela_reply_status(call, call->request[1], call->request[2] & 1 ? text : NULL);
}

static enum tela_verdict shorten(struct tela_call *call, void *self)
{
	uint64_t sum = call->request_len;

	sum += tela_call_metadata(call, "m").len;
	tela_call_replace(call, &sum, sizeof(sum));
	return call->request_len == sizeof(sum) ? TELA_CONTINUE : TELA_ANSWER;
}

/* Whoever shows a token has proved it, until one in so many calls says that it holds no more. */
static enum tela_verdict prove(struct tela_call *call, void *self)
{
	struct tela_str token = tela_call_metadata(call, "authorization");
	uint64_t proof;

	if (tela_call_proof(call, self, &proof)) {
		CHECK(proof == 'o' || proof == 't');
		if (call->request[0] % 7 == 6)
			return tela_reply_prove(call);
		tela_call_identify(call, (uint16_t)proof, "somebody");
	} else if (token.len) {
		tela_call_prove(call, self, (uint8_t)token.s[0] == 'o' ? 'o' : 't');
	}
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	size_t len;
	const void *p = tela_reply_payload(call, &len);

	if (p && len > 100)
		tela_reply_metadata(call, "left", "yes");
	else if (len == 9)
		tela_reply_copy(call, "replaced", 8);
}

static int verify_8(const void *payload, size_t len)
{
	return len >= 8 ? 0 : -EBADMSG;
}

static const struct tela_method_desc methods[METHODS] = {
	{"echo", 1, 0, 20000, verify_8, NULL},
	{"park", 2, 0, 20000, verify_8, NULL},
	{"grow", 3, 0, 30000, verify_8, NULL},
	{"talk", 4, 0, 20000, verify_8, NULL},
	{"both", 5, TELA_METHOD_IDEMPOTENT, 20000, verify_8, verify_8},
	{"absent", 6, 0, 20000, NULL, NULL},
};
static const struct tela_service_desc desc = {"test.Test", 42, NULL, 0, METHODS, methods};
static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = prove},
	{NULL, &desc, 1, echo, leave},
	{NULL, &desc, 2, park, leave},
	{NULL, &desc, 2, echo, NULL},
	{NULL, &desc, 3, grow, leave},
	{NULL, &desc, 4, talk, NULL},
	{NULL, &desc, 5, shorten, leave},
	{NULL, &desc, 5, park, NULL},
	{NULL, &desc, 5, echo, NULL},
};

static const struct tela_budgets budgets = {.paths = 3,
	.sessions = 4,
	.slots = 48,
	.slots_per_session = 32,
	.calls = 12,
	.detached = 4,
	.messages_2k = 12,
	.messages_64k = 3,
	.messages_1m = 1,
	.in_flight = 48,
	.identities = 2};

/* ---- steps ---- */

static void done(void *arg, const struct tela_result *r)
{
	volatile uint64_t sum = r->code; /* what is delivered may be read, to its end */

	CHECK(r->code <= TELA_UNAUTHENTICATED && r->outcome <= TELA_MAYBE_EXECUTED);
	for (size_t i = 0; i<r->len; i += r->len> 4096 ? 97 : 1)
		sum += ((const uint8_t *)r->payload)[i];
	for (size_t i = 0; i < r->message.len; i++)
		sum += (uint8_t)r->message.s[i];
	(void)sum;
	n_ended++;
}

static void make_call(struct pair *p, struct feed *f)
{
	struct pair_end *e = &p->end[0];
	uint8_t what = feed_u8(f), size = feed_u8(f);
	struct tela_pair metadata = {size % 3 ? "authorization" : "m", size % 2 ? "one" : "two"};
	struct tela_options o = {.deadline_us = 1 + (what & 8 ? 500u : 20000u),
		.max_reply_bytes = what & 16 ? 64u + feed_u16(f) : 0,
		.metadata = &metadata,
		.n_metadata = what & 32 ? 1 : 0,
		.flags = (what & 7) >= METHODS ? TELA_CALL_ONE_WAY : 0};
	uint32_t len = size < 128 ? size : size < 192 ? 16u * size : (size - 191u) * 12000u;
	struct tela_request r;

	if (n_made == CALLS_MAX || caller_begin(&e->m, &e->sessions[what >> 6 & 1],
					   &methods[(what & 7) % METHODS], len, &o, &r))
		return;
	memset(r.payload, size, len);
	for (uint32_t i = 0; i < min_u32(len, 4); i++)
		((uint8_t *)r.payload)[i] = feed_u8(f);
	if (what & 128) {
		caller_abandon(&e->m, r.slot);
		return;
	}
	caller_send(&e->m, r.slot, done, NULL);
	n_made++;
}

static struct path *path_of(struct pair *p, int end)
{
	for (uint32_t i = 0; i < budgets.paths; i++)
		if (p->end[end].m.paths[i].state == PATH_UP)
			return &p->end[end].m.paths[i];
	return NULL;
}

/* What a peer that knows the path could send: a good header before `len` bytes of packets. */
static void inject(struct pair *p, int to, const uint8_t *packets, uint32_t len, int8_t ahead)
{
	struct path *path = path_of(p, to);
	uint8_t bytes[PAIR_DATAGRAM];
	frame_Datagram d = {.version = WIRE_VERSION, .header_length = 32, .stamp = 1};
	uint64_t number;
	uint32_t crc;

	if (!path)
		return;
	number = path->rx_number + 1 + (uint64_t)(int64_t)ahead;
	d.flags = path->integrity;
	d.connection = path->id;
	d.number_low = (uint32_t)number;
	d.number_high = (uint32_t)(number >> 32);
	d.echo = (uint32_t)len;
	len = min_u32(len, PAIR_DATAGRAM - 64);
	memset(bytes, 0, 32);
	frame_Datagram_store(bytes, &d);
	if (len)
		memcpy(bytes + 32, packets, len);
	len += 32;
	if (d.flags || len < WIRE_DATAGRAM + WIRE_CRC) {
		crc = crc32c(0, bytes, len);
		memcpy(bytes + len, &crc, WIRE_CRC);
		len += WIRE_CRC;
	}
	pair_inject(p, to, bytes, len);
}

/* The call number that the slot is at. */
static uint32_t call_near(struct pair *p, int to, uint32_t session, uint32_t slot)
{
	struct path *path = path_of(p, to);

	if (!path)
		return 0;
	if (to == 0)
		return session < path->n_out && slot < path->out[session]->n_owned
			       ? caller_slot_at(path->out[session], slot)->call
			       : 0;
	return session < path->n_in && path->in[session] && slot < path->in[session]->n_slots
		       ? callee_slot_at(path->in[session], slot)->call
		       : 0;
}

static uint32_t request_body(struct feed *f, uint8_t *to, uint32_t room, frame_Packet *h)
{
	uint8_t how = feed_u8(f);
	uint32_t at = 0, n;
	const uint8_t *bytes;

	if (how & 64) {
		h->envelope_length = (uint16_t)envelope_write_proved(
			to, 3000, how >> 4 & 3, 1 + (how >> 2 & 7) % METHODS, feed_u16(f));
		at = ALIGN8(h->envelope_length);
		memset(to + h->envelope_length, 0, at - h->envelope_length);
	} else if (how & 1) {
		envelope_write_bound(to, how & 2 ? ENVELOPE_NO_DEADLINE : 3000, how >> 4 & 3,
			1 + (how >> 2 & 7) % METHODS);
		h->envelope_length = ENVELOPE_BOUND;
		at = ENVELOPE_BOUND_PADDED;
	}
	bytes = feed_bytes(f, feed_u8(f), &n);
	if (n)
		memcpy(to + at, bytes, n);
	at += n;
	if (how & 128 && at < room) { /* as long as a fragment */
		memset(to + at, 1, room - at);
		at = room;
	}
	return at;
}

/* One packet with a header that is nearly right. */
static void craft(struct pair *p, struct feed *f)
{
	uint8_t bytes[PAIR_DATAGRAM] = {0}, what = feed_u8(f), sizes = feed_u8(f);
	int to = what >> 7;
	frame_Packet h = {.kind = what & 31,
		.flags = feed_u8(f),
		.session = what >> 5 & 1,
		.slot = feed_u8(f) & 31,
		.fragment = feed_u8(f)};
	uint32_t len, room = path_of(p, to) ? path_of(p, to)->fragment : 1400;

	h.call = call_near(p, to, h.session, h.slot) + (uint32_t)(int8_t)feed_u8(f);
	len = request_body(f, bytes + WIRE_PACKET, room + (sizes & 1 ? WIRE_TIMING : 0), &h);
	h.length = (uint16_t)(WIRE_PACKET + len);
	h.body_length = len - (sizes & 1 && len >= WIRE_TIMING ? WIRE_TIMING : 0);
	if (sizes & 2)
		h.body_length = feed_u16(f) * (sizes & 4 ? 97u : 1u);
	if (sizes & 8)
		h.envelope_length = feed_u16(f);
	if (sizes & 16)
		h.length = feed_u16(f);
	if (sizes & 32)
		h.session = feed_u16(f);
	if (sizes & 64)
		h.slot = feed_u16(f);
	frame_Packet_store(bytes, &h);
	inject(p, to, bytes, ALIGN8(WIRE_PACKET + len), 0);
}

static void answer(struct pair *p, struct feed *f)
{
	uint8_t what = feed_u8(f);
	struct machine *m = &p->end[1].m;
	uint32_t i, len;
	const uint8_t *bytes;

	if (!n_parked)
		return;
	i = what % n_parked;
	bytes = feed_bytes(f, feed_u8(f), &len);
	call_resume(m, parked[i], what & 64, what & 32 ? feed_u8(f) : 0,
		what & 16 ? "why it failed" : NULL, what & 128 && what & 64 ? NULL : bytes, len);
	if (what & 8) /* a handle may be used twice by mistake: it is stale then */
		CHECK(call_resume(m, parked[i], false, 0, NULL, bytes, len) == -ESTALE);
	parked[i] = parked[--n_parked];
}

static void pass(struct pair *p, uint32_t n)
{
	for (; n; n--)
		pair_pass(p);
}

static void step(struct pair *p, struct feed *f)
{
	uint8_t op = feed_u8(f);
	const uint8_t *bytes;
	uint32_t len;

	switch (op % 12) {
	case 0:
	case 1:
		make_call(p, f);
		break;
	case 2:
	case 3:
		craft(p, f);
		break;
	case 4:
		bytes = feed_bytes(f, feed_u8(f), &len);
		inject(p, op >> 7, bytes, len, (int8_t)feed_u8(f));
		break;
	case 5:
		bytes = feed_bytes(f, feed_u8(f), &len);
		pair_inject(p, op >> 7, bytes, len);
		break;
	case 6:
		answer(p, f);
		break;
	case 7:
		p->loss = (op >> 4 & 3) / 8.0;
		p->duplicate = (op >> 6 & 1) / 4.0;
		p->reorder = (op >> 7 & 1) / 2.0;
		p->buffers_fail = feed_u8(f) & 1 ? 7 : 0;
		break;
	case 8:
		p->end[op >> 7].deaf = op >> 6 & 1;
		p->end[op >> 7].frozen = op >> 5 & 1;
		break;
	case 9:
		pass(p, 1 + feed_u8(f));
		break;
	case 10:
		p->now_ns += (uint64_t)feed_u16(f) * 5000; /* both loops were away */
		pass(p, 1);
		break;
	case 11:
		if (op & 128)
			machine_link_down(&p->end[op >> 6 & 1].m, 0);
		else if (op & 64)
			machine_drain(&p->end[1].m);
		else
			pass(p, 2);
	}
}

/* ---- the end ---- */

static uint32_t list_length(const void *first, size_t next_at)
{
	uint32_t n = 0;

	for (const char *at = first; at; n++)
		memcpy(&at, at + next_at, sizeof(at));
	return n;
}

/* No session has proofs or tokens any more. */
static void check_identities(const struct machine *m)
{
	uint32_t n_proofs = 0, n_tokens = 0;

	for (uint16_t id = m->free_proofs; id; id = m->proofs[id - 1].next_free)
		n_proofs++;
	for (uint16_t id = m->free_token; id; id = m->tokens[id - 1].next)
		n_tokens++;
	CHECK(n_proofs == budgets.identities && n_tokens == budgets.identities);
}

/* Both ends hold nothing but what they were made with. */
static void check_quiet(const struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		const struct machine *m = &p->end[i].m;
		const uint32_t messages[MSG_CLASSES] = {
			budgets.messages_2k, budgets.messages_64k, budgets.messages_1m};
		uint32_t n_bulks = msgpool_most(messages);

		CHECK(m->n_calls_busy == 0 && m->n_detached == 0 && m->n_made == 0);
		CHECK(m->n_bulks == 0 && list_empty(&m->pending) && list_empty(&m->local));
		for (int c = 0; c < MSG_CLASSES; c++)
			CHECK(m->msgs.n_free[c] == m->msgs.n[c]);
		CHECK(list_length(m->free_bulk_tx, offsetof(struct bulk_tx, next_free)) == n_bulks);
		CHECK(list_length(m->free_bulk_rx, offsetof(struct bulk_rx, next_free)) == n_bulks);
		CHECK(list_length(m->free_call, offsetof(struct call, next_free)) == budgets.calls);
		CHECK(m->n_callee_blocks == budgets.slots / SLOT_BLOCK);
		check_identities(m);
		for (uint32_t k = 0; k < budgets.paths; k++)
			CHECK(!m->paths[k].open.buf);
		for (int k = 0; i == 0 && k < 2; k++)
			CHECK(p->end[0].sessions[k].n_busy == 0 &&
				list_length(p->end[0].sessions[k].free,
					offsetof(struct caller_slot, next_free)) ==
					p->end[0].sessions[k].n_slots);
	}
	CHECK(p->n_buffers == 0);
	CHECK(image_pins(atomic_load(&p->end[1].service->image)) == 0);
	CHECK(n_ended == n_made);
}

static void finish(struct pair *p)
{
	p->loss = p->duplicate = p->reorder = 0;
	p->buffers_fail = 0;
	for (int i = 0; i < 2; i++)
		p->end[i].deaf = p->end[i].frozen = false;
	pass(p, 20);
	for (int i = 0; i < 2; i++)
		for (uint32_t k = 0; k < budgets.paths; k++)
			if (p->end[i].m.paths[k].state == PATH_UP)
				path_down(&p->end[i].m, &p->end[i].m.paths[k], "the end");
	while (n_parked) /* a link behind this one may park it again, once */
		call_resume(&p->end[1].m, parked[--n_parked], false, 0, NULL, "12345678", 8);
	p->end[0].deaf = true; /* no path comes up again: what is queued meets its deadline */
	p->step_ns = NS_PER_MS;
	pass(p, 80);
	for (int i = 0; i < 2; i++)
		machine_flush(&p->end[i].m, p->now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tela_image_link image_links[ARRAY_SIZE(links)];
	static struct pair p;
	struct feed f = {data, data + size};
	uint8_t first = feed_u8(&f);

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		image_links[i] = (struct tela_image_link){&links[i], NULL, "test"};
	n_parked = n_made = n_ended = 0;
	pair_init(&p, 1, &desc, image_links, ARRAY_SIZE(links), &budgets);
	p.step_ns = STEP_NS;
	p.delay_ns = 5000;
	p.shared_memory = first & 1;
	p.mtu = first & 2 ? 1280 : 1500;
	pair_connect(&p, &desc, 2);
	if (!(first & 4)) /* mostly with the handshake behind us */
		pass(&p, 6);
	for (int i = 0; i < STEPS_MAX && !feed_empty(&f); i++)
		step(&p, &f);
	finish(&p);
	check_quiet(&p);
	pair_fini(&p);
	return 0;
}
