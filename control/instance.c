#include "stack.h"

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
	/* The pairs lie right behind the header that was copied out of the block. */
	free((struct tela_plugin_config *)i->config.pairs - 1);
	free(i);
}

static struct tela_hook hook_of(struct tela_instance *i)
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

/* ---- hooks, on the lifecycle thread ---- */

/* What a hook returns must not look like the lifecycle's own -ETIMEDOUT and -EDEADLK. */
static int hook_error(int rc)
{
	if (rc > 0)
		return -EINVAL;
	return rc == -ETIMEDOUT || rc == -EDEADLK ? -EIO : rc;
}

static int run_config(struct lifecycle_job *job)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);
	struct tela_hook h = hook_of(i);

	return hook_error(i->plugin->desc->config(&h));
}

static int run_start(struct lifecycle_job *job)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);
	struct tela_hook h = hook_of(i);

	return hook_error(i->plugin->desc->start(&h, &i->self));
}

static int run_stop(struct lifecycle_job *job)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);
	struct tela_hook h = hook_of(i);

	i->plugin->desc->stop(&h);
	return 0;
}

/* ---- and back on the control thread ---- */

/* Its code may still be running, for ever: neither it nor its object is touched again. */
static void abandon(struct tela_instance *i)
{
	char reason[96];

	snprintf(reason, sizeof(reason), "%.80s hangs in it", i->what);
	i->state = INSTANCE_ABANDONED;
	plugin_keep(i->plugin, reason);
}

static void hook_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	/* A late hook may still write its own message, so that one is not read. */
	if (error == -ETIMEDOUT)
		abandon(i);
	i->ready(i->ready_arg, i, error);
}

static void stop_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	i->stack->n_stopping--;
	log_debug("%s/%s: instance %llu has stopped", i->stack->name, i->name,
		(unsigned long long)i->id);
	if (error == -ETIMEDOUT)
		abandon(i);
	else
		instance_free(i);
}

static void submit(struct tela_instance *i, const char *hook, int (*run)(struct lifecycle_job *job),
	void (*done)(struct lifecycle_job *job, int error))
{
	snprintf(i->what, sizeof(i->what), "the %s hook of %.60s in %.40s", hook, i->name,
		i->stack->name);
	i->error[0] = 0;
	i->job.what = i->what;
	i->job.run = run;
	i->job.done = done;
	lifecycle_submit(i->stack->control->lifecycle, &i->job);
}

bool instance_advance(struct tela_instance *i, enum instance_state to,
	void (*ready)(void *arg, struct tela_instance *i, int error), void *arg)
{
	const struct tela_plugin *desc = i->plugin->desc;

	i->ready = ready;
	i->ready_arg = arg;
	if (to == INSTANCE_CHECKED && desc->config)
		submit(i, "config", run_config, hook_done);
	else if (to == INSTANCE_RUNNING && desc->start)
		submit(i, "start", run_start, hook_done);
	else
		return true;
	return false;
}

void instance_put(struct tela_instance *i)
{
	CHECK(i->refs > 0);
	if (--i->refs || i->state == INSTANCE_ABANDONED)
		return; /* an abandoned one is leaked: its hook may come back to it */
	if (i->state != INSTANCE_RUNNING || !i->plugin->desc->stop) {
		instance_free(i);
		return;
	}
	i->state = INSTANCE_STOPPING;
	i->stack->n_stopping++;
	submit(i, "stop", run_stop, stop_done);
}
