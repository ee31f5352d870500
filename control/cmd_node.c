/* cmd_node.c - commands that act on the node or on a service as a whole. */
#include "command.h"
#include "discovery.h"
#include "drain.h"
#include "forward.h"
#include "log.h"
#include "stack.h"

static json_t *describe_arguments(const struct argument *a)
{
	json_t *list = json_array();

	for (; a->name; a++)
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:b,s:b,s:s}", "name", a->name, "kind",
				      argument_kind_names[a->kind], "required", a->required,
				      "positional", a->positional, "help", a->help));
	return list;
}

void cmd_commands(struct control *c, struct request *r)
{
	json_t *list = json_array();

	(void)c;
	for (const struct command *i = commands; i->name; i++)
		json_array_append_new(list, json_pack("{s:s,s:s,s:s?,s:o}", "command", i->name,
						    "help", i->help, "example", i->example,
						    "arguments", describe_arguments(i->arguments)));
	request_ok(r, json_pack("{s:o}", "commands", list));
}

void cmd_discovery(struct control *c, struct request *r)
{
	if (c->discovery)
		request_ok(r, json_pack("{s:o}", "services", discovery_show(c)));
	else
		request_fail(r, -ENOSYS, "this node has no discovery: node.discovery is false");
}

void cmd_forwards(struct control *c, struct request *r)
{
	request_ok(r, json_pack("{s:o}", "forwards", forward_show(c)));
}

static json_t *services_that_drain(const struct control *c)
{
	json_t *list = json_array();
	char waits_for[192];

	for (const struct stack *s = c->stacks; s; s = s->next)
		if (!drain_show(s, waits_for, sizeof(waits_for)))
			json_array_append_new(list,
				json_pack("{s:s,s:s,s:i,s:i,s:s}", "service", s->name, "state",
					running_name(s->status), "in_flight",
					(int)(s->service ? tela_service_in_flight(s->service) : 0),
					"working", (int)drain_working(s), "waits_for", waits_for));
	return list;
}

static void drain_told(void *arg, struct control *c, uint64_t left_ms)
{
	request_progress(
		arg, json_pack("{s:s,s:I,s:I,s:o}", "node", tela_node_name(c->node), "in_flight",
			     (json_int_t)tela_node_in_flight(c->node), "left_ms",
			     (json_int_t)left_ms, "services", services_that_drain(c)));
}

static void drain_done(void *arg, struct control *c, uint32_t cancelled)
{
	json_t *left = services_that_drain(c);

	request_ok(arg,
		json_pack("{s:s,s:b,s:I,s:i,s:o*}", "node", tela_node_name(c->node), "drained",
			!cancelled && !json_array_size(left), "in_flight",
			(json_int_t)tela_node_in_flight(c->node), "cancelled", (int)cancelled,
			"services", json_array_size(left) ? left : NULL));
	if (!json_array_size(left))
		json_decref(left);
}

void cmd_drain(struct control *c, struct request *r)
{
	if (!c->on_drain) {
		request_fail(r, -ENOSYS, "this node cannot be drained by command");
		return;
	}
	if (request_flag(r, "watch")) {
		if (drain_node_watch(c, drain_told, drain_done, r))
			request_fail(r, -ENOMEM, "out of memory");
		else
			c->on_drain(c);
		return;
	}
	request_ok(r, json_pack("{s:b,s:I,s:i}", "draining", 1, "in_flight",
			      (json_int_t)tela_node_in_flight(c->node), "deadline_ms",
			      (int)c->conf->drain_deadline_ms));
	c->on_drain(c);
}

/* Services that have a level of their own. */
static json_t *own_levels(const struct control *c)
{
	json_t *list = json_array();

	for (const struct stack *s = c->stacks; s; s = s->next)
		if (s->log_level)
			json_array_append_new(
				list, json_pack("{s:s,s:s}", "service", s->name, "level",
					      log_level_names[s->log_level - 1]));
	return list;
}

static void service_level(struct control *c, struct request *r, const char *name)
{
	int level = name ? log_level_find(name) : -1;
	struct stack *s = command_service(c, r);

	if (!s)
		return; /* so is `name` gone */
	if (name && level < 0 && strcmp(name, "node")) {
		request_fail(
			r, -EINVAL, "'%.32s' is no level: error, warn, info, debug or node", name);
		return;
	}
	if (name)
		s->log_level = (uint32_t)(level + 1);
	stack_log_level(s);
	request_ok(r, json_pack("{s:s,s:s}", "service", s->name, "level",
			      s->log_level ? log_level_names[s->log_level - 1] : "node"));
}

void cmd_log_level(struct control *c, struct request *r)
{
	const char *name = request_text(r, "level");
	int level = name ? log_level_find(name) : (int)log_get_level();

	if (request_text(r, "service")) {
		service_level(c, r, name);
		return;
	}
	if (level < 0) {
		request_fail(r, -EINVAL, "'%.32s' is no level: error, warn, info or debug", name);
		return;
	}
	log_set_level((enum tela_log_level)level);
	for (struct stack *s = c->stacks; s; s = s->next)
		stack_log_level(s);
	request_ok(r,
		json_pack("{s:s,s:o}", "level", log_level_names[level], "services", own_levels(c)));
}

/* -1: not given, and 0 then; false: no such number. */
static bool limit_of(struct request *r, const char *name, uint32_t *ret)
{
	int64_t n = request_number(r, name, -1);

	*ret = n < 0 ? 0 : (uint32_t)n;
	return n == -1 || (n > 0 && n <= UINT16_MAX);
}

void cmd_limits(struct control *c, struct request *r)
{
	struct tela_limits l;

	if (!limit_of(r, "window", &l.window) ||
		!limit_of(r, "slots_per_session", &l.slots_per_session) ||
		tela_node_limits(c->node, &l)) {
		request_fail(r, -EINVAL, "window is 32 to 960, slots_per_session 8 to 2048");
		return;
	}
	l = tela_node_limits_now(c->node);
	log_info("limits: window %u, slots_per_session %u", l.window, l.slots_per_session);
	request_ok(r, json_pack("{s:i,s:i}", "window", (int)l.window, "slots_per_session",
			      (int)l.slots_per_session));
}

static double share_of(struct request *r, const char *name, bool *ret_wrong)
{
	int64_t ppm = request_number(r, name, 0);

	*ret_wrong |= ppm > 1000000;
	return (double)ppm / 1e6;
}

/* For tests: a node on shared memory never loses a frame by itself. */
void cmd_faults(struct control *c, struct request *r)
{
	bool wrong = false;
	double loss = share_of(r, "loss_ppm", &wrong);
	double duplicate = share_of(r, "duplicate_ppm", &wrong);
	double reorder = share_of(r, "reorder_ppm", &wrong);
	int64_t port = request_number(r, "port", 0);
	int rc;

	if (port >= c->conf->node.n_ports || wrong) {
		request_fail(r, wrong ? -EINVAL : -ENOENT,
			wrong ? "expected at most 1000000 in a million"
			      : "there is no such port: 'status' lists %u, from 0",
			c->conf->node.n_ports);
		return;
	}
	rc = tela_node_faults(c->node, (uint32_t)port, loss, duplicate, reorder);
	if (rc) {
		request_fail(r, rc, "%s", strerror(-rc));
		return;
	}
	log_info("port %lld: loses %.4f %%, doubles %.4f %%, reorders %.4f %%", (long long)port,
		100 * loss, 100 * duplicate, 100 * reorder);
	request_ok(r, json_pack("{s:I,s:f,s:f,s:f}", "port", (json_int_t)port, "loss", loss,
			      "duplicate", duplicate, "reorder", reorder));
}
