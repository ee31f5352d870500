/* cmd_schema.c - the binary schemas of services: of this node from their descriptors, of a peer
 * from its reflection. What they say is for telactl to read: nothing here parses them. */
#define TELA_NO_SCHEMA /* of reflection itself, which is only called here */
#include "command.h"
#include "dial.h"
#include "outcall.h"
#include "stack.h"

#include <inttypes.h>

#include "reflection_rpc.h"

enum {
	REPLY_MAX = 384 << 10, /* of a peer: twice that, in hexadecimal, is still a line */
	SERVICES_MAX = 256,    /* that a node may have */
	ADDED_MAX = 256,       /* methods, by plugins of a service */
};

/* NULL: a name that is not UTF-8. */
static json_t *entry(const char *service, const char *name, uint64_t hash, json_int_t bytes)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	return json_pack("{s:s?,s:s,s:s,s:I}", "service", service, "schema_name", name, "hash",
		text, "schema_bytes", bytes);
}

/* A method that a plugin has added: no schema shows what it takes. NULL: a name that is not UTF-8.
 */
static json_t *added(const char *name, uint16_t id, bool idempotent)
{
	return json_pack("{s:s,s:i,s:b}", "method", name, "id", (int)id, "idempotent", idempotent);
}

static void reply_schema(struct request *r, json_t *row, const void *bfbs, size_t len)
{
	char *hex = protocol_hex_of(bfbs, len);

	if (hex)
		json_object_set_new(row, "schema", json_string(hex));
	else
		json_decref(row);
	request_ok(r, hex ? row : NULL);
	free(hex);
}

/* ---- this node ---- */

static json_t *own_entry(const struct stack *s)
{
	const struct tela_method_desc *m[ADDED_MAX];
	uint32_t n =
		min_u32(s->service ? tela_service_added(s->service, m, ADDED_MAX) : 0, ADDED_MAX);
	json_t *row = entry(s->name, s->desc->name, s->desc->schema,
		(json_int_t)(s->desc->bfbs ? s->desc->bfbs_len : 0));
	json_t *list = json_array();

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(
			list, added(m[i]->name, m[i]->id, m[i]->flags & TELA_METHOD_IDEMPOTENT));
	json_object_set_new(row, "added", list);
	return row;
}

static void show_own(struct control *c, struct request *r, const char *name)
{
	json_t *rows = json_array();
	struct stack *s;

	if (name) {
		s = command_service(c, r);
		if (s && !(s->desc && s->desc->bfbs))
			request_fail(r, -ENOENT, "service %s shows no schema%s", s->name,
				s->desc ? "" : ": it has not started");
		else if (s)
			reply_schema(r,
				entry(s->name, s->desc->name, s->desc->schema,
					(json_int_t)s->desc->bfbs_len),
				s->desc->bfbs, s->desc->bfbs_len);
		json_decref(rows);
		return;
	}
	for (s = c->stacks; s; s = s->next)
		if (s->desc)
			json_array_append_new(rows, own_entry(s));
	request_ok(r, json_pack("{s:o}", "services", rows));
}

/* ---- a peer ---- */

struct schema_request {
	struct outcall call;
	struct request *request;
	const char *peer; /* the request's */
};

/* Where `name` belongs among the rows, which are in the order of their names. */
static size_t place_of(const json_t *rows, const char *name)
{
	size_t n = json_array_size(rows);

	while (n > 0 && strcmp(json_string_value(
				       json_object_get(json_array_get(rows, n - 1), "schema_name")),
				name) > 0)
		n--;
	return n;
}

static json_t *added_of(tela_reflection_Service_t s)
{
	size_t n = tela_reflection_Service_added_len(s);
	json_t *list = json_array(), *row;

	for (size_t i = 0; i < n && i < ADDED_MAX; i++) {
		tela_reflection_Method_t m = tela_reflection_Service_added_at(s, i);

		row = added(tela_reflection_Method_name(m).s, tela_reflection_Method_id(m),
			tela_reflection_Method_idempotent(m));
		if (row)
			json_array_append_new(list, row);
	}
	return list;
}

static void list_of(struct request *r, tela_reflection_Services_t all)
{
	uint32_t n = tela_reflection_Services_services_len(all);
	json_t *rows = json_array();

	for (uint32_t i = 0; i < n && i < SERVICES_MAX; i++) {
		tela_reflection_Service_t s = tela_reflection_Services_services_at(all, i);
		const char *name = tela_reflection_Service_name(s).s;
		json_t *row = entry(NULL, name, tela_reflection_Service_hash(s),
			tela_reflection_Service_schema_bytes(s));

		if (!row) /* its name is not UTF-8 */
			continue;
		json_object_set_new(row, "added", added_of(s));
		json_array_insert_new(rows, place_of(rows, name), row);
	}
	request_ok(r, json_pack("{s:o}", "services", rows));
}

static void schema_of(struct request *r, tela_reflection_Schema_t schema)
{
	struct tela_bytes bfbs = tela_reflection_Schema_bfbs(schema);
	json_t *row = entry(NULL, tela_reflection_Schema_name(schema).s,
		tela_reflection_Schema_hash(schema), (json_int_t)bfbs.len);

	if (row)
		reply_schema(r, row, bfbs.data, bfbs.len);
	else
		request_fail(r, -EBADMSG, "the peer named a service in what is not UTF-8");
}

static void peer_done(struct outcall *call)
{
	struct schema_request *q = container_of(call, struct schema_request, call);
	struct tela_reply *reply = &call->reply;
	struct request *r = q->request;

	if (call->error)
		request_fail(r, call->error, "'%.64s' could not be asked: %s", q->peer,
			strerror(-call->error));
	else if (reply->code == TELA_NOT_FOUND)
		request_fail(r, -ENOENT, "'%.64s' has no service named '%.64s': %s", q->peer,
			request_text(r, "service"), reply->message);
	else if (reply->code == TELA_UNAVAILABLE)
		request_fail(r, -ENOTCONN, "'%.64s' does not say what it serves: %s%s", q->peer,
			reply->message,
			strstr(reply->message, "no such service")
				? " (has it node.reflection: false?)"
				: "");
	else if (reply->code)
		request_fail(r, reply->code == TELA_DEADLINE_EXCEEDED ? -ETIMEDOUT : -EIO,
			"'%.64s' answered %s: %s", q->peer, tela_code_name(reply->code),
			reply->message);
	else if (request_text(r, "service"))
		schema_of(r, tela_reflection_Schema_root(reply->payload));
	else
		list_of(r, tela_reflection_Services_root(reply->payload));
	if (!call->error)
		tela_reply_free(reply);
	free(call->payload);
	free(q);
}

/* The payload of the question, in memory of its own. */
static bool build(struct outcall *call, const char *name)
{
	const struct tela_reflection_Name_args named = {.name = {name, name ? strlen(name) : 0}};
	const struct tela_reflection_Nothing_args nothing = {0};
	size_t size =
		name ? tela_reflection_Name_size(&named) : tela_reflection_Nothing_size(&nothing);

	call->payload = size ? malloc(size) : NULL;
	if (!call->payload)
		return false;
	call->len = size;
	call->method = &tela_reflection_Reflection_methods[name ? 1 : 0];
	if (name)
		tela_reflection_Name_build(call->payload, size, &named);
	else
		tela_reflection_Nothing_build(call->payload, size, &nothing);
	return true;
}

static void show_peers(struct control *c, struct request *r, const char *peer, const char *name)
{
	struct schema_request *q = calloc(1, sizeof(*q));

	if (!q) {
		request_fail(r, -ENOMEM, "out of memory");
		return;
	}
	q->request = r;
	q->peer = peer;
	q->call.done = peer_done;
	q->call.options.max_reply_bytes = REPLY_MAX;
	q->call.client = dial_client(c, peer, &tela_reflection_Reflection_service);
	if (!q->call.client) {
		dial_refused(r, peer);
	} else if (!build(&q->call, name)) {
		request_fail(r, -ENOMEM, "out of memory");
	} else if (outcall_submit(c, r, &q->call)) {
		return;
	}
	free(q->call.payload);
	free(q);
}

void cmd_schema(struct control *c, struct request *r)
{
	const char *peer = request_text(r, "node"), *name = request_text(r, "service");

	if (peer)
		show_peers(c, r, peer, name);
	else
		show_own(c, r, name);
}
