#include "forward.h"

#include "discovery.h"
#include "log.h"

#include "../dataplane/tela_forward.h"

#include <node_rpc.h>

#include <stdlib.h>

/* A service by one hash. */
struct sent {
	struct sent *next;
	uint64_t schema;
	bool wanted; /* some peer serves it */
	bool own;    /* and it is that one's own hash */
	char name[];
};

struct forwards {
	struct sent *list;
	uint32_t n;
	uint64_t print; /* of the services that this node has */
	bool full;      /* has been said */
	/* while one of them is told */
	const struct sent *told;
	uint32_t n_methods, n_peers, max_peers;
	struct tela_forward_method methods[DISCOVERY_METHODS_MAX];
	struct tela_forward_peer peers[];
};

static bool is_text(struct tela_str s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.s, text, s.len);
}

static bool is_ours(const struct control *c, struct tela_str name)
{
	for (const struct stack *s = c->stacks; s; s = s->next)
		if (s->desc && is_text(name, s->desc->name))
			return true;
	return false;
}

static bool takes(tela_node_Service_t s, uint64_t schema)
{
	if (tela_node_Service_schema(s) == schema)
		return true;
	for (size_t i = 0; i < tela_node_Service_compatible_len(s); i++)
		if (tela_node_Service_compatible_at(s, i) == schema)
			return true;
	return false;
}

/* ---- what there is ---- */

static void want(struct forwards *f, struct tela_str name, uint64_t schema, bool own)
{
	struct sent *s = f->list;

	while (s && (s->schema != schema || !is_text(name, s->name)))
		s = s->next;
	if (!s && f->n < TELA_FORWARDS_MAX && (s = calloc(1, sizeof(*s) + name.len + 1))) {
		s->schema = schema;
		memcpy(s->name, name.s, name.len);
		s->next = f->list;
		f->list = s;
		f->n++;
	}
	if (s) {
		s->wanted = true;
		s->own |= own;
	} else if (!f->full) {
		f->full = true;
		log_warn("forward: %.*s: not sent on: more than %d services by hash, or no memory",
			(int)name.len, name.s, TELA_FORWARDS_MAX);
	}
}

static void want_all(void *arg, const char *node, tela_node_Announcement_t a)
{
	struct control *c = arg;

	(void)node;
	for (size_t i = 0; i < tela_node_Announcement_services_len(a); i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);
		struct tela_str name = tela_node_Service_name(s);

		if (!tela_node_Service_serves(s) || is_ours(c, name))
			continue;
		want(c->forwards, name, tela_node_Service_schema(s), true);
		for (size_t k = 0; k < tela_node_Service_compatible_len(s); k++)
			want(c->forwards, name, tela_node_Service_compatible_at(s, k), false);
	}
}

/* ---- and who serves it ---- */

static void add_methods(struct forwards *f, tela_node_Service_t s)
{
	for (size_t i = 0; i < tela_node_Service_methods_len(s); i++) {
		tela_node_Method_t m = tela_node_Service_methods_at(s, i);
		uint32_t at = 0;

		while (at < f->n_methods && f->methods[at].id < tela_node_Method_id(m))
			at++;
		if (f->n_methods == DISCOVERY_METHODS_MAX ||
			(at < f->n_methods && f->methods[at].id == tela_node_Method_id(m)))
			continue;
		memmove(&f->methods[at + 1], &f->methods[at],
			(f->n_methods++ - at) * sizeof(f->methods[0]));
		f->methods[at] = (struct tela_forward_method){.name = tela_node_Method_name(m).s,
			.id = tela_node_Method_id(m),
			.idempotent = tela_node_Method_idempotent(m)};
	}
}

static void add_peer(void *arg, const char *node, tela_node_Announcement_t a)
{
	struct forwards *f = arg;

	for (size_t i = 0; i < tela_node_Announcement_services_len(a); i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);

		if (!tela_node_Service_serves(s) ||
			!is_text(tela_node_Service_name(s), f->told->name) ||
			!takes(s, f->told->schema))
			continue;
		if (f->n_peers < f->max_peers)
			f->peers[f->n_peers++] =
				(struct tela_forward_peer){node, tela_node_Service_weight(s)};
		add_methods(f, s);
		return;
	}
}

static void tell(struct control *c, const struct sent *s)
{
	struct forwards *f = c->forwards;
	struct tela_forward to = {.service = s->name, .schema = s->schema, .own = s->own};
	int rc;

	f->told = s;
	f->n_methods = f->n_peers = 0;
	if (s->wanted)
		discovery_each(c, add_peer, f);
	to.methods = f->methods;
	to.n_methods = f->n_methods;
	to.peers = f->peers;
	to.n_peers = f->n_peers;
	rc = tela_node_forward(c->node, &to, (enum tela_balance)c->conf->forward_balance);
	if (rc)
		log_of(TELA_LOG_WARN, s->name, "calls are not sent on to all that serve it: %s",
			strerror(-rc));
}

/* Of the services that this node has: another one when they change. */
static uint64_t print_of(const struct control *c)
{
	uint64_t print = 14695981039346656037ull;

	for (const struct stack *s = c->stacks; s; s = s->next)
		print = (print ^ (uintptr_t)s->desc) * 1099511628211ull;
	return print;
}

void forward_look(struct control *c, bool peers_changed)
{
	uint32_t n_peers = c->conf->node.n_peers;
	struct forwards *f = c->forwards;
	uint64_t print = print_of(c);

	if (!f && tela_node_has_clients(c->node)) {
		f = calloc(1, sizeof(*f) + n_peers * sizeof(f->peers[0]));
		c->forwards = f;
		if (f)
			f->max_peers = n_peers;
	}
	if (!f || (!peers_changed && f->print == print))
		return;
	f->print = print;
	for (struct sent *s = f->list; s; s = s->next)
		s->wanted = s->own = false;
	discovery_each(c, want_all, c);
	for (struct sent *s = f->list; s; s = s->next)
		tell(c, s);
}

void forward_close(struct control *c)
{
	for (struct sent *s = c->forwards ? c->forwards->list : NULL, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(c->forwards);
	c->forwards = NULL;
}

/* ---- for people ---- */

static void show(void *arg, const struct tela_forward_view *v)
{
	char schema[24];

	snprintf(schema, sizeof(schema), "%016llx", (unsigned long long)v->schema);
	json_array_append_new(
		arg, json_pack("{s:s,s:s,s:s,s:b,s:I,s:I,s:I}", "service", v->service, "schema",
			     schema, "peer", v->peer, "serves", (int)v->serves, "calls",
			     (json_int_t)v->calls, "failures", (json_int_t)v->failures, "ejections",
			     (json_int_t)v->ejections));
}

json_t *forward_show(struct control *c)
{
	json_t *list = json_array();

	tela_node_forwards(c->node, show, list);
	return list;
}
