#include "move.h"

#include "log.h"

/* ---- configuration: one block, so that an instance has one thing to free ---- */

static bool is_unset(const char *key, const char *const *unset)
{
	for (; unset && *unset; unset++)
		if (!strcmp(key, *unset))
			return true;
	return false;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

/* Both are sorted; a key that both have comes from `over`. */
static uint32_t merge_pairs(struct tela_pair *to, const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset)
{
	uint32_t i = 0, j = 0, n = 0;

	while (i < base->n || j < over->n) {
		int order = i == base->n   ? 1
			    : j == over->n ? -1
					   : by_key(&base->pairs[i], &over->pairs[j]);

		if (order < 0 && is_unset(base->pairs[i].key, unset)) {
			i++;
			continue;
		}
		to[n++] = order < 0 ? base->pairs[i] : over->pairs[j];
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}

struct tela_plugin_config *config_merge(const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset)
{
	uint32_t room = base->n + over->n, n;
	struct tela_pair *pairs = calloc(room + 1, sizeof(*pairs));
	struct tela_plugin_config *c;
	size_t size = 0;
	char *text;

	if (!pairs)
		return NULL;
	n = merge_pairs(pairs, base, over, unset);
	for (uint32_t i = 0; i < n; i++)
		size += strlen(pairs[i].key) + strlen(pairs[i].value) + 2;
	c = malloc(sizeof(*c) + n * sizeof(*pairs) + size);
	if (c) {
		struct tela_pair *to = (struct tela_pair *)(c + 1);

		text = (char *)(to + n);
		for (uint32_t i = 0; i < n; i++) {
			to[i].key = text;
			text = stpcpy(text, pairs[i].key) + 1;
			to[i].value = text;
			text = stpcpy(text, pairs[i].value) + 1;
		}
		c->n = n;
		c->pairs = to;
	}
	free(pairs);
	return c;
}

/* ---- instances ---- */

struct tela_instance *instance_create(struct stack *s, struct plugin *p, const char *name,
	const struct tela_plugin_config *config)
{
	static const struct tela_plugin_config none;
	struct tela_plugin_config *copy = config_merge(config, &none, NULL);
	struct tela_instance *i = copy ? calloc(1, sizeof(*i) + strlen(name) + 1) : NULL;

	if (!i) {
		free(copy);
		return NULL;
	}
	i->stack = s;
	i->plugin = p;
	i->id = ++s->control->last_instance;
	i->refs = 1;
	i->config = *copy;
	strcpy(i->name, name);
	plugin_get(p);
	return i;
}

void instance_get(struct tela_instance *i)
{
	i->refs++;
}

static void instance_free(struct tela_instance *i)
{
	plugin_put(i->plugin);
	team_free(i->team);
	/* The pairs lie right behind the header that was copied out of the block. */
	free((struct tela_plugin_config *)i->config.pairs - 1);
	free(i);
}

struct tela_hook instance_hook_of(struct tela_instance *i)
{
	return (struct tela_hook){
		.node = i->stack->control->node,
		.instance = i,
		.service = i->stack->name,
		.config = &i->config,
		.self = i->self,
		.error = i->error,
		.error_len = sizeof(i->error),
	};
}

struct tela_storage *tela_hook_storage(const struct tela_hook *h)
{
	return tela_service_storage(h->instance->stack->service);
}

/* ---- hooks, on the lifecycle thread ---- */

/* What a hook returns must not look like the lifecycle's own -ETIMEDOUT and -EDEADLK. */
static int hook_error(int rc)
{
	if (rc > 0)
		return -EINVAL;
	return rc == -ETIMEDOUT || rc == -EDEADLK ? -EIO : rc;
}

static void stop(struct tela_instance *i, struct tela_hook *h)
{
	if (i->team)
		team_end(i->team);
	if (i->plugin->desc->stop)
		i->plugin->desc->stop(h);
	i->self = NULL;
}

static int start(struct tela_instance *i, struct tela_hook *h)
{
	int rc = hook_error(i->plugin->desc->start(h, &i->self));
	char unread[64];

	if (rc)
		i->self = NULL;
	if (rc || !h->workers)
		return rc;
	h->self = i->self;
	i->team = team_start(h->workers, i->self, i->error, sizeof(i->error));
	if (i->team)
		return 0;
	h->error = unread; /* why it could not start is kept */
	h->error_len = sizeof(unread);
	stop(i, h);
	return -EAGAIN;
}

static int run_hook(struct lifecycle_job *job)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);
	const struct tela_plugin *desc = i->plugin->desc;
	struct tela_hook h = instance_hook_of(i);

	switch (i->hook) {
	case HOOK_CONFIG:
		return hook_error(desc->config(&h));
	case HOOK_START:
		return start(i, &h);
	case HOOK_STATUS:
		desc->status_changed(&h, i->from, i->to);
		return 0;
	case HOOK_STOP:
		stop(i, &h);
	}
	return 0;
}

/* ---- and back on the control thread ---- */

/* Its code may still be running, for ever: neither it nor its object is touched again. */
void instance_abandon(struct tela_instance *i, const char *what)
{
	char reason[96];

	snprintf(reason, sizeof(reason), "%.80s hangs in it", what);
	i->state = INSTANCE_ABANDONED;
	plugin_keep(i->plugin, reason);
}

static void hook_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	/* A late hook may still write its own message, so that one is not read. */
	if (error == -ETIMEDOUT)
		instance_abandon(i, i->what);
	i->ready(i->ready_arg, i, error);
}

static void stop_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	i->stack->n_stopping--;
	log_debug("%s/%s: instance %llu has stopped", i->stack->name, i->name,
		(unsigned long long)i->id);
	if (error == -ETIMEDOUT)
		instance_abandon(i, i->what);
	else
		instance_free(i);
}

static void submit(struct tela_instance *i, enum instance_hook hook,
	void (*done)(struct lifecycle_job *job, int error))
{
	static const char *const names[] = {"config", "start", "status_changed", "stop"};

	snprintf(i->what, sizeof(i->what), "the %s hook of %.60s in %.40s", names[hook], i->name,
		i->stack->name);
	i->error[0] = 0;
	i->hook = hook;
	i->job.what = i->what;
	i->job.run = run_hook;
	i->job.done = done;
	lifecycle_submit(i->stack->control->lifecycle, &i->job);
}

static bool has_hook(const struct tela_instance *i, enum instance_hook hook)
{
	const struct tela_plugin *desc = i->plugin->desc;

	switch (hook) {
	case HOOK_CONFIG:
		return desc->config;
	case HOOK_START:
		return desc->start;
	case HOOK_STATUS:
		return desc->status_changed;
	case HOOK_STOP:
		return desc->stop || i->team;
	}
	return false;
}

bool instance_run(struct tela_instance *i, enum instance_hook hook,
	void (*ready)(void *arg, struct tela_instance *i, int error), void *arg)
{
	if (i->state == INSTANCE_ABANDONED || !has_hook(i, hook))
		return true;
	i->ready = ready;
	i->ready_arg = arg;
	submit(i, hook, hook_done);
	return false;
}

void instance_put(struct tela_instance *i)
{
	CHECK(i->refs > 0);
	if (--i->refs || i->state == INSTANCE_ABANDONED)
		return; /* an abandoned one is leaked: its hook may come back to it */
	if (i->state != INSTANCE_RUNNING || !has_hook(i, HOOK_STOP)) {
		instance_free(i);
		return;
	}
	i->state = INSTANCE_STOPPING;
	i->stack->n_stopping++;
	submit(i, HOOK_STOP, stop_done);
}

/* ---- workers ---- */

static int run_restart(struct lifecycle_job *job)
{
	return team_restart(container_of(job, struct tela_instance, restart_job)->team);
}

static void restart_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, restart_job);

	if (error == -ETIMEDOUT) {
		instance_abandon(i, i->restart_what);
		move_failed(i->stack, i, i->restart_what, "hangs");
	} else {
		i->restarting = false;
		if (error)
			log_warn("%s: %s", i->restart_what, strerror(-error));
	}
	instance_put(i);
}

bool instance_look(struct tela_instance *i, uint64_t now_ns, char *err, size_t err_len)
{
	enum team_state state = TEAM_FINE;

	if (i->team && !i->failed && !i->restarting && i->state == INSTANCE_RUNNING)
		state = team_look(i->team, now_ns, err, err_len);
	if (state != TEAM_RESTART)
		return state == TEAM_SPENT;
	instance_get(i);
	i->restarting = true;
	snprintf(i->restart_what, sizeof(i->restart_what),
		"starting workers of %.60s in %.40s again", i->name, i->stack->name);
	log_warn("%s", i->restart_what);
	i->restart_job = (struct lifecycle_job){
		.what = i->restart_what, .run = run_restart, .done = restart_done};
	lifecycle_submit(i->stack->control->lifecycle, &i->restart_job);
	return false;
}
