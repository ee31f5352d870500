/* change_hooks.c - the stages of a change that run hooks, of what is new in it, one at a time. */
#include "change.h"

/* ---- what each hook's end means ---- */

static int refused(struct change *c, const struct tela_instance *i, int error)
{
	if (error == -ETIMEDOUT)
		return change_fail(
			c, error, "%s did not return in time; its instance is abandoned", i->what);
	change_fail(c, error, "%s failed: %s", i->what, i->error[0] ? i->error : strerror(-error));
	/* Its errno says nothing about the command: -EACCES, say, would look like a refusal of the
	 * operator. */
	return error == -EINVAL || error == -ENOMEM ? error : -EPROTO;
}

static int no_memory(struct change *c)
{
	return change_fail(c, -ENOMEM, "out of memory");
}

static struct tela_instance *at_call(const struct change *c)
{
	const struct record *r = c->next_record;

	return r->declared[r->call[c->at]];
}

static struct tela_instance *at_start(const struct change *c)
{
	const struct record *r = c->next_record;

	return r->declared[r->start[c->at]];
}

/* The block, which it takes, is the configuration that `i` is to have. */
static int configure(struct change *c, struct tela_instance *i, struct tela_plugin_config *config,
	const char *whose)
{
	char why[512];
	int rc = instance_configure(i, config, why, sizeof(why));

	return rc ? change_fail(c, rc, "%s: %s", whose, why) : 0;
}

/* ---- config_merge, call order ---- */

/* What the hook has set stands in the place of what the default made of those keys. */
static int merged(struct change *c, struct tela_instance *i)
{
	struct tela_plugin_config *given = settings_apply(c->next_record, c->at, c->at, &i->given);

	settings_free(i);
	if (!given)
		return no_memory(c);
	instance_give(i, given);
	given = settings_apply(c->next_record, c->at, c->at, &i->given);
	return given ? configure(c, i, given, i->what) : no_memory(c);
}

static void on_merge(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	error = error ? refused(c, i, error) : merged(c, i);
	c->at++;
	change_resume(c, error);
}

static int change_merge(struct change *c)
{
	for (; c->at < c->next_record->n; c->at++)
		if (at_call(c)->state == INSTANCE_NEW &&
			!instance_run(at_call(c), HOOK_MERGE, on_merge, c))
			return -EINPROGRESS;
	return 0;
}

/* ---- config, call order ---- */

/* Its configuration as those above it have set it. One that runs with another has a successor. */
static int settle(struct change *c)
{
	struct record *r = c->next_record;
	struct tela_instance *i = at_call(c), *next;
	struct tela_plugin_config *config = settings_apply(r, 0, c->at, &i->given);

	if (!config)
		return no_memory(c);
	if (config_equal(config, &i->config)) {
		free(config);
		return 0;
	}
	if (i->state != INSTANCE_NEW) {
		next = c->n_created < ORDER_MAX ? instance_succeed(i, i->plugin, &i->given, false)
						: NULL;
		if (!next) {
			free(config);
			return no_memory(c);
		}
		c->created[c->n_created++] = next;
		record_set(r, r->call[c->at], next);
		i = next;
	}
	return configure(c, i, config, "what stands above it has set its configuration");
}

static int checked(struct change *c, struct tela_instance *i)
{
	int rc = settings_check(c->next_record, c->at, c->error, sizeof(c->error));

	if (!rc)
		rc = settle(c); /* with what it has set for itself */
	i->state = INSTANCE_CHECKED;
	return rc;
}

static void on_config(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	error = error ? refused(c, i, error) : checked(c, i);
	c->at++;
	change_resume(c, error);
}

static int run_config(struct change *c)
{
	for (; c->at < c->next_record->n; c->at++) {
		int rc = settle(c);

		if (rc)
			return rc;
		if (at_call(c)->state != INSTANCE_NEW)
			continue;
		if (!instance_run(at_call(c), HOOK_CONFIG, on_config, c))
			return -EINPROGRESS;
		at_call(c)->state = INSTANCE_CHECKED;
	}
	return 0;
}

int change_config(struct change *c, int merge)
{
	return merge ? change_merge(c) : run_config(c);
}

/* ---- start, start order ---- */

static void on_start(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	if (error)
		error = refused(c, i, error);
	else
		i->state = INSTANCE_RUNNING;
	c->at++;
	change_resume(c, error);
}

int change_start(struct change *c, int unused)
{
	(void)unused;
	for (; c->at < c->next_record->n; c->at++) {
		struct tela_instance *i = at_start(c);

		if (i->state >= INSTANCE_RUNNING)
			continue;
		if (i->root == i && !instance_run(i, HOOK_START, on_start, c))
			return -EINPROGRESS;
		i->state = INSTANCE_RUNNING;
	}
	return 0;
}

/* ---- prepare, start order; abort, in reverse ---- */

static void on_prepared(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	if (error)
		error = refused(c, i, error);
	else
		i->prepared = true;
	c->at++;
	change_resume(c, error);
}

/* The workers that the one after `i` may claim: its own, or those that it has claimed and will have
 * when it is published. */
static const struct tela_workers *claimable(const struct tela_instance *i)
{
	while (i && !i->root->team && i->claim & TELA_CLAIM_WORKERS)
		i = i->from;
	return i && i->root->team && !i->root->failed ? team_workers(i->root->team) : NULL;
}

int change_prepare(struct change *c, int unused)
{
	(void)unused;
	for (; c->at < c->next_record->n; c->at++) {
		struct tela_instance *i = at_start(c);

		if (i->prepared)
			continue;
		i->from_workers = claimable(i->from);
		if (!instance_run(i, HOOK_PREPARE, on_prepared, c))
			return -EINPROGRESS;
		i->prepared = true;
	}
	return 0;
}

static void on_aborted(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	(void)i;
	(void)error; /* one that hangs does not stop the others */
	c->at++;
	change_resume(c, 0);
}

static bool is_created(const struct change *c, const struct tela_instance *i)
{
	for (uint32_t k = 0; k < c->n_created; k++)
		if (c->created[k] == i)
			return true;
	return false;
}

int change_abort(struct change *c, int unused)
{
	const struct record *r = c->next_record;

	(void)unused;
	for (; r && c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[r->start[r->n - 1 - c->at]];

		if (i->prepared && is_created(c, i) && !instance_run(i, HOOK_ABORT, on_aborted, c))
			return -EINPROGRESS;
	}
	return 0;
}

/* ---- updated, start order ---- */

static void restart_done(struct change *c, int error)
{
	if (error)
		stack_log(c->stack, TELA_LOG_WARN, "%s asked to be started anew: %s",
			c->steps[0].plugin, c->error);
	free((char *)(uintptr_t)c->steps[0].plugin);
	free(c);
}

/* In its turn, behind what waits already. */
static void submit_restart(struct stack *s, const char *name)
{
	struct change *c = calloc(1, sizeof(*c) + sizeof(c->steps[0]));
	char *copy = strdup(name);

	if (!c || !copy) {
		stack_log(s, TELA_LOG_WARN, "%s asked to be started anew: out of memory", name);
		free(c);
		free(copy);
		return;
	}
	c->stack = s;
	c->steps = (struct change_step *)(c + 1);
	c->steps[0] = (struct change_step){.op = CHANGE_REPLACE, .plugin = copy};
	c->n_steps = 1;
	c->done = restart_done;
	stack_log(s, TELA_LOG_INFO, "%s asks to be started anew", name);
	change_submit(c);
}

static void told(struct change *c, struct tela_instance *i)
{
	if (i->wants_restart)
		submit_restart(c->stack, i->name);
	i->wants_restart = false;
	i->told = NULL;
}

static void on_told(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	(void)error; /* it is published, whatever they say */
	told(c, i);
	c->at++;
	change_resume(c, 0);
}

int change_notify(struct change *c, int unused)
{
	struct record *r = c->telling;

	(void)unused;
	if (!r) {
		r = c->telling = c->stack->current;
		record_get(r);
	}
	for (; c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[r->start[c->at]];

		i->told = record_find(c->before, i->name);
		if (!instance_run(i, HOOK_UPDATED, on_told, c))
			return -EINPROGRESS;
	}
	record_put(r);
	c->telling = NULL;
	return 0;
}
