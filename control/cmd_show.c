/* cmd_show.c - what is there: node, services, plugins, images. */
#include "command.h"
#include "drain.h"
#include "move.h"
#include "load_sample.h"

static const char *idle_name(enum tela_idle idle)
{
	static const char *const names[] = {"auto", "spin", "adaptive", "interrupt"};

	return names[idle % ARRAY_SIZE(names)];
}

/* null: none in particular, or not known. */
static json_t *socket_json(int socket)
{
	return socket < 0 ? json_null() : json_integer(socket);
}

static json_t *show_cores(struct control *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < tela_node_n_cores(c->node); i++) {
		struct tela_core_info info;

		if (tela_node_core_info(c->node, i, &info))
			continue;
		json_array_append_new(
			list, json_pack("{s:i,s:i,s:s,s:f,s:I,s:I,s:b,s:s}", "core", (int)i, "cpu",
				      info.cpu, "idle", idle_name(info.idle), "busy_percent",
				      load_sample_busy(i, &info), "passes", (json_int_t)info.passes,
				      "loop_gap_us", (json_int_t)info.loop_gap_us, "stalled",
				      info.stalled, "running", info.running));
	}
	return list;
}

static json_t *show_ports(struct control *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->conf->node.n_ports; i++) {
		struct tela_port_info p;

		if (tela_node_port_info(c->node, i, &p))
			continue;
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:o,s:b}", "port", p.name,
				      "driver", p.driver ? p.driver : "", "address", p.address,
				      "mac", p.mac, "mtu", (int)p.mtu, "queues", (int)p.queues,
				      "link", p.up ? "up" : "down", "socket", socket_json(p.socket),
				      "buffers_elsewhere", p.buffers_elsewhere));
	}
	return list;
}

static json_t *show_peers(struct control *c)
{
	json_t *list = json_array();
	char incarnation[24];

	for (uint32_t i = 0; i < c->conf->node.n_peers; i++) {
		struct tela_peer_info p;

		if (tela_node_peer_info(c->node, i, &p))
			continue;
		snprintf(incarnation, sizeof(incarnation), "%016llx",
			(unsigned long long)p.incarnation);
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:I,s:s}", "peer", p.name, "address",
				      p.address, "state", p.state, "rtt_ns", (json_int_t)p.rtt_ns,
				      "incarnation", incarnation));
	}
	return list;
}

static json_t *show_lifecycle(struct control *c)
{
	const char *stuck = lifecycle_stuck(c->lifecycle);
	char now[160];
	bool busy = lifecycle_current(c->lifecycle, now, sizeof(now));

	return json_pack("{s:s?,s:i,s:s?}", "running", busy ? now : NULL, "abandoned",
		(int)lifecycle_abandoned(c->lifecycle), "loading_hangs_in", stuck);
}

void cmd_status(struct control *c, struct request *r)
{
	char incarnation[24];

	snprintf(incarnation, sizeof(incarnation), "%016llx",
		(unsigned long long)tela_node_incarnation(c->node));
	request_ok(r,
		json_pack("{s:s,s:s,s:i,s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:o}", "node",
			tela_node_name(c->node), "version", TELA_VERSION, "wire", TELA_WIRE_VERSION,
			"incarnation", incarnation, "state", c->draining ? "draining" : "running",
			"uptime_s", (json_int_t)((control_now_ns() - c->started_ns) / NS_PER_S),
			"in_flight", (json_int_t)tela_node_in_flight(c->node), "cores",
			show_cores(c), "ports", show_ports(c), "peers", show_peers(c), "lifecycle",
			show_lifecycle(c)));
}

void cmd_cores(struct control *c, struct request *r)
{
	json_t *cores = json_array(), *queues = json_array();
	struct tela_core_info info;
	struct tela_reach reach;

	for (uint32_t i = 0; i < tela_node_n_cores(c->node); i++) {
		if (tela_node_core_info(c->node, i, &info))
			continue;
		json_array_append_new(cores,
			json_pack("{s:i,s:i,s:o,s:o,s:s,s:f,s:I,s:I,s:I,s:I,s:I}", "core", (int)i,
				"cpu", info.cpu, "socket", socket_json(info.socket),
				"memory_socket", socket_json(info.memory_socket), "idle",
				idle_name(info.idle), "busy_percent", load_sample_busy(i, &info),
				"sessions", (json_int_t)info.sessions, "served",
				(json_int_t)info.calls_served, "made", (json_int_t)info.calls_made,
				"handed_in", (json_int_t)info.handed_in, "handed_out",
				(json_int_t)info.handed_out));
		for (uint32_t p = 0; p < c->conf->node.n_ports; p++)
			if (!tela_node_reach(c->node, i, p, &reach))
				json_array_append_new(queues,
					json_pack("{s:i,s:s,s:s,s:s}", "core", (int)i, "port",
						c->conf->node.ports[p].name, "queues", reach.queues,
						"reached_by", reach.how));
	}
	request_ok(r, json_pack("{s:o,s:o}", "cores", cores, "queues", queues));
}

/* What is not so of most services, and what programs want to know. */
static void show_status(json_t *o, const struct stack *s)
{
	uint32_t left = 0;
	uint64_t in_ms = 0;
	char drain[192];
	bool again = move_next_try(s, &left, &in_ms);

	json_object_set_new(o, "reason", json_string(s->reason));
	json_object_set_new(o, "since", json_integer(s->status_since));
	json_object_set_new(o, "last_error_at", json_integer(s->last_error_at));
	json_object_set_new(o, "live",
		json_boolean(
			s->status != TELA_SERVICE_FAILED && s->status != TELA_SERVICE_UNKNOWN));
	json_object_set_new(o, "not_ready",
		json_string(s->status != TELA_SERVICE_RUNNING ? running_name(s->status)
			    : s->ready                        ? ""
							      : s->not_ready));
	drain_show(s, drain, sizeof(drain));
	json_object_set_new(o, "drains", json_boolean(s->drain != DRAIN_NONE));
	json_object_set_new(o, "waits_for", json_string(drain));
	json_object_set_new(
		o, "failed_starts", json_integer(s->n_tries + (s->status == TELA_SERVICE_FAILED)));
	json_object_set_new(o, "tries_left", json_integer(left));
	json_object_set_new(
		o, "next_try_ms", again ? json_integer((json_int_t)in_ms) : json_null());
}

void cmd_services(struct control *c, struct request *r)
{
	json_t *list = json_array(), *o;
	char schema[24];

	for (struct stack *s = c->stacks; s; s = s->next) {
		snprintf(schema, sizeof(schema), "%016llx",
			(unsigned long long)(s->desc ? s->desc->schema : 0));
		o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:I,s:i,s:I,s:i,s:s,s:I,s:I,s:I,s:s}",
			"service", s->name, "schema_name", s->desc ? s->desc->name : "", "state",
			running_name(s->status), "admin", admin_status_names[s->admin], "ready",
			s->ready, "generation",
			(json_int_t)(s->current ? s->current->generation : 0), "plugins",
			(int)(s->current ? s->current->n : 0), "in_flight",
			(json_int_t)(s->service ? tela_service_in_flight(s->service) : 0),
			"retiring", (int)s->n_retiring, "schema", schema, "changes",
			(json_int_t)s->n_changes, "merged_changes", (json_int_t)s->n_merged,
			"failed_changes", (json_int_t)s->n_failed, "last_error", s->last_error);
		show_status(o, s);
		json_array_append_new(list, o);
	}
	request_ok(r, json_pack("{s:o}", "services", list));
}

static void show_keys(struct control *c, struct request *r, const char *name)
{
	const struct plugin *p = registry_find(c->registry, name);
	json_t *keys;

	if (!p) {
		request_fail(r, -ENOENT, "no plugin is named '%.64s'; 'plugins' lists them", name);
		return;
	}
	keys = json_array();
	command_keys(keys, p, NULL);
	request_ok(r,
		json_pack("{s:s,s:s,s:o}", "plugin", p->name, "version", p->version, "keys", keys));
}

void cmd_plugins(struct control *c, struct request *r)
{
	const char *name = request_text(r, "plugin");
	json_t *list;

	if (name) {
		show_keys(c, r, name);
		return;
	}
	list = json_array();
	for (struct plugin *p = registry_first(c->registry); p; p = p->next)
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:s}", "plugin", p->name, "version",
				p->version, "state", plugin_state_names[p->state], "instances",
				(int)p->users, "serves",
				p->desc->serves ? p->desc->serves->name : "", "object",
				p->path ? p->path : "", "reason",
				p->serves && !p->reason[0] ? "a service of the node has its schema"
							   : p->reason));
	request_ok(r, json_pack("{s:o}", "plugins", list));
}

/* ---- images ---- */

struct image_list {
	json_t *list;
	uint64_t from, to, left;
	bool more;
};

static void add_image(struct image_list *l, uint64_t generation, uint64_t calls, const char *state)
{
	if (generation < l->from || generation > l->to)
		return;
	if (!l->left) {
		l->more = true;
		return;
	}
	l->left--;
	json_array_append_new(
		l->list, json_pack("{s:I,s:I,s:s}", "generation", (json_int_t)generation, "calls",
				 (json_int_t)calls, "state", state));
}

/* Oldest first: retired ones as they retired, then those retiring, then the current one. Calls of a
 * retiring image are known when it has retired. */
void cmd_images(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);
	struct image_list l;
	uint64_t kept;

	if (!s)
		return; /* and the request is gone */
	l = (struct image_list){
		.list = json_array(),
		.from = (uint64_t)request_number(r, "from", 0),
		.to = (uint64_t)request_number(r, "to", INT64_MAX),
		.left = min_u64((uint64_t)request_number(r, "limit", 1000), 10000),
	};
	kept = min_u64(s->n_history, STACK_HISTORY);
	for (uint64_t i = s->n_history - kept; i < s->n_history; i++)
		add_image(&l, s->history[i % STACK_HISTORY].generation,
			s->history[i % STACK_HISTORY].calls, "retired");
	for (struct record *i = s->retiring; i; i = i->next)
		add_image(&l, i->generation, 0, "retiring");
	if (s->image)
		add_image(&l, s->current->generation, tela_image_calls(s->image), "current");
	request_ok(r, json_pack("{s:s,s:I,s:I,s:i,s:b,s:o}", "service", s->name, "current",
			      (json_int_t)(s->current ? s->current->generation : 0), "retired",
			      (json_int_t)s->n_history, "retiring", (int)s->n_retiring, "more",
			      l.more, "images", l.list));
}
