/* test_segments.c - payloads that are not copied: requests and replies that stay where they
 * arrived, requests that stand in the caller's memory, replies that go there. What is held, or
 * lent, comes back exactly once, whatever ends the call; memory that came back is freed at once, so
 * that a sanitizer sees whoever still uses it. */
#include "payload.h"

enum { PUT = 1, HOLD, GET, MARKED, TYPED };

/* ---- the service ---- */

static uint32_t ran, n_parked;
static size_t pieces; /* that the last request came in */
static struct tela_handle parked[16];
static uint64_t get_id; /* whose bytes are the replies of GET */
static size_t get_len;

static bool own(const struct tela_call *call)
{
	struct tela_segment whole;
	const struct tela_segment *s = tela_call_segments(call, &whole, &pieces);

	return pieces_are(s, pieces, call->request_len % 251, call->request_len);
}

static enum tela_verdict put(struct tela_call *call, void *self)
{
	uint8_t good = own(call);

	(void)self;
	ran++;
	return tela_reply_copy(call, &good, 1);
}

static enum tela_verdict hold(struct tela_call *call, void *self)
{
	(void)self;
	ran++;
	assert_int_equal(tela_call_pend(call, &parked[n_parked], NULL, NULL), 0);
	n_parked++;
	return TELA_PENDING;
}

static enum tela_verdict get(struct tela_call *call, void *self)
{
	uint8_t *to = tela_reply_begin(call, get_len);

	(void)self;
	ran++;
	if (!to)
		return TELA_ANSWER;
	fill(to, get_id, get_len);
	return tela_reply_commit(call, get_len);
}

static void mark(struct tela_call *call, void *self)
{
	(void)self;
	assert_int_equal(tela_reply_metadata(call, "marked", "yes"), 0);
}

static int verify(const void *payload, size_t len)
{
	return payload && len ? 0 : -EBADMSG;
}

static const struct tela_method_desc methods[] = {
	{"put", PUT, TELA_METHOD_SEGMENTS, 0, NULL, NULL},
	{"hold", HOLD, TELA_METHOD_SEGMENTS, 0, NULL, NULL},
	{"get", GET, 0, 0, NULL, NULL},
	{"marked", MARKED, 0, 0, NULL, NULL},
	{"typed", TYPED, TELA_METHOD_SEGMENTS, 0, verify, verify},
};
static const struct tela_service_desc desc = {"test.Bytes", 42, NULL, 0, 5, methods};
/* The same service, later: `put` is typed there. */
static const struct tela_method_desc later_methods[] = {
	{"put", PUT, TELA_METHOD_SEGMENTS, 0, verify, NULL},
};
static const struct tela_service_desc later = {"test.Bytes", 42, NULL, 0, 1, later_methods};
static const struct tela_link links[] = {
	{NULL, &desc, PUT, put, NULL},
	{NULL, &desc, HOLD, hold, NULL},
	{NULL, &desc, GET, get, NULL},
	{NULL, &desc, MARKED, get, mark},
	{NULL, &desc, TYPED, put, NULL},
};
static const struct tela_image_link image_links[] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"},
	{&links[4], NULL, "test"}};

static struct pair *new_pair(uint64_t seed)
{
	ran = n_parked = 0;
	pieces = 0;
	return bytes_pair(seed, &desc, image_links, ARRAY_SIZE(image_links), 36);
}

/* ---- calls ---- */

static struct caller_slot *begin(
	struct pair *p, unsigned method, size_t len, const struct tela_options *o, struct ended *e)
{
	struct tela_request r;

	*e = (struct ended){.id = method == GET || method == MARKED ? get_id : YES};
	assert_int_equal(caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[method - 1],
				 len, o, &r),
		0);
	fill(r.payload, len % 251, len);
	caller_send(&p->end[0].m, r.slot, on_done, e);
	return r.slot;
}

/* From memory that is given back when the call has ended. */
static struct caller_slot *begin_lent(
	struct pair *p, unsigned method, size_t len, const struct tela_options *o, struct ended *e)
{
	struct tela_request r;
	struct machine *m = &p->end[0].m;

	*e = (struct ended){.id = YES, .lent = malloc(len)};
	fill(e->lent, len % 251, len);
	assert_int_equal(
		caller_begin(m, &p->end[0].sessions[0], &methods[method - 1], 0, o, &r), 0);
	assert_int_equal(caller_lend(m, r.slot, e->lent, (uint32_t)len), 0);
	caller_send(m, r.slot, on_done, e);
	return r.slot;
}

static void finish(struct pair *p)
{
	p->loss = p->duplicate = p->reorder = 0;
	p->end[0].deaf = p->end[1].deaf = false;
	pair_run(p, 4 * NS_PER_S / 100);
	assert_nothing_held(p);
	pair_fini(p);
}

/* ---- requests as segments ---- */

static void test_request(void **state)
{
	static const size_t sizes[] = {
		1, 1300, 1400, 3000, 65536, 1000000, 8 << 20, MSG_PAYLOAD_MAX};
	struct pair *p = new_pair(1);
	struct ended e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t body = sizes[i] + 32;

		begin(p, PUT, sizes[i], NULL, &e);
		wait_for(p, &e);
		assert_true(e.code == TELA_OK && e.own);
		assert_int_equal(ran, i + 1);
		/* The first call names its service, in more bytes. */
		if (body > 1400 + 100)
			assert_in_range(pieces, body / 1400, body / 1400 + 1);
		else if (body + 100 < 1400)
			assert_int_equal(pieces, 1);
		assert_int_equal(p->end[1].m.segments_held, 0);
	}
	assert_int_equal(count_read(&p->end[1].counts, count_segments_copied), 0);
	assert_true(p->n_borrowed > 1000);
	finish(p);
}

static void test_request_on_a_bad_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct pair *p = new_pair(seed);
		struct ended e;

		p->loss = 0.02;
		p->duplicate = 0.05;
		p->reorder = 0.05;
		p->borrows = seed & 1;
		for (int i = 0; i < 8; i++) {
			begin(p, PUT, 100000 + 1000 * seed, NULL, &e);
			wait_for(p, &e);
			assert_true(e.code == TELA_OK && e.own && pieces > 70);
		}
		assert_int_equal(ran, 8);
		finish(p);
	}
}

static bool put_good(struct pair *p, unsigned method, size_t len)
{
	struct ended e;

	begin(p, method, len, NULL, &e);
	wait_for(p, &e);
	return e.own && !e.code;
}

static void test_bytes_are_its_own(void **state)
{
	struct pair *p = new_pair(2);

	(void)state;
	assert_true(put_good(p, PUT, 10));
	assert_true(put_good(p, PUT, 5000));
	assert_true(put_good(p, PUT, 3 << 20));
	assert_true(pieces > 2000);
	p->loss = p->duplicate = p->reorder = 0.03;
	assert_true(put_good(p, PUT, 1 << 20));
	assert_true(pieces > 700);
	/* One whose payload has a verifier is whole. */
	assert_true(put_good(p, TYPED, 1 << 20));
	assert_int_equal(pieces, 1);
	finish(p);
}

/* A pending call holds them until it ends. */
static void test_pending(void **state)
{
	struct pair *p = new_pair(3);
	struct machine *m = &p->end[1].m;
	struct ended e[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		begin(p, HOLD, 50000, NULL, &e[i]);
	while (n_parked < 3)
		pair_pass(p);
	assert_int_equal(m->segments_held, 3 * 36);
	assert_int_equal(p->end[1].n_held, 3 * 36);
	pair_run(p, 10 * NS_PER_MS);
	for (int i = 0; i < 3; i++) {
		assert_true(own(&call_by_handle(m, parked[i])->pub));
		assert_int_equal(pieces, 36);
		call_resume(m, parked[i], false, TELA_OK, NULL, "y", 1);
		assert_int_equal(p->end[1].n_held, (uint32_t)(2 - i) * 36);
	}
	pair_run(p, NS_PER_MS);
	assert_true(e[0].times + e[1].times + e[2].times == 3);
	finish(p);
}

/* What they hold is bounded: what does not fit is copied, and served as well. */
static void test_budget(void **state)
{
	struct pair *p = new_pair(4);
	struct counts *counts = &p->end[1].counts;
	struct ended e;

	(void)state;
	p->end[1].m.cfg.budgets.segments = 100;
	begin(p, HOLD, 60 * 1400 - 100, NULL, &e);
	while (!n_parked)
		pair_pass(p);
	assert_int_equal(p->end[1].n_held, 60);
	assert_true(put_good(p, PUT, 41 * 1400));
	assert_int_equal(pieces, 1);
	assert_int_equal(count_read(counts, count_segments_copied), 1);
	assert_true(put_good(p, PUT, 39 * 1400));
	assert_int_equal(pieces, 40);
	call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "", 0);
	assert_true(put_good(p, PUT, 99 * 1400));
	assert_int_equal(pieces, 100);
	assert_true(put_good(p, PUT, 100 * 1400));
	assert_int_equal(pieces, 1);
	assert_int_equal(count_read(counts, count_segments_copied), 2);
	p->end[1].holds_none = true; /* buffers that are another core's */
	assert_true(put_good(p, PUT, 5000));
	assert_int_equal(pieces, 1);
	finish(p);
}

/* A buffer that cannot be held in the middle of a message is copied; without memory for the copy
 * its fragment comes again. */
static void test_foreign_buffers(void **state)
{
	struct pair *p = new_pair(5);
	struct msg *taken[80];
	struct ended e;
	uint32_t n = 0;

	(void)state;
	begin(p, PUT, 100 * 1400, NULL, &e);
	while (!p->end[1].n_held)
		pair_pass(p);
	p->end[1].holds_none = true;
	wait_for(p, &e);
	assert_true(e.code == TELA_OK && e.own && pieces == 101);
	p->end[1].holds_none = false;
	begin(p, PUT, 60 * 1400, NULL, &e);
	while (!p->end[1].n_held)
		pair_pass(p);
	p->end[1].holds_none = true;
	while (n < ARRAY_SIZE(taken) && (taken[n] = msgpool_get(&p->end[1].m.msgs, 1400)))
		n++;
	while (p->end[1].m.msgs.n_free[MSG_CLASSES - 1]) { /* the arena too */
		struct msg *page = msgpool_get(&p->end[1].m.msgs, MSG_PAGE);

		if (!page)
			break;
		page->next = n ? taken[0]->next : NULL;
		taken[0]->next = page;
	}
	pair_run(p, 5 * NS_PER_MS);
	assert_int_equal(e.times, 0);
	assert_true(count_read(&p->end[1].counts, count_drop_no_message) > 0);
	while (taken[0]->next) {
		struct msg *page = taken[0]->next;

		taken[0]->next = page->next;
		msgpool_put(&p->end[1].m.msgs, page);
	}
	while (n)
		msgpool_put(&p->end[1].m.msgs, taken[--n]);
	wait_for(p, &e);
	assert_true(e.code == TELA_OK && e.own && pieces == 61);
	finish(p);
}

/* Whatever ends a call on the way, or while its handler has it, gives all back. */
static void test_ends(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		for (int running = 0; running < 2; running++) {
			struct pair *p = new_pair(6);
			struct tela_options o = {.deadline_us = way == DEADLINE ? 2000 : 1000000};
			struct caller_slot *s;
			struct ended e;

			put_good(p, PUT, 10);
			p->loss = running ? 0 : 0.3; /* it takes a while */
			s = begin_lent(p, HOLD, 200 * 1400, &o, &e);
			while (running ? !n_parked : p->end[1].n_held < 20)
				pair_pass(p);
			end_it(p, s, way);
			assert_int_equal(e.times, 1);
			assert_int_not_equal(e.code, TELA_OK);
			if (n_parked)
				call_resume(&p->end[1].m, parked[0], false, 0, NULL, "", 0);
			finish(p);
		}
	}
}

/* The method takes no pieces any more when the last one has come. */
static void test_method_changes(void **state)
{
	static const struct tela_link typed = {NULL, &later, PUT, put, NULL};
	static const struct tela_image_link one = {&typed, NULL, "test"};
	struct pair *p = new_pair(7);
	struct tela_service *s = p->end[1].service;
	struct tela_image *image, *before = atomic_load(&s->image);
	const struct tela_service_desc *was = s->desc;
	char err[200];
	struct ended e;

	(void)state;
	put_good(p, PUT, 10);
	begin(p, PUT, 100 * 1400, NULL, &e);
	while (p->end[1].n_held < 20)
		pair_pass(p);
	s->desc = &later;
	image = image_build(s, 2, &one, 1, err, sizeof(err));
	assert_non_null(image);
	image_swap(s, image);
	wait_for(p, &e);
	assert_int_equal(e.code, TELA_UNAVAILABLE);
	assert_int_equal(e.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(ran, 1);
	s->desc = was;
	tela_image_free(before);
	finish(p);
}

/* ---- requests from the caller's memory ---- */

static void test_lent(void **state)
{
	static const size_t sizes[] = {9001, 65536, 1000001, MSG_PAYLOAD_MAX};

	(void)state;
	for (int bad = 0; bad < 3; bad++) {
		struct pair *p = new_pair(8 + (uint64_t)bad);
		struct ended e;

		p->loss = p->duplicate = p->reorder = bad ? 0.02 : 0;
		p->borrows = bad != 2;
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint32_t before = ran;

			if (bad && sizes[i] > 2000000)
				continue;
			begin_lent(p, i & 1 ? PUT : TYPED, sizes[i], NULL, &e);
			/* Its bytes are in no message of ours. */
			assert_int_equal(p->end[0].m.msgs.n_free[MSG_CLASSES - 1],
				p->end[0].m.msgs.n[MSG_CLASSES - 1]);
			wait_for(p, &e);
			assert_true(e.code == TELA_OK && e.own && e.len == 1);
			assert_int_equal(ran, before + 1);
			assert_null(e.lent);
		}
		finish(p);
	}
}

/* ---- replies ---- */

static void test_reply_segments(void **state)
{
	static const size_t sizes[] = {0, 100, 2000, 300000, 8 << 20};
	struct pair *p = new_pair(11);
	const struct tela_options o = {.max_reply_bytes = 8 << 20, .flags = TELA_CALL_SEGMENTS};
	struct ended e;

	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		p->loss = p->duplicate = p->reorder = bad ? 0.02 : 0;
		for (size_t i = 0; i < ARRAY_SIZE(sizes) - (size_t)bad; i++) {
			get_id = i + 5;
			get_len = sizes[i];
			begin(p, i & 1 ? GET : MARKED, 8, &o, &e);
			wait_for(p, &e);
			assert_true(e.code == TELA_OK && e.own && e.len == sizes[i]);
			assert_int_equal(e.marked, !(i & 1));
			assert_int_equal(e.payload == NULL, sizes[i] > 1400);
			if (sizes[i] > 1400)
				assert_in_range(e.pieces, sizes[i] / 1400 + 1, sizes[i] / 1400 + 2);
		}
	}
	p->end[0].m.cfg.budgets.segments = 10;
	p->loss = p->duplicate = p->reorder = 0;
	get_len = 1400 * 20;
	begin(p, GET, 8, &o, &e);
	wait_for(p, &e);
	assert_true(e.code == TELA_OK && e.own && e.pieces == 1);
	assert_int_equal(count_read(&p->end[0].counts, count_segments_copied), 1);
	finish(p);
}

/* A callee that breaks the protocol: fragments of a large reply, then one in a single packet. Its
 * bytes are that packet's, not what has come of the others. */
static void test_reply_in_two_ways(void **state)
{
	(void)state;
	for (int segments = 0; segments < 2; segments++) {
		struct pair *p = new_pair(13);
		uint8_t into[1 << 14], body[WIRE_TIMING + 1] = {[WIRE_TIMING] = byte_at(6, 0)};
		struct tela_options o = {.max_reply_bytes = sizeof(into),
			.reply_into = segments ? NULL : into,
			.flags = segments ? TELA_CALL_SEGMENTS : 0};
		struct caller_slot *s;
		frame_Packet h;
		struct ended e;

		memset(into, 0xee, sizeof(into));
		get_id = 5;
		get_len = 12000;
		s = begin(p, GET, 8, &o, &e);
		p->loss = 0.5;
		while (!s->rx)
			pair_pass(p);
		p->loss = 0;
		caller_tell(&p->end[0].m, s, frame_Kind_release);
		e.id = 6;
		h = (frame_Packet){.kind = frame_Kind_response,
			.session = s->session->number,
			.slot = s->index,
			.call = s->call,
			.body_length = 1};
		caller_response(&p->end[0].m, p->end[0].path, &h, body, sizeof(body));
		assert_int_equal(e.times, 1);
		assert_true(e.code == TELA_OK && e.len == 1 && e.pieces == 1 && e.own);
		assert_true(segments || e.payload == into);
		finish(p);
	}
}

/* Exactly as long as it must be, so that a sanitizer sees a write beyond it. */
static void test_reply_into(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 1399, 1400, 2000, 300001, 8 << 20};

	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		struct pair *p = new_pair(12 + (uint64_t)bad);
		struct ended e;

		p->loss = p->duplicate = p->reorder = bad ? 0.02 : 0;
		for (size_t i = 0; i < ARRAY_SIZE(sizes) - (size_t)bad; i++) {
			uint8_t *into = malloc(sizes[i] + 1);
			struct tela_options o = {
				.max_reply_bytes = sizes[i] + 1, .reply_into = into};

			for (int marked = 0; marked < 2; marked++) {
				memset(into, 0xee, sizes[i] + 1);
				get_id = i + 5;
				get_len = sizes[i];
				begin(p, marked ? MARKED : GET, 8, &o, &e);
				wait_for(p, &e);
				assert_true(e.code == TELA_OK && e.own && e.len == sizes[i]);
				assert_int_equal(e.marked, marked);
				assert_true(!sizes[i] || e.payload == into);
				assert_int_equal(into[sizes[i]], 0xee);
				/* The largest message that it took for itself holds an envelope. */
				assert_int_equal(p->end[0].m.msgs.n_free[MSG_CLASSES - 1],
					p->end[0].m.msgs.n[MSG_CLASSES - 1]);
			}
			get_len = sizes[i] + 2; /* one more than there is room for */
			begin(p, GET, 8, &o, &e);
			wait_for(p, &e);
			assert_int_equal(e.code, TELA_RESOURCE_EXHAUSTED);
			free(into);
		}
		finish(p);
	}
}

/* The memory is the caller's again when the call has ended: what is still under way of the reply
 * does not get there. */
static void test_into_ends(void **state)
{
	const uint32_t len = 8 << 20; /* more than comes before the deadline */

	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct pair *p = new_pair(20);
		uint8_t *into = malloc(len);
		struct tela_options o = {.max_reply_bytes = len,
			.reply_into = into,
			.deadline_us = way == DEADLINE ? 3000 : 1000000};
		struct caller_slot *s;
		struct ended e;

		put_good(p, PUT, 10);
		p->duplicate = p->reorder = 0.5;
		p->loss = 0.2;
		get_len = len;
		get_id = 3;
		s = begin(p, GET, 8, &o, &e);
		e.lent = into; /* freed by the completion */
		while (!p->end[0].m.reassembly_bytes)
			pair_pass(p);
		pair_run(p, 20 * NS_PER_US);
		if (way == CANCEL) { /* the rest is on the wire */
			caller_fail(&p->end[0].m, s, TELA_CANCELLED, "cancelled");
			assert_null(e.lent);
		} else {
			end_it(p, s, way);
		}
		pair_run(p, 10 * NS_PER_MS);
		assert_int_equal(e.times, 1);
		assert_int_not_equal(e.code, TELA_OK);
		finish(p);
	}
}

static void test_options_are_checked(void **state)
{
	struct pair *p = new_pair(30);
	struct tela_request r;
	uint8_t into[8];
	struct tela_options o = {.reply_into = into};

	(void)state;
	assert_int_equal(
		caller_begin(&p->end[0].m, p->end[0].sessions, methods, 8, &o, &r), -EINVAL);
	o = (struct tela_options){.flags = TELA_CALL_FLAGS + 1};
	assert_int_equal(
		caller_begin(&p->end[0].m, p->end[0].sessions, methods, 8, &o, &r), -EINVAL);
	o = (struct tela_options){.flags = TELA_CALL_SEGMENTS, .max_reply_bytes = 100};
	assert_int_equal(caller_begin(&p->end[0].m, p->end[0].sessions, methods, 8, &o, &r), 0);
	caller_abandon(&p->end[0].m, r.slot);
	finish(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_on_a_bad_wire),
		cmocka_unit_test(test_bytes_are_its_own),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_foreign_buffers),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_method_changes),
		cmocka_unit_test(test_lent),
		cmocka_unit_test(test_reply_segments),
		cmocka_unit_test(test_reply_in_two_ways),
		cmocka_unit_test(test_reply_into),
		cmocka_unit_test(test_into_ends),
		cmocka_unit_test(test_options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
