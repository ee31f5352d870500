#include "status.h"

#include "machine.h"
#include "report.h"
#include "say.h"
#include "status_view.h"

/* As the image's plugins have it, in call order, then as every node does. */
static const struct tela_status_def *find(const struct tela_image *image, const char *name)
{
	for (uint32_t i = 0; image && i < image->n_statuses; i++) {
		const struct tela_link *l = image->statuses[i];

		for (uint32_t k = 0; k < l->n_statuses; k++)
			if (!strcmp(l->statuses[k].name, name))
				return &l->statuses[k];
	}
	return status_known(name);
}

static int bad_def(const char *plugin, const struct tela_status_def *d, char *err, size_t err_len)
{
	if (!d->name || !*d->name || strlen(d->name) > TELA_STATUS_NAME_MAX ||
		strspn(d->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(d->name))
		return say(err, err_len, -EINVAL,
			"plugin %s registers a status named \"%.80s\": expected up to %d lower "
			"case letters, digits and _",
			plugin, d->name ? d->name : "", TELA_STATUS_NAME_MAX);
	if (d->http < 100 || d->http > 599)
		return say(err, err_len, -EINVAL,
			"plugin %s registers status %s with the HTTP code %u: expected 100 to 599",
			plugin, d->name, d->http);
	if (d->code > TELA_UNAUTHENTICATED)
		return say(err, err_len, -EINVAL,
			"plugin %s registers status %s with the gRPC code %u: expected 0 to 16",
			plugin, d->name, d->code);
	return 0;
}

int status_check(const char *plugin, const struct tela_link *l, char *err, size_t err_len)
{
	int rc = 0;

	if (l->enter || l->leave)
		return say(err, err_len, -EINVAL,
			"plugin %s: a link of the statuses can be neither entered nor left",
			plugin);
	if ((!l->n_statuses || !l->statuses) && !l->status)
		return say(err, err_len, -EINVAL,
			"plugin %s: a link of the statuses has neither statuses nor a hook",
			plugin);
	for (uint32_t i = 0; i < l->n_statuses && !rc; i++)
		rc = bad_def(plugin, &l->statuses[i], err, err_len);
	return rc;
}

/* ---- a reply's ---- */

struct kept {
	uint16_t http; /* 0: as the code implies */
	uint8_t result, n_data;
	uint16_t data_len;
	bool has_info;
	char name[TELA_STATUS_NAME_MAX + 1]; /* empty: as the code implies */
	char info[TELA_STATUS_INFO_MAX + 1];
	char data[TELA_STATUS_DATA_MAX];
};

_Static_assert(sizeof(struct kept) + ENVELOPE_MAX <= META_BYTES, "metadata stands before it");
_Static_assert((int)TELA_KIND_ERROR == frame_Result_error &&
		       (int)TELA_KIND_STATUS == frame_Result_status &&
		       (int)TELA_KIND_OK == frame_Result_ok &&
		       (int)TELA_KIND_CREATED == frame_Result_created,
	"the same on the wire");

static struct kept *kept_of(const struct call *c)
{
	return (struct kept *)(c->meta->data + META_BYTES - ALIGN8((uint32_t)sizeof(struct kept)));
}

/* Copies at most `room` - 1 bytes and a zero. */
static size_t copy_text(char *to, size_t room, const char *s)
{
	size_t n = strnlen(s, room - 1);

	memcpy(to, s, n);
	to[n] = 0;
	return n;
}

/* A fresh one for the call; NULL: no memory, and the code alone must do. */
static struct kept *keep(struct call *c)
{
	struct kept *k;

	if (!call_meta(c))
		return NULL;
	k = kept_of(c);
	*k = (struct kept){.result = frame_Result_error};
	c->has_status = true;
	return k;
}

static void keep_info(struct kept *k, const char *info)
{
	copy_text(k->info, sizeof(k->info), info);
	k->has_info = true;
}

void status_say(struct call *c, const char *message)
{
	struct kept *k = keep(c);

	if (k)
		keep_info(k, message);
}

static void keep_data(struct kept *k, const struct tela_pair *pairs, uint32_t n)
{
	for (uint32_t i = 0; i < n && k->n_data < STATUS_DATA_MAX; i++) {
		size_t key = strlen(pairs[i].key) + 1, value = strlen(pairs[i].value) + 1;

		if (k->data_len + key + value > sizeof(k->data))
			continue;
		memcpy(k->data + k->data_len, pairs[i].key, key);
		memcpy(k->data + k->data_len + key, pairs[i].value, value);
		k->data_len = (uint16_t)(k->data_len + key + value);
		k->n_data++;
	}
}

/* Decimal, without the C library: this runs on a data core. */
static size_t put_number(char *to, uint32_t v)
{
	char digits[10];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	for (size_t i = 0; i < n; i++)
		to[i] = digits[n - 1 - i];
	to[n] = 0;
	return n;
}

/* "reference 17: out_of_cheese: the larder is empty, shelf=3" */
static size_t explain(
	char text[REPORT_TEXT_MAX], const char *reference, const struct tela_status *s)
{
	size_t n = copy_text(text, 64, reference);

	n += copy_text(text + n, 3, ": ");
	n += copy_text(text + n, 128, s->name);
	if (s->info) {
		n += copy_text(text + n, 3, ": ");
		n += copy_text(text + n, 512, s->info);
	}
	for (uint32_t i = 0; i < s->n_data && n + 64 < REPORT_TEXT_MAX; i++) {
		n += copy_text(text + n, 3, ", ");
		n += copy_text(text + n, REPORT_TEXT_MAX - n, s->data[i].key);
		n += copy_text(text + n, min_u64(2, REPORT_TEXT_MAX - n), "=");
		n += copy_text(text + n, REPORT_TEXT_MAX - n, s->data[i].value);
	}
	return n;
}

/* Nobody registered it: callers learn a number, the log learns the rest. */
static void hide(struct call *c, const struct tela_status *s)
{
	struct machine *m = c->machine;
	char reference[64] = "Internal reference ", text[REPORT_TEXT_MAX];
	size_t len;

	put_number(reference + strlen(reference), (uint32_t)m->ops->random(m->io));
	count(m->counts, count_statuses_hidden);
	len = explain(text, reference, s);
	if (!report_put(m->reports, TELA_REPORT_STATUS, c->pub.service->name, c->pub.method->name,
		    text, len))
		count(m->counts, count_reports_lost);
	tela_reply_with(
		&c->pub, &(struct tela_status){.name = "internal_error", .info = reference});
}

enum tela_verdict tela_reply_with(struct tela_call *pub, const struct tela_status *s)
{
	struct call *c = call_of(pub);
	const struct tela_status_def *d = find(c->image, s->name);
	struct kept *k;

	if (!d) {
		hide(c, s);
		return TELA_ANSWER;
	}
	call_status(c, d->code, TELA_EXECUTED, NULL);
	c->retry_after_us = s->retry_after_us;
	k = keep(c);
	if (!k)
		return TELA_ANSWER;
	k->http = d->http;
	k->result = s->kind == TELA_KIND_STATUS ? frame_Result_status : frame_Result_error;
	copy_text(k->name, sizeof(k->name), d->name);
	keep_info(k, s->info ? s->info : d->info ? d->info : d->name);
	keep_data(k, s->data, s->n_data);
	return TELA_ANSWER;
}

enum tela_verdict tela_reply_error(struct tela_call *call, const char *name, const char *info)
{
	return tela_reply_with(call, &(struct tela_status){.name = name, .info = info});
}

/* The kind of a reply that went well. */
static enum tela_verdict well(struct call *c, const char *name, uint16_t http, uint8_t result)
{
	struct kept *k = keep(c);

	c->replied = true;
	if (!k) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED, NULL);
		return TELA_ANSWER;
	}
	k->http = http;
	k->result = result;
	copy_text(k->name, sizeof(k->name), name);
	return TELA_ANSWER;
}

enum tela_verdict tela_reply_created(struct tela_call *pub)
{
	struct call *c = call_of(pub);

	if (c->pub.reply_code) /* there was no room for what was created */
		return TELA_ANSWER;
	return well(c, "created", 201, frame_Result_created);
}

enum tela_verdict tela_reply_ok(struct tela_call *pub)
{
	struct call *c = call_of(pub);

	call_status(c, TELA_OK, TELA_EXECUTED, NULL);
	return well(c, "ok", 200, frame_Result_ok);
}

void pairs_of(const char *s, uint32_t n, struct frame_Pair_args *to)
{
	for (uint32_t i = 0; i < n; i++) {
		to[i].key = (struct tela_str){s, strlen(s)};
		s += to[i].key.len + 1;
		to[i].value = (struct tela_str){s, strlen(s)};
		s += to[i].value.len + 1;
	}
}

void status_args(const struct call *c, struct frame_Status_args *to, struct frame_Pair_args *data)
{
	const struct kept *k;

	to->code = c->pub.reply_code;
	to->outcome = c->outcome;
	to->retry_after_us = c->retry_after_us;
	if (!c->has_status)
		return;
	k = kept_of(c);
	to->http = k->http;
	to->result = k->result;
	if (k->name[0])
		to->name = (struct tela_str){k->name, strlen(k->name)};
	if (k->has_info)
		to->message = (struct tela_str){k->info, strlen(k->info)};
	if (k->n_data) {
		pairs_of(k->data, k->n_data, data);
		to->data = data;
		to->data_len = k->n_data;
	}
}

const char *status_name(const struct call *c)
{
	struct tela_status_view v = {.code = c->pub.reply_code};

	if (c->has_status && kept_of(c)->name[0])
		return kept_of(c)->name;
	status_imply(&v);
	return v.code ? v.name.s : "";
}

unsigned tela_reply_kind(const struct tela_call *pub)
{
	const struct call *c = call_of(pub);

	if (c->has_status)
		return kept_of(c)->result;
	return pub->reply_code ? TELA_KIND_ERROR : TELA_KIND_OK;
}

bool tela_reply_is_plain(const struct tela_call *pub)
{
	const struct call *c = call_of(pub);

	return c->reply && !call_needs_envelope(c);
}

/* ---- the hooks ---- */

void status_seen(struct call *c)
{
	struct tela_status_view v = {
		.code = c->pub.reply_code, .retry_after_us = c->retry_after_us, .info = {"", 0}};
	const struct tela_image *image = c->image;

	if (!image->n_status_hooks)
		return;
	status_imply(&v);
	if (c->has_status) {
		const struct kept *k = kept_of(c);

		v.kind = k->result;
		if (k->name[0])
			v.name = status_str(k->name);
		if (k->http)
			v.http = k->http;
		v.info = status_str(k->info);
	}
	for (uint32_t i = 0; i < image->n_status_hooks; i++)
		image->status_hooks[i].fn(&c->pub, &v, image->status_hooks[i].self);
}

/* ---- to another thread ---- */

static const char *pack_text(char **at, size_t *len, const char *s)
{
	size_t n = s ? strlen(s) + 1 : 0;
	char *to = *at;

	if (to && s) {
		memcpy(to, s, n);
		*at += n;
	}
	*len += n;
	return s ? to : NULL;
}

size_t status_pack(const struct tela_status *s, void *to)
{
	size_t fixed = sizeof(*s) + s->n_data * sizeof(*s->data), len = 0;
	struct tela_status *head = to;
	char *at = to ? (char *)to + fixed : NULL;
	const char *name = pack_text(&at, &len, s->name), *info = pack_text(&at, &len, s->info);
	struct tela_pair *pairs = to ? (struct tela_pair *)(head + 1) : NULL;

	for (uint32_t i = 0; i < s->n_data; i++) {
		const char *key = pack_text(&at, &len, s->data[i].key);
		const char *value = pack_text(&at, &len, s->data[i].value);

		if (pairs)
			pairs[i] = (struct tela_pair){key, value};
	}
	if (head) {
		*head = *s;
		head->name = name;
		head->info = info;
		head->data = pairs;
	}
	return fixed + len;
}

/* Texts stand one behind the other, in the order in which they were packed. */
static const char *unpack_text(char **at, const char *was)
{
	char *s = *at;

	if (!was)
		return NULL;
	*at += strlen(s) + 1;
	return s;
}

void status_unpack(void *packed)
{
	struct tela_status *s = packed;
	struct tela_pair *pairs = (struct tela_pair *)(s + 1);
	char *at = (char *)(pairs + s->n_data);

	s->name = unpack_text(&at, s->name);
	s->info = unpack_text(&at, s->info);
	for (uint32_t i = 0; i < s->n_data; i++) {
		pairs[i].key = unpack_text(&at, pairs[i].key);
		pairs[i].value = unpack_text(&at, pairs[i].value);
	}
	s->data = pairs;
}
