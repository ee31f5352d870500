/* load.c - shared objects come and go, on the lifecycle thread. */
#include "change.h"

#include "log.h"

enum {
	LINGER_MS = 1000
}; /* a link that is swapped out and in again is not loaded anew each time */

struct load {
	struct lifecycle_job job;
	struct change *change;
	struct change_step *step;
	struct plugin *plugin;
	char *path;
	char what[160];
	char error[512];
};

static int run_load(struct lifecycle_job *job)
{
	struct load *l = container_of(job, struct load, job);

	return plugin_open(l->path, &l->plugin, l->error, sizeof(l->error));
}

static void load_done(struct lifecycle_job *job, int error)
{
	struct load *l = container_of(job, struct load, job);
	struct change *c = l->change;
	const char *stuck = lifecycle_stuck(c->stack->control->lifecycle);

	c->line = error ? l->step->line : 0;
	if (error == -ETIMEDOUT) {
		/* `l` stays: the thread that hangs may still write to it. */
		change_resume(c, change_fail(c, error,
					 "%s: loading it did not return in time; nothing can be "
					 "loaded before "
					 "the node is started again",
					 l->path));
		return;
	}
	if (error == -EDEADLK)
		change_fail(c, error,
			"%s: cannot be loaded: %s hangs; start the node again to load anything",
			l->path, stuck ? stuck : "another load");
	else if (error)
		change_fail(c, error, "%s", l->error);
	if (!error) {
		registry_add(c->stack->control->registry, l->plugin);
		plugin_get(l->plugin);
		l->step->from = l->plugin;
		log_info("%s: plugin %s %s loaded", l->path, l->plugin->name, l->plugin->version);
	}
	free(l->path);
	free(l);
	change_resume(c, error);
}

int load_step(struct change *c, struct change_step *step)
{
	struct control *control = c->stack->control;
	struct load *l;

	step->from = registry_find_object(control->registry, step->object);
	if (step->from) {
		plugin_get(step->from);
		return 0;
	}
	l = calloc(1, sizeof(*l));
	if (l)
		l->path = strdup(step->object);
	if (!l || !l->path) {
		free(l);
		return change_fail(c, -ENOMEM, "out of memory");
	}
	l->change = c;
	l->step = step;
	snprintf(l->what, sizeof(l->what), "loading %.140s", l->path);
	l->job = (struct lifecycle_job){
		.loading = true, .what = l->what, .run = run_load, .done = load_done};
	lifecycle_submit(control->lifecycle, &l->job);
	return -EINPROGRESS;
}

/* ---- unloading ---- */

struct unload {
	struct lifecycle_job job;
	struct control *control;
	struct plugin *plugin;
	char name[64];
	char what[160];
};

static int run_unload(struct lifecycle_job *job)
{
	struct unload *u = container_of(job, struct unload, job);

	if (tela_node_clients_use(u->control->node, plugin_holds, u->plugin))
		return -EUSERS;
	return plugin_close(u->plugin);
}

static void unload_done(struct lifecycle_job *job, int error)
{
	struct unload *u = container_of(job, struct unload, job);

	if (error == -ETIMEDOUT)
		return; /* hangs in one of its destructors: its name stands in lifecycle_stuck() */
	if (error) {
		/* Still mapped. It may be used again, so it is listed again. */
		u->plugin->state = PLUGIN_LOADED;
		plugin_keep(u->plugin, error == -EDEADLK ? "another load hangs"
				       : error == -EUSERS
					       ? "clients that it opened are not closed"
					       : "the dynamic linker cannot unload it");
		registry_add(u->control->registry, u->plugin);
		log_warn("plugin %s stays loaded: %s", u->name, u->plugin->reason);
	} else {
		log_info("plugin %s unloaded", u->name);
	}
	free(u);
}

void load_reap(struct control *c)
{
	struct plugin *p = registry_idle(c->registry, control_now_ns(), LINGER_MS * NS_PER_MS);
	struct unload *u = p ? calloc(1, sizeof(*u)) : NULL;

	if (!u)
		return;
	u->control = c;
	u->plugin = p;
	snprintf(u->name, sizeof(u->name), "%s", p->name);
	snprintf(u->what, sizeof(u->what), "unloading %.140s", p->path);
	u->job = (struct lifecycle_job){
		.loading = true, .what = u->what, .run = run_unload, .done = unload_done};
	p->state = PLUGIN_UNLOADING;
	registry_remove(c->registry, p);
	lifecycle_submit(c->lifecycle, &u->job);
}
