/* test_bfbs.c - telac's reader and writers on damaged schemas: refused or read, never a crash.
 *
 * Arguments: binary schemas. Each is cut at every length and flipped at random, and what is still read
 * goes all the way to the headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bfbs.h"
#include "check.h"
#include "emit.h"
#include "hash.h"

static char **files;
static int n_files;
static FILE *nowhere;

static bool survives(const uint8_t *bytes, size_t len)
{
	struct schema s = {.file = "damaged.fbs"};
	struct emit e = {nowhere, &s, "damaged"};
	uint8_t *exact = malloc(len ? len : 1);
	const char *why = NULL;
	bool read;
	size_t i;

	memcpy(exact, bytes, len);
	read = !bfbs_read(&s, exact, len, &why);
	assert_true(read || (why && *why));
	if (read && !check_schema(&s)) {
		for (i = 0; i < s.n_services; i++)
			s.services[i].hash = hash_service(&s, &s.services[i]);
		emit_data(&e);
		emit_rpc(&e);
	}
	schema_free(&s);
	free(exact);
	return read;
}

static size_t load(const char *path, uint8_t *bytes, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(bytes, 1, room, f);
	assert_in_range(n, 100, room - 1);
	fclose(f);
	return n;
}

static void truncations(void **state)
{
	static uint8_t bytes[1 << 16];
	size_t n, cut;
	int i;

	(void)state;
	for (i = 0; i < n_files; i++) {
		n = load(files[i], bytes, sizeof(bytes));
		assert_true(survives(bytes, n));
		for (cut = 0; cut < n; cut += n > 4000 ? 7 : 1)
			survives(bytes, cut);
	}
}

static void flips(void **state)
{
	static uint8_t bytes[1 << 16];
	uint32_t x = 12345;
	int i, turn, flip;
	size_t n;

	(void)state;
	for (i = 0; i < n_files; i++) {
		for (turn = 0; turn < 1500; turn++) {
			n = load(files[i], bytes, sizeof(bytes));
			for (flip = 0; flip <= turn % 3; flip++) {
				x = x * 1664525 + 1013904223;
				bytes[(x >> 8) % n] ^= (uint8_t)(1u << (x >> 5) % 8);
			}
			survives(bytes, n);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(truncations), cmocka_unit_test(flips)};

	files = argv + 1;
	n_files = argc - 1;
	nowhere = fopen("/dev/null", "w");
	if (!nowhere || !freopen("/dev/null", "w", stderr)) /* thousands of refusals */
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
