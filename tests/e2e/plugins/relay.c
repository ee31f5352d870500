/* relay.c - a link in front of echo.Echo/echo that asks the echo of a peer and answers what that
 * answers, so that calls go over several nodes.
 *
 * A call with the metadata "relay" = "N" goes on to the peer with "N - 1", until it is "0". It
 * opens a span of its own and says something in it. Its request_out link adds the metadata "via" to
 * what goes out, and refuses it where "forbid" says "N - 1". Options: peer  required
 */
#include "echo_rpc.h"
#include "tela_plugin.h"
#include "tela_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct relay {
	struct tela_client *client;
};

/* A call that waits for its peer. */
struct waiting {
	struct tela_handle handle;
	struct tela_span span;
};

static void done(void *arg, const struct tela_result *r)
{
	struct tela_core *core = tela_core_self();
	struct waiting *w = arg;
	const struct tela_call *call = tela_core_call(core, w->handle);
	struct tela_status_view s;
	char name[64];

	if (call) {
		tela_span_event(call, "answered", NULL);
		tela_span_end(call, w->span);
	}
	tela_result_status(r, &s);
	snprintf(name, sizeof(name), "%.*s", (int)s.name.len, s.name.s);
	if (!r->code)
		tela_core_answer(core, w->handle, r->payload, r->len);
	else
		tela_core_answer_with(core, w->handle, &(struct tela_status){.name = name});
	free(w);
}

static uint32_t hops_left(const struct tela_call *call)
{
	struct tela_str n = tela_call_metadata(call, "relay");

	return n.len == 1 && *n.s > '0' && *n.s <= '9' ? (uint32_t)(*n.s - '0') : 0;
}

static enum tela_verdict relay(struct tela_call *call, void *self)
{
	const char left[2] = {(char)('0' + hops_left(call) - 1), 0};
	struct tela_pair more[2] = {{"relay", left}};
	struct tela_str forbidden = tela_call_metadata(call, "forbid");
	char forbid[2] = {0};
	struct tela_options o = {.parent = call, .metadata = more, .n_metadata = 1};
	struct relay *relay = self;
	struct tela_request r;
	struct waiting *w;
	const void *request;
	size_t len;
	int rc;

	if (!hops_left(call))
		return TELA_CONTINUE;
	if (forbidden.len == 1) {
		forbid[0] = *forbidden.s;
		more[o.n_metadata++] = (struct tela_pair){"forbid", forbid};
	}
	w = calloc(1, sizeof(*w)); /* a test's plugin: the heap will do */
	if (!w || tela_call_pend(call, &w->handle, &request, &len)) {
		free(w);
		return tela_reply_error(call, "overloaded", NULL);
	}
	w->span = tela_span_begin(call, "relaying");
	tela_span_attribute(call, "left", left);
	if (tela_call_metadata(call, "via").s)
		tela_span_attribute(call, "via", "a link");
	rc = tela_request_begin(relay->client, call->method, len, &o, &r);
	if (rc) {
		tela_span_error(call, "the peer cannot be asked");
		tela_span_end(call, w->span);
		free(w);
		return tela_reply_error(
			call, rc == -ENOTCONN ? "service_not_available" : "overloaded", NULL);
	}
	memcpy(r.payload, request, len);
	tela_request_send(&r, done, w);
	return TELA_PENDING;
}

static enum tela_verdict out(struct tela_call *call, void *self)
{
	struct tela_str left = tela_call_metadata(call, "relay");
	struct tela_str forbid = tela_call_metadata(call, "forbid");

	(void)self;
	if (left.len == 1 && forbid.len == 1 && *left.s == *forbid.s)
		return tela_reply_error(call, "forbidden", NULL);
	return tela_call_metadata_add(call, "via", "relay")
		       ? tela_reply_error(call, "overloaded", NULL)
		       : TELA_CONTINUE;
}

struct options {
	const char *peer;
	bool keep;
};

static int start(struct tela_hook *h, void **ret_self)
{
	const struct options *o = h->values;
	struct relay *r = calloc(1, sizeof(*r));

	if (r)
		r->client = tela_client_open(h->node, o->peer, &echo_Echo_service, 1);
	if (!r || !r->client) {
		snprintf(h->error, h->error_len, "no such peer");
		free(r);
		return -ENOENT;
	}
	*ret_self = r;
	return 0;
}

static void stop(struct tela_hook *h)
{
	const struct options *o = h->values;
	struct relay *r = h->self;

	if (!o->keep)
		tela_client_close(r->client);
	free(r);
}

static const struct tela_link links[] = {
	{.service = &echo_Echo_service, .method = echo_Echo_echo_ID, .enter = relay},
	{.callback = TELA_REQUEST_OUT, .enter = out},
};

static const char *const wraps[] = {"echo", NULL};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, peer, .required = true, .help = "that it asks"),
	TELA_CONFIG(struct options, keep, .help = "its client open when it stops"),
};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "relay",
	.version = "1.0",
	.wraps = wraps,
	.keys = keys,
	.n_keys = sizeof(keys) / sizeof(keys[0]),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = sizeof(links) / sizeof(links[0]),
	.start = start,
	.stop = stop,
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);

const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}
