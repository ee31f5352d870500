#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- the service under test: counts executions by the id in the first 8 bytes ---- */

uint8_t executions[IDS];
struct tela_handle parked[64];
uint32_t n_parked;
uint32_t n_left;
uint64_t ran_until_ns; /* deadline of the call that ran last, as its handler sees it */

static void note(struct tela_call *call)
{
	uint64_t id;

	assert_true(call->request_len >= 8);
	memcpy(&id, call->request, 8);
	assert_true(id < IDS);
	executions[id]++;
	ran_until_ns = call->deadline_ns;
}

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	return tela_reply_copy(call, call->request, call->request_len);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	assert_true(n_parked < 64);
	if (tela_call_pend(call, &parked[n_parked], NULL, NULL))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no room");
	n_parked++;
	return TELA_PENDING;
}

static enum tela_verdict refuse(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	return tela_reply_status(call, TELA_PERMISSION_DENIED, "not for you");
}

static void leave(struct tela_call *call, void *self)
{
	(void)self;
	n_left++;
	tela_reply_metadata(call, "left", "yes");
}

static int verify_8(const void *payload, size_t len)
{
	(void)payload;
	return len >= 8 ? 0 : -EBADMSG;
}

const struct tela_method_desc methods[COUNTED_METHODS] = {
	{"echo", 1, 0, 2000000, verify_8, NULL}, {"park", 2, 0, 0, verify_8, NULL},
	{"refuse", 3, 0, 0, verify_8, NULL}, {"absent", 4, 0, 0, NULL, NULL},
	{"marked", 5, 0, 0, verify_8, NULL}, {"unknown", 9, 0, 0, NULL, NULL}, /* to the service */
};
static const uint64_t earlier[] = {41};
const struct tela_service_desc desc = {"test.Test", 42, earlier, 1, 5, methods};
const struct tela_service_desc older = {"test.Test", 41, NULL, 0, 5, methods};
const struct tela_service_desc stranger = {"test.Test", 7, NULL, 0, 5, methods};
const struct tela_service_desc nobody = {"test.Nobody", 42, NULL, 0, 5, methods};

static const struct tela_link links[] = {
	{NULL, &desc, 1, echo, NULL},
	{NULL, &desc, 2, park, leave},
	{NULL, &desc, 2, echo, NULL},
	{NULL, &desc, 3, refuse, NULL},
	{NULL, &desc, 5, echo, leave},
};
const struct tela_image_link image_links[COUNTED_LINKS] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"},
	{&links[4], NULL, "test"}};

/* ---- calls ---- */

void fill(uint8_t *to, uint64_t id, size_t len)
{
	memcpy(to, &id, 8);
	for (size_t i = 8; i < len; i++)
		to[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

void done(void *arg, const struct tela_result *r)
{
	struct outcome *o = arg;
	uint64_t id;

	o->done = true;
	o->times++;
	o->code = r->code;
	o->outcome = r->outcome;
	o->left = tela_result_metadata(r, "left").s != NULL;
	if (r->message.s)
		snprintf(o->message, sizeof(o->message), "%.*s", (int)r->message.len, r->message.s);
	o->retry_after_us = r->retry_after_us;
	if (r->envelope && frame_Envelope_status(frame_Envelope_root(r->envelope)).p) {
		struct tela_str name =
			frame_Status_name(frame_Envelope_status(frame_Envelope_root(r->envelope)));

		snprintf(o->name, sizeof(o->name), "%.*s", (int)name.len, name.s ? name.s : "");
	}
	if (r->code || r->len != o->len)
		return;
	memcpy(&id, r->payload, 8);
	o->own_bytes = id == o->id;
	for (size_t i = 8; i < r->len; i++)
		o->own_bytes &=
			((const uint8_t *)r->payload)[i] == (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

struct tela_str tela_result_metadata(const struct tela_result *r, const char *key)
{
	frame_Envelope_t none = {NULL};

	return envelope_metadata(r->envelope ? frame_Envelope_root(r->envelope) : none, key);
}

int start(struct pair *p, uint32_t session, unsigned method, uint64_t id, size_t len,
	struct outcome *o, const struct tela_options *options)
{
	struct pair_end *e = &p->end[0];
	struct tela_request r;
	int rc = caller_begin(&e->m, &e->sessions[session], &methods[method - 1], len, options, &r);

	*o = (struct outcome){.id = id, .len = len};
	if (rc)
		return rc;
	fill(r.payload, id, len);
	return caller_send(&e->m, r.slot, done, o);
}

struct outcome call(struct pair *p, unsigned method, uint64_t id, size_t len,
	const struct tela_options *options)
{
	struct outcome o;

	assert_int_equal(start(p, 0, method, id, len, &o, options), 0);
	for (int i = 0; i < 2000000 && !o.done; i++)
		pair_pass(p);
	assert_true(o.done);
	return o;
}

struct pair *pair_new(uint64_t seed, uint32_t sessions)
{
	static struct pair p;
	static const struct tela_budgets small = {.paths = 8,
		.sessions = 16,
		.slots = 1024,
		.slots_per_session = 64,
		.calls = 256,
		.detached = 16,
		.messages_2k = 64,
		.messages_64k = 8,
		.messages_1m = 8,
		.in_flight = 1024};

	memset(executions, 0, sizeof(executions));
	n_parked = n_left = 0;
	pair_init(&p, seed, &desc, image_links, ARRAY_SIZE(image_links), &small);
	pair_connect(&p, &desc, sessions);
	return &p;
}

/* Both ends hold nothing but what they were made with. */
void assert_quiet(struct pair *p)
{
	const struct machine *m = &p->end[0].m;

	assert_int_equal(m->n_made, 0);
	assert_int_equal(p->end[1].m.n_calls_busy, 0);
	for (int i = 0; i < 2; i++) {
		m = &p->end[i].m;
		assert_int_equal(m->n_bulks, 0);
		for (int c = 0; i == 0 && c < MSG_CLASSES; c++)
			assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	}
}
