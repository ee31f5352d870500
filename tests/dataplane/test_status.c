/* Statuses from a handler to its caller, over two machines and a wire: kinds, registration and
 * overriding, what nobody registered, data and metadata, limits, and what reads a status that came
 * without a name. */
#include "pair.h"
#include "report.h"
#include "status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- the service: answers what the test has set ---- */

enum how { WITH, OK, CREATED, CREATED_DATA, PLAIN, AFTER_REPLY, MANY_METADATA, LATER };

static enum how how;
static struct tela_status answer;
static char big[2000];
static struct tela_handle held; /* of LATER */

static enum tela_verdict handle(struct tela_call *call, void *self)
{
	(void)self;
	switch (how) {
	case WITH:
		return tela_reply_with(call, &answer);
	case OK:
		return tela_reply_ok(call);
	case CREATED:
		return tela_reply_created(call);
	case CREATED_DATA:
		tela_reply_copy(call, "12345678", 8);
		return tela_reply_created(call);
	case PLAIN:
		return tela_reply_status(call, TELA_NOT_FOUND, "no such thing");
	case AFTER_REPLY:
		tela_reply_error(call, "not_found", NULL);
		return tela_reply_copy(call, "12345678", 8);
	case MANY_METADATA:
		for (int i = 0; i < 6; i++)
			assert_int_equal(tela_reply_metadata(call, "key",
						 "0123456789012345678901234567890123456789"),
				0);
		return tela_reply_with(call, &answer);
	case LATER:
		assert_int_equal(tela_call_pend(call, &held, NULL, NULL), 0);
		return TELA_PENDING;
	}
	return TELA_CONTINUE;
}

/* A typed method's verifier: nothing is no message. */
static int verify(const void *payload, size_t len)
{
	(void)payload;
	return len == 8 ? 0 : -EBADMSG;
}

static const struct tela_method_desc methods[] = {{"do", 1, 0, 2000000, NULL, verify}};
static const struct tela_service_desc desc = {"test.Test", 42, NULL, 0, 1, methods};

static const struct tela_status_def own[] = {
	{"insufficient_stock", 422, TELA_FAILED_PRECONDITION, "not enough of it"},
	{"not_found", 410, TELA_NOT_FOUND, "it was here"}, /* overrides */
	{"nameless", 299, TELA_OK, NULL},
};
static const struct tela_status_def below[] = {
	{"insufficient_stock", 400, TELA_ABORTED, "never used"},
	{"only_below", 418, TELA_ABORTED, "short and stout"},
};

static void seen(struct tela_call *call, const struct tela_status_view *s, void *self)
{
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)s->name.len, s->name.s);
	assert_int_equal(tela_reply_metadata(call, self, name), 0);
}

static const struct tela_link links[] = {
	{.service = &desc, .method = 1, .enter = handle},
	{.callback = TELA_STATUS, .statuses = own, .n_statuses = 3},
	{.callback = TELA_STATUS, .statuses = below, .n_statuses = 2, .status = seen},
};

static char metadata_key[] = "seen";
static const struct tela_image_link image[] = {
	{&links[0], NULL, "test"}, {&links[1], NULL, "test"}, {&links[2], metadata_key, "below"}};

/* ---- a call and what it brought ---- */

static struct pair p;
static struct {
	uint32_t times;
	char name[64], info[256], data[600], metadata[64], hidden[1200];
	uint16_t http;
	uint8_t code, kind;
	uint32_t retry_after_us, n_data;
	size_t len;
	bool payload;
} got;

static void copy(char *to, size_t room, struct tela_str s)
{
	snprintf(to, room, "%.*s", (int)s.len, s.s ? s.s : "");
}

static void done(void *arg, const struct tela_result *r)
{
	struct tela_status_view v;
	struct tela_str key, value;

	(void)arg;
	tela_result_status(r, &v);
	got.times++;
	got.http = v.http;
	got.code = v.code;
	got.kind = v.kind;
	got.retry_after_us = v.retry_after_us;
	got.len = r->len;
	got.payload = r->payload != NULL;
	copy(got.name, sizeof(got.name), v.name);
	copy(got.info, sizeof(got.info), v.info);
	copy(got.data, sizeof(got.data), tela_status_data(&v, "available"));
	while (tela_status_data_at(&v, got.n_data, &key, &value))
		got.n_data++;
	for (uint32_t i = 0; tela_status_metadata_at(&v, i, &key, &value); i++)
		if (key.len == 4 && !memcmp(key.s, "seen", 4))
			copy(got.metadata, sizeof(got.metadata), value);
	assert_int_equal(r->outcome, TELA_EXECUTED);
}

static void hidden(void *arg, const struct tela_report *r)
{
	(void)arg;
	assert_int_equal(r->kind, TELA_REPORT_STATUS);
	snprintf(got.hidden, sizeof(got.hidden), "%s.%s: %s", r->service, r->method, r->text);
}

static void begin(enum how h)
{
	struct pair_end *e = &p.end[0];
	struct tela_request r;

	how = h;
	memset(&got, 0, sizeof(got));
	memset(&held, 0, sizeof(held));
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8, NULL, &r), 0);
	memset(r.payload, 0, 8);
	caller_send(&e->m, r.slot, done, NULL);
}

static void call(enum how h)
{
	begin(h);
	for (int i = 0; i < 3000000 && !got.times; i++)
		pair_pass(&p);
	assert_int_equal(got.times, 1);
	report_drain(p.end[1].m.reports, 0, hidden, NULL);
}

static void call_with(struct tela_status s)
{
	answer = s;
	call(WITH);
}

static void assert_status(
	uint8_t code, uint8_t kind, uint16_t http, const char *name, const char *info)
{
	assert_string_equal(got.name, name);
	assert_int_equal(got.code, code);
	assert_int_equal(got.kind, kind);
	assert_int_equal(got.http, http);
	assert_string_equal(got.info, info);
}

/* ---- tests ---- */

static void test_kinds(void **state)
{
	(void)state;
	call(OK);
	assert_status(TELA_OK, TELA_KIND_OK, 200, "ok", "");
	assert_false(got.payload);
	call(CREATED);
	assert_status(TELA_OK, TELA_KIND_CREATED, 201, "created", "");
	assert_false(got.payload);
	call(CREATED_DATA);
	assert_status(TELA_OK, TELA_KIND_CREATED, 201, "created", "");
	assert_int_equal(got.len, 8);
	call_with((struct tela_status){.name = "not_allowed", .kind = TELA_KIND_STATUS});
	assert_status(
		TELA_FAILED_PRECONDITION, TELA_KIND_STATUS, 409, "not_allowed", "Not allowed");
	call(PLAIN);
	assert_status(TELA_NOT_FOUND, TELA_KIND_ERROR, 404, "not_found", "no such thing");
	call(AFTER_REPLY); /* a reply takes a status back */
	assert_status(TELA_OK, TELA_KIND_OK, 200, "ok", "");
	assert_int_equal(got.len, 8);
}

/* A call that was pending, with data and without. */
static void test_created_later(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 8; len += 8) {
		begin(LATER);
		for (int i = 0; i < 1000 && !held.generation; i++)
			pair_pass(&p);
		assert_int_equal(call_resume_created(&p.end[1].m, held, "12345678", len), 0);
		assert_int_equal(call_resume_created(&p.end[1].m, held, "", 0), -ESTALE);
		for (int i = 0; i < 1000 && !got.times; i++)
			pair_pass(&p);
		assert_status(TELA_OK, TELA_KIND_CREATED, 201, "created", "");
		assert_int_equal(got.len, len);
		assert_int_equal(got.payload, len != 0);
	}
}

static void test_registered(void **state)
{
	const struct tela_pair data[] = {{"available", "2"}, {"wanted", "3"}};

	(void)state;
	call_with((struct tela_status){.name = "insufficient_stock",
		.kind = TELA_KIND_STATUS,
		.data = data,
		.n_data = 2,
		.retry_after_us = 77});
	assert_status(TELA_FAILED_PRECONDITION, TELA_KIND_STATUS, 422, "insufficient_stock",
		"not enough of it");
	assert_string_equal(got.data, "2");
	assert_int_equal(got.n_data, 2);
	assert_int_equal(got.retry_after_us, 77);
	assert_string_equal(got.metadata, "insufficient_stock");
	call_with((struct tela_status){.name = "not_found"}); /* the service's, not the node's */
	assert_status(TELA_NOT_FOUND, TELA_KIND_ERROR, 410, "not_found", "it was here");
	call_with((struct tela_status){.name = "only_below", .info = "tip me over"});
	assert_status(TELA_ABORTED, TELA_KIND_ERROR, 418, "only_below", "tip me over");
	call_with((struct tela_status){.name = "nameless"});
	assert_status(TELA_OK, TELA_KIND_ERROR, 299, "nameless", "nameless");
	assert_int_equal(got.retry_after_us, 0); /* not the one before */
}

static void test_known(void **state)
{
	static const char *const wanted[] = {"ok", "created", "service_not_available",
		"internal_error", "timeout", "not_found", "validation_failed", "unauthorized",
		"forbidden", "bad_request", "invalid_parameters", "parameter_missing", "conflict",
		"not_allowed", "method_not_allowed", "gone", "unprocessable", "rate_limited",
		"overloaded", "cancelled", "not_implemented"};
	const struct tela_status_def *d;
	uint32_t n;

	(void)state;
	d = tela_status_known(&n);
	for (uint32_t i = 1; i < n; i++)
		assert_true(strcmp(d[i - 1].name, d[i].name) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		uint64_t was = count_read(&p.end[1].counts, count_statuses_hidden);

		call_with((struct tela_status){.name = wanted[i]});
		assert_string_equal(got.name, wanted[i]);
		assert_int_equal(count_read(&p.end[1].counts, count_statuses_hidden), was);
	}
}

static void test_hidden(void **state)
{
	const struct tela_pair data[] = {{"path", "/etc/larder"}};
	unsigned long number;
	char want[300];

	(void)state;
	call_with((struct tela_status){
		.name = "out_of_cheese", .info = "the mice were here", .data = data, .n_data = 1});
	assert_string_equal(got.name, "internal_error");
	assert_int_equal(got.code, TELA_INTERNAL);
	assert_int_equal(got.http, 500);
	assert_int_equal(got.n_data, 0);
	assert_int_equal(sscanf(got.info, "Internal reference %lu", &number), 1);
	snprintf(want, sizeof(want),
		"test.Test.do: Internal reference %lu: out_of_cheese: the mice were here, "
		"path=/etc/larder",
		number);
	assert_string_equal(got.hidden, want);
	assert_string_equal(got.metadata, "internal_error");
}

static void test_limits(void **state)
{
	struct tela_pair data[40];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = (struct tela_pair){"k", "v"};
	data[0].value = big; /* fits nowhere: left out */
	call_with((struct tela_status){
		.name = "conflict", .info = big, .data = data, .n_data = ARRAY_SIZE(data)});
	assert_string_equal(got.name, "conflict");
	assert_int_equal(strlen(got.info), TELA_STATUS_INFO_MAX);
	/* More pairs than an envelope holds beside the sentence: the status itself arrives. */
	assert_true(got.n_data <= STATUS_DATA_MAX);
	call_with((struct tela_status){.name = big, .info = big, .data = data, .n_data = 40});
	assert_string_equal(got.name, "internal_error");
	assert_true(strlen(got.hidden) <= REPORT_TEXT_MAX + 20);
	data[0] = (struct tela_pair){"available",
		"0123456789012345678901234567890123456789012345678901234567890123456789"};
	data[1] = data[2] = data[3] = data[0];
	answer = (struct tela_status){.name = "conflict", .info = big, .data = data, .n_data = 4};
	call(MANY_METADATA); /* beside the metadata there is no room for data */
	assert_string_equal(got.name, "conflict");
	assert_int_equal(strlen(got.info), TELA_STATUS_INFO_MAX);
	assert_string_equal(got.metadata, "conflict");
}

static void test_full_ring(void **state)
{
	uint64_t lost = count_read(&p.end[1].counts, count_reports_lost);

	(void)state;
	while (report_put(p.end[1].m.reports, TELA_REPORT_STATUS, "", "", big, 1))
		;
	call_with((struct tela_status){.name = "out_of_cheese"});
	assert_string_equal(got.name, "internal_error");
	assert_int_equal(count_read(&p.end[1].counts, count_reports_lost), lost + 1);
}

static void test_bad_registrations(void **state)
{
	static const struct {
		struct tela_status_def def;
		const char *says;
	} cases[] = {
		{{"Upper", 400, 3, NULL}, "plugin test registers a status named \"Upper\""},
		{{"", 400, 3, NULL}, "named \"\""},
		{{"a", 99, 3, NULL}, "HTTP code 99"},
		{{"a", 600, 3, NULL}, "HTTP code 600"},
		{{"a", 400, 17, NULL}, "gRPC code 17"},
	};
	struct tela_service *s = service_create(NULL, &desc, 0);
	static struct tela_status_def many[IMAGE_STATUSES_MAX + 1];
	struct tela_link l = {.callback = TELA_STATUS, .n_statuses = 1};
	const struct tela_image_link il = {&l, NULL, "test"};
	char err[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		l.statuses = &cases[i].def;
		assert_null(image_build(s, 1, &il, 1, err, sizeof(err)));
		assert_non_null(strstr(err, cases[i].says));
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = own[0];
	l.statuses = many;
	l.n_statuses = ARRAY_SIZE(many);
	assert_null(image_build(s, 1, &il, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "more than 256 statuses"));
	l = (struct tela_link){.callback = TELA_STATUS};
	assert_null(image_build(s, 1, &il, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "neither statuses nor a hook"));
	l.enter = handle;
	assert_null(image_build(s, 1, &il, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "neither entered nor left"));
	service_free(s);
}

static void test_to_another_thread(void **state)
{
	const struct tela_pair data[] = {{"a", "1"}, {"bb", ""}};
	const struct tela_status cases[] = {{.name = "n", .info = "i", .data = data, .n_data = 2},
		{.name = "n"}, {.name = "longer", .data = data, .n_data = 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = status_pack(&cases[i], NULL);
		void *packed = malloc(len), *there = malloc(len);
		const struct tela_status *s = there;

		assert_int_equal(status_pack(&cases[i], packed), len);
		memcpy(there, packed, len);
		memset(packed, 0xff, len);
		free(packed);
		status_unpack(there);
		assert_string_equal(s->name, cases[i].name);
		assert_true(!s->info == !cases[i].info);
		assert_int_equal(s->n_data, cases[i].n_data);
		for (uint32_t k = 0; k < s->n_data; k++) {
			assert_string_equal(s->data[k].key, data[k].key);
			assert_string_equal(s->data[k].value, data[k].value);
		}
		free(there);
	}
}

static int setup(void **state)
{
	(void)state;
	pair_init(&p, 1, &desc, image, ARRAY_SIZE(image), NULL);
	pair_connect(&p, &desc, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pair_fini(&p);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_created_later),
		cmocka_unit_test(test_registered),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_bad_registrations),
		cmocka_unit_test(test_to_another_thread),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
