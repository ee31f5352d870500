/* test_lend.c - replies that stand in the handler's memory (tela_reply_lend): sent from there and
 * never copied whole, and given back exactly once, whatever ends them. Memory that came back is
 * freed at once, so that a sanitizer sees whoever still reads it. */
#include "lend.h"
#include "payload.h"

enum { LEND = 1, MARKED, CHANGED, HOLD };

/* ---- the service ---- */

static uint32_t n_parked;
static struct tela_handle parked;
static uint64_t get_id; /* whose bytes are the replies */
static size_t get_len;

/* Memory that is freed when it comes back. */
static uint32_t n_lent, n_back;

static uint8_t *memory_to_lend(void)
{
	uint8_t *bytes = malloc(get_len + 1);

	fill(bytes, get_id, get_len);
	n_lent++;
	return bytes;
}

static void give_back(void *bytes)
{
	n_back++;
	free(bytes);
}

static enum tela_verdict lend(struct tela_call *call, void *self)
{
	uint32_t out = n_lent - n_back;
	uint8_t *bytes = memory_to_lend();
	enum tela_verdict v = tela_reply_lend(call, bytes, get_len, give_back, bytes);

	(void)self;
	if (get_len <= 9000)
		assert_int_equal(n_lent - n_back, out);
	return v;
}

enum { TO_COPY, TO_STATUS, TO_LENT, CHANGES };

static int change;

static void changes(struct tela_call *call, void *self)
{
	uint32_t back = n_back;
	size_t len;

	assert_true(tela_reply_payload(call, &len) && len == get_len);
	if (change == TO_COPY)
		tela_reply_copy(call, "other", 5);
	else if (change == TO_STATUS)
		tela_reply_status(call, TELA_DATA_LOSS, "changed");
	else
		lend(call, self);
	assert_int_equal(n_back, back + 1);
}

static enum tela_verdict hold(struct tela_call *call, void *self)
{
	(void)self;
	assert_int_equal(tela_call_pend(call, &parked, NULL, NULL), 0);
	n_parked++;
	return TELA_PENDING;
}

static void mark(struct tela_call *call, void *self)
{
	(void)self;
	assert_int_equal(tela_reply_metadata(call, "marked", "yes"), 0);
}

static const struct tela_method_desc methods[] = {
	{"lend", LEND, 0, 0, NULL, NULL},
	{"marked", MARKED, 0, 0, NULL, NULL},
	{"changed", CHANGED, 0, 0, NULL, NULL},
	{"hold", HOLD, 0, 0, NULL, NULL},
};
static const struct tela_service_desc desc = {
	"test.Lender", 42, NULL, 0, ARRAY_SIZE(methods), methods};
static const struct tela_link links[] = {
	{NULL, &desc, LEND, lend, NULL},
	{NULL, &desc, MARKED, lend, mark},
	{NULL, &desc, CHANGED, lend, changes},
	{NULL, &desc, HOLD, hold, NULL},
};
static const struct tela_image_link image_links[] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"}};

static struct pair *new_pair(uint64_t seed)
{
	n_parked = n_lent = n_back = 0;
	return bytes_pair(seed, &desc, image_links, ARRAY_SIZE(image_links), 18);
}

static void finish(struct pair *p)
{
	const struct tela_service *s = p->end[1].service;

	p->loss = p->duplicate = p->reorder = 0;
	p->end[0].deaf = p->end[1].deaf = false;
	pair_run(p, 4 * NS_PER_S / 100);
	assert_nothing_held(p);
	assert_int_equal(n_back, n_lent);
	assert_int_equal(image_pins(atomic_load(&s->image)), 0);
	assert_int_equal(atomic_load(&s->core[0].in_flight), 0);
	pair_fini(p);
}

static struct caller_slot *begin_in(struct machine *m, struct caller_session *s, unsigned method,
	const struct tela_options *o, struct ended *e)
{
	struct tela_request r;

	*e = (struct ended){.id = get_id};
	assert_int_equal(caller_begin(m, s, &methods[method - 1], 8, o, &r), 0);
	memset(r.payload, 0, 8);
	caller_send(m, r.slot, on_done, e);
	return r.slot;
}

static struct caller_slot *begin(
	struct pair *p, unsigned method, const struct tela_options *o, struct ended *e)
{
	return begin_in(&p->end[0].m, &p->end[0].sessions[0], method, o, e);
}

/* ---- calls ---- */

static void test_every_size(void **state)
{
	static const size_t sizes[] = {0, 100, 2000, 9000, 9001, 65536, 1000001, MSG_PAYLOAD_MAX};

	(void)state;
	for (int bad = 0; bad < 3; bad++) {
		struct pair *p = new_pair(40 + (uint64_t)bad);
		const struct msgpool *pool = &p->end[1].m.msgs;
		uint64_t borrowed = p->n_borrowed;

		p->loss = p->duplicate = p->reorder = bad ? 0.02 : 0;
		p->borrows = bad != 2;
		for (size_t i = 0; i < ARRAY_SIZE(sizes) - (bad ? 1 : 0); i++) {
			struct tela_options o = {.max_reply_bytes = sizes[i],
				.flags = i & 1 ? TELA_CALL_SEGMENTS : 0};
			struct ended e;

			for (unsigned method = LEND; method <= MARKED; method++) {
				get_id = i + 7;
				get_len = sizes[i];
				begin(p, method, &o, &e);
				while (n_lent < 2 * i + method - LEND + 1)
					pair_pass(p);
				/* Its bytes are in no message of ours. */
				assert_int_equal(
					pool->n_free[MSG_CLASSES - 1], pool->n[MSG_CLASSES - 1]);
				assert_int_equal(n_lent - n_back, sizes[i] > 9000);
				wait_for(p, &e);
				assert_true(e.code == TELA_OK && e.own && e.len == sizes[i]);
				assert_int_equal(e.marked, method == MARKED);
				while (n_back < n_lent) /* released; or, if that is lost, kept */
					pair_pass(p);
			}
		}
		assert_int_equal(p->n_borrowed > borrowed, bad != 2);
		finish(p);
	}
}

enum { LENT_EVICT = WAYS, LENT_DRAIN, LENT_STOP, LENT_WAYS };

/* Whatever ends a reply on its way gives its memory back, and nothing is read of it after. */
static void test_ends(void **state)
{
	(void)state;
	for (int way = 0; way < LENT_WAYS; way++) {
		struct pair *p = new_pair(50);
		struct machine *m = &p->end[1].m;
		struct tela_options o = {.max_reply_bytes = 1 << 20,
			.deadline_us = way == DEADLINE ? 1000 : 1000000};
		struct tela_service *s = p->end[1].service;
		struct tela_service other;
		struct caller_slot *slot;
		struct ended e;

		begin(p, HOLD, NULL, &e);
		while (!n_parked)
			pair_pass(p);
		call_resume(m, parked, false, TELA_OK, NULL, "", 0);
		wait_for(p, &e);
		p->duplicate = p->reorder = 0.5;
		p->loss = 0.2;
		get_len = 1 << 20;
		get_id = 3;
		slot = begin(p, LEND, &o, &e);
		while (!p->end[0].m.reassembly_bytes)
			pair_pass(p);
		pair_run(p, 20 * NS_PER_US);
		assert_int_equal(n_back, 0);
		assert_int_equal(image_pins(atomic_load(&s->image)), 1);
		assert_int_equal(atomic_load(&s->core[0].in_flight), 1);
		callee_give_back(m, s, 77); /* of another image */
		callee_give_back(m, &other, UINT64_MAX);
		assert_int_equal(n_back, 0);
		if (way == LENT_EVICT)
			assert_true(callee_evict(m));
		else if (way == LENT_DRAIN)
			call_cancel_all(m, s, UINT64_MAX);
		else if (way == LENT_STOP)
			callee_give_back(m, NULL, UINT64_MAX);
		if (way >= LENT_EVICT)
			assert_int_equal(n_back, 1);
		if (way == SILENCE)
			p->end[1].deaf = true; /* nobody releases it */
		else
			end_it(p, slot, way);
		pair_run(p, 3 * NS_PER_S);
		assert_int_equal(n_back, 1);
		assert_int_equal(e.times, 1);
		assert_int_not_equal(e.code, TELA_OK);
		finish(p);
	}
}

static void test_changes(void **state)
{
	struct pair *p = new_pair(60);
	struct ended e;

	(void)state;
	get_id = 9;
	get_len = 100000;
	for (change = 0; change < CHANGES; change++) {
		begin(p, CHANGED, NULL, &e);
		wait_for(p, &e);
		if (change == TO_COPY)
			assert_int_equal(e.len, 5);
		else if (change == TO_STATUS)
			assert_int_equal(e.code, TELA_DATA_LOSS);
		else
			assert_true(e.code == TELA_OK && e.own && e.len == get_len);
	}
	finish(p);
}

/* A call that ends later; and those for whose reply nobody waits. */
static void test_later(void **state)
{
	struct pair *p = new_pair(61);
	struct machine *m = &p->end[1].m;
	struct caller_slot *s;
	struct ended e;
	uint8_t *bytes;

	(void)state;
	get_id = 10;
	get_len = 200000;
	for (int way = 0; way < 3; way++) {
		const struct tela_options o = {.flags = way == 2 ? TELA_CALL_ONE_WAY : 0};

		s = begin(p, HOLD, &o, &e);
		n_parked = 0;
		while (!n_parked)
			pair_pass(p);
		if (way == 1)
			caller_fail(&p->end[0].m, s, TELA_CANCELLED, "cancelled");
		pair_run(p, NS_PER_MS);
		bytes = memory_to_lend();
		assert_int_equal(call_resume_lend(m, parked, bytes, get_len, give_back, bytes), 0);
		assert_int_equal(n_lent - n_back, way == 0);
		wait_for(p, &e);
		assert_int_equal(e.code, way == 1 ? TELA_CANCELLED : TELA_OK);
		assert_int_equal(e.own && e.len == get_len, way == 0);
		bytes = memory_to_lend();
		assert_int_equal(
			call_resume_lend(m, parked, bytes, get_len, give_back, bytes), -ESTALE);
	}
	finish(p);
}

/* A local caller reads it where it stands. */
static void test_local(void **state)
{
	struct pair *p = new_pair(62);
	struct machine *m = &p->end[1].m;
	struct caller_session *local = &p->end[1].sessions[0];
	uint8_t *into = malloc(100000);
	struct ended e;

	(void)state;
	assert_int_equal(caller_session_open(m, local, NULL, &desc), 0);
	get_id = 11;
	get_len = 100000;
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		struct tela_options o = {
			.max_reply_bytes = get_len, .reply_into = elsewhere ? into : NULL};

		begin_in(m, local, LEND, &o, &e);
		wait_for(p, &e);
		assert_true(e.code == TELA_OK && e.own && e.len == get_len);
		assert_int_equal(e.payload == into, elsewhere);
		assert_int_equal(n_back, n_lent);
	}
	free(into);
	finish(p);
}

/* Nothing is kept of a reply that cannot be. */
static void test_refused(void **state)
{
	struct pair *p = new_pair(63);
	struct msgpool *pool = &p->end[1].m.msgs;
	struct tela_options o = {.max_reply_bytes = 50000};
	struct msg *taken = NULL, *msg;
	struct ended e;

	(void)state;
	get_id = 12;
	for (int i = 0; i < 4; i++) {
		static const size_t sizes[] = {50001, MSG_PAYLOAD_MAX + 1, 50000, 50000};

		get_len = sizes[i];
		while (i == 2 && (msg = msgpool_get(pool, 1))) {
			msg->next = taken;
			taken = msg;
		}
		begin(p, LEND, &o, &e);
		wait_for(p, &e);
		assert_int_equal(e.code, i == 3 ? TELA_OK : TELA_RESOURCE_EXHAUSTED);
		pair_run(p, NS_PER_MS);
		assert_int_equal(n_lent, i + 1);
		assert_int_equal(n_back, i + 1);
		for (; (msg = taken); msgpool_put(pool, msg))
			taken = msg->next;
	}
	finish(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
