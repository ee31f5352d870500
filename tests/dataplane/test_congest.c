/* test_congest.c - a path's window against what its round trips say: grown, cut, left alone; what
 * is held back goes out in order and in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

enum { BASE_NS = 10000, PASS_NS = 8000, LEN = 1500 };

static struct counts counts;
static struct machine m;
static struct path p;
static uint32_t sent, dropped;
static uintptr_t last;

static void io_send(void *io, const struct path *path, void *buf, uint32_t len)
{
	(void)io, (void)path, (void)len;
	assert_true((uintptr_t)buf > last); /* in order */
	last = (uintptr_t)buf;
	sent++;
}

static void io_drop(void *io, void *buf)
{
	(void)io, (void)buf;
	dropped++;
}

/* The pass has gone on for so long. */
static uint64_t io_clock(void *io)
{
	(void)io;
	return m.now_ns + PASS_NS;
}

static const struct machine_ops ops = {.send = io_send, .drop = io_drop, .clock = io_clock};

static int setup(void **state)
{
	size_t bytes = 0;

	(void)state;
	memset(&m, 0, sizeof(m));
	memset(&p, 0, sizeof(p));
	m.ops = &ops;
	m.counts = &counts;
	m.now_ns = NS_PER_S;
	p.header_len = 32;
	sent = dropped = 0;
	last = 0;
	return wheel_init(&m.wheel, &bytes);
}

static int teardown(void **state)
{
	(void)state;
	congest_end(&m, &p);
	wheel_fini(&m.wheel);
	return 0;
}

/* A round trip of `rtt_ns`, in which `bytes` were sent. */
static void trip(uint64_t rtt_ns, uint64_t bytes)
{
	m.now_ns += max_u64(rtt_ns, p.congest.rtt_ns + 1);
	p.congest.tx_bytes += bytes;
	p.tx_number += bytes / LEN;
	congest_sample(&m, &p, rtt_ns);
}

/* A network's path that has started. */
static void begin(void)
{
	congest_begin(&m, &p, BASE_NS, false);
	while (p.congest.paced)
		trip(BASE_NS, p.congest.window);
}

static void test_uncongested(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 1000; i++)
		trip(BASE_NS + CONGEST_TARGET_NS, 100 * LEN);
	assert_false(p.congest.paced);
	/* One long round trip, or a few datagrams' long ones, are no congestion. */
	trip(BASE_NS + 10 * CONGEST_TARGET_NS, 100 * LEN);
	trip(BASE_NS, 100 * LEN);
	assert_false(p.congest.watched);
	for (int i = 0; i < 20; i++)
		trip(BASE_NS + 10 * CONGEST_TARGET_NS, LEN);
	assert_false(p.congest.paced);
}

static void test_cut_and_grow(void **state)
{
	uint64_t window;

	(void)state;
	begin();
	for (int i = 0; i < 4 && !p.congest.paced; i++)
		trip(BASE_NS + 2 * CONGEST_TARGET_NS, 20 * LEN);
	assert_true(p.congest.paced);
	window = p.congest.window;
	assert_in_range(window, 5 * LEN, 20 * LEN);
	trip(BASE_NS + 2 * CONGEST_TARGET_NS, window);
	assert_in_range(p.congest.window, window / 2, window * 7 / 10);
	/* However bad it is, not more than half at once, and not below the least. */
	window = p.congest.window;
	trip(BASE_NS + 100 * CONGEST_TARGET_NS, window);
	assert_in_range(p.congest.window, window / 2, window / 2 + 1);
	for (int i = 0; i < 50; i++)
		trip(BASE_NS + 100 * CONGEST_TARGET_NS, LEN);
	assert_int_equal(p.congest.window, CONGEST_WINDOW_MIN);
	/* It grows again while it is used, step by step, and ends when it no longer binds. */
	trip(BASE_NS, LEN);
	assert_int_equal(p.congest.window, CONGEST_WINDOW_MIN + CONGEST_STEP_BYTES);
	for (int i = 0; i < 3; i++)
		trip(BASE_NS, p.congest.window);
	assert_in_range(p.congest.window, CONGEST_WINDOW_MIN + 4 * CONGEST_STEP_BYTES,
		CONGEST_WINDOW_MIN + 8 * CONGEST_STEP_BYTES);
	for (int i = 0; i < CONGEST_QUIET_ROUNDS; i++)
		trip(BASE_NS, 0);
	assert_false(p.congest.paced);
}

static void lose(uint32_t n)
{
	while (n--)
		congest_loss(&m, &p);
}

static void test_loss(void **state)
{
	(void)state;
	begin();
	/* Chance: three in a hundred. */
	for (int i = 0; i < 50; i++) {
		lose(3);
		trip(BASE_NS, 100 * LEN);
		assert_false(p.congest.paced);
	}
	for (int i = 0; i < 3; i++) {
		lose(10);
		trip(BASE_NS, 100 * LEN);
	}
	assert_true(p.congest.paced);
	for (int i = 0; i < 50; i++) {
		lose(10);
		trip(BASE_NS, 10 * LEN);
	}
	assert_in_range(p.congest.window, CONGEST_WINDOW_LOSS, 2 * CONGEST_WINDOW_LOSS);
}

/* Between processes delay is a loop's and loss is a fault, however much there is of them. */
static void test_shared_memory(void **state)
{
	uint64_t cuts = count_read(&counts, count_window_cuts);

	(void)state;
	congest_begin(&m, &p, BASE_NS, true);
	for (uint32_t i = 0; i < 1000; i++) {
		lose(i % 100);
		trip(BASE_NS + i % 20 * CONGEST_TARGET_NS, 100 * LEN);
		assert_false(p.congest.watched);
		assert_false(p.congest.paced);
	}
	assert_int_equal(count_read(&counts, count_window_cuts), cuts);
}

static void test_slow_start(void **state)
{
	(void)state;
	congest_begin(&m, &p, BASE_NS, false);
	assert_true(p.congest.paced);
	for (uint64_t window = CONGEST_WINDOW_FIRST; window < CONGEST_WINDOW_MAX; window *= 2) {
		assert_int_equal(p.congest.window, window);
		trip(BASE_NS, window);
	}
	assert_false(p.congest.paced);
	/* After a pause it starts again. */
	m.now_ns += 2 * CONGEST_LOOK_NS;
	congest_look(&m, &p);
	assert_false(p.congest.paced);
	m.now_ns += CONGEST_LOOK_NS;
	congest_look(&m, &p);
	assert_true(p.congest.paced);
	trip(BASE_NS + CONGEST_TARGET_NS + 1000, CONGEST_WINDOW_FIRST);
	assert_false(p.congest.slow_start);
}

static void fill(uintptr_t name)
{
	static uint8_t data[LEN];

	p.open = (struct dgram){.buf = (void *)name, .data = data, .len = LEN, .room = LEN};
	path_flush(&m, &p, m.now_ns);
}

/* Of a window of one datagram and a round trip of 100 us, one goes every 100 us. */
static void test_pacing(void **state)
{
	uint64_t began;

	(void)state;
	congest_begin(&m, &p, 100000, false);
	p.congest.slow_start = false;
	for (int i = 0; i < 40; i++)
		trip(100000, 0); /* measured */
	congest_begin(&m, &p, 100000, false);
	p.congest.slow_start = false;
	p.congest.rtt_ns = 100000;
	p.congest.cost = (100000ull << 16) / LEN;
	began = m.now_ns;
	for (uintptr_t i = 1; i <= 20; i++) {
		p.congest.round_bytes = p.congest.tx_bytes; /* answers come */
		fill(i);
	}
	assert_int_equal(sent, 1);
	assert_int_equal(p.congest.n_held, 19);
	while (p.congest.n_held) {
		m.now_ns += 1000;
		p.congest.round_bytes = p.congest.tx_bytes;
		wheel_turn(&m);
		assert_in_range(sent, (m.now_ns - began) / 104000, (m.now_ns - began) / 96000 + 1);
	}
	assert_int_equal(sent, 20);
	assert_int_equal(m.wheel.n, 0);
	/* Without answers it goes more and more slowly, but it goes. */
	sent = 0;
	last = 0;
	m.now_ns += NS_PER_S;
	for (uintptr_t i = 1; i <= 20; i++)
		fill(i);
	for (int i = 0; i < 2000; i++) {
		m.now_ns += 1000;
		wheel_turn(&m);
	}
	assert_in_range(sent, 2, 6);
	m.now_ns += 20 * CONGEST_WAIT_MAX_NS;
	for (int i = 0; i < 50000 && p.congest.n_held; i++) {
		m.now_ns += 1000;
		wheel_turn(&m);
	}
	assert_int_equal(sent, 20);
}

static void test_end(void **state)
{
	(void)state;
	congest_begin(&m, &p, 100000, false);
	p.congest.slow_start = false;
	for (uintptr_t i = 1; i <= 20; i++)
		fill(i);
	congest_end(&m, &p);
	assert_int_equal(sent + dropped, 20);
	assert_int_equal(m.wheel.n + m.wheel.n_held, 0);
	/* What is urgent does not wait; nor does anything when no more can be held. */
	p.open.urgent = true;
	for (uintptr_t i = 21; i <= 21 + CONGEST_HELD; i++)
		fill(i);
	sent = 0;
	fill(5000);
	assert_int_equal(sent, 1);
}

/* A datagram that leaves in the middle of a pass says when, where that matters. */
static void test_midway(void **state)
{
	static uint8_t data[LEN];
	frame_Datagram h;

	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		congest_begin(&m, &p, BASE_NS, shared);
		p.open = (struct dgram){.buf = data, .data = data, .len = LEN, .room = LEN};
		path_flush_midway(&m, &p);
		h = wire_datagram_load(data);
		assert_int_equal(h.stamp, wire_stamp(m.now_ns + (shared ? 0 : PASS_NS)) | 1);
		assert_int_equal(h.age, shared ? 0 : PASS_NS / WIRE_STAMP_NS);
		last = 0;
	}
	path_flush_midway(&m, &p); /* nothing is open */
	assert_int_equal(sent, 2);
}

/* What was under way while this loop was away measures the loop, also in later passes. */
static void test_away(void **state)
{
	const uint64_t rtt_ns = 20 * CONGEST_TARGET_NS;

	(void)state;
	begin();
	p.srtt_ns = 0;
	m.shed.back_ns = m.now_ns - BASE_NS;
	m.shed.away_ns = rtt_ns / 2;
	for (int i = 0; i < 10; i++)
		path_stamps(&m, &p, 1, wire_stamp(m.now_ns - rtt_ns) | 1, 0);
	assert_int_equal(p.srtt_ns, 0);
	assert_false(p.congest.watched);
	/* Sent since then; or the absence was nothing beside it. */
	path_stamps(&m, &p, 1, wire_stamp(m.now_ns - BASE_NS / 2) | 1, 0);
	assert_true(p.srtt_ns > 0);
	p.srtt_ns = 0;
	m.shed.away_ns = rtt_ns / 10;
	path_stamps(&m, &p, 1, wire_stamp(m.now_ns - rtt_ns) | 1, 0);
	assert_true(p.srtt_ns > 0 && p.congest.watched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uncongested, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_and_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pacing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_midway, setup, teardown),
		cmocka_unit_test_setup_teardown(test_away, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
