#include "drain.h"

#include "ask.h"
#include "move.h"

/* When, and what, somebody who watches was told last. */
struct told {
	uint64_t at_ns, what;
};

struct drain {
	struct drain *next;
	drain_done_fn done;
	drain_told_fn told; /* NULL: nobody watches */
	void *arg;
	uint64_t deadline_ns;
	struct told last;
};

struct drain_watcher {
	struct drain_watcher *next;
	drain_node_told_fn told;
	drain_node_done_fn done;
	void *arg;
	struct told last;
};

/* ---- how far it is ---- */

static uint32_t in_flight(const struct stack *s)
{
	return s->service ? tela_service_in_flight(s->service) : 0;
}

static bool has_plugins(const struct stack *s)
{
	return s->current && s->current->n;
}

static bool is_done(const struct stack *s)
{
	if (!has_plugins(s))
		return true;
	return s->drain == DRAIN_GATE && s->drained && tela_service_settled(s->service) &&
	       !in_flight(s);
}

bool drain_show(const struct stack *s, char *ret, size_t size)
{
	uint32_t left = in_flight(s);

	if (s->drain == DRAIN_NONE)
		snprintf(ret, size, "%s", "");
	else if (s->drain != DRAIN_GATE)
		snprintf(ret, size, "its callers to look elsewhere");
	else if (left)
		snprintf(ret, size, "calls in flight");
	else if (!tela_service_settled(s->service))
		snprintf(ret, size, "its cores to see that the gate is closed");
	else
		snprintf(ret, size, "%s", s->drained ? "" : s->not_drained);
	return is_done(s);
}

uint32_t drain_working(const struct stack *s)
{
	return s->service ? tela_service_working(s->service) : 0;
}

/* ---- who watches ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* Stands for all that is told of it, but the time. */
static uint64_t state_of(const struct stack *s)
{
	char waits_for[192];
	uint64_t h = mix(mix(drain_show(s, waits_for, sizeof(waits_for)), s->status), in_flight(s));

	h = mix(h, drain_working(s));
	for (const char *at = waits_for; *at; at++)
		h = mix(h, (uint8_t)*at);
	return h;
}

static bool is_due(struct told *last, uint64_t what)
{
	uint64_t now = control_now_ns();

	if (last->at_ns && now - last->at_ns < (last->what == what ? NS_PER_S : NS_PER_S / 10))
		return false;
	*last = (struct told){now, what};
	return true;
}

static uint64_t left_ms(uint64_t deadline_ns)
{
	uint64_t now = control_now_ns();

	return now < deadline_ns ? (deadline_ns - now) / NS_PER_MS : 0;
}

uint64_t drain_left_ms(const struct stack *s)
{
	uint64_t left = 0;

	for (const struct drain *d = s->drains; d; d = d->next)
		if (left_ms(d->deadline_ns) > left)
			left = left_ms(d->deadline_ns);
	return left;
}

/* ---- one service ---- */

/* Each peer asks once in a heartbeat, and may be a little late: so long until all know. */
uint64_t drain_notice_ns(const struct control *c)
{
	return c->conf->node.n_ports ? 2 * c->conf->heartbeat_ms * NS_PER_MS : 0;
}

void drain_begin(struct stack *s)
{
	if (s->drain != DRAIN_NONE)
		return;
	s->drain = DRAIN_LEAVING;
	s->ready = s->drained = false;
	snprintf(s->not_ready, sizeof(s->not_ready), "draining");
	snprintf(s->not_drained, sizeof(s->not_drained), "not asked yet");
	s->gate_ns = control_now_ns() + drain_notice_ns(s->control);
}

bool drain_can(const struct stack *s)
{
	return s->status == TELA_SERVICE_RUNNING || s->status == TELA_SERVICE_PAUSED ||
	       (s->status == TELA_SERVICE_PAUSING && s->drain != DRAIN_NONE);
}

void drain_service(
	struct stack *s, uint64_t deadline_ms, drain_done_fn done, drain_told_fn told, void *arg)
{
	struct drain *d = calloc(1, sizeof(*d));

	if (!d) {
		done(arg, s, -ENOMEM, 0);
		return;
	}
	drain_begin(s);
	if (s->status == TELA_SERVICE_PAUSED)
		s->gate_ns = 0; /* nobody calls it any more */
	d->done = done;
	d->told = told;
	d->arg = arg;
	d->deadline_ns = control_now_ns() + deadline_ms * NS_PER_MS;
	d->next = s->drains;
	s->drains = d;
	ask_soon(s);
}

static void closed(void *arg, struct stack *s, int error)
{
	(void)arg;
	if (error)
		s->drain =
			error == -ENOMEM ? DRAIN_LEAVING : DRAIN_NONE; /* the former: once more */
	ask_soon(s);
}

static void close_gate(struct stack *s)
{
	bool runs = s->status == TELA_SERVICE_RUNNING;

	s->drain = runs || s->status == TELA_SERVICE_PAUSED ? DRAIN_GATE : DRAIN_NONE;
	if (runs)
		move_submit(s, ADMIN_PAUSE, "draining", closed, NULL);
	else if (s->drain == DRAIN_GATE)
		move_gate_drains(s);
	ask_soon(s);
}

void drain_undo(struct stack *s)
{
	s->drain = DRAIN_NONE;
}

/* What is left at the deadline of a drain. */
static uint32_t cancel(struct stack *s)
{
	uint32_t n = s->drain == DRAIN_GATE ? in_flight(s) : 0;

	if (n) {
		tela_service_cancel(s->service, UINT64_MAX);
		stack_log(s, TELA_LOG_WARN,
			"has not drained in time: %u calls in flight are cancelled", n);
	}
	return n;
}

/* True: answered. */
static bool step(struct stack *s, const struct drain *d)
{
	bool late = control_now_ns() >= d->deadline_ns;

	if (s->drain == DRAIN_NONE) {
		d->done(d->arg, s, -EBUSY, 0);
		return true;
	}
	/* However short its time, the gate is closed first: its callers have been told. */
	if (s->changes || s->drain != DRAIN_GATE)
		return false;
	if (!is_done(s) && !late)
		return false;
	d->done(d->arg, s, 0, is_done(s) ? 0 : cancel(s));
	return true;
}

void drain_tick(struct stack *s)
{
	struct drain **at = &s->drains, *d;

	if (s->drain == DRAIN_LEAVING && !s->control->draining && control_now_ns() >= s->gate_ns)
		close_gate(s);
	while ((d = *at)) {
		if (!step(s, d)) {
			if (d->told && is_due(&d->last, state_of(s)))
				d->told(d->arg, s, left_ms(d->deadline_ns));
			at = &d->next;
			continue;
		}
		*at = d->next;
		free(d);
	}
}

/* ---- a node ---- */

static bool names(const char *const *list, const struct stack *s)
{
	for (; list && *list; list++)
		if (!strcmp(*list, s->name) || (s->desc && !strcmp(*list, s->desc->name)))
			return true;
	return false;
}

static bool uses(const struct stack *s, const struct stack *other)
{
	for (uint32_t i = 0; has_plugins(s) && i < s->current->n; i++)
		if (names(s->current->declared[i]->plugin->desc->uses, other))
			return true;
	return false;
}

static bool is_used(const struct stack *s)
{
	for (const struct stack *i = s->control->stacks; i; i = i->next)
		if (i != s && !is_done(i) && uses(i, s))
			return true;
	return false;
}

static void close_node_gate(struct stack *s)
{
	stack_log(s, TELA_LOG_DEBUG, "draining: takes no more calls");
	s->drain = DRAIN_GATE;
	s->drained = false;
	if (s->status == TELA_SERVICE_RUNNING) /* else it is closed */
		move_gate_drains(s);
	ask_soon(s);
}

bool drain_node(struct control *c)
{
	bool waits = false, done = true;

	for (struct stack *s = c->stacks; s; s = s->next) {
		if (has_plugins(s) && s->drain != DRAIN_GATE && !is_used(s))
			close_node_gate(s);
		waits |= s->drain == DRAIN_GATE && !is_done(s);
		done &= is_done(s);
	}
	/* Those that are left use each other. */
	for (struct stack *s = c->stacks; s && !waits && !done; s = s->next)
		if (has_plugins(s) && s->drain != DRAIN_GATE)
			close_node_gate(s);
	return done;
}

uint32_t drain_node_end(struct control *c)
{
	uint32_t cancelled = 0;

	for (struct stack *s = c->stacks; s; s = s->next) {
		uint32_t n = 0;
		char why[192];

		if (is_done(s))
			continue;
		if (s->drain != DRAIN_GATE)
			close_node_gate(s);
		n = cancel(s);
		cancelled += n;
		if (!n) {
			drain_show(s, why, sizeof(why));
			stack_log(s, TELA_LOG_WARN, "has not drained after %u ms: %s",
				c->conf->drain_deadline_ms, why);
		}
	}
	return cancelled;
}

int drain_node_watch(struct control *c, drain_node_told_fn told, drain_node_done_fn done, void *arg)
{
	struct drain_watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct drain_watcher){.next = c->watchers, .told = told, .done = done, .arg = arg};
	c->watchers = w;
	return 0;
}

void drain_node_tell(struct control *c, uint64_t left)
{
	uint64_t what = tela_node_in_flight(c->node);

	for (const struct stack *s = c->stacks; c->watchers && s; s = s->next)
		what = mix(what, state_of(s));
	for (struct drain_watcher *w = c->watchers; w; w = w->next)
		if (is_due(&w->last, what))
			w->told(w->arg, c, left);
}

void drain_node_tell_done(struct control *c, uint32_t cancelled)
{
	struct drain_watcher *w;

	while ((w = c->watchers)) {
		c->watchers = w->next;
		w->done(w->arg, c, cancelled);
		free(w);
	}
}
