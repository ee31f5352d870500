/* The ring of reports: order, wrapping, what does not fit, and two threads at its ends. */
#include "report.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct seen {
	uint32_t n, wrong;
	uint32_t next;
};

/* Each text is its number, so many digits long as the number's last two say. */
static size_t text_of(char text[256], uint32_t i)
{
	return (size_t)snprintf(text, 256, "%0*u", 10 + (int)(i % 100), i);
}

static void see(void *arg, const struct tela_report *r)
{
	struct seen *s = arg;
	char want[256];

	s->next = (uint32_t)strtoul(r->text, NULL, 10);
	text_of(want, s->next);
	s->wrong += strcmp(r->text, want) || strcmp(r->service, "s.S") || strcmp(r->method, "m") ||
		    r->core != 7 || r->kind != TELA_REPORT_STATUS;
	s->n++;
}

static bool put(struct report_ring *r, uint32_t i)
{
	char text[256];
	size_t len = text_of(text, i);

	return report_put(r, TELA_REPORT_STATUS, "s.S", "m", text, len);
}

static void test_full_and_again(void **state)
{
	struct report_ring *r = report_ring_create();
	struct seen s = {0};

	(void)state;
	for (uint32_t round = 0, i = 0; round < 20; round++) {
		uint32_t had = s.n, n = 0;

		while (put(r, i))
			i++, n++;
		assert_true(n > 150); /* nearly all of it is used */
		report_drain(r, 7, see, &s);
		assert_int_equal(s.n, had + n);
		assert_int_equal(s.next, i - 1);
	}
	assert_int_equal(s.wrong, 0);
	report_drain(r, 7, see, &s);
	assert_true(put(r, 1));
	report_drain(r, 7, NULL, NULL); /* nobody listens */
	s.n = 0;
	report_drain(r, 7, see, &s);
	assert_int_equal(s.n, 0);
	report_ring_free(r);
}

static void take(void *arg, const struct tela_report *r)
{
	*(size_t *)arg = strlen(r->text) + strlen(r->service) + strlen(r->method);
}

static void test_too_long(void **state)
{
	struct report_ring *r = report_ring_create();
	char text[3000];
	size_t len = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_true(report_put(r, TELA_REPORT_STATUS, text, text, text, sizeof(text) - 1));
	report_drain(r, 0, take, &len);
	assert_int_equal(len, REPORT_TEXT_MAX + 127 + 127);
	report_ring_free(r);
}

static void *producer(void *ring)
{
	for (uint32_t i = 0; i < 200000;)
		i += put(ring, i);
	return NULL;
}

static void test_threads(void **state)
{
	struct report_ring *r = report_ring_create();
	struct seen s = {0};
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, producer, r), 0);
	while (s.n < 200000)
		report_drain(r, 7, see, &s);
	pthread_join(t, NULL);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(s.next, 199999);
	report_ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_and_again),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
