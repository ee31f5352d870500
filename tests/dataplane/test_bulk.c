/* test_bulk.c - messages of several fragments: any order, the window, holes, and reports that lie.
 */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BODY = 300000 };

static uint8_t body[BODY];

static enum tela_verdict park(struct tela_call *call, void *self)
{
	return tela_call_pend(call, self, NULL, NULL) ? tela_reply_status(call, 8, NULL)
						      : TELA_PENDING;
}

static enum tela_verdict size_of(struct tela_call *call, void *self)
{
	uint64_t len = call->request_len;

	(void)self;
	return tela_reply_copy(call, &len, sizeof(len));
}

static struct tela_handle parked;
static const struct tela_method_desc methods[] = {
	{"park", 1, 0, 0, NULL, NULL}, {"size", 2, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 42, NULL, 0, 2, methods};
static const struct tela_link links[] = {
	{NULL, &desc, 1, park, NULL}, {NULL, &desc, 2, size_of, NULL}};
static const struct tela_image_link image_links[] = {
	{&links[0], &parked, "test"}, {&links[1], NULL, "test"}};

static struct pair *pair_new(void)
{
	static struct pair p;
	static const struct tela_budgets small = {.paths = 4,
		.sessions = 4,
		.slots = 64,
		.slots_per_session = 64,
		.calls = 16,
		.detached = 4,
		.messages_2k = 4,
		.messages_64k = 4,
		.messages_1m = 4,
		.in_flight = 64};

	for (uint32_t i = 0; i < BODY; i++)
		body[i] = (uint8_t)(i * 7 + (i >> 8));
	pair_init(&p, 1, &desc, image_links, 2, &small);
	pair_connect(&p, &desc, 1);
	pair_run(&p, 20 * NS_PER_MS);
	assert_int_equal(p.end[0].path->state, PATH_UP);
	return &p;
}

/* ---- receiving ---- */

static uint32_t piece(const struct bulk_rx *r, uint16_t i)
{
	return min_u32(r->len - i * r->fragment, r->fragment);
}

static void test_any_order(void **state)
{
	static const uint32_t sizes[] = {1401, 2800, 2801, 65536, 100000, BODY};
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct bulk_rx *r = bulk_rx_start(m, p->end[0].path, sizes[s], 0);
		static uint16_t order[WIRE_FRAGMENTS_MAX];

		assert_non_null(r);
		r->limit = r->n; /* as if all had been let come */
		assert_int_equal(r->fragment, 1400);
		assert_int_equal(r->n, (sizes[s] + 1399) / 1400);
		for (uint16_t i = 0; i < r->n; i++)
			order[i] = i;
		for (uint16_t i = r->n; i > 1; i--) {
			uint16_t k = (uint16_t)(pair_random(p) % i), t = order[k];

			order[k] = order[i - 1];
			order[i - 1] = t;
		}
		for (uint16_t i = 0; i < r->n; i++) {
			uint16_t at = order[i];
			int rc = bulk_rx_fragment(r, at, body + at * 1400u, piece(r, at));

			assert_int_equal(rc, i + 1 == r->n);
			if (rc == 0) /* once more: nothing new */
				assert_int_equal(bulk_rx_fragment(r, at, body, piece(r, at)), 0);
			assert_int_equal(r->have, i + 1);
		}
		assert_memory_equal(r->msg->data, body, sizes[s]);
		assert_int_equal(r->first_missing, r->n);
		bulk_rx_end(m, r);
	}
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	pair_fini(p);
}

static void test_wrong_fragments(void **state)
{
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;
	struct bulk_rx *r = bulk_rx_start(m, p->end[0].path, 3000, 0);

	(void)state;
	assert_int_equal(r->n, 3);
	assert_int_equal(bulk_rx_fragment(r, 3, body, 1400), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, UINT16_MAX, body, 1400), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, 0, body, 1399), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, 0, body, 1401), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, 2, body, 1400), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, 2, body, 200), 0);
	assert_int_equal(r->have, 1);
	bulk_rx_end(m, r);
	pair_fini(p);
}

static void test_memory_is_bounded(void **state)
{
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;
	enum { ALL = 4 + 4 + 4 * MSG_PAGES_OF_1M };
	struct bulk_rx *r[ALL + 1];
	uint32_t n = 0;

	(void)state;
	assert_null(bulk_rx_start(m, p->end[0].path, MSG_BODY_MAX + 1, 0));
	assert_null(bulk_rx_start(m, p->end[0].path, UINT32_MAX, 0));
	while (n < ALL + 1 && (r[n] = bulk_rx_start(m, p->end[0].path, 1500, 0)))
		n++;
	assert_int_equal(n, ALL); /* every buffer of every size, and not one more */
	assert_int_equal(count_read(&p->end[0].counts, count_drop_no_message), 3);
	while (n > 0)
		bulk_rx_end(m, r[--n]);
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	pair_fini(p);
}

/* A hole is named when it shows and, if it is still there, when what was sent again should have
 * come. */
static void test_holes_are_named_at_once(void **state)
{
	struct pair *p = pair_new();
	struct pair_end *e = &p->end[0];
	frame_Packet about = {.kind = frame_Kind_response};
	struct bulk_rx *r = bulk_rx_start(&e->m, e->path, 46 * 1400, 0);
	const uint64_t *gaps = (const uint64_t *)&e->counts.v[count_gaps_reported];
	static const struct {
		uint16_t fragment, n; /* of gap reports after it */
	} steps[] = {{0, 0}, {5, 1}, {6, 1}, {9, 2}, {12, 3}, {1, 3}, {13, 3}, {2, 3}, {3, 3},
		{4, 3}, {7, 3}, {14, 3}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		bulk_rx_fragment(r, steps[i].fragment, body, 1400);
		bulk_rx_report(&e->m, e->path, r, &about, false, false);
		assert_int_equal(*gaps, steps[i].n);
	}
	assert_int_equal(r->first_missing, 8);
	e->m.now_ns += e->path->rto_ns;
	bulk_rx_fragment(r, 15, body, 1400);
	bulk_rx_report(&e->m, e->path, r, &about, false, false);
	assert_int_equal(*gaps, 5);                             /* 8; 10 and 11 */
	bulk_rx_report(&e->m, e->path, r, &about, false, true); /* asked: what it waits for */
	assert_int_equal(*gaps, 6);
	e->m.now_ns += e->path->rto_ns;
	bulk_rx_report(
		&e->m, e->path, r, &about, false, true); /* asked, and nothing has come for long */
	assert_int_equal(*gaps, 9);                      /* 8; 10 and 11; 16 to the end */
	bulk_rx_end(&e->m, r);
	pair_fini(p);
}

/* However the message is torn, one report names no more than a sender keeps. */
static void test_many_holes(void **state)
{
	struct pair *p = pair_new();
	struct pair_end *e = &p->end[0];
	frame_Packet about = {.kind = frame_Kind_response};
	struct bulk_rx *r = bulk_rx_start(&e->m, e->path, 46 * 1400, 0);
	const uint64_t *gaps = (const uint64_t *)&e->counts.v[count_gaps_reported];

	(void)state;
	for (uint16_t i = 1; i < 46; i += 2)
		bulk_rx_fragment(r, i, body, 1400);
	bulk_rx_report(&e->m, e->path, r, &about, false, false);
	assert_int_equal(*gaps, BULK_HOLES);
	bulk_rx_end(&e->m, r);
	pair_fini(p);
}

/* Above 64 KiB the window is open as soon as the memory is there, and follows what has arrived;
 * what was not let come is not taken. */
static void test_window_of_the_receiver(void **state)
{
	struct pair *p = pair_new();
	struct pair_end *e = &p->end[0];
	frame_Packet about = {.kind = frame_Kind_response};
	struct bulk_rx *r;

	(void)state;
	e->m.cfg.budgets.window = 64;
	r = bulk_rx_start(&e->m, e->path, BODY, 0);
	assert_int_equal(r->limit, BULK_ASKED);
	assert_int_equal(bulk_rx_fragment(r, BULK_FIRST + BULK_ASKED, body, 1400), -EBADMSG);
	bulk_rx_fragment(r, 0, body, 1400);
	bulk_rx_report(&e->m, e->path, r, &about, false, false);
	assert_int_equal(r->limit, 65);
	e->m.cfg.budgets.window = 100; /* changed meanwhile */
	for (uint16_t i = 1; i < 17; i++) {
		bulk_rx_fragment(r, i, body, 1400);
		bulk_rx_report(&e->m, e->path, r, &about, false, false);
	}
	assert_int_equal(r->limit, 117);
	e->m.cfg.budgets.window = 32; /* what has been let come stays so */
	for (uint16_t i = 17; i < 40; i++) {
		bulk_rx_fragment(r, i, body, 1400);
		bulk_rx_report(&e->m, e->path, r, &about, false, false);
	}
	assert_int_equal(r->limit, 117);
	assert_int_equal(bulk_rx_fragment(r, 117 + BULK_FIRST, body, 1400), -EBADMSG);
	assert_int_equal(bulk_rx_fragment(r, 0, body, 1400), 0);
	assert_int_equal(r->have, 40);
	bulk_rx_end(&e->m, r);
	pair_fini(p);
}

/* ---- sending ---- */

static struct bulk_tx *send_start(struct pair *p, uint32_t len)
{
	frame_Packet h = {.kind = frame_Kind_request, .session = 3, .body_length = len};
	struct bulk_tx *t = bulk_tx_start(&p->end[0].m, p->end[0].path, &h, NULL, body, len);

	assert_non_null(t);
	return t;
}

static void test_window(void **state)
{
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;
	struct bulk_tx *t = send_start(p, 200 * 1400);

	(void)state;
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(t->next, BULK_ASKED); /* and no further unasked */
	assert_int_equal(m->n_bulks, 0);
	bulk_tx_acked(m, t, 1, 80);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(t->next, 80);
	bulk_tx_acked(m, t, 16, 80);
	/* What says nothing new, or what cannot be, changes nothing. */
	bulk_tx_acked(m, t, 16, 70);
	bulk_tx_acked(m, t, 15, 90);
	bulk_tx_acked(m, t, 81, 90);
	bulk_tx_acked(m, t, 20, 201);
	assert_int_equal(t->acked, 16);
	assert_int_equal(t->limit, 80);
	bulk_tx_acked(m, t, 80, 200);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(t->next, 200);
	assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
	bulk_tx_end(m, t);
	pair_fini(p);
}

static void test_gaps_are_filled(void **state)
{
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;
	struct bulk_tx *t = send_start(p, 200 * 1400);
	const uint64_t *resends = (const uint64_t *)&p->end[0].counts.v[count_resends];

	(void)state;
	bulk_tx_acked(m, t, 0, 64);
	pair_run(p, 100 * NS_PER_US);
	bulk_tx_gap(m, t, 3, 4);
	bulk_tx_gap(m, t, 7, 2); /* touches: one range */
	bulk_tx_gap(m, t, 4, 1);
	bulk_tx_gap(m, t, 30, 2);
	assert_int_equal(t->n_holes, 2);
	assert_true(t->holes[0].first == 3 && t->holes[0].end == 9);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(*resends, 8);
	bulk_tx_gap(m, t, 64, 10); /* was never sent */
	bulk_tx_gap(m, t, 5, 0);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(*resends, 8);
	bulk_tx_gap(m, t, 60, UINT16_MAX);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(*resends, 12);
	for (uint16_t i = 0; i < 3 * BULK_HOLES; i++) /* more than it keeps */
		bulk_tx_gap(m, t, 2 * (i % 30), 1);
	assert_int_equal(t->n_holes, BULK_HOLES);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(*resends, 12 + BULK_HOLES);
	assert_int_equal(m->n_bulks, 0);
	bulk_tx_end(m, t);
	pair_fini(p);
}

/* Several at once, one of them ended while it has something to send. */
static void test_several(void **state)
{
	struct pair *p = pair_new();
	struct machine *m = &p->end[0].m;
	struct bulk_tx *t[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		t[i] = send_start(p, 46 * 1400);
	assert_int_equal(m->n_bulks, 3);
	bulk_tx_end(m, t[0]);
	assert_int_equal(m->n_bulks, 2);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(t[1]->next, 46);
	assert_int_equal(t[2]->next, 46);
	bulk_tx_end(m, t[2]);
	bulk_tx_end(m, t[1]);
	pair_fini(p);
}

/* ---- a large request that overtakes itself ---- */

static void request_fragment(
	struct pair *p, uint32_t call, uint16_t fragment, uint32_t len, uint32_t in_packet)
{
	uint8_t bytes[PAIR_DATAGRAM] = {0};
	struct path *path = p->end[0].path;
	frame_Packet h = {.kind = frame_Kind_request,
		.length = (uint16_t)(WIRE_PACKET + in_packet),
		.fragment = fragment,
		.call = call,
		.body_length = len,
		.envelope_length = ENVELOPE_BOUND};
	uint64_t number = ++path->tx_number;
	frame_Datagram d = {.version = WIRE_VERSION,
		.header_length = 32,
		.connection = path->peer_id,
		.number_low = (uint32_t)number};

	frame_Datagram_store(bytes, &d);
	frame_Packet_store(bytes + 32, &h);
	if (!fragment)
		envelope_write_bound(bytes + 32 + WIRE_PACKET, ENVELOPE_NO_DEADLINE, 1, 2);
	pair_inject(p, 1, bytes, 32 + ALIGN8(WIRE_PACKET + in_packet));
}

static void nothing(void *arg, const struct tela_result *r)
{
	(void)arg;
	(void)r;
}

/* The slot still runs an older call when the second fragment of the next one comes before its
 * first: the first, when it comes, is no duplicate. */
static void test_second_fragment_first(void **state)
{
	struct pair *p = pair_new();
	struct pair_end *e = &p->end[0];
	struct counts *callee = &p->end[1].counts;
	struct tela_request r;

	(void)state;
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8, NULL, &r), 0);
	memset(r.payload, 0, 8);
	caller_send(&e->m, r.slot, nothing, NULL);
	pair_run(p, 100 * NS_PER_US);
	assert_int_equal(count_read(callee, count_calls_pending), 1);
	request_fragment(p, 2, 1, 2000, 600);
	assert_int_equal(count_read(callee, count_gaps_reported), 1);
	request_fragment(p, 2, 0, 2000, 1400);
	request_fragment(p, 2, 1, 2000, 600);
	assert_int_equal(count_read(callee, count_calls_served), 2);
	assert_int_equal(count_read(callee, count_drop_reply_gone), 0);
	assert_int_equal(p->end[1].m.n_detached, 1);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_wrong_fragments),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_holes_are_named_at_once),
		cmocka_unit_test(test_many_holes),
		cmocka_unit_test(test_window_of_the_receiver),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_gaps_are_filled),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_second_fragment_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
