/* Formats and arguments as bytes, and back: what the C library makes of the same, whatever does not
 * fit, and bytes that nobody has packed. */
#include "log_pack.h"

#include "base.h"

#include <setjmp.h>
#include <cmocka.h>

enum { ROOM = 900 };

static uint8_t bytes[ROOM];
static size_t n_bytes;

static __attribute__((format(printf, 2, 3))) size_t pack(size_t room, const char *format, ...)
{
	va_list args;

	memset(bytes, 0xa5, sizeof(bytes));
	va_start(args, format);
	n_bytes = log_pack(bytes, room, format, args);
	va_end(args);
	assert_true(n_bytes <= room);
	for (size_t i = room; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0xa5);
	return n_bytes;
}

static const char *unpack(void)
{
	static char text[LOG_TEXT_MAX];
	uint8_t *exact = malloc(n_bytes ? n_bytes : 1); /* so that ASan sees a byte too far */
	size_t n;

	memcpy(exact, bytes, n_bytes);
	n = log_unpack(text, sizeof(text), exact, n_bytes);
	free(exact);
	assert_true(n < sizeof(text));
	assert_int_equal(text[n], 0);
	return text;
}

#define ASSERT_SAME(...)                                                                           \
	do {                                                                                       \
		char want[LOG_TEXT_MAX];                                                           \
                                                                                                   \
		snprintf(want, sizeof(want), __VA_ARGS__);                                         \
		pack(ROOM, __VA_ARGS__);                                                           \
		assert_string_equal(unpack(), want);                                               \
	} while (0)

static void test_as_printf(void **state)
{
	const char *volatile narrow =
		"%hhd %hhu %hd %hu"; /* of more than fits: no compiler likes it */
	const volatile int wide = 0x12345ff;
	static const char not_ended[3] = {'a', 'b', 'c'};
	const char *volatile none = NULL, *volatile string = "%s";
	char large[600] = "";

	(void)state;
	ASSERT_SAME("plain");
	ASSERT_SAME("%s", "");
	ASSERT_SAME("100 %% of %d, %i and %u", -17, 18, 4000000000u);
	ASSERT_SAME("[%5d|%-5d|%05d|%+d|% d|%x|%#X|%o]", 42, 42, 42, 42, 42, 0xbeef, 0xbeef, 8);
	ASSERT_SAME("%hhd %hhu %hd %hu", (signed char)-1, (unsigned char)255, (short)-2,
		(unsigned short)65535);
	ASSERT_SAME(narrow, wide, wide, wide, wide);
	ASSERT_SAME("%ld %lu %lld %llu", -1l, -1ul, -1ll, -1ull);
	ASSERT_SAME("%zu %zd %jd %ju %td", (size_t)-1, (ssize_t)-1, INTMAX_MIN, UINTMAX_MAX,
		(ptrdiff_t)-9);
	ASSERT_SAME("%c%c %5c", 'o', 'k', 'x');
	ASSERT_SAME("%s and %10s and %-10s| %.2s", "one", "two", "three", "four");
	ASSERT_SAME("%.*s|%*d|%-*d|%*d", 3, not_ended, 6, 7, 6, 7, -6, 7);
	ASSERT_SAME("%.*s|%.*d", -1, "all of it", 4, 7);
	memset(large, 'L', sizeof(large) - 1);
	ASSERT_SAME("%.*s|%.500s|", 300, large, large);
	ASSERT_SAME("%f %.3f %g %e %a %10.2f", 1.5, 2.25, 1e100, 1e-7, 0.5, 3.14159);
	ASSERT_SAME("%f", 1e300);
	ASSERT_SAME("%p", (void *)&state);
	pack(ROOM, string, none);
	assert_string_equal(unpack(), "(null)");
	errno = ENOENT;
	pack(ROOM, "no file: %m (%d)", 3);
	errno = 0;
	assert_string_equal(unpack(), "no file: No such file or directory (3)");
}

/* The bytes are a copy: what they were made of may be gone. */
static void test_holds_no_pointer(void **state)
{
	char *format = strdup("a plugin's %s, %d"), *name = strdup("name");

	(void)state;
	pack(ROOM, format, name, 5);
	memset(format, 'x', strlen(format));
	memset(name, 'y', strlen(name));
	free(format);
	free(name);
	assert_string_equal(unpack(), "a plugin's name, 5");
}

static void test_unknown(void **state)
{
	static const char *const formats[] = {"a %d, %n, %s", "a %d, %ls", "a %d, %Lf and %d",
		"a %d, %2$s", "a %d, %", "a %d, %-", "a %d, %.", "a %d, %l", "a %d, %k"};
	char want[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const char *volatile f = formats[i]; /* wrong on purpose */

		pack(ROOM, f, 7);
		snprintf(want, sizeof(want), "a 7%s", formats[i] + 4);
		assert_string_equal(unpack(), want);
	}
}

static void test_bounds(void **state)
{
	char large[5000], format[1000];
	const char *volatile f = format;
	const char *text;

	(void)state;
	memset(large, 'L', sizeof(large));
	large[sizeof(large) - 1] = 0;
	pack(ROOM, "[%s] %d", large, 5);
	text = unpack();
	assert_memory_equal(text, "[LLLL", 5);
	assert_string_equal(text + strlen(text) - 4, "L...");
	assert_true(strlen(text) > 800);
	pack(LOG_PACKED_MIN, "%.100s%d%s", large, 5, large);
	assert_string_equal(unpack() + strlen(unpack()) - 4, "L...");
	memset(format, 'f', sizeof(format));
	format[sizeof(format) - 1] = 0;
	pack(ROOM, f, 0);
	text = unpack();
	assert_string_equal(text + strlen(text) - 4, "f...");
	/* A thousand conversions, of which some have their argument. */
	for (size_t i = 0; i + 2 < sizeof(format); i += 2)
		memcpy(format + i, "%d", 3);
	pack(ROOM, f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
		23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
		44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64);
	assert_memory_equal(unpack(), "123456789101112", 15);
	/* A width that would keep the printer busy for minutes. */
	f = "%*d|%.*d|%2000000000d|%.2000000000f";
	pack(ROOM, f, 2000000000, 1, 2000000000, 1, 1, 1.0);
	assert_int_equal(strcspn(unpack(), "|"), 256);
}

/* Any bytes: no byte too far is read or written, and it ends. */
static void test_any_bytes(void **state)
{
	static const char likely_bytes[] = "%%%%sdulxcpfm*.-0123456789hzq";
	uint64_t seed = 88172645463325252ull;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		n_bytes = (size_t)(seed % 300);
		for (size_t k = 0; k < n_bytes; k++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			bytes[k] = seed & 64 ? (uint8_t)(seed >> 8)
					     : (uint8_t)likely_bytes[(seed >> 8) %
								     (sizeof(likely_bytes) - 1)];
		}
		unpack();
	}
}

static void test_place(void **state)
{
	uint64_t place;

	(void)state;
	pack(ROOM, "wolf %d", 1);
	place = log_packed_place(bytes, n_bytes);
	pack(ROOM, "wolf %d", 2);
	assert_int_equal(log_packed_place(bytes, n_bytes), place);
	pack(ROOM, "sheep %d", 1);
	assert_int_not_equal(log_packed_place(bytes, n_bytes), place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_printf),
		cmocka_unit_test(test_holds_no_pointer), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_place)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
