/* validate.c - refuses requests that their schema, or an operator, does not allow, before a handler
 * sees them. A schema's verifier has seen to their form by then; this looks at what they say.
 *
 * Hooks:   request_in, enter.
 * Answers: validation_failed, with the field and a sentence.
 * Options: rules      TABLE.FIELD=MIN..MAX: the range of a number, the length of a string or
 * vector, either end may be left out; TABLE.FIELD=required: it must be there. With ; between them.
 * A rule holds wherever a request of the service has that table enums      known: values, flags and
 * types of unions that the schema has; or any text       utf8: strings are UTF-8, as FlatBuffers
 * has it; or any numbers    finite: neither infinite nor NaN; or any max_bytes  largest request
 * payload, 1 to 16777216, which is also the default
 */
#include "svc.h"
#include "validate_check.h"

enum { BYTES_MAX = 16 << 20 };

struct validate {
	struct validator *validator;
	uint32_t max_bytes, n_cores;
	struct svc_count *refused;
};

/* ---- on a data core ---- */

static size_t put(char *to, size_t room, const char *s)
{
	size_t n = strnlen(s, room - 1);

	memcpy(to, s, n);
	to[n] = 0;
	return n;
}

static __attribute__((cold, noinline)) enum tela_verdict refuse(
	struct validate *v, struct tela_call *call, const struct validate_fault *f)
{
	char info[TELA_STATUS_INFO_MAX + 1];
	struct tela_pair data[] = {{"field", f->field}, {"table", f->table}};
	struct tela_status s = {
		.name = "validation_failed", .info = info, .n_data = 2, .data = data};
	size_t n = put(info, 80, f->table);

	n += put(info + n, 2, ".");
	n += put(info + n, 80, f->field);
	n += put(info + n, 2, " ");
	put(info + n, sizeof(info) - n, f->why);
	svc_count_up(svc_count_of(v->refused, call));
	return tela_reply_with(call, &s);
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct validate *v = self;
	struct validate_fault fault;

	if (unlikely(call->request_len > v->max_bytes))
		fault = (struct validate_fault){
			"request", "bytes", "are more than this service takes"};
	else if (unlikely(!call->request) || /* in segments: bytes, and no fields */
		 likely(validator_check(
			 v->validator, call->method->id, call->request, call->request_len, &fault)))
		return TELA_CONTINUE;
	return refuse(v, call, &fault);
}

/* ---- hooks ---- */

/* Whether an option has its first word, which is also the default. */
static int choice(struct tela_hook *h, const char *key, const char *first, int *rc)
{
	const char *value = tela_config_str(h->config, key, first);

	if (strcmp(value, first) && strcmp(value, "any"))
		*rc = svc_fail(
			h, -EINVAL, "%s: expected %s or any, found \"%s\"", key, first, value);
	return !strcmp(value, first);
}

static int make(struct tela_hook *h, struct validate *v)
{
	int64_t max_bytes = BYTES_MAX;
	int rc = svc_option_int(h, "max_bytes", BYTES_MAX, 1, BYTES_MAX, &max_bytes);
	struct validate_options o = {.rules = tela_config_str(h->config, "rules", "")};
	char why[200] = "no memory";

	if (!rc)
		o.enums = choice(h, "enums", "known", &rc);
	if (!rc)
		o.text = choice(h, "text", "utf8", &rc);
	if (!rc)
		o.finite = choice(h, "numbers", "finite", &rc);
	if (rc)
		return rc;
	v->max_bytes = (uint32_t)max_bytes;
	rc = validator_make(&v->validator, h->schema, &o, why, sizeof(why));
	return rc ? svc_fail(h, rc, "rules: %s", why) : 0;
}

static int config(struct tela_hook *h)
{
	struct validate v = {0};
	int rc = make(h, &v);

	validator_free(v.validator);
	return rc;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct validate *v = calloc(1, sizeof(*v));
	int rc = v ? make(h, v) : svc_fail(h, -ENOMEM, "no memory");

	if (!rc) {
		v->n_cores = tela_node_n_cores(h->node);
		v->refused = svc_counts_create(v->n_cores);
		rc = v->refused ? 0 : svc_fail(h, -ENOMEM, "no memory");
	}
	if (!rc) {
		*ret_self = v;
		return 0;
	}
	if (v)
		validator_free(v->validator);
	free(v);
	return rc;
}

static void stop(struct tela_hook *h)
{
	struct validate *v = h->self;

	validator_free(v->validator);
	free(v->refused);
	free(v);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct validate *v = self;

	emit(arg, "refused", svc_counts_sum(v->refused, v->n_cores));
}

static const char *const keys[] = {"rules", "enums", "text", "numbers", "max_bytes", NULL};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin validate_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "validate",
	.version = "1.0",
	.keys = keys,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(validate_plugin);
