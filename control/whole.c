#include "whole.h"

#include "boot.h"
#include "command.h"
#include "drain.h"
#include "move.h"

enum { SERVICES_MAX = 256, DRAIN_MAX_MS = 3600000 };

bool whole_is_going(const struct stack *s)
{
	return s->leaving.step > LEAVING_DRAINS;
}

/* ---- out of the node ---- */

static void answer(struct stack *s)
{
	struct leaving *l = &s->leaving;

	if (!l->request)
		return;
	if (l->error)
		request_fail(l->request, l->error, "%s", l->why);
	else
		request_ok(l->request,
			json_pack("{s:s,s:b,s:i,s:I}", "service", s->name, "removed", 1,
				"cancelled", (int)l->cancelled, "took_ms",
				(json_int_t)((control_now_ns() - l->since_ns) / NS_PER_MS)));
	l->request = NULL;
}

/* No core looks at it any more. */
static void on_removed(void *arg)
{
	struct stack *s = arg;

	if (!s->haunted)
		tela_service_free(s->service);
	s->leaving.step = LEAVING_GONE;
}

/* Nothing in the node leads to an instance of it any more, but hooks that hang. */
static bool is_empty(const struct stack *s)
{
	return s->status == TELA_SERVICE_STOPPED && stack_is_still(s) && !s->drains &&
	       (!s->alive || s->haunted);
}

static void on_stopped(void *arg, struct stack *s, int error)
{
	struct leaving *l = &s->leaving;

	(void)arg;
	l->stopping = error != -ENOMEM; /* else at the next tick */
	if (!error || !l->stopping || !l->request)
		return;
	request_fail(l->request, l->error ? l->error : error, "%s%sservice %s is %s: %s", l->why,
		l->error ? "; " : "", s->name, running_name(s->status), s->last_error);
	l->request = NULL;
}

static void stop(struct stack *s)
{
	s->leaving.step = LEAVING_STOPS;
	s->leaving.stopping = true;
	move_submit(s, ADMIN_INACTIVE, "removed", on_stopped, NULL);
}

static void step(struct stack *s)
{
	struct leaving *l = &s->leaving;

	if (l->step == LEAVING_STOPS && !l->stopping)
		stop(s);
	if (l->step != LEAVING_STOPS || !is_empty(s))
		return;
	l->step = LEAVING_NODE;
	if (!s->service)
		l->step = LEAVING_GONE;
	else if (tela_service_remove(s->service, on_removed, s))
		l->step = LEAVING_STOPS; /* for want of memory: at the next tick */
}

void whole_tick(struct control *c)
{
	struct stack **at = &c->stacks, *s;

	while ((s = *at)) {
		step(s);
		if (s->leaving.step != LEAVING_GONE) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		if (!s->leaving.error)
			stack_log(s, TELA_LOG_INFO, "is removed");
		answer(s);
		if (!s->haunted)
			stack_free(s);
	}
}

static void on_drained(void *arg, struct stack *s, int error, uint32_t cancelled)
{
	struct leaving *l = &s->leaving;

	(void)arg;
	if (error == -ENOMEM)
		request_fail(l->request, error, "out of memory");
	else if (error && (s->status == TELA_SERVICE_RUNNING || s->status == TELA_SERVICE_STARTING))
		request_fail(l->request, error,
			"the removal is undone: service %s has been activated", s->name);
	else
		error = 0;
	if (error) {
		l->step = LEAVING_NOT;
		return;
	}
	l->cancelled = cancelled;
	stop(s);
}

static struct leaving *leave(struct stack *s, struct request *r)
{
	s->leaving = (struct leaving){
		.step = LEAVING_DRAINS, .request = r, .since_ns = control_now_ns()};
	return &s->leaving;
}

void cmd_service_remove(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);
	int64_t deadline_ms;

	if (!s)
		return;
	deadline_ms = request_number(r, "deadline_ms", c->conf->drain_deadline_ms);
	if (deadline_ms < 0 || deadline_ms > DRAIN_MAX_MS) {
		request_fail(r, -EINVAL, "deadline_ms: expected 0..%d", DRAIN_MAX_MS);
	} else if (c->draining) {
		request_fail(r, -ESHUTDOWN, "the node is draining");
	} else if (s->leaving.step) {
		request_fail(r, -EBUSY, "service %s is being removed already", s->name);
	} else {
		leave(s, r);
		if (drain_can(s))
			drain_service(s, (uint64_t)deadline_ms, on_drained, NULL, NULL);
		else
			stop(s);
	}
}

/* ---- into the node ---- */

static void on_added(void *arg, struct stack *s, int error)
{
	struct request *r = arg;
	struct leaving *l;
	char why[sizeof(l->why)];
	int n;

	if (!error) {
		request_ok(
			r, json_pack("{s:s,s:s,s:s,s:s}", "service", s->name, "state",
				   running_name(s->status), "admin", admin_status_names[s->admin],
				   "schema_name", s->desc ? s->desc->name : ""));
		return;
	}
	n = stack_where(s, s->error_line, why, sizeof(why));
	snprintf(why + n, sizeof(why) - (size_t)n, "service %s is not added: %s", s->name,
		s->last_error);
	if (s->leaving.step) { /* its removal has begun, and is answered by itself */
		request_fail(r, error, "%s", why);
		return;
	}
	l = leave(s, r);
	l->error = error;
	memcpy(l->why, why, sizeof(why));
	stop(s);
}

struct errors {
	char text[4000];
	size_t n;
	bool no_memory;
};

static void complain(void *arg, const char *line)
{
	struct errors *e = arg;

	e->no_memory |= line == conf_no_memory;
	if (e->n < sizeof(e->text))
		e->n += (size_t)snprintf(
			e->text + e->n, sizeof(e->text) - e->n, "%s%s", e->n ? "\n" : "", line);
}

static const char *text_of(const json_t *o, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : fallback;
}

/* What the request holds, checked as telad --check does; NULL: it has been answered. */
static struct conf *read_definition(struct control *c, struct request *r)
{
	const json_t *file = json_object_get(request_arguments(r), "definition");
	const char *text = text_of(file, "text", "");
	struct errors errors = {.n = 0};
	struct conf *conf = conf_parse_service(text_of(file, "name", "definition"), text,
		strlen(text), text_of(file, "folder", NULL), complain, &errors);

	if (conf) {
		conf->node.n_workers = c->conf->node.n_workers;
		boot_check(conf, c->registry, false, complain, &errors);
	}
	if (!errors.n)
		return conf;
	conf_free(conf);
	request_fail(r, errors.no_memory ? -ENOMEM : -EINVAL, "%s", errors.text);
	return NULL;
}

static bool has_room(struct control *c, struct request *r, const char *name)
{
	const struct stack *there = stack_find(c, name);
	uint32_t n = 0;

	for (const struct stack *s = c->stacks; s; s = s->next)
		n++;
	if (there)
		request_fail(r, -EEXIST, "service %s is there already: it is %s", name,
			there->leaving.step ? "being removed" : running_name(there->status));
	else if (n >= SERVICES_MAX)
		request_fail(r, -E2BIG,
			"this node has all services that it may have (%d): %s is not added", n,
			name);
	return !there && n < SERVICES_MAX;
}

void cmd_service_add(struct control *c, struct request *r)
{
	struct conf *conf;
	struct stack *s;

	if (c->draining) {
		request_fail(r, -ESHUTDOWN, "the node is draining");
		return;
	}
	conf = read_definition(c, r);
	if (!conf)
		return;
	if (!has_room(c, r, conf->services->name)) {
		conf_free(conf);
		return;
	}
	s = stack_create(c, conf->services);
	if (!s) {
		conf_free(conf);
		request_fail(r, -ENOMEM, "out of memory");
		return;
	}
	s->file = conf;
	move_submit(s, (enum admin_status)conf->services->admin, NULL, on_added, r);
}
