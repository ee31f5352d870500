#include "move.h"

/* ---- instances ---- */

static const struct tela_plugin_config no_config;

static struct tela_owner *create_owner(const struct tela_instance *i)
{
	char name[160];

	snprintf(name, sizeof(name), "%.63s/%.63s, instance %llu", i->stack->name, i->name,
		(unsigned long long)i->id);
	return tela_owner_create(i->stack->control->node, name);
}

/* The pairs lie right behind the header that was copied out of the block. */
static void free_block(const struct tela_plugin_config *c)
{
	if (c->pairs)
		free((struct tela_plugin_config *)(uintptr_t)c->pairs - 1);
}

static void arrive(struct tela_instance *i)
{
	struct stack *s = i->stack;

	i->next_alive = s->alive;
	i->alive_at = &s->alive;
	if (s->alive)
		s->alive->alive_at = &i->next_alive;
	s->alive = i;
}

static void leave(struct tela_instance *i)
{
	if (!i->alive_at)
		return;
	*i->alive_at = i->next_alive;
	if (i->next_alive)
		i->next_alive->alive_at = i->alive_at;
	i->alive_at = NULL;
}

static void instance_free(struct tela_instance *i)
{
	leave(i);
	plugin_put(i->plugin);
	team_free(i->team);
	if (i->team_code)
		plugin_put(i->team_code);
	tela_owner_free(i->owner);
	tela_log_free(i->log);
	settings_free(i);
	free_block(&i->given);
	free_block(&i->config);
	free(i->values);
	free(i->update);
	free(i->base);
	free(i->view);
	free(i);
}

static void take_block(struct tela_plugin_config *to, struct tela_plugin_config *block)
{
	free_block(to);
	*to = *block;
}

int instance_configure(
	struct tela_instance *i, struct tela_plugin_config *config, char *err, size_t err_len)
{
	void *values;
	int rc = plugin_read_config(i->plugin->desc, config, &values, err, err_len);

	if (rc) {
		free(config);
		return rc;
	}
	take_block(&i->config, config);
	free(i->values);
	i->values = values;
	return 0;
}

void instance_give(struct tela_instance *i, struct tela_plugin_config *given)
{
	take_block(&i->given, given);
}

/* `root` NULL: it is one itself. */
static struct tela_instance *create(struct stack *s, struct plugin *p, const char *name,
	const struct tela_plugin_config *given, struct tela_instance *root)
{
	struct tela_plugin_config *own = config_merge(given, &no_config, NULL);
	struct tela_plugin_config *config = config_merge(given, &no_config, NULL);
	struct tela_instance *i = calloc(1, sizeof(*i) + strlen(name) + 1);
	void *values = NULL;
	char unread[64];

	if (!i || !own || !config ||
		plugin_read_config(p->desc, config, &values, unread, sizeof(unread))) {
		free(own);
		free(config);
		free(i);
		return NULL;
	}
	i->stack = s;
	i->plugin = p;
	i->refs = 1;
	i->given = *own;
	i->config = *config;
	i->values = values;
	i->root = root ? root : i;
	strcpy(i->name, name);
	plugin_get(p);
	if (root) {
		instance_get(root);
		i->id = root->id;
		return i;
	}
	i->id = ++s->control->last_instance;
	arrive(i);
	i->owner = create_owner(i);
	i->log = tela_log_create(s->service, i->name);
	if (i->owner && i->log)
		return i;
	instance_free(i);
	return NULL;
}

struct tela_instance *instance_create(
	struct stack *s, struct plugin *p, const char *name, const struct tela_plugin_config *given)
{
	return create(s, p, name, given, NULL);
}

struct tela_instance *instance_succeed(struct tela_instance *old, struct plugin *p,
	const struct tela_plugin_config *given, bool fresh)
{
	bool in_place = !fresh && p == old->plugin && p->desc->in_place && !old->root->failed &&
			old->root->state == INSTANCE_RUNNING && old->state == INSTANCE_RUNNING;
	struct tela_instance *i =
		create(old->stack, p, old->name, given, in_place ? old->root : NULL);

	if (!i)
		return NULL;
	i->automatic = old->automatic;
	/* One that was never published and claims nothing is passed over, so that it may go. */
	while (old && (old->state == INSTANCE_NEW || (old->from && !old->claim)))
		old = old->from;
	if (old && p->desc->prepare) {
		instance_get(old);
		i->from = old;
	}
	return i;
}

void instance_get(struct tela_instance *i)
{
	i->refs++;
}

bool instance_held(const struct tela_instance *i)
{
	const struct tela_instance *root = i->root;

	return (i->refs > 1 && i->state != INSTANCE_ABANDONED) ||
	       (root != i && root->refs > 1 && root->state != INSTANCE_ABANDONED);
}

static void claim_workers(struct tela_instance *to, struct tela_instance *from)
{
	if (!from->team || to->team || from->failed)
		return;
	to->team = from->team;
	to->team_code = from->team_code ? from->team_code : from->plugin;
	if (!from->team_code)
		plugin_get(to->team_code);
	from->team = NULL;
	from->team_code = NULL;
	from->team_claimed = true;
}

void instance_claim(struct tela_instance *i)
{
	struct tela_instance *from = i->from;

	if (!from)
		return;
	i->from = NULL;
	instance_claim(from);
	if (i->claim && from->root != i->root) {
		tela_owner_move(from->root->owner, i->root->owner, i->claim & TELA_CLAIM_NAMES,
			i->claim & TELA_CLAIM_BAGS);
		if (i->claim & TELA_CLAIM_WORKERS)
			claim_workers(i->root, from->root);
	}
	i->claim = 0;
	instance_put(from);
}

struct tela_hook instance_hook_of(struct tela_instance *i)
{
	const struct tela_instance *root = i->root;

	return (struct tela_hook){
		.node = i->stack->control->node,
		.instance = i,
		.service = i->stack->name,
		.schema = i->stack->desc,
		.config = &i->config,
		.values = i->values,
		.self = root->self,
		.owner = root->owner,
		.log = root->log,
		.claimed = root->team_claimed,
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

void *tela_hook_view(struct tela_hook *h, size_t size)
{
	struct tela_instance *i = h->instance;
	size_t room = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);

	if (i->hook != HOOK_PREPARE || i->view || !size || room < size)
		return NULL;
	i->view = aligned_alloc(CACHE_LINE, room);
	if (i->view)
		memset(i->view, 0, room);
	return i->view;
}

/* A root's. Its entries go first, so that nobody finds what is about to end. */
static void stop(struct tela_instance *i, struct tela_hook *h)
{
	if (i->team)
		team_end(i->team);
	tela_owner_close(i->owner);
	if (i->plugin->desc->stop)
		i->plugin->desc->stop(h);
	i->self = NULL;
}

static int start_team(struct tela_instance *i, const struct tela_workers *w)
{
	errno = 0;
	i->team = w ? team_start(w, i->stack->control->node, i->self, i->error, sizeof(i->error))
		    : NULL;
	if (!w || i->team)
		return 0;
	return errno == ENOMEM ? -ENOMEM : -EAGAIN;
}

static int start(struct tela_instance *i, struct tela_hook *h)
{
	int rc = hook_error(i->plugin->desc->start(h, &i->self));
	char unread[64];

	if (rc) {
		i->self = NULL;
		return rc;
	}
	rc = start_team(i, h->workers);
	if (rc) {
		h->self = i->self;
		h->error = unread; /* why it could not start is kept */
		h->error_len = sizeof(unread);
		stop(i, h);
	}
	return rc;
}

static int prepare(struct tela_instance *i, struct tela_hook *h)
{
	struct tela_hook old;
	int rc;

	if (i->from) {
		old = instance_hook_of(i->from);
		old.error_len = 0;
		old.workers = i->from_workers;
	}
	rc = hook_error(i->plugin->desc->prepare(h, i->from ? &old : NULL));
	if (rc)
		return rc;
	i->claim = h->claim;
	if (i->root == i && !i->team)
		rc = start_team(i, h->workers);
	if (rc && i->plugin->desc->abort) {
		char unread[64];

		h->error = unread;
		h->error_len = sizeof(unread);
		i->plugin->desc->abort(h);
	}
	return rc;
}

static void updated(struct tela_instance *i, struct tela_hook *h)
{
	struct tela_hook old;

	if (i->told) {
		old = instance_hook_of(i->told);
		old.error_len = 0;
	}
	i->plugin->desc->updated(h, i->told ? &old : NULL);
	i->wants_restart = h->restart && i->told && i->told != i && i->told->root == i->root;
}

static int run_hook(struct lifecycle_job *job)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);
	const struct tela_plugin *desc = i->plugin->desc;
	struct tela_hook h = instance_hook_of(i);

	switch (i->hook) {
	case HOOK_MERGE:
		h.config = i->base;
		h.values = NULL;
		return hook_error(desc->config_merge(&h, i->update));
	case HOOK_CONFIG:
		return hook_error(desc->config(&h));
	case HOOK_START:
		return start(i, &h);
	case HOOK_PREPARE:
		return prepare(i, &h);
	case HOOK_ABORT:
		desc->abort(&h);
		return 0;
	case HOOK_UPDATED:
		updated(i, &h);
		return 0;
	case HOOK_STATUS:
		desc->status_changed(&h, i->from_status, i->to_status);
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
	i->stack->haunted = true;
	plugin_keep(i->plugin, reason);
}

static void hook_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	/* A late hook may still write its own message, so that one is not read. */
	if (error == -ETIMEDOUT) {
		instance_abandon(i, i->what);
		if (i->hook == HOOK_UPDATED && i->told)
			i->told->haunted = true;
	}
	i->ready(i->ready_arg, i, error);
}

static void stop_done(struct lifecycle_job *job, int error)
{
	struct tela_instance *i = container_of(job, struct tela_instance, job);

	i->stack->n_stopping--;
	stack_log(i->stack, TELA_LOG_DEBUG, "instance %llu of %s has stopped",
		(unsigned long long)i->id, i->name);
	if (error == -ETIMEDOUT)
		instance_abandon(i, i->what);
	else if (i->haunted)
		leave(i);
	else
		instance_free(i);
}

static void submit(struct tela_instance *i, enum instance_hook hook,
	void (*done)(struct lifecycle_job *job, int error))
{
	static const char *const names[] = {"config_merge", "config", "start", "prepare", "abort",
		"updated", "status_changed", "stop"};

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
	case HOOK_MERGE:
		return desc->config_merge && i->update;
	case HOOK_CONFIG:
		return desc->config;
	case HOOK_START:
		return desc->start;
	case HOOK_PREPARE:
		return desc->prepare;
	case HOOK_ABORT:
		return desc->prepare && desc->abort;
	case HOOK_UPDATED:
		return desc->updated;
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
	if (i->state == INSTANCE_ABANDONED || i->root->state == INSTANCE_ABANDONED ||
		!has_hook(i, hook))
		return true;
	i->ready = ready;
	i->ready_arg = arg;
	submit(i, hook, hook_done);
	return false;
}

/* Nobody holds it any more, unless a thread that hangs does. */
static void end(struct tela_instance *i)
{
	bool abandoned = i->state == INSTANCE_ABANDONED;
	struct tela_instance *from = i->from, *root = i->root == i ? NULL : i->root;

	if (root)
		root->haunted |= abandoned;
	if (from)
		from->haunted |= abandoned;
	if (!root && i->state == INSTANCE_RUNNING && has_hook(i, HOOK_STOP)) {
		i->state = INSTANCE_STOPPING;
		i->stack->n_stopping++;
		submit(i, HOOK_STOP, stop_done);
	} else if (!abandoned && !i->haunted) {
		instance_free(i);
	} else if (!root) {
		tela_owner_close(i->owner);
		if (!abandoned)
			leave(i);
	}
	if (root)
		instance_put(root);
	if (from)
		instance_put(from);
}

void instance_put(struct tela_instance *i)
{
	CHECK(i->refs > 0);
	if (!--i->refs)
		end(i);
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
			stack_log(i->stack, TELA_LOG_WARN, "%s: %s", i->restart_what,
				strerror(-error));
	}
	instance_put(i);
}

bool instance_look(struct tela_instance *seen, uint64_t now_ns, char *err, size_t err_len)
{
	struct tela_instance *i = seen->root;
	enum team_state state = TEAM_FINE;

	if (i->team && !i->failed && !i->restarting && i->state == INSTANCE_RUNNING)
		state = team_look(i->team, now_ns, err, err_len);
	if (state != TEAM_RESTART)
		return state == TEAM_SPENT;
	instance_get(i);
	i->restarting = true;
	snprintf(i->restart_what, sizeof(i->restart_what),
		"starting workers of %.60s in %.40s again", i->name, i->stack->name);
	stack_log(i->stack, TELA_LOG_WARN, "%s", i->restart_what);
	i->restart_job = (struct lifecycle_job){
		.what = i->restart_what, .run = run_restart, .done = restart_done};
	lifecycle_submit(i->stack->control->lifecycle, &i->restart_job);
	return false;
}
