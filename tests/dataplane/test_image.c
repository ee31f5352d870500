/* test_image.c - what image_build() makes of links, what it refuses, and how a chain is walked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image.h"

/* ---- links that leave a trace: `self` is the letter ---- */

static char trace[256];

static void put(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = 0;
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	(void)call;
	put(*(char *)self);
	return TELA_CONTINUE;
}

static enum tela_verdict answer(struct tela_call *call, void *self)
{
	(void)call;
	put(*(char *)self);
	return TELA_ANSWER;
}

static void leave(struct tela_call *call, void *self)
{
	(void)call;
	put((char)(*(char *)self - 'a' + 'A'));
}

static const struct tela_method_desc methods[] = {
	{"one", 1, 0, 0, NULL, NULL}, {"two", 2, 0, 0, NULL, NULL}, {"far", 900, 0, 0, NULL, NULL}};
static const uint64_t earlier[] = {41};
static const struct tela_service_desc desc = {"test.Test", 42, earlier, 1, 3, methods};
static const struct tela_service_desc older = {"test.Test", 41, NULL, 0, 3, methods};
static const uint64_t knows_ours[] = {40, 42};
static const struct tela_service_desc newer = {"test.Test", 43, knows_ours, 2, 3, methods};
static const struct tela_service_desc stranger = {"test.Test", 7, NULL, 0, 3, methods};
static const struct tela_service_desc other = {"test.Other", 42, NULL, 0, 3, methods};
static const struct tela_service_desc empty = {"test.Empty", 1, NULL, 0, 0, NULL};

static char letters[] = "abcdefgh";
static char err[200];

static struct tela_image *build(const struct tela_service_desc *d, const struct tela_link *links,
	uint32_t n, struct tela_service **ret_s)
{
	struct tela_image_link il[IMAGE_LINKS_MAX + 1];

	assert_true(n <= ARRAY_SIZE(il));
	for (uint32_t i = 0; i < n; i++)
		il[i] = (struct tela_image_link){&links[i], &letters[i % 8], "test"};
	err[0] = 0;
	if (!*ret_s)
		*ret_s = service_create(NULL, d, 0);
	assert_non_null(*ret_s);
	return image_build(*ret_s, 2, il, n, err, sizeof(err));
}

/* What a call of `method` goes through. */
static const char *walk(const struct tela_image *image, uint32_t method)
{
	const struct chain *c = image_method(image, method);
	enum tela_verdict v;
	uint32_t last;

	assert_non_null(c);
	assert_int_equal(c->method->id, method);
	trace[0] = 0;
	last = chain_walk(c, 0, NULL, &v);
	if (v == TELA_CONTINUE) {
		assert_int_equal(last, c->n_links);
		put('-');
		last--;
	}
	if (c->n_leaves && last != UINT32_MAX)
		chain_leave(c, last, NULL);
	return trace;
}

/* ---- what is built ---- */

static void test_order(void **state)
{
	const struct tela_link links[] = {
		{NULL, &desc, 1, enter, leave},          /* a */
		{TELA_REQUEST_IN, NULL, 0, enter, NULL}, /* b */
		{NULL, &desc, 2, answer, leave},         /* c */
		{NULL, &other, 1, answer, NULL},         /* d: of another service */
		{TELA_REQUEST_IN, NULL, 0, NULL, leave}, /* e: only leaves */
		{NULL, &desc, 1, answer, leave},         /* f */
		{NULL, &desc, 1, enter, leave},          /* g: never reached */
	};
	struct tela_service *s = NULL;
	struct tela_image *i = build(&desc, links, ARRAY_SIZE(links), &s);

	(void)state;
	assert_non_null(i);
	assert_string_equal(walk(i, 1), "bafFAE");
	assert_string_equal(walk(i, 2), "bcCE");
	assert_string_equal(walk(i, 900), "b-E");
	assert_int_equal(image_method(i, 1)->n_links, 5);
	assert_int_equal(image_method(i, 1)->n_leaves, 4);
	assert_int_equal(i->n_chains, 3);
	assert_null(image_method(i, 0));
	assert_null(image_method(i, 3));
	assert_null(image_method(i, 899));
	assert_null(image_method(i, 901));
	assert_null(image_method(i, UINT32_MAX));
	tela_image_free(i);
	service_free(s);
}

static void test_no_links(void **state)
{
	struct tela_service *s = NULL;
	struct tela_image *i = build(&desc, NULL, 0, &s);

	(void)state;
	assert_non_null(i);
	assert_string_equal(walk(i, 1), "-");
	tela_image_free(i);
	service_free(s);
	s = NULL;
	i = build(&empty, NULL, 0, &s);
	assert_non_null(i);
	assert_null(image_method(i, 0));
	assert_null(image_method(i, 1));
	tela_image_free(i);
	service_free(s);
}

static void test_leave_up_to_the_last_entered(void **state)
{
	const struct tela_link links[] = {{NULL, &desc, 1, enter, leave},
		{NULL, &desc, 1, enter, leave}, {NULL, &desc, 1, enter, leave}};
	struct tela_service *s = NULL;
	struct tela_image *i = build(&desc, links, 3, &s);
	const struct chain *c = image_method(i, 1);

	(void)state;
	for (uint32_t last = 0; last < 3; last++) {
		trace[0] = 0;
		chain_leave(c, last, NULL);
		assert_string_equal(trace, last == 0 ? "A" : last == 1 ? "BA" : "CBA");
	}
	trace[0] = 0; /* resumed behind a link that was pending */
	assert_int_equal(chain_walk(c, 2, NULL, &(enum tela_verdict){TELA_ANSWER}), 3);
	assert_string_equal(trace, "c");
	tela_image_free(i);
	service_free(s);
}

static void test_generations_and_counts(void **state)
{
	struct tela_service *s = NULL;
	struct tela_image *a = build(&desc, NULL, 0, &s), *b = build(&desc, NULL, 0, &s);

	(void)state;
	assert_int_equal(tela_image_generation(a), 0);
	assert_null(image_swap(s, b));
	assert_ptr_equal(image_swap(s, a), b);
	assert_ptr_equal(image_swap(s, NULL), a);
	assert_int_equal(tela_image_generation(b), 1);
	assert_int_equal(tela_image_generation(a), 2);
	for (unsigned core = 0; core < 2; core++) {
		assert_int_equal((uintptr_t)&a->core[core] % CACHE_LINE, 0);
		image_count_call(a, core);
		image_count_call(a, core);
		image_pin_add(a, core, 1);
	}
	assert_int_equal(tela_image_calls(a), 4);
	assert_int_equal(tela_image_calls(b), 0);
	assert_int_equal(image_pins(a), 2);
	image_pin_add(a, 1, -1);
	image_pin_add(a, 0, -1);
	assert_int_equal(image_pins(a), 0);
	tela_image_free(a);
	tela_image_free(b);
	service_free(s);
}

/* ---- what is refused ---- */

static void test_schema(void **state)
{
	static const struct {
		const struct tela_service_desc *d;
		bool taken;
	} cases[] = {{&desc, true}, {&older, true}, {&newer, true}, {&stranger, false}};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		const struct tela_link link = {NULL, cases[k].d, 1, answer, NULL};
		struct tela_service *s = NULL;
		struct tela_image *i = build(&desc, &link, 1, &s);

		assert_int_equal(i != NULL, cases[k].taken);
		if (i)
			assert_string_equal(walk(i, 1), "a");
		else
			assert_non_null(strstr(err, "another schema"));
		tela_image_free(i);
		service_free(s);
	}
}

static void test_refused(void **state)
{
	static const struct {
		struct tela_link link;
		const char *says;
	} cases[] = {
		{{NULL, &desc, 3, answer, NULL}, "no method 3"},
		{{NULL, &desc, 0, answer, NULL}, "no method 0"},
		{{NULL, &desc, 1, NULL, NULL}, "neither enter nor leave"},
		{{"request_off", NULL, 0, answer, NULL}, "request_off"},
		{{TELA_REQUEST_OUT, NULL, 0, answer, leave}, "no leave hook"},
		{{TELA_REQUEST_OUT, NULL, 0, answer, NULL, true}, "does not block"},
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		struct tela_service *s = NULL;

		assert_null(build(&desc, &cases[k].link, 1, &s));
		assert_non_null(strstr(err, cases[k].says));
		assert_int_equal(s->generation, 0); /* a refused one is no generation */
		service_free(s);
	}
}

static void test_too_many_links(void **state)
{
	struct tela_link links[IMAGE_LINKS_MAX + 1];
	struct tela_service *s = NULL;
	struct tela_image *i;

	(void)state;
	for (uint32_t k = 0; k < ARRAY_SIZE(links); k++)
		links[k] = (struct tela_link){NULL, &desc, 1, enter, leave};
	i = build(&desc, links, IMAGE_LINKS_MAX, &s);
	assert_non_null(i);
	assert_int_equal(strlen(walk(i, 1)), 2 * IMAGE_LINKS_MAX + 1);
	tela_image_free(i);
	assert_null(build(&desc, links, IMAGE_LINKS_MAX + 1, &s));
	assert_non_null(strstr(err, "more than 64"));
	service_free(s);
}

/* ---- table ---- */

static void test_table(void **state)
{
	enum { N = SERVICES_MAX };
	static struct tela_service_desc descs[N];
	static struct tela_service *services[N];
	static char names[N][16];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "s%u", i);
		descs[i] = (struct tela_service_desc){.name = names[i]};
		services[i] = service_create(NULL, &descs[i], i);
		assert_non_null(services[i]);
	}
	for (uint32_t n = 0; n <= N; n += n < 20 ? 1 : 59) {
		struct service_table *t = service_table_build(services, n);

		assert_non_null(t);
		assert_true(t->mask + 1 >= 2 * n); /* a search ends */
		for (uint32_t i = 0; i < N; i++)
			assert_ptr_equal(service_table_find(t, names[i], strlen(names[i])),
				i < n ? services[i] : NULL);
		assert_null(service_table_find(t, "", 0));
		assert_null(service_table_find(t, "s12345", 6));
		service_table_free(t);
	}
	for (uint32_t i = 0; i < N; i++)
		service_free(services[i]);
	service_table_free(NULL);
}

/* A name that another one begins with is another one; bytes, not strings. */
static void test_table_names(void **state)
{
	static const struct tela_service_desc d = {.name = "echo.Echo"};
	struct tela_service *s = service_create(NULL, &d, 0);
	struct service_table *t = service_table_build(&s, 1);

	(void)state;
	assert_ptr_equal(service_table_find(t, "echo.Echo2", 9), s);
	assert_null(service_table_find(t, "echo.Echo", 8));
	assert_null(service_table_find(t, "echo.Echo\0", 10));
	assert_null(service_table_find(t, "Echo.Echo", 9));
	service_table_free(t);
	service_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_no_links),
		cmocka_unit_test(test_leave_up_to_the_last_entered),
		cmocka_unit_test(test_generations_and_counts),
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_many_links),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
