#include "ask.h"

#include "log_text.h"

struct ask {
	struct lifecycle_job job;
	struct stack *stack;
	struct record *record; /* holds the instances meanwhile */
	uint32_t at;
	bool drain; /* else: ready */
	bool yes;
	char what[128];
	char error[128];
};

static void ask_next(struct ask *a);

static struct tela_instance *asked(const struct ask *a)
{
	return a->record->declared[a->record->call[a->at]];
}

/* Calls that come to a core that does not poll would wait, whatever they are for: no service takes
 * calls meanwhile. */
static bool cores_poll(const struct control *c, char *why, size_t size)
{
	for (uint32_t i = 0; i < tela_node_n_cores(c->node); i++) {
		struct tela_core_info info;

		if (tela_node_core_info(c->node, i, &info) || !info.stalled)
			continue;
		snprintf(why, size, "core %u does not poll: %.140s holds it", i, info.running);
		return false;
	}
	return true;
}

static void end(struct ask *a, bool yes, const char *why)
{
	struct stack *s = a->stack;
	char core[192];

	if (a->drain) {
		s->drained = yes && s->drain == DRAIN_GATE;
		snprintf(s->not_drained, sizeof(s->not_drained), "%s", why);
		log_text_repair(s->not_drained);
	} else {
		if (yes && !cores_poll(s->control, core, sizeof(core))) {
			yes = false;
			why = core;
		}
		s->ready = yes && s->status == TELA_SERVICE_RUNNING && s->drain == DRAIN_NONE;
		snprintf(s->not_ready, sizeof(s->not_ready), "%s",
			s->drain == DRAIN_NONE ? why : "draining");
		log_text_repair(s->not_ready);
	}
	s->asking = NULL;
	s->ask_ns = control_now_ns() + ASK_MS * NS_PER_MS;
}

static int run_ask(struct lifecycle_job *job)
{
	struct ask *a = container_of(job, struct ask, job);
	struct tela_instance *i = asked(a);
	struct tela_hook h = instance_hook_of(i);

	h.error = a->error;
	h.error_len = sizeof(a->error);
	a->yes = a->drain ? i->plugin->desc->drain(&h) : i->plugin->desc->ready(&h);
	return 0;
}

static void ask_done(struct lifecycle_job *job, int error)
{
	struct ask *a = container_of(job, struct ask, job);
	struct tela_instance *i = asked(a);
	char why[192];

	if (error) {
		/* The thread may still write to `a`, which is left behind with its record. */
		snprintf(why, sizeof(why), "%s hangs", a->what);
		instance_abandon(i, a->what);
		end(a, false, why);
	} else if (!a->yes) {
		snprintf(why, sizeof(why), "%.60s%s%.120s", i->name, a->error[0] ? ": " : "",
			a->error);
		end(a, false, why);
		record_put(a->record);
		free(a);
	} else {
		a->at++;
		ask_next(a);
	}
}

/* The next one that has such a hook, or the end. */
static void ask_next(struct ask *a)
{
	const char *hook = a->drain ? "drain" : "ready";
	char why[192];

	for (; a->at < a->record->n; a->at++) {
		struct tela_instance *i = asked(a);
		const struct tela_plugin *desc = i->plugin->desc;

		if (a->drain ? !desc->drain : !desc->ready)
			continue;
		if (i->root->state == INSTANCE_ABANDONED || i->state == INSTANCE_ABANDONED) {
			snprintf(why, sizeof(why), "%.60s: a hook of it hangs", i->name);
			end(a, false, why);
			break;
		}
		a->error[0] = 0;
		snprintf(a->what, sizeof(a->what), "the %s hook of %.60s in %.40s", hook, i->name,
			a->stack->name);
		a->job = (struct lifecycle_job){.what = a->what, .run = run_ask, .done = ask_done};
		lifecycle_submit(a->stack->control->lifecycle, &a->job);
		return;
	}
	if (a->at == a->record->n)
		end(a, true, "");
	record_put(a->record);
	free(a);
}

static void start(struct stack *s, bool drain)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a || !(a->record = record_copy(s->current))) {
		free(a);
		s->ask_ns = control_now_ns() + ASK_MS * NS_PER_MS; /* once more then */
		return;
	}
	a->stack = s;
	a->drain = drain;
	s->asking = a;
	ask_next(a);
}

void ask_soon(struct stack *s)
{
	s->ask_ns = 0;
}

void ask_tick(struct stack *s)
{
	bool drain = s->drain == DRAIN_GATE;

	if (!s->asking && control_now_ns() >= s->ask_ns && s->current &&
		(drain || s->status == TELA_SERVICE_RUNNING))
		start(s, drain);
}
