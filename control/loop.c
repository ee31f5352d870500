#include "loop.h"

#include "admin.h"
#include "ask.h"
#include "discovery.h"
#include "drain.h"
#include "outcall.h"
#include "part.h"
#include "move.h"
#include "whole.h"
#include "load_sample.h"
#include "log.h"

#include <event2/event.h>
#include <signal.h>

enum {
	TICK_BUSY_US = 1000,  /* while images retire or hooks run */
	TICK_IDLE_US = 10000, /* each tick takes a moment of somebody's poll core */
	STOP_SLACK_MS = 1000, /* what hooks need beyond one deadline to stop everything */
};

enum loop_state { LOOP_STARTING, LOOP_RUNNING, LOOP_DRAINING, LOOP_STOPPING, LOOP_ENDED };

struct loop {
	struct control *control;
	struct event *tick, *lifecycle, *term, *interrupt;
	void (*ready)(struct control *c);
	enum loop_state state;
	bool hurried; /* the next tick comes soon */
	uint32_t n_starting;
	uint64_t gate_ns;     /* draining: gates close */
	uint64_t deadline_ns; /* of the state */
	int error;
};

static struct loop loop;

/* ---- starting ---- */

static void all_started(void)
{
	struct control *c = loop.control;
	char err[256] = "";

	loop.error = tela_node_start(c->node, err, sizeof(err));
	if (loop.error) {
		log_error("the data cores cannot be started: %s", err);
		event_base_loopbreak(c->base);
		return;
	}
	loop.state = LOOP_RUNNING;
	discovery_start(c);
	loop.ready(c);
}

static void service_started(void *arg, struct stack *s, int error)
{
	(void)arg;
	(void)s;
	(void)error; /* logged; the others run */
	loop.n_starting--;
}

/* Held at one more until all are submitted: those without hooks are done at once. */
static void start_services(void)
{
	loop.n_starting = 1;
	for (struct stack *s = loop.control->stacks; s; s = s->next) {
		loop.n_starting++;
		move_submit(s, (enum admin_status)s->conf->admin, NULL, service_started, NULL);
	}
	loop.n_starting--;
}

/* ---- ending ---- */

static void stopped(void *arg, struct stack *s, int error)
{
	(void)arg;
	if (error)
		stack_log(s, TELA_LOG_WARN, "cannot be stopped: %s", s->last_error);
}

static void stop_services(void)
{
	for (struct stack *s = loop.control->stacks; s; s = s->next)
		move_submit(s, ADMIN_INACTIVE, "node is draining", stopped, NULL);
	loop.state = LOOP_STOPPING;
	loop.deadline_ns = control_now_ns() +
			   (loop.control->conf->hook_deadline_ms + STOP_SLACK_MS) * NS_PER_MS;
}

static void begin_drain(struct control *c)
{
	if (c->draining)
		return;
	c->draining = true;
	log_info("draining: %u calls in flight, at most %u ms", tela_node_in_flight(c->node),
		c->conf->drain_deadline_ms);
	loop.deadline_ns = control_now_ns() + c->conf->drain_deadline_ms * NS_PER_MS;
	discovery_stop(c);
	loop.gate_ns = control_now_ns();
	if (loop.state == LOOP_RUNNING) {
		tela_node_leave(c->node);
		loop.gate_ns += drain_notice_ns(c);
	}
	for (struct stack *s = c->stacks; s; s = s->next)
		drain_begin(s);
	loop.state = LOOP_DRAINING;
}

static bool services_quiet(void)
{
	for (struct stack *s = loop.control->stacks; s; s = s->next)
		if (!stack_is_quiet(s))
			return false;
	return true;
}

static bool services_run(void)
{
	for (struct stack *s = loop.control->stacks; s; s = s->next)
		if (s->current && s->current->n)
			return true;
	return false;
}

static void end(void)
{
	drain_node_tell_done(loop.control, 0); /* to whom it has not been told */
	loop.state = LOOP_ENDED;
	event_base_loopbreak(loop.control->base);
}

static void drain_step(uint64_t now)
{
	struct control *c = loop.control;

	/* What is being started is stopped by the same means as all else, so it must be there
	 * first; hooks have deadlines. */
	if (loop.n_starting || now < loop.gate_ns ||
		((!drain_node(c) || tela_node_in_flight(c->node)) && now < loop.deadline_ns)) {
		drain_node_tell(
			c, now < loop.deadline_ns ? (loop.deadline_ns - now) / NS_PER_MS : 0);
		return;
	}
	drain_node_tell_done(c, drain_node_end(c));
	stop_services();
}

static void stop_step(uint64_t now)
{
	if (services_quiet()) {
		end();
	} else if (now >= loop.deadline_ns) {
		for (struct stack *s = loop.control->stacks; s; s = s->next)
			if (!stack_is_quiet(s))
				stack_log(s, TELA_LOG_WARN,
					"%u images still pinned, %u stop hooks under way: left "
					"behind",
					s->n_retiring, s->n_stopping);
		end();
	}
}

/* ---- events ---- */

static bool is_busy(void)
{
	for (struct stack *s = loop.control->stacks; s; s = s->next)
		if (!stack_is_quiet(s))
			return true;
	return loop.state != LOOP_RUNNING;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	uint64_t now = control_now_ns();
	struct timeval again;

	(void)fd;
	(void)what;
	tela_node_poll(c->node);
	for (struct stack *s = c->stacks; s; s = s->next) {
		stack_tick(s);
		change_tick(s);
		part_tick(s);
		ask_tick(s);
		drain_tick(s);
		move_tick(s);
	}
	whole_tick(c);
	discovery_tick(c);
	lifecycle_poll(c->lifecycle);
	load_reap(c);
	load_sample_take(c->node, now);
	log_tick(false);
	if (loop.state == LOOP_STARTING && !loop.n_starting)
		all_started();
	else if (loop.state == LOOP_DRAINING)
		drain_step(now);
	else if (loop.state == LOOP_STOPPING)
		stop_step(now);
	loop.hurried = is_busy();
	again = (struct timeval){0, loop.hurried ? TICK_BUSY_US : TICK_IDLE_US};
	if (event_add(loop.tick, &again))
		event_active(loop.tick, EV_TIMEOUT, 0); /* no memory: at once, rather than never */
}

static void on_lifecycle(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	lifecycle_poll(c->lifecycle);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct control *c = arg;

	(void)what;
	if (!c->draining) {
		log_info("%s: ending; once more ends at once", strsignal(number));
		begin_drain(c);
	} else {
		log_warn("%s once more: ending at once", strsignal(number));
		end();
	}
}

static void on_change(void)
{
	const struct timeval soon = {0, TICK_BUSY_US};

	if (!loop.hurried) /* else a storm of changes would put the tick off for ever */
		event_add(loop.tick, &soon);
	loop.hurried = true;
}

int loop_run(struct control *c, void (*ready)(struct control *c))
{
	struct timeval now = {0};

	loop = (struct loop){.control = c, .ready = ready};
	c->on_drain = begin_drain;
	c->on_change = on_change;
	loop.tick = event_new(c->base, -1, 0, on_tick, c);
	loop.lifecycle = event_new(
		c->base, lifecycle_fd(c->lifecycle), EV_READ | EV_PERSIST, on_lifecycle, c);
	loop.term = evsignal_new(c->base, SIGTERM, on_signal, c);
	loop.interrupt = evsignal_new(c->base, SIGINT, on_signal, c);
	CHECK(loop.tick && loop.lifecycle && loop.term && loop.interrupt);
	event_add(loop.tick, &now);
	event_add(loop.lifecycle, NULL);
	event_add(loop.term, NULL);
	event_add(loop.interrupt, NULL);
	start_services();
	event_base_dispatch(c->base);
	c->left_behind = !services_quiet() || services_run();
	event_free(loop.tick);
	event_free(loop.lifecycle);
	event_free(loop.term);
	event_free(loop.interrupt);
	return loop.error;
}
