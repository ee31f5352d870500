/* cmd_call.c - one call with a payload of bytes, for people and scripts.
 *
 * Either the service's description is known here - it runs here, or a plugin that is linked in or
 * loaded serves it - and the payload is verified; or the caller says what matters of it, having
 * asked reflection, and only the callee verifies. */
#include "outcall.h"
#include "command.h"
#include "dial.h"
#include "traces.h"

#include "../dataplane/tela_mesh.h"
#include "../dataplane/tela_trace.h"

#include <ctype.h>

enum { METADATA_MAX = 16 };

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

struct call_request {
	struct outcall call;
	struct tela_pair metadata[METADATA_MAX]; /* of the request, which outlives the call */
	struct tela_context context;             /* with trace= */
	struct request *request;
};

static const struct tela_method_desc *find_method(
	const struct tela_service_desc *d, const char *name)
{
	for (uint32_t i = 0; i < d->n_methods; i++)
		if (!strcmp(d->methods[i].name, name))
			return &d->methods[i];
	for (uint32_t i = 0; i < d->n_methods && isdigit((unsigned char)*name); i++)
		if (d->methods[i].id == strtoul(name, NULL, 10))
			return &d->methods[i];
	return NULL;
}

static json_t *text_json(struct tela_str s)
{
	json_t *text = json_stringn(s.s, s.len);

	return text ? text : json_string("?"); /* not UTF-8 */
}

static json_t *pairs_json(const struct tela_status_view *s,
	bool (*at)(const struct tela_status_view *s, uint32_t i, struct tela_str *ret_key,
		struct tela_str *ret_value))
{
	json_t *pairs = json_object();
	struct tela_str key, value;
	char name[256];

	for (uint32_t i = 0; at(s, i, &key, &value); i++) {
		snprintf(name, sizeof(name), "%.*s", (int)key.len, key.s);
		json_object_set_new(pairs, name, text_json(value));
	}
	return pairs;
}

/* What the call ended with, beside code and message. */
static void add_status(json_t *to, const struct tela_reply *reply)
{
	struct tela_status_view s;
	json_t *data, *metadata;

	tela_thread_status(reply, &s);
	data = pairs_json(&s, tela_status_data_at);
	metadata = pairs_json(&s, tela_status_metadata_at);
	json_object_set_new(to, "result", json_string(tela_kind_name(s.kind)));
	json_object_set_new(to, "name", text_json(s.name));
	json_object_set_new(to, "http", json_integer(s.http));
	if (s.retry_after_us)
		json_object_set_new(to, "retry_after_us", json_integer(s.retry_after_us));
	if (json_object_size(data))
		json_object_set(to, "data", data);
	if (json_object_size(metadata))
		json_object_set(to, "metadata", metadata);
	json_decref(data);
	json_decref(metadata);
}

/* What a call brought; the reply is freed. */
static json_t *reply_json(struct tela_reply *reply)
{
	char *hex = protocol_hex_of(reply->payload, reply->payload ? reply->len : 0);
	json_t *message = json_string(reply->message), *answer;

	answer = json_pack("{s:s,s:i,s:s,s:o,s:i,s:I,s:s}", "status", tela_code_name(reply->code),
		"code", (int)reply->code, "outcome", tela_outcome_name(reply->outcome), "message",
		message ? message : json_string("?"), "resends", (int)reply->resends, "bytes",
		(json_int_t)reply->len, "payload", hex);
	add_status(answer, reply);
	free(hex);
	tela_reply_free(reply);
	return answer;
}

static json_t *replies_json(const struct tela_client *client, struct tela_reply *all)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < tela_mesh_size(client); i++) {
		const char *name = tela_mesh_name(client, i);
		json_t *one = reply_json(&all[i]);

		json_object_set_new(one, "node", json_string(name ? name : "."));
		if (json_array_append_new(list, one)) {
			json_decref(list);
			list = NULL;
		}
	}
	return list ? json_pack("{s:o}", "replies", list) : NULL;
}

static void call_done(struct outcall *call)
{
	struct call_request *q = container_of(call, struct call_request, call);
	json_t *answer;

	if (call->error) {
		request_fail(q->request, call->error, "the call could not be made: %s",
			call->error == -EBUSY ? "no thread can be attached to the node"
					      : strerror(-call->error));
	} else {
		answer = call->all ? replies_json(call->client, call->all)
				   : reply_json(&call->reply);
		json_object_set_new(
			answer, "took_us", json_integer((json_int_t)(call->took_ns / NS_PER_US)));
		if (call->options.context) {
			char id[TRACE_ID_TEXT];

			trace_id_text(q->context.trace, id);
			json_object_set_new(answer, "trace", json_string(id));
		}
		request_ok(q->request, answer);
	}
	free(call->all);
	free(call->payload);
	free(q);
}

static int unknown_method(struct request *r, const struct tela_service_desc *d, const char *name)
{
	char names[512] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < d->n_methods && n < sizeof(names); i++)
		n += (size_t)snprintf(
			names + n, sizeof(names) - n, "%s%s", i ? ", " : "", d->methods[i].name);
	request_fail(r, -ENOENT, "%s has no method '%.64s'; it has %s", d->name, name, names);
	return -ENOENT;
}

/* By a description that is known here. */
static int prepare_known(struct control *c, struct request *r, struct outcall *call,
	const struct tela_service_desc **ret)
{
	const char *name = request_text(r, "service"), *method = request_text(r, "method");
	const struct tela_service_desc *d = dial_known_service(c, name);
	int rc;

	if (!d) {
		request_fail(r, -ENOENT,
			"no service named '%.64s' runs here, and no plugin describes it", name);
		return -ENOENT;
	}
	call->method = find_method(d, method);
	if (!call->method)
		return unknown_method(r, d, method);
	rc = call->method->verify_request ? call->method->verify_request(call->payload, call->len)
					  : 0;
	if (rc)
		request_fail(r, -EBADMSG, "the payload of %zu bytes is no valid request of %s.%s",
			call->len, d->name, call->method->name);
	*ret = d;
	return rc;
}

/* By what the caller says of it. */
static int prepare_described(struct request *r, struct outcall *call, const char *hash,
	const struct tela_service_desc **ret)
{
	const char *name = request_text(r, "service"), *method = request_text(r, "method");
	const char *shown = request_text(r, "method_name");
	unsigned long id = isdigit((unsigned char)*method) ? strtoul(method, NULL, 10) : 0;

	if (strlen(hash) != 16 || strspn(hash, "0123456789abcdefABCDEF") != 16) {
		request_fail(r, -EINVAL, "schema: expected 16 hexadecimal digits");
		return -EINVAL;
	}
	if (!id || id > UINT16_MAX || !*name || strlen(name) > DIAL_NAME_MAX) {
		request_fail(r, -EINVAL,
			"with schema=, the service is named in full and the method is a number "
			"from 1 to 65535");
		return -EINVAL;
	}
	*ret = dial_service(name, strtoull(hash, NULL, 16));
	if (shown && (!*shown || shown[strspn(shown, NAME_BYTES)])) {
		request_fail(r, -EINVAL, "method_name: expected letters, digits and _");
		return -EINVAL;
	}
	call->method = dial_method((uint16_t)id, shown, request_flag(r, "idempotent"));
	if (*ret && call->method)
		return 0;
	dial_refused(r, NULL);
	return -EAGAIN;
}

/* With all=: room for what each says. */
static int all_of(struct request *r, struct outcall *call)
{
	if (!request_flag(r, "all"))
		return 0;
	call->quorum = (uint32_t)request_number(r, "quorum", 0);
	call->all = calloc(tela_mesh_size(call->client), sizeof(*call->all));
	if (call->all)
		return 0;
	request_fail(r, -ENOMEM, "out of memory");
	return -ENOMEM;
}

static int dial(struct control *c, struct request *r, struct outcall *call,
	const struct tela_service_desc *d)
{
	const char *peer = request_text(r, "node");
	const struct dial_how how = {request_text(r, "policy"), request_text(r, "balance"),
		request_text(r, "zone"), (uint32_t)request_number(r, "hedge_us", 0)};

	if (request_flag(r, "wait"))
		call->options.flags |= TELA_CALL_WAIT;
	if (request_flag(r, "fail_fast"))
		call->options.flags |= TELA_CALL_FAIL_FAST;
	if (how.policy || how.balance || request_flag(r, "all") || (peer && strchr(peer, ','))) {
		call->client = dial_mesh(c, r, peer ? peer : ".", &how, d);
		return call->client ? all_of(r, call) : -EINVAL;
	}
	call->client = dial_client(c, peer, d);
	if (call->client)
		return 0;
	dial_refused(r, peer);
	return -ENOENT;
}

/* What the call needs, or an answer that says what is wrong. */
static int prepare(struct control *c, struct request *r, struct outcall *call)
{
	const char *payload = request_text(r, "payload");
	const char *hash = request_text(r, "schema");
	const struct tela_service_desc *d = NULL;
	unsigned char *bytes;
	int rc;

	rc = protocol_hex(payload ? payload : "", &bytes, &call->len);
	if (rc) {
		request_fail(r, rc, "%s",
			rc == -ENOMEM ? "out of memory"
				      : "payload: expected pairs of hexadecimal digits");
		return rc;
	}
	call->payload = bytes;
	rc = hash ? prepare_described(r, call, hash, &d) : prepare_known(c, r, call, &d);
	if (rc)
		return rc;
	return dial(c, r, call, d);
}

static int read_metadata(struct call_request *q, const json_t *from)
{
	struct tela_options *o = &q->call.options;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)from, key, value)
	{
		if (!json_is_string(value) || o->n_metadata == METADATA_MAX) {
			request_fail(q->request, -EINVAL,
				"metadata: expected at most %d texts by name", METADATA_MAX);
			return -EINVAL;
		}
		q->metadata[o->n_metadata++] = (struct tela_pair){key, json_string_value(value)};
	}
	o->metadata = o->n_metadata ? q->metadata : NULL;
	return 0;
}

void cmd_call(struct control *c, struct request *r)
{
	struct call_request *q = calloc(1, sizeof(*q));

	if (!q) {
		request_fail(r, -ENOMEM, "out of memory");
		return;
	}
	q->request = r;
	q->call.done = call_done;
	q->call.options.deadline_us = (uint64_t)request_number(r, "deadline_ms", 0) * 1000;
	q->call.options.max_reply_bytes = 256 << 10; /* twice that in hexadecimal is still a line */
	q->call.options.flags = request_flag(r, "one_way") ? TELA_CALL_ONE_WAY : 0;
	if (request_flag(r, "trace")) {
		tela_trace_new(&q->context);
		q->call.options.context = &q->context;
	}
	if (!read_metadata(q, json_object_get(request_arguments(r), "metadata")) &&
		!prepare(c, r, &q->call) && outcall_submit(c, r, &q->call))
		return;
	free(q->call.all);
	free(q->call.payload);
	free(q);
}
