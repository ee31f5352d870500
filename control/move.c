#include "move.h"

#include "drain.h"
#include "whole.h"

#include <time.h>

enum { CALM_MS = 60000 }; /* a service that has run for so long has its tries anew */

struct move {
	struct change change;
	enum admin_status wanted;
	bool retry;
	char reason[64];
	uint64_t deadline_ns; /* of a stop: then `done` is told, and it goes on */
	void (*done)(void *arg, struct stack *s, int error); /* NULL: was called */
	void *arg;
	struct change_step *steps;
};

static struct move *move_of(struct change *c)
{
	return container_of(c, struct move, change);
}

/* ---- stages ---- */

static int become(struct change *c, int to)
{
	struct stack *s = c->stack;

	CHECK(running_may_move(s->status, to));
	stack_log(s, TELA_LOG_DEBUG, "%s, was %s", running_name(to), running_name(s->status));
	s->told = s->status;
	s->status = to;
	s->status_since = time(NULL);
	s->calm_ns = control_now_ns();
	s->ready = false;
	s->ask_ns = 0;
	return 0;
}

/* Whose hooks a stage of a move runs. */
static struct record *subject(struct change *c)
{
	if (c->leaving)
		return c->leaving;
	return c->next_record ? c->next_record : c->stack->current;
}

/* They cannot fail, and one that hangs does not stop the others. */
static void on_told(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	if (!error && i->hook == HOOK_STOP)
		i->state = INSTANCE_STOPPED;
	c->at++;
	change_resume(c, 0);
}

/* `current`: those that serve, though others are being made. */
static int tell(struct change *c, int current)
{
	struct record *r = current ? c->stack->current : subject(c);

	for (; r && c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[r->call[c->at]];

		i->from_status = c->stack->told;
		i->to_status = c->stack->status;
		if (!instance_run(i, HOOK_STATUS, on_told, c))
			return -EINPROGRESS;
	}
	return 0;
}

/* What was started, in reverse. */
static int stop(struct change *c, int unused)
{
	struct record *r = subject(c);

	(void)unused;
	for (; r && c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[r->start[r->n - 1 - c->at]]->root;

		if (i->state != INSTANCE_RUNNING)
			continue;
		if (!instance_run(i, HOOK_STOP, on_told, c))
			return -EINPROGRESS;
		i->state = INSTANCE_STOPPED;
	}
	return 0;
}

void move_gate_drains(struct stack *s)
{
	if (s->service)
		tela_service_drain(
			s->service, s->control->draining ? "node is draining" : s->reason);
}

static int gate(struct change *c, int open)
{
	struct stack *s = c->stack;
	const char *reason = s->reason[0]                       ? s->reason
			     : s->status == TELA_SERVICE_FAILED ? "failed"
			     : s->admin == ADMIN_PAUSE          ? "paused"
			     : s->admin == ADMIN_INACTIVE       ? "stopped"
								: "service is starting";

	if (s->drain == DRAIN_GATE && (s->admin == ADMIN_PAUSE || s->control->draining))
		move_gate_drains(s);
	else if (s->service)
		tela_service_admit(s->service, open, reason);
	return 0;
}

/* ---- boot ---- */

/* From the configuration, or as it was when it was stopped. */
static int plan(struct change *c, int unused)
{
	struct stack *s = c->stack;
	const struct conf_service *conf = s->conf;
	uint32_t n = s->plan ? s->n_plan : 1 + conf->n_plugins;
	struct change_step *steps = calloc(n, sizeof(*steps));

	(void)unused;
	if (!steps)
		return change_fail(c, -ENOMEM, "out of memory");
	if (s->plan)
		memcpy(steps, s->plan, n * sizeof(*steps));
	else
		steps[0] = (struct change_step){.op = CHANGE_ADD,
			.plugin = conf->name,
			.object = conf->object,
			.config = conf->config.pairs,
			.line = conf->line};
	for (uint32_t i = 1; !s->plan && i < n; i++) {
		const struct conf_plugin *p = &conf->plugins[i - 1];

		steps[i] = (struct change_step){.op = CHANGE_ADD,
			.plugin = p->plugin,
			.as = p->as,
			.object = p->object,
			.config = p->config.pairs,
			.line = p->line};
	}
	c->steps = move_of(c)->steps = steps;
	c->n_steps = n;
	c->starts = true;
	return 0;
}

static int booted(struct change *c, int keep_tries);

static int plan_tries(struct change *c, int unused)
{
	struct stack *s = c->stack;
	const struct conf *conf = s->control->conf;
	uint64_t wait_ms =
		running_retry_ms(conf->start_retry_ms, conf->start_retry_max_ms, s->n_tries);

	(void)unused;
	s->next_try_ns = UINT64_MAX;
	if (c->failure != -ETIMEDOUT && s->n_tries < conf->start_retries)
		s->next_try_ns = control_now_ns() + wait_ms * NS_PER_MS;
	return 0;
}

static const struct change_stage boot_fails[] = {
	{change_abort, 0},
	{stop, 0},
	{become, TELA_SERVICE_FAILED},
	{gate, false},
	{tell, 0},
	{plan_tries, 0},
	{NULL, 0},
};

static const struct change_stage boot_stages[] = {
	{become, TELA_SERVICE_STARTING},
	{plan, 0},
	{change_load, 0},
	{change_arrange, 0},
	{tell, 0},
	{change_config, false},
	{change_start, 0},
	{change_prepare, 0},
	{gate, false},
	{change_publish, 0},
	{booted, 0},
	{NULL, 0},
};

static const struct change_stage run_stages[] = {
	{gate, true},
	{become, TELA_SERVICE_RUNNING},
	{tell, 0},
	{NULL, 0},
};

static const struct change_stage pause_stages[] = {
	{gate, false},
	{become, TELA_SERVICE_PAUSING},
	{tell, 0},
	{become, TELA_SERVICE_PAUSED},
	{tell, 0},
	{NULL, 0},
};

static const struct change_stage resume_stages[] = {
	{become, TELA_SERVICE_STARTING},
	{tell, 0},
	{gate, true},
	{become, TELA_SERVICE_RUNNING},
	{tell, 0},
	{NULL, 0},
};

static int booted(struct change *c, int keep_tries)
{
	struct stack *s = c->stack;

	c->on_error = NULL;
	if (!keep_tries)
		s->n_tries = 0;
	move_forget_plan(s);
	change_go(c, s->admin == ADMIN_PAUSE ? pause_stages : run_stages);
	return 0;
}

/* ---- a plugin that failed while the service ran ---- */

static const struct change_stage nothing[] = {{NULL, 0}};

static int still_runs(struct change *c, int unused)
{
	struct stack *s = c->stack;

	(void)unused;
	if (s->status != TELA_SERVICE_RUNNING && s->status != TELA_SERVICE_PAUSED)
		change_go(c, nothing);
	return 0;
}

static const struct change_stage failure_stages[] = {
	{still_runs, 0},
	{become, TELA_SERVICE_FAILED},
	{gate, false},
	{tell, 0},
	{plan_tries, 0},
	{NULL, 0},
};

static int plan_revival(struct change *c, int unused)
{
	struct record *r = c->stack->current;

	(void)unused;
	c->steps = move_of(c)->steps = calloc(r->n, sizeof(*c->steps));
	if (!c->steps)
		return change_fail(c, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < r->n; i++)
		if (r->declared[i]->root->failed)
			c->steps[c->n_steps++] = (struct change_step){
				.op = CHANGE_REPLACE, .plugin = r->declared[i]->name};
	return 0;
}

static const struct change_stage revival_fails[] = {
	{change_abort, 0},
	{become, TELA_SERVICE_FAILED},
	{tell, true},
	{plan_tries, 0},
	{NULL, 0},
};

static const struct change_stage revival_stages[] = {
	{become, TELA_SERVICE_STARTING},
	{tell, 0},
	{plan_revival, 0},
	{change_arrange, 0},
	{change_config, false},
	{change_start, 0},
	{change_prepare, 0},
	{change_publish, 0},
	{change_notify, 0},
	{booted, true},
	{NULL, 0},
};

/* ---- stop ---- */

void move_forget_plan(struct stack *s)
{
	for (uint32_t i = 0; i < s->n_plan; i++) {
		free((char *)s->plan[i].plugin);
		free((char *)s->plan[i].as);
		free((char *)s->plan[i].object);
		free((struct tela_plugin_config *)s->plan[i].config.pairs - 1);
	}
	free(s->plan);
	s->plan = NULL;
	s->n_plan = 0;
}

/* False: no memory. */
static bool remember_step(struct change_step *step, const struct tela_instance *i, bool named)
{
	static const struct tela_plugin_config none;
	const char *path = i->plugin->path;
	struct tela_plugin_config *config = config_merge(&i->given, &none, NULL);

	if (!config)
		return false;
	*step = (struct change_step){.op = CHANGE_ADD,
		.plugin = strdup(i->plugin->name),
		.as = named ? strdup(i->name) : NULL,
		.object = path ? strdup(path) : NULL,
		.config = *config};
	return step->plugin && (step->as || !named) && (step->object || !path);
}

/* What the operator made of it at run time is what starts again. False: no memory. */
static bool remember_plan(struct stack *s, const struct record *r)
{
	move_forget_plan(s);
	s->plan = calloc(r->n, sizeof(*s->plan));
	for (uint32_t i = 0; s->plan && i < r->n; i++) {
		struct change_step *step = &s->plan[s->n_plan];

		if (r->declared[i]->automatic)
			continue;
		if (!remember_step(step, r->declared[i], s->n_plan > 0)) {
			s->n_plan += step->config.pairs != NULL; /* to be freed with the others */
			move_forget_plan(s);
			return false;
		}
		s->n_plan++;
	}
	return s->plan;
}

/* From here on no call finds an image; the instances are held until none runs under an old one. */
static int withdraw(struct change *c, int unused)
{
	struct stack *s = c->stack;
	struct record *empty;

	(void)unused;
	if (s->staged)
		return CHANGE_TICK;
	/* Calls that hold its images are cancelled by then: what is left is with workers. */
	move_of(c)->deadline_ns = control_now_ns() +
				  (s->control->conf->drain_deadline_ms + STACK_LATE_MS) * NS_PER_MS;
	if (!s->current || !s->current->n)
		return 0;
	empty = record_create(s, NULL, 0);
	c->leaving = empty ? record_copy(s->current) : NULL;
	if (c->leaving && remember_plan(s, s->current)) {
		stack_publish(s, empty, NULL);
		return 0;
	}
	/* It goes on when there is memory. */
	stack_error(s, "out of memory");
	if (c->leaving)
		record_put(c->leaving);
	if (empty)
		record_put(empty);
	c->leaving = NULL;
	return CHANGE_TICK;
}

static void report(struct move *m, int error)
{
	if (m->done)
		m->done(m->arg, m->change.stack, error);
	m->done = NULL;
}

static int drained(struct change *c, int unused)
{
	struct record *r = c->leaving;
	struct stack *s = c->stack;
	bool held = false;

	(void)unused;
	for (uint32_t i = 0; r && i < r->n; i++)
		held = held || instance_held(r->declared[i]);
	if (held && control_now_ns() > move_of(c)->deadline_ns && move_of(c)->done) {
		change_fail(c, -ETIMEDOUT,
			"%s is still stopping: calls under way hold its old images (%u in flight, "
			"%u images); it stops when they end",
			s->name, tela_service_in_flight(s->service), s->n_retiring);
		stack_error(s, c->error);
		report(move_of(c), -ETIMEDOUT);
	}
	return held ? CHANGE_TICK : 0;
}

static int let_leave(struct change *c, int unused)
{
	(void)unused;
	if (c->leaving)
		record_put(c->leaving);
	c->leaving = NULL;
	c->stack->next_try_ns = UINT64_MAX;
	return 0;
}

static const struct change_stage stop_stages[] = {
	{gate, false},
	{become, TELA_SERVICE_STOPPING},
	{tell, 0},
	{withdraw, 0},
	{drained, 0},
	{stop, 0},
	{become, TELA_SERVICE_STOPPED},
	{tell, 0},
	{let_leave, 0},
	{NULL, 0},
};

static const struct change_stage never_start[] = {
	{become, TELA_SERVICE_STOPPED},
	{NULL, 0},
};

/* ---- which ---- */

static bool is_there(enum admin_status wanted, enum tela_running is)
{
	static const enum tela_running end[] = {
		TELA_SERVICE_RUNNING, TELA_SERVICE_PAUSED, TELA_SERVICE_STOPPED};

	return is == end[wanted];
}

/* When its turn has come, not when it was asked for. */
static int decide(struct change *c, int unused)
{
	struct move *m = move_of(c);
	struct stack *s = c->stack;

	(void)unused;
	if (!m->retry && m->wanted == ADMIN_ACTIVE && !s->control->draining)
		drain_undo(s);
	if (whole_is_going(s) && m->wanted != ADMIN_INACTIVE && !m->retry)
		return change_fail(c, -EBUSY, "it is being removed");
	if (is_there(m->wanted, s->status) ||
		(m->retry && (s->status != TELA_SERVICE_FAILED || s->admin != m->wanted))) {
		change_go(c, nothing);
		return 0;
	}
	if (s->control->draining && m->wanted != ADMIN_INACTIVE)
		return change_fail(c, -ESHUTDOWN, "the node is draining");
	s->admin = m->wanted;
	s->n_tries = m->retry ? s->n_tries + 1 : 0;
	if (!m->retry)
		snprintf(s->reason, sizeof(s->reason), "%s", m->reason);
	if (m->wanted == ADMIN_INACTIVE)
		change_go(c, s->status == TELA_SERVICE_UNKNOWN ? never_start : stop_stages);
	else if (s->status == TELA_SERVICE_RUNNING)
		change_go(c, pause_stages);
	else if (s->status == TELA_SERVICE_PAUSED)
		change_go(c, resume_stages);
	else if (s->current && s->current->n) {
		c->on_error = revival_fails;
		change_go(c, revival_stages);
	} else {
		c->on_error = boot_fails;
		change_go(c, boot_stages);
	}
	return 0;
}

static const struct change_stage decide_stages[] = {{decide, 0}, {NULL, 0}};

static void move_done(struct change *c, int error)
{
	struct move *m = move_of(c);
	struct stack *s = c->stack;
	char where[160];

	if (error && s->status == TELA_SERVICE_FAILED) {
		s->error_line = c->line ? c->line : s->conf->line;
		stack_where(s, s->error_line, where, sizeof(where));
		stack_log(s, TELA_LOG_ERROR, "%sdid not start: %s", where, c->error);
	} else if (!error && c->stage != nothing) {
		stack_log(s, TELA_LOG_INFO, "is %s%s%s", running_name(s->status),
			s->reason[0] ? ": " : "", s->reason);
	}
	report(m, error);
	free(m->steps);
	free(m);
}

static void submit(struct stack *s, enum admin_status wanted, const char *reason, bool retry,
	void (*done)(void *arg, struct stack *s, int error), void *arg)
{
	struct move *m = calloc(1, sizeof(*m));

	if (!m) {
		stack_error(s, "out of memory");
		stack_log(s, TELA_LOG_ERROR, "cannot be moved: out of memory");
		s->next_try_ns = control_now_ns() + NS_PER_S;
		if (done)
			done(arg, s, -ENOMEM);
		return;
	}
	m->wanted = wanted;
	m->retry = retry;
	m->done = done;
	m->arg = arg;
	snprintf(m->reason, sizeof(m->reason), "%s", reason ? reason : "");
	m->change.stack = s;
	m->change.done = move_done;
	change_submit_stages(&m->change, decide_stages);
}

void move_submit(struct stack *s, enum admin_status wanted, const char *reason,
	void (*done)(void *arg, struct stack *s, int error), void *arg)
{
	submit(s, wanted, reason, false, done, arg);
}

static void submit_failure(struct stack *s)
{
	struct move *m = calloc(1, sizeof(*m));

	s->failure_due = !m; /* at the next tick */
	if (!m)
		return;
	m->change.stack = s;
	m->change.done = move_done;
	change_submit_stages(&m->change, failure_stages);
}

void move_failed(struct stack *s, struct tela_instance *i, const char *what, const char *why)
{
	char text[sizeof(s->last_error)];

	i->root->failed = true;
	snprintf(text, sizeof(text), "%s: %s", what, why);
	stack_error(s, text);
	stack_log(s, TELA_LOG_ERROR, "%s", text);
	submit_failure(s);
}

static void look_after_workers(struct stack *s)
{
	uint64_t now = control_now_ns();
	struct record *r = s->current;
	char err[256];

	if (s->n_tries && s->status == TELA_SERVICE_RUNNING && !s->changes &&
		now > s->calm_ns + CALM_MS * NS_PER_MS)
		s->n_tries = 0;
	for (uint32_t i = 0; r == s->current && r && i < r->n; i++)
		if (instance_look(r->declared[i], now, err, sizeof(err)))
			move_failed(s, r->declared[i], r->declared[i]->name, err);
}

void move_tick(struct stack *s)
{
	look_after_workers(s);
	if (s->failure_due)
		submit_failure(s);
	if (s->status != TELA_SERVICE_FAILED || s->control->draining || s->changes ||
		control_now_ns() < s->next_try_ns)
		return;
	s->next_try_ns = UINT64_MAX;
	submit(s, s->admin, NULL, true, NULL, NULL);
}

bool move_next_try(const struct stack *s, uint32_t *ret_left, uint64_t *ret_in_ms)
{
	uint64_t now = control_now_ns();

	if (s->status != TELA_SERVICE_FAILED || s->next_try_ns == UINT64_MAX)
		return false;
	*ret_left = s->control->conf->start_retries - s->n_tries;
	*ret_in_ms = s->next_try_ns > now ? (s->next_try_ns - now) / NS_PER_MS : 0;
	return true;
}
