/* validate.c - refuses requests that their schema, or an operator, does not allow, before a handler
 * sees them. A schema's verifier has seen to their form by then; this looks at what they say.
 *
 * Hooks:   request_in, enter.
 * Answers: validation_failed, with the field and a sentence.
 */
#include "svc.h"
#include "validate_check.h"

enum { BYTES_MAX = 16 << 20 };

/* Each may be checked, or be any. */
enum { FIRST };
static const char *const enums[] = {"known", "any", NULL};
static const char *const texts[] = {"utf8", "any", NULL};
static const char *const numbers[] = {"finite", "any", NULL};

struct options {
	const char *rules;
	uint32_t enums, text, numbers, max_bytes;
};

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

static int make(struct tela_hook *h, struct validate *v)
{
	const struct options *given = h->values;
	const struct validate_options o = {.rules = given->rules,
		.enums = given->enums == FIRST,
		.text = given->text == FIRST,
		.finite = given->numbers == FIRST};
	char why[200] = "no memory";
	int rc = validator_make(&v->validator, h->schema, &o, why, sizeof(why));

	v->max_bytes = given->max_bytes;
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

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, rules,
		.help = "TABLE.FIELD=MIN..MAX (of a number, or the length of a string or vector; "
			"either end may be left out) or TABLE.FIELD=required, with ; between, "
			"wherever a request has that table"),
	TELA_CONFIG_AS(WORD, struct options, enums, .words = enums, .fallback = "known",
		.help = "whether the schema must have values, flags and types of unions"),
	TELA_CONFIG_AS(WORD, struct options, text, .words = texts, .fallback = "utf8",
		.help = "whether strings must be UTF-8, as FlatBuffers has it"),
	TELA_CONFIG_AS(WORD, struct options, numbers, .words = numbers, .fallback = "finite",
		.help = "whether they may not be infinite or NaN"),
	TELA_CONFIG(struct options, max_bytes, .min = 1, .max = BYTES_MAX, .unit = "bytes",
		.fallback = "16777216", .help = "largest request payload"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin validate_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "validate",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(validate_plugin);
