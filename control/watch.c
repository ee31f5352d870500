#include "watch.h"

struct telling {
	struct lifecycle_job job;
	struct record *record; /* holds the instances meanwhile */
	uint32_t at;
	struct tela_seen seen;
	char what[128];
	char error[64]; /* nobody reads it */
	char node[TELA_NAME_MAX + 1];
	char service[];
};

static void tell_next(struct telling *t);

static struct tela_instance *told(const struct telling *t)
{
	return t->record->declared[t->record->call[t->at]];
}

static int run_tell(struct lifecycle_job *job)
{
	struct telling *t = container_of(job, struct telling, job);
	struct tela_hook h = instance_hook_of(told(t));

	h.error = t->error;
	h.error_len = sizeof(t->error);
	told(t)->plugin->desc->seen(&h, &t->seen);
	return 0;
}

static void tell_done(struct lifecycle_job *job, int error)
{
	struct telling *t = container_of(job, struct telling, job);

	if (error) { /* its thread may still look at `t`, which is left behind with its record */
		instance_abandon(told(t), t->what);
		return;
	}
	t->at++;
	tell_next(t);
}

static void tell_next(struct telling *t)
{
	for (; t->at < t->record->n; t->at++) {
		struct tela_instance *i = told(t);

		if (!i->plugin->desc->seen || i->state != INSTANCE_RUNNING)
			continue;
		snprintf(t->what, sizeof(t->what), "the seen hook of %.60s in %.40s", i->name,
			i->stack->name);
		t->job =
			(struct lifecycle_job){.what = t->what, .run = run_tell, .done = tell_done};
		lifecycle_submit(i->stack->control->lifecycle, &t->job);
		return;
	}
	record_put(t->record);
	free(t);
}

static bool listens(const struct record *r)
{
	for (uint32_t i = 0; r && i < r->n; i++)
		if (r->declared[i]->plugin->desc->seen)
			return true;
	return false;
}

void watch_tell(struct control *c, const char *node, struct tela_str service, bool serves,
	uint64_t incarnation)
{
	for (struct stack *s = c->stacks; s; s = s->next) {
		struct telling *t;

		if (!listens(s->current))
			continue;
		t = calloc(1, sizeof(*t) + service.len + 1);
		if (!t || !(t->record = record_copy(s->current))) {
			free(t);
			stack_log(s, TELA_LOG_WARN,
				"its plugins are not told that %.*s %s: out of memory",
				(int)service.len, service.s, serves ? "serves" : "serves no more");
			continue;
		}
		memcpy(t->service, service.s, service.len);
		snprintf(t->node, sizeof(t->node), "%s", node ? node : "");
		t->seen = (struct tela_seen){.node = node ? t->node : NULL,
			.service = t->service,
			.serves = serves,
			.incarnation = incarnation};
		tell_next(t);
	}
}
