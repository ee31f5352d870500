/* cmd_stats.c - counters: the node's by name, and what each running plugin counts.
 *
 * A plugin's stats() is foreign code, so it runs on the lifecycle thread with a deadline like any
 * hook, one job for each instance; the reply goes out when the last is done. The instance is held
 * meanwhile. */
#include "command.h"
#include "stack.h"

enum { FIGURES_MAX = 256 };

struct gather {
	struct control *control;
	struct request *request;
	json_t *counters, *plugins;
	uint32_t left;
	bool drops, zero, no_memory;
};

struct stats_job {
	struct lifecycle_job job;
	struct gather *gather;
	struct tela_instance *instance;
	uint32_t n;
	struct figure {
		char name[64];
		uint64_t value;
	} figures[FIGURES_MAX];
	char what[128];
};

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)min_u64(v, INT64_MAX));
}

static void emit_counter(void *arg, const char *name, const char *help, bool drop, uint64_t value)
{
	struct gather *g = arg;

	if ((g->drops && !drop) || (!value && !g->zero))
		return;
	json_array_append_new(
		g->counters, json_pack("{s:s,s:o,s:s,s:s}", "counter", name, "value", number(value),
				     "kind", drop ? "drop" : "event", "help", help));
}

/* ---- plugins ---- */

static void emit_figure(void *arg, const char *name, uint64_t value)
{
	struct stats_job *j = arg;

	if (j->n == FIGURES_MAX)
		return;
	snprintf(j->figures[j->n].name, sizeof(j->figures[0].name), "%s", name);
	j->figures[j->n++].value = value;
}

static int run_stats(struct lifecycle_job *job)
{
	struct stats_job *j = container_of(job, struct stats_job, job);

	j->instance->plugin->desc->stats(j->instance->self, emit_figure, j);
	return 0;
}

static void finish(struct gather *g)
{
	json_t *all = json_pack("{s:o,s:o}", "counters", g->counters, "plugins", g->plugins);

	if (g->no_memory) {
		json_decref(all);
		request_fail(g->request, -ENOMEM, "out of memory");
	} else {
		request_ok(g->request, all);
	}
	free(g);
}

static void stats_done(struct lifecycle_job *job, int error)
{
	struct stats_job *j = container_of(job, struct stats_job, job);
	struct tela_instance *i = j->instance;
	struct gather *g = j->gather;

	if (error) {
		json_array_append_new(g->plugins,
			json_pack("{s:s,s:s,s:s,s:i}", "service", i->stack->name, "plugin", i->name,
				"name", "(stats did not return)", "value", 0));
		/* The thread still reads both: job and reference are kept for ever, and so is the
		 * object. */
		instance_abandon(i, j->what);
	} else {
		for (uint32_t f = 0; f < j->n; f++) {
			json_t *name = json_string(j->figures[f].name);

			json_array_append_new(g->plugins,
				json_pack("{s:s,s:s,s:o,s:o}", "service", i->stack->name, "plugin",
					i->name, "name", name ? name : json_string("?"), "value",
					number(j->figures[f].value)));
		}
		instance_put(i);
		free(j);
	}
	if (!--g->left)
		finish(g);
}

static void ask(struct gather *g, struct tela_instance *i)
{
	struct stats_job *j;

	if (!i->plugin->desc->stats || i->state == INSTANCE_ABANDONED)
		return;
	j = calloc(1, sizeof(*j));
	if (!j) {
		g->no_memory = true;
		return;
	}
	j->gather = g;
	j->instance = i;
	instance_get(i);
	snprintf(j->what, sizeof(j->what), "the stats hook of %.60s in %.40s", i->name,
		i->stack->name);
	j->job = (struct lifecycle_job){.what = j->what, .run = run_stats, .done = stats_done};
	g->left++;
	lifecycle_submit(g->control->lifecycle, &j->job);
}

void cmd_stats(struct control *c, struct request *r)
{
	int64_t core = request_number(r, "core", -1);
	struct gather *g;

	if (core >= (int64_t)tela_node_n_cores(c->node)) {
		request_fail(r, -ENOENT, "there are cores 0..%u", tela_node_n_cores(c->node) - 1);
		return;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		request_fail(r, -ENOMEM, "out of memory");
		return;
	}
	*g = (struct gather){c, r, json_array(), json_array(), 1, request_flag(r, "drops"),
		request_flag(r, "zero"), false};
	tela_node_counters(c->node, core < 0 ? UINT32_MAX : (uint32_t)core, emit_counter, g);
	for (struct stack *s = c->stacks; s && !g->drops && core < 0; s = s->next)
		for (uint32_t i = 0; s->current && i < s->current->n; i++)
			ask(g, s->current->declared[s->current->call[i]]->root);
	if (!--g->left)
		finish(g);
}
