/* cmd_service.c - commands that move a service between its statuses. Each is answered when the move
 * is done, with the status reached. */
#include "command.h"
#include "drain.h"
#include "move.h"

static void answer(struct request *r, const struct stack *s)
{
	request_ok(r,
		json_pack("{s:s,s:s,s:s,s:s}", "service", s->name, "state", running_name(s->status),
			"admin", admin_status_names[s->admin], "reason", s->reason));
}

static void moved(void *arg, struct stack *s, int error)
{
	struct request *r = arg;

	if (error == -ESHUTDOWN)
		request_fail(r, error, "the node is draining");
	else if (error)
		request_fail(r, error, "service %s is %s: %s", s->name, running_name(s->status),
			s->last_error);
	else
		answer(r, s);
}

static void move(struct control *c, struct request *r, enum admin_status wanted)
{
	struct stack *s = command_service(c, r);
	const char *reason;

	if (!s)
		return; /* and the request is gone */
	reason = request_text(r, "reason");
	if (reason && strlen(reason) >= sizeof(s->reason)) {
		request_fail(r, -EINVAL, "reason: expected at most %zu bytes, found %zu",
			sizeof(s->reason) - 1, strlen(reason));
		return;
	}
	move_submit(s, wanted, reason, moved, r);
}

void cmd_service_pause(struct control *c, struct request *r)
{
	move(c, r, ADMIN_PAUSE);
}

void cmd_service_activate(struct control *c, struct request *r)
{
	move(c, r, ADMIN_ACTIVE);
}

void cmd_service_deactivate(struct control *c, struct request *r)
{
	move(c, r, ADMIN_INACTIVE);
}

static void drained(void *arg, struct stack *s, int error, uint32_t cancelled)
{
	struct request *r = arg;
	char waits_for[192];
	bool done = drain_show(s, waits_for, sizeof(waits_for));

	if (cancelled) { /* by now they may have gone */
		done = false;
		snprintf(waits_for, sizeof(waits_for), "calls in flight");
	}
	if (error == -ENOMEM)
		request_fail(r, error, "out of memory");
	else if (error)
		request_fail(r, error, "the drain is undone: service %s is %s", s->name,
			running_name(s->status));
	else
		request_ok(r, json_pack("{s:s,s:s,s:b,s:i,s:i,s:s}", "service", s->name, "state",
				      running_name(s->status), "drained", done, "in_flight",
				      (int)(s->service ? tela_service_in_flight(s->service) : 0),
				      "cancelled", (int)cancelled, "waits_for", waits_for));
}

/* How it is. */
static json_t *drain_json(const struct stack *s)
{
	char waits_for[192];
	bool done = drain_show(s, waits_for, sizeof(waits_for));

	return json_pack("{s:s,s:s,s:b,s:b,s:i,s:i,s:s}", "service", s->name, "state",
		running_name(s->status), "draining", s->drain != DRAIN_NONE, "drained", done,
		"in_flight", (int)(s->service ? tela_service_in_flight(s->service) : 0), "working",
		(int)drain_working(s), "waits_for", waits_for);
}

static void told(void *arg, struct stack *s, uint64_t left_ms)
{
	json_t *line = drain_json(s);

	json_object_set_new(line, "left_ms", json_integer((json_int_t)left_ms));
	request_progress(arg, line);
}

/* Without a deadline of its own, who watches has that of the drains under way; when there is none
 * any more, it is done, or undone. */
static void drain(struct control *c, struct request *r, struct stack *s)
{
	bool watch = request_flag(r, "watch");
	int64_t deadline_ms = request_number(r, "deadline_ms", -1);

	if (watch && deadline_ms < 0 && s->drain != DRAIN_NONE) {
		if (!s->drains) {
			request_ok(r, drain_json(s));
			return;
		}
		deadline_ms = (int64_t)drain_left_ms(s);
	}
	drain_service(s, deadline_ms < 0 ? c->conf->drain_deadline_ms : (uint64_t)deadline_ms,
		drained, watch ? told : NULL, r);
}

void cmd_service_drain(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);

	if (!s)
		return;
	if (request_flag(r, "poll") && request_flag(r, "watch"))
		request_fail(r, -EINVAL, "give poll= or watch=, not both");
	else if (request_flag(r, "poll"))
		request_ok(r, drain_json(s));
	else if (request_number(r, "deadline_ms", 0) < 0 ||
		 request_number(r, "deadline_ms", 0) > 3600000)
		request_fail(r, -EINVAL, "deadline_ms: expected 0..3600000");
	else if (!drain_can(s))
		request_fail(r, -ENOTCONN, "service %s is %s: only one that runs can be drained",
			s->name, running_name(s->status));
	else if (c->draining)
		request_fail(r, -ESHUTDOWN, "the node is draining");
	else
		drain(c, r, s);
}

void cmd_service_weight(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);
	int64_t weight;

	if (!s)
		return;
	weight = request_number(r, "weight", s->weight);
	if (weight < 1 || weight > 1000000) {
		request_fail(r, -EINVAL, "weight: expected 1..1000000");
		return;
	}
	s->weight = (uint32_t)weight;
	request_ok(r, json_pack("{s:s,s:I}", "service", s->name, "weight", (json_int_t)weight));
}
