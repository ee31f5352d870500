/* Calls that do not end well are counted at both ends, each under its own reason, once; what there
 * is no place for is counted as that. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t counted(const struct pair *p, int end, enum ends_side side, const char *method,
	const char *reason, uint8_t code)
{
	uint64_t calls = 0;

	for (int i = 0; i < ENDS_MAX; i++) {
		const struct ends_series *s = &p->end[end].m.ends[i];

		if (s->used && s->side == side && s->code == code && !strcmp(s->reason, reason) &&
			!strcmp(s->method, method) && !strcmp(s->service, "test.Test"))
			calls += s->calls;
	}
	return calls;
}

static uint64_t all(const struct pair *p, int end)
{
	uint64_t calls = 0;

	for (int i = 0; i < ENDS_MAX; i++)
		calls += p->end[end].m.ends[i].calls;
	return calls;
}

static void test_reasons(void **state)
{
	static char resting[] = "resting";
	static const struct tela_options soon = {.deadline_us = 1000};
	struct pair *p = pair_new(1, 1);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(call(p, 1, 1, 16, NULL).code, TELA_OK);
	assert_int_equal(all(p, 0) + all(p, 1), 0);

	for (int i = 0; i < 2; i++)
		assert_int_equal(call(p, 3, 1, 16, NULL).code, TELA_PERMISSION_DENIED);
	assert_int_equal(counted(p, 1, ENDS_CALLEE, "refuse", "forbidden", 7), 2);
	assert_int_equal(counted(p, 0, ENDS_CALLER, "refuse", "forbidden", 7), 2);

	call(p, 4, 1, 16, NULL); /* no link answers */
	assert_int_equal(counted(p, 1, ENDS_CALLEE, "absent", "not_implemented", 12), 1);
	call(p, 6, 1, 16, NULL); /* of a name that only its caller knows */
	assert_int_equal(counted(p, 1, ENDS_CALLEE, "", "no such method", 12), 1);
	assert_int_equal(counted(p, 0, ENDS_CALLER, "unknown", "not_implemented", 12), 1);

	atomic_store(&p->end[1].service->refusal, resting);
	call(p, 1, 1, 16, NULL);
	atomic_store(&p->end[1].service->refusal, NULL);
	assert_int_equal(counted(p, 1, ENDS_CALLEE, "echo", "resting", 14), 1);
	assert_int_equal(counted(p, 0, ENDS_CALLER, "echo", "service_not_available", 14), 1);

	call(p, 2, 1, 16, &soon); /* nobody resumes it: that its caller has gone is no end of it */
	assert_int_equal(counted(p, 0, ENDS_CALLER, "park", "timeout", 4), 1);
	assert_int_equal(all(p, 0), 6);
	assert_int_equal(all(p, 1), 5);
	pair_fini(p);
}

/* A local call that is refused belongs to its method too. */
static void test_local(void **state)
{
	static char resting[] = "resting";
	struct pair *p = pair_new(3, 1);
	struct pair_end *e = &p->end[1];
	struct outcome o = {0};
	struct tela_request r;

	(void)state;
	assert_int_equal(caller_session_open(&e->m, &e->sessions[0], NULL, &desc), 0);
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 16, NULL, &r), 0);
	fill(r.payload, 1, 16);
	atomic_store(&e->service->refusal, resting);
	caller_send(&e->m, r.slot, done, &o);
	pair_run(p, NS_PER_MS);
	atomic_store(&e->service->refusal, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(counted(p, 1, ENDS_CALLEE, "echo", "resting", 14), 1);
	assert_int_equal(counted(p, 1, ENDS_CALLER, "echo", "service_not_available", 14), 1);
	pair_fini(p);
}

/* However many reasons there are: the rest is one figure. */
static void test_full(void **state)
{
	struct pair *p = pair_new(2, 1);
	char long_reason[200];

	(void)state;
	for (int i = 0; i < 300; i++) {
		char reason[32];

		snprintf(reason, sizeof(reason), "reason %d", i % 150);
		ends_count(&p->end[1].m, ENDS_CALLEE, &desc, &methods[0], 1,
			(struct tela_str){reason, strlen(reason)});
	}
	assert_int_equal(all(p, 1), 2 * ENDS_MAX);
	assert_int_equal(count_read(&p->end[1].counts, count_ends_full), 300 - 2 * ENDS_MAX);
	memset(long_reason, 'x', sizeof(long_reason));
	for (int i = 0; i < 2; i++)
		ends_count(&p->end[0].m, ENDS_CALLER, NULL, NULL, 1,
			(struct tela_str){long_reason, sizeof(long_reason)});
	assert_int_equal(all(p, 0), 2);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
