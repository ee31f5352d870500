/* cmd_call.c - one call with a payload of raw bytes, for people and scripts.
 *
 * The service's description must be known here: it runs here, or a plugin that is linked in or
 * loaded serves it. Clients live as long as the node, so one is kept for each peer and service. */
#include "outcall.h"
#include "command.h"
#include "stack.h"

#include <ctype.h>

struct call_request {
	struct outcall call;
	struct request *request;
};

static struct known_client {
	struct known_client *next;
	struct tela_client *client;
	const struct tela_service_desc *service;
	char peer[TELA_NAME_MAX + 1];
} * clients;

/* Described by a service that runs here, else by any plugin that serves it. */
static const struct tela_service_desc *find_service(struct control *c, const char *name)
{
	struct stack *s = stack_find(c, name);

	if (s && s->desc)
		return s->desc;
	for (struct plugin *p = registry_first(c->registry); p; p = p->next) {
		const struct tela_service_desc *d = p->desc->serves;

		if (!d || p->state == PLUGIN_UNLOADING ||
			(strcmp(p->name, name) && strcmp(d->name, name)))
			continue;
		plugin_keep(p, "a client refers to its schema");
		return d;
	}
	return NULL;
}

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

static struct tela_client *find_client(
	struct control *c, const char *peer, const struct tela_service_desc *service)
{
	struct known_client *k;

	for (k = clients; k; k = k->next)
		if (k->service == service && !strcmp(k->peer, peer ? peer : ""))
			return k->client;
	k = calloc(1, sizeof(*k));
	CHECK(k);
	snprintf(k->peer, sizeof(k->peer), "%s", peer ? peer : "");
	k->service = service;
	k->client = tela_client_open(c->node, peer, service, 1);
	if (!k->client) {
		int error = errno;

		free(k);
		errno = error;
		return NULL;
	}
	k->next = clients;
	clients = k;
	return k->client;
}

static char *hex_of(const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * len + 1);

	CHECK(text);
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[((const uint8_t *)bytes)[i] >> 4];
		text[2 * i + 1] = digits[((const uint8_t *)bytes)[i] & 15];
	}
	text[2 * len] = 0;
	return text;
}

static void call_done(struct outcall *call)
{
	struct call_request *q = container_of(call, struct call_request, call);
	struct tela_reply *reply = &call->reply;
	json_t *message;
	char *hex;

	if (call->error) {
		request_fail(q->request, call->error, "the call could not be made: %s",
			call->error == -EBUSY ? "no thread can be attached to the node"
					      : strerror(-call->error));
	} else {
		hex = hex_of(reply->payload, reply->payload ? reply->len : 0);
		message = json_string(reply->message);
		request_ok(
			q->request, json_pack("{s:s,s:i,s:s,s:o,s:i,s:I,s:I,s:s}", "status",
					    tela_code_name(reply->code), "code", (int)reply->code,
					    "outcome", tela_outcome_name(reply->outcome), "message",
					    message ? message : json_string("?"), "resends",
					    (int)reply->resends, "took_us",
					    (json_int_t)(call->took_ns / NS_PER_US), "bytes",
					    (json_int_t)reply->len, "payload", hex));
		free(hex);
		tela_reply_free(reply);
	}
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

/* What the call needs, or an answer that says what is wrong. */
static int prepare(struct control *c, struct request *r, struct outcall *call)
{
	const char *name = request_text(r, "service"), *method = request_text(r, "method");
	const char *peer = request_text(r, "node"), *payload = request_text(r, "payload");
	const struct tela_service_desc *d = find_service(c, name);
	unsigned char *bytes;
	int rc;

	if (!d) {
		request_fail(r, -ENOENT,
			"no service named '%.64s' runs here, and no plugin describes it", name);
		return -ENOENT;
	}
	call->method = find_method(d, method);
	if (!call->method)
		return unknown_method(r, d, method);
	rc = protocol_hex(payload ? payload : "", &bytes, &call->len);
	if (rc) {
		request_fail(r, rc, "payload: expected pairs of hexadecimal digits");
		return rc;
	}
	call->payload = bytes;
	rc = call->method->verify_request ? call->method->verify_request(bytes, call->len) : 0;
	if (rc) {
		request_fail(r, -EBADMSG, "the payload of %zu bytes is no valid request of %s.%s",
			call->len, d->name, call->method->name);
		return rc;
	}
	call->client = find_client(c, peer, d);
	if (!call->client) {
		rc = -errno;
		request_fail(r, rc,
			rc == -ENOENT ? "no peer is named '%.64s'"
				      : "no client for '%.64s': out of memory",
			peer ? peer : "");
		return rc;
	}
	return 0;
}

void cmd_call(struct control *c, struct request *r)
{
	struct call_request *q = calloc(1, sizeof(*q));
	int rc;

	CHECK(q);
	q->request = r;
	q->call.done = call_done;
	q->call.options.deadline_us = (uint64_t)request_number(r, "deadline_ms", 0) * 1000;
	q->call.options.max_reply_bytes = 256 << 10; /* twice that in hexadecimal is still a line */
	rc = prepare(c, r, &q->call);
	if (!rc) {
		rc = outcall_submit(c, &q->call);
		if (!rc)
			return;
		request_fail(r, rc, "too many calls wait already: %d", OUTCALL_QUEUE);
	}
	free(q->call.payload);
	free(q);
}
