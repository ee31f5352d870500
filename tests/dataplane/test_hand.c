/* test_hand.c - which core a datagram is for, and one ring. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>
#include <cmocka.h>

#include "hand.h"

enum { UDP = 7447, HEADER = 30 };

static void ids_name_cores(void **state)
{
	uint32_t seen[HAND_CORES], id = 1;

	for (uint32_t n = 1; n <= HAND_CORES; n++) {
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < 10000; i++, id = id * 1664525 + 1013904223) {
			uint32_t core = hand_core_of_id(id, n);

			assert_true(core < n);
			seen[core]++;
		}
		for (uint32_t c = 0; c < n; c++) /* an even share, so that drawing one is cheap */
			assert_in_range(
				seen[c], 10000 / n - 10000 / n / 5, 10000 / n + 10000 / n / 5);
		assert_int_equal(hand_core_of_id(0, n), 0);
		assert_int_equal(hand_core_of_id(UINT32_MAX, n), n - 1);
	}
}

static void a_connection_id_decides(void **state)
{
	uint8_t d[64] = {WIRE_VERSION, 0, HEADER, 0};
	uint32_t id = 0xc0000001;

	memcpy(d + 4, &id, 4);
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 4, 1), 3);
	assert_int_equal(hand_core_of(d, sizeof(d), hand_udp(2, 5), 4, 1), 3);
	assert_int_equal(hand_core_of(d, WIRE_VERSION_BYTES, UDP, 4, 1), 3);
	assert_int_equal(
		hand_core_of(d, WIRE_VERSION_BYTES - 1, UDP, 4, 1), 1); /* whoever has it */
	assert_int_equal(hand_core_of(d, 0, UDP, 4, 1), 1);
	d[0] = WIRE_VERSION + 1;
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 4, 1), 1);
}

static void a_hello_says_which_it_wants(void **state)
{
	uint8_t d[HEADER + WIRE_PACKET + WIRE_HELLO] = {WIRE_VERSION, 0, HEADER, 0};
	frame_Hello h = {.wanted_core = 3};

	d[HEADER] = frame_Kind_hello;
	frame_Hello_store(d + HEADER + WIRE_PACKET, &h);
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 4, 1), 3);
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 2, 0), 1); /* more than there are */
	h.wanted_core = UINT16_MAX;
	frame_Hello_store(d + HEADER + WIRE_PACKET, &h);
	for (uint32_t n = 1; n <= HAND_CORES; n++)
		assert_true(hand_core_of(d, sizeof(d), UDP, n, 0) < n);
	assert_int_equal(hand_core_of(d, sizeof(d) - 1, UDP, 4, 1), 1); /* cut short */
	d[2] = 255; /* a header beyond the datagram */
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 4, 1), 1);
}

/* A refuse names a connection of its sender's; the UDP port it comes to is a core's own. */
static void else_the_port_decides(void **state)
{
	uint8_t d[HEADER + WIRE_PACKET + 8] = {WIRE_VERSION, 0, HEADER, 0};

	d[HEADER] = frame_Kind_refuse;
	for (uint32_t core = 0; core < 4; core++)
		for (uint32_t attempt = 0; attempt < 2 * HAND_TRIES; attempt++) {
			uint16_t udp = hand_udp(core, attempt);

			assert_true(hand_is_udp(udp, 4));
			assert_int_equal(hand_core_of(d, sizeof(d), udp, 4, 1), core);
		}
	assert_int_equal(hand_core_of(d, sizeof(d), hand_udp(4, 0), 4, 1), 1); /* nobody's */
	assert_int_equal(hand_core_of(d, sizeof(d), UDP, 4, 1), 1);
	assert_false(hand_is_udp(hand_udp(0, 0), 0));
	assert_false(hand_is_udp(hand_udp(0, 0) - 1, 4));
}

static void a_ring_is_bounded_and_in_order(void **state)
{
	static struct hand_ring r;
	uintptr_t got[HAND_SIZE], next = 0, put = 0;

	for (; put < 37; put++) /* not where the places begin */
		assert_true(hand_put(&r, put));
	hand_publish(&r);
	assert_int_equal(hand_take(&r, got, HAND_SIZE), 37);
	next = 37;
	for (uint32_t round = 0; round < 5; round++) {
		while (hand_put(&r, put))
			put++;
		assert_int_equal(put - next, HAND_SIZE);
		assert_int_equal(hand_take(&r, got, HAND_SIZE), 0); /* not published */
		assert_true(hand_empty(&r));
		hand_publish(&r);
		assert_false(hand_empty(&r));
		while (next < put) {
			uint32_t n = hand_take(&r, got, 100);

			assert_in_range(n, 1, 100);
			for (uint32_t i = 0; i < n; i++)
				assert_int_equal(got[i], next++);
		}
		assert_true(hand_empty(&r));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_name_cores),
		cmocka_unit_test(a_connection_id_decides),
		cmocka_unit_test(a_hello_says_which_it_wants),
		cmocka_unit_test(else_the_port_decides),
		cmocka_unit_test(a_ring_is_bounded_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
