/* status_view.c - the statuses that every node knows, and how one is read from a result. */
#include "status_view.h"

#include "base.h"
#include "frame.h"

/* Sorted by name. */
static const struct tela_status_def known[] = {
	{"bad_request", 400, TELA_INVALID_ARGUMENT, "Bad request"},
	{"cancelled", 499, TELA_CANCELLED, "Cancelled"},
	{"conflict", 409, TELA_ABORTED, "Conflict"},
	{"created", 201, TELA_OK, "Created"},
	{"deleted", 200, TELA_OK, "Deleted"},
	{"field_invalid", 400, TELA_INVALID_ARGUMENT, "Invalid field"},
	{"field_missing", 400, TELA_INVALID_ARGUMENT, "Missing field"},
	{"field_unknown", 400, TELA_INVALID_ARGUMENT, "Unknown field"},
	{"forbidden", 403, TELA_PERMISSION_DENIED, "Forbidden"},
	{"gone", 410, TELA_NOT_FOUND, "Gone"},
	{"internal_error", 500, TELA_INTERNAL, "Internal error"},
	{"invalid_parameters", 400, TELA_INVALID_ARGUMENT, "Invalid parameters"},
	{"method_not_allowed", 405, TELA_UNIMPLEMENTED, "Method not allowed"},
	{"not_allowed", 409, TELA_FAILED_PRECONDITION, "Not allowed"},
	{"not_found", 404, TELA_NOT_FOUND, "Not found"},
	{"not_implemented", 501, TELA_UNIMPLEMENTED, "Not implemented"},
	{"ok", 200, TELA_OK, "Ok"},
	{"overloaded", 503, TELA_RESOURCE_EXHAUSTED, "Overloaded"},
	{"parameter_invalid", 400, TELA_INVALID_ARGUMENT, "Invalid parameter"},
	{"parameter_missing", 400, TELA_INVALID_ARGUMENT, "Missing parameter"},
	{"rate_limited", 429, TELA_RESOURCE_EXHAUSTED, "Too many requests"},
	{"service_not_available", 503, TELA_UNAVAILABLE, "Service not available"},
	{"service_not_found", 409, TELA_FAILED_PRECONDITION, "Service not found"},
	{"timeout", 408, TELA_DEADLINE_EXCEEDED, "Timeout"},
	{"token_expired", 400, TELA_UNAUTHENTICATED, "Token is expired"},
	{"token_invalid", 400, TELA_UNAUTHENTICATED, "Token is invalid"},
	{"unauthorized", 401, TELA_UNAUTHENTICATED, "Unauthorized"},
	{"unprocessable", 422, TELA_FAILED_PRECONDITION, "Unprocessable"},
	{"validation_failed", 400, TELA_INVALID_ARGUMENT, "Validation failed"},
};

/* What a code means that came without a name: the transport's, or tela_reply_status(). */
static const char *const implied[] = {"ok", "cancelled", "internal_error", "bad_request", "timeout",
	"not_found", "conflict", "forbidden", "overloaded", "unprocessable", "conflict",
	"invalid_parameters", "not_implemented", "internal_error", "service_not_available",
	"internal_error", "unauthorized"};

_Static_assert(ARRAY_SIZE(implied) == TELA_UNAUTHENTICATED + 1, "one for each code");

const struct tela_status_def *tela_status_known(uint32_t *ret_n)
{
	*ret_n = ARRAY_SIZE(known);
	return known;
}

const char *tela_kind_name(unsigned kind)
{
	static const char *const name[] = {"error", "status", "ok", "created"};

	return kind < ARRAY_SIZE(name) ? name[kind] : "?";
}

const char *tela_code_name(unsigned code)
{
	static const char *const name[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

	return code < ARRAY_SIZE(name) ? name[code] : "?";
}

const char *tela_outcome_name(unsigned outcome)
{
	static const char *const name[] = {"executed", "not executed", "maybe executed"};

	return outcome < ARRAY_SIZE(name) ? name[outcome] : "?";
}

const struct tela_status_def *status_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].name, name))
			return &known[i];
	return NULL;
}

void status_imply(struct tela_status_view *v)
{
	const struct tela_status_def *d =
		status_known(implied[v->code <= TELA_UNAUTHENTICATED ? v->code : TELA_UNKNOWN]);

	v->name = status_str(d->name);
	v->http = d->http;
	v->kind = v->code ? TELA_KIND_ERROR : TELA_KIND_OK;
}

static void view(struct tela_status_view *v, const void *envelope, struct tela_str message)
{
	frame_Status_t s = {NULL};

	v->info = message.s ? message : (struct tela_str){"", 0};
	v->envelope = envelope;
	status_imply(v);
	if (envelope)
		s = frame_Envelope_status(frame_Envelope_root(envelope));
	if (!s.p || frame_Status_code(s) != v->code)
		return;
	v->kind = min_u32(frame_Status_result(s), TELA_KIND_CREATED);
	if (frame_Status_name(s).len)
		v->name = frame_Status_name(s);
	if (frame_Status_http(s))
		v->http = frame_Status_http(s);
}

void tela_result_status(const struct tela_result *r, struct tela_status_view *ret)
{
	*ret = (struct tela_status_view){.code = r->code, .retry_after_us = r->retry_after_us};
	view(ret, r->envelope, r->message);
}

void tela_thread_status(const struct tela_reply *r, struct tela_status_view *ret)
{
	*ret = (struct tela_status_view){.code = r->code, .retry_after_us = r->retry_after_us};
	view(ret, r->envelope_len ? r->envelope : NULL, status_str(r->message));
}

static bool pair_of(frame_Pair_t p, struct tela_str *ret_key, struct tela_str *ret_value)
{
	*ret_key = frame_Pair_key(p);
	*ret_value = frame_Pair_value(p);
	if (!ret_value->s)
		*ret_value = (struct tela_str){"", 0};
	return true;
}

bool tela_status_data_at(const struct tela_status_view *s, uint32_t i, struct tela_str *ret_key,
	struct tela_str *ret_value)
{
	frame_Status_t status = {NULL};

	if (s->envelope)
		status = frame_Envelope_status(frame_Envelope_root(s->envelope));
	if (!status.p || i >= frame_Status_data_len(status))
		return false;
	return pair_of(frame_Status_data_at(status, i), ret_key, ret_value);
}

bool tela_status_metadata_at(const struct tela_status_view *s, uint32_t i, struct tela_str *ret_key,
	struct tela_str *ret_value)
{
	frame_Envelope_t e;

	if (!s->envelope)
		return false;
	e = frame_Envelope_root(s->envelope);
	if (i >= frame_Envelope_metadata_len(e))
		return false;
	return pair_of(frame_Envelope_metadata_at(e, i), ret_key, ret_value);
}

struct tela_str tela_status_data(const struct tela_status_view *s, const char *key)
{
	struct tela_str k, v;

	for (uint32_t i = 0; tela_status_data_at(s, i, &k, &v); i++)
		if (k.len == strlen(key) && !memcmp(k.s, key, k.len))
			return v;
	return (struct tela_str){NULL, 0};
}
