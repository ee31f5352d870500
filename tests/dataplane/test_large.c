/* test_large.c - messages up to 16 MiB: credit before bytes, buffers that come back whoever ends
 * the call, and peers that ask for more than they mean. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct tela_options large = {
	.deadline_us = 20000000, .max_reply_bytes = MSG_PAYLOAD_MAX};

static struct pair *large_pair(uint64_t seed, uint16_t mtu)
{
	static struct pair p;
	static const struct tela_budgets budgets = {.paths = 8,
		.sessions = 16,
		.slots = 64,
		.slots_per_session = 64,
		.calls = 64,
		.detached = 16,
		.messages_2k = 16,
		.messages_64k = 8,
		.messages_1m = 40,
		.in_flight = 64};

	memset(executions, 0, 64);
	n_parked = 0;
	pair_init(&p, seed, &desc, image_links, COUNTED_LINKS, &budgets);
	p.mtu = mtu;
	pair_connect(&p, &desc, 2);
	assert_int_equal(call(&p, 1, 1, 8, NULL).code, TELA_OK);
	return &p;
}

static void assert_all_free(const struct machine *m)
{
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	assert_int_equal(m->reassembly_bytes, 0);
	assert_int_equal(m->retained.n + m->arriving.n, 0);
}

/* Until the callee sends a large reply; the caller has some of it. */
static void run_to_reply(struct pair *p)
{
	for (int i = 0; i < 100000 && !p->end[0].m.reassembly_bytes; i++)
		pair_pass(p);
	assert_true(p->end[0].m.reassembly_bytes && p->end[1].m.retained.n == 1);
}

/* The largest message over the smallest MTU is the one with the most fragments. */
static void test_largest(void **state)
{
	struct pair *p = large_pair(1, 1280);
	struct tela_request r;
	struct outcome o = call(p, 1, 2, MSG_PAYLOAD_MAX, &large);

	(void)state;
	assert_true(o.code == TELA_OK && o.own_bytes);
	assert_int_equal(p->end[0].path->fragment, 1184);
	assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
	assert_int_equal(count_read(&p->end[1].counts, count_gaps_reported), 0);
	assert_int_equal(caller_begin(&p->end[0].m, p->end[0].sessions, methods,
				 MSG_PAYLOAD_MAX + 1, &large, &r),
		-EMSGSIZE);
	pair_run(p, NS_PER_MS);
	assert_all_free(&p->end[0].m);
	assert_all_free(&p->end[1].m);
	pair_fini(p);
}

static void test_largest_on_a_bad_wire(void **state)
{
	struct pair *p = large_pair(2, 1500);
	struct outcome o;

	(void)state;
	p->loss = 0.01;
	p->duplicate = 0.01;
	p->reorder = 0.01;
	o = call(p, 1, 2, MSG_PAYLOAD_MAX, &large);
	assert_true(o.code == TELA_OK && o.own_bytes && executions[2] == 1);
	p->loss = p->duplicate = p->reorder = 0;
	pair_run(p, 4 * NS_PER_S);
	assert_all_free(&p->end[0].m);
	assert_all_free(&p->end[1].m);
	pair_fini(p);
}

/* A burst that is gone is asked for as a whole: it costs round trips, not one for each fragment. */
static void test_burst_is_lost(void **state)
{
	struct pair *p = large_pair(3, 1500);
	struct outcome o;
	uint64_t began;

	(void)state;
	assert_int_equal(start(p, 0, 1, 2, 4 << 20, &o, &large), 0);
	pair_run(p, 40 * NS_PER_US);
	p->end[1].deaf = true;
	pair_run(p, 60 * NS_PER_US);
	p->end[1].deaf = false;
	began = p->now_ns;
	while (!o.done)
		pair_pass(p);
	assert_true(o.code == TELA_OK && o.own_bytes);
	assert_in_range(p->now_ns - began, 1, 20 * NS_PER_MS); /* of virtual time */
	pair_fini(p);
}

/* Where a ring is full large messages wait, and small ones go on. */
static void test_ring_is_full(void **state)
{
	struct pair *p = large_pair(9, 1500);
	struct machine *m = &p->end[0].m;
	const uint8_t bit = (uint8_t)(1u << p->end[0].path->peer.netif);
	struct outcome o;
	uint16_t next;

	(void)state;
	assert_int_equal(start(p, 0, 1, 2, 4 << 20, &o, &large), 0);
	pair_run(p, 40 * NS_PER_US);
	assert_int_equal(m->n_bulks, 1);
	m->tx_waits = bit;
	next = m->bulks[0]->next;
	assert_in_range(next, 2, m->bulks[0]->n - 1);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(call(p, 1, 10 + i, 8, NULL).code, TELA_OK);
	assert_true(!o.done && m->n_bulks == 1 && m->bulks[0]->next == next);
	m->tx_waits = (uint8_t)~bit; /* of others */
	for (int i = 0; i < 100000 && !o.done; i++)
		pair_pass(p);
	assert_true(o.done && o.code == TELA_OK && o.own_bytes && executions[2] == 1);
	assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
	pair_fini(p);
}

/* Without memory at the callee one fragment goes, and the call is refused. */
static void test_request_refused(void **state)
{
	struct pair *p = large_pair(4, 1500);
	uint64_t sent = p->sent;
	struct outcome o;

	(void)state;
	p->end[1].m.cfg.budgets.reassembly_kib = 1024;
	o = call(p, 1, 2, 2 << 20, &large);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_true(p->sent - sent <= 3);
	o = call(p, 1, 3, 1000000, &large);
	assert_true(o.code == TELA_OK && o.own_bytes);
	pair_fini(p);
}

/* Without memory at the caller the call ends, and the callee keeps nothing. */
static void test_reply_refused(void **state)
{
	struct pair *p = large_pair(5, 1500);
	struct outcome o;

	(void)state;
	p->end[0].m.cfg.budgets.reassembly_kib = 1024;
	o = call(p, 1, 2, 2 << 20, &large);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_non_null(strstr(o.message, "no message buffer for the reply"));
	pair_run(p, NS_PER_MS);
	assert_all_free(&p->end[0].m);
	assert_all_free(&p->end[1].m);
	pair_fini(p);
}

/* Whoever no longer waits for a large reply frees its buffers at once: by cancel, deadline, link
 * down, restart. */
static void test_reply_nobody_wants(void **state)
{
	enum { CANCEL, DEADLINE, LINK, RESTART, WAYS };

	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct pair *p = large_pair(6, 1500);
		struct tela_options soon = large;
		struct outcome o;
		struct tela_request r;

		if (way == DEADLINE)
			soon.deadline_us = 400;
		assert_int_equal(
			caller_begin(&p->end[0].m, p->end[0].sessions, methods, 4 << 20, &soon, &r),
			0);
		o = (struct outcome){.id = 2, .len = 4 << 20};
		fill(r.payload, 2, o.len);
		if (way == DEADLINE) /* the reply shall be under way by then */
			p->end[0].m.cfg.budgets.window = 32;
		caller_send(&p->end[0].m, r.slot, done, &o);
		run_to_reply(p);
		assert_false(o.done);
		if (way == CANCEL)
			caller_fail(&p->end[0].m, r.slot, TELA_CANCELLED, "cancelled");
		else if (way == LINK)
			machine_link_down(&p->end[1].m, 0);
		else if (way == RESTART)
			pair_restart(p, 0, &desc, image_links, COUNTED_LINKS);
		if (way == RESTART)
			pair_connect(p, &desc, 1);
		pair_run(p, way == LINK || way == RESTART ? 30 * NS_PER_MS : NS_PER_MS);
		assert_int_equal(o.done, way != RESTART);
		if (way == CANCEL || way == DEADLINE)
			assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
		assert_all_free(&p->end[1].m);
		if (way != RESTART)
			assert_all_free(&p->end[0].m);
		pair_fini(p);
	}
}

/* ---- peers that lie ---- */

static void request(
	struct pair *p, uint16_t slot, uint16_t fragment, uint32_t body_len, uint32_t call)
{
	uint8_t bytes[PAIR_DATAGRAM] = {0};
	struct path *path = p->end[0].path;
	uint32_t len = path->fragment;
	frame_Packet h = {.kind = frame_Kind_request,
		.length = (uint16_t)(WIRE_PACKET + len),
		.session = 1,
		.slot = slot,
		.fragment = fragment,
		.call = call,
		.body_length = body_len,
		.envelope_length = ENVELOPE_BOUND};
	frame_Datagram d = {.version = WIRE_VERSION,
		.header_length = 32,
		.connection = path->peer_id,
		.number_low = (uint32_t)++path->tx_number};

	frame_Datagram_store(bytes, &d);
	frame_Packet_store(bytes + 32, &h);
	envelope_write_bound(bytes + 32 + WIRE_PACKET, ENVELOPE_NO_DEADLINE, 1, 1);
	pair_inject(p, 1, bytes, 32 + ALIGN8(WIRE_PACKET + len));
}

/* Credit that is asked for and not used: the memory is bounded and comes back, and meanwhile others
 * are refused or served, and never wait. */
static void test_credit_is_not_used(void **state)
{
	struct pair *p = large_pair(7, 1500);
	struct machine *m = &p->end[1].m;
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 1, 1, 2, 8, &o, NULL), 0); /* binds the other session too */
	pair_run(p, NS_PER_MS);
	m->cfg.budgets.reassembly_kib = 20 << 10;
	for (uint16_t slot = 0; slot < 8; slot++)
		request(p, slot, 0, MSG_PAYLOAD_MAX, 1000);
	assert_int_equal(m->arriving.n, 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_no_message), 7);
	o = call(p, 1, 3, 8 << 20, &large);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	o = call(p, 1, 4, 2 << 20, &large);
	assert_true(o.code == TELA_OK && o.own_bytes);
	/* One that goes on is waited for, the others are not. */
	pair_run(p, 1500 * NS_PER_MS);
	assert_int_equal(m->arriving.n, 1);
	request(p, 0, 1, MSG_PAYLOAD_MAX, 1000);
	pair_run(p, 1500 * NS_PER_MS);
	assert_int_equal(m->arriving.n, 1);
	pair_run(p, 1500 * NS_PER_MS);
	assert_all_free(m);
	o = call(p, 1, 5, 16 << 20, &large);
	assert_true(o.code == TELA_OK && o.own_bytes);
	pair_fini(p);
}

static void test_sizes_that_cannot_be(void **state)
{
	static const uint32_t sizes[] = {
		MSG_BODY_MAX + 1, 1 << 25, INT32_MAX, UINT32_MAX - 7, UINT32_MAX};
	struct pair *p = large_pair(8, 1500);
	struct machine *m = &p->end[1].m;
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 1, 1, 2, 8, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		request(p, 1, 0, sizes[i], 1000 + i);
		request(p, 1, 1, sizes[i], 1000 + i);
		request(p, 1, UINT16_MAX, sizes[i], 1000 + i);
		assert_all_free(m);
		assert_int_equal(count_read(&p->end[1].counts, count_calls_refused), i + 1);
	}
	/* The size changes on the way, fragments come that no window let come. */
	request(p, 2, 0, 1 << 20, 1);
	request(p, 2, 1, 1 << 21, 1);
	request(p, 2, BULK_FIRST + 300, 1 << 20, 1);
	request(p, 2, UINT16_MAX, 1 << 20, 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_fragment), 3);
	assert_int_equal(m->arriving.n, 1);
	o = call(p, 1, 3, 1 << 20, &large);
	assert_true(o.code == TELA_OK && o.own_bytes);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_largest_on_a_bad_wire),
		cmocka_unit_test(test_burst_is_lost),
		cmocka_unit_test(test_ring_is_full),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_reply_refused),
		cmocka_unit_test(test_reply_nobody_wants),
		cmocka_unit_test(test_credit_is_not_used),
		cmocka_unit_test(test_sizes_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
