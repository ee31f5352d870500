#include "change.h"

#include "log.h"

#include <stdarg.h>

static void pump(struct stack *s);

int change_fail(struct change *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->error, sizeof(c->error), format, args);
	va_end(args);
	return error;
}

/* ---- ends ---- */

static void let_go(struct change *c)
{
	for (uint32_t i = 0; i < c->n_steps; i++)
		if (c->steps[i].from)
			plugin_put(c->steps[i].from);
	/* The references of creation end here; the record holds what it needs. */
	while (c->n_created)
		instance_put(c->created[--c->n_created]);
}

static void succeed(struct change *c, uint32_t merged)
{
	struct stack *s = c->stack;

	c->generation = s->current ? s->current->generation : 0;
	c->record = s->current;
	c->merged = merged;
	s->n_changes += c->n_steps > 0;
	if (merged > 1)
		s->n_merged++;
	c->done(c, 0);
}

static void fail(struct change *c, int error)
{
	struct stack *s = c->stack;

	s->n_failed++;
	stack_error(s, c->error);
	/* First these: then freeing the record is what stops the new ones, in reverse start order.
	 */
	let_go(c);
	if (c->next_record)
		record_free(c->next_record);
	c->next_record = NULL;
	c->done(c, error);
}

/* ---- stages ---- */

int change_load(struct change *c, int unused)
{
	(void)unused;
	for (; c->at < c->n_steps; c->at++) {
		struct change_step *step = &c->steps[c->at];
		int rc = step->object && !step->from ? load_step(c, step) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

static void on_hook(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;

	if (!error) {
		i->state = c->stage->arg == HOOK_CONFIG ? INSTANCE_CHECKED : INSTANCE_RUNNING;
		c->at++;
	} else if (error == -ETIMEDOUT) {
		change_fail(
			c, error, "%s did not return in time; its instance is abandoned", i->what);
	} else {
		change_fail(c, error, "%s failed: %s", i->what,
			i->error[0] ? i->error : strerror(-error));
		/* Its errno says nothing about the command: -EACCES, say, would look like a refusal
		 * of the operator. */
		if (error != -EINVAL && error != -ENOMEM)
			error = -EPROTO;
	}
	change_resume(c, error);
}

int change_hooks(struct change *c, int hook)
{
	const struct record *r = c->next_record;
	const uint32_t *order = hook == HOOK_CONFIG ? r->call : r->start;
	enum instance_state to = hook == HOOK_CONFIG ? INSTANCE_CHECKED : INSTANCE_RUNNING;

	for (; c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[order[c->at]];

		if (i->state >= to)
			continue;
		if (!instance_run(i, (enum instance_hook)hook, on_hook, c))
			return -EINPROGRESS;
		i->state = to;
	}
	return 0;
}

static void stage_record(struct stack *s, struct change *c)
{
	if (s->staged)
		record_free(s->staged);
	s->staged = c->next_record;
	c->next_record = NULL;
	let_go(c);
	c->next = NULL;
	*s->held_last = c;
	s->held_last = &c->next;
}

int change_publish(struct change *c, int unused)
{
	struct stack *s = c->stack;
	struct tela_image *image;

	(void)unused;
	if (s->staged || s->n_retiring >= STACK_PINNED)
		return c->starts ? CHANGE_TICK : CHANGE_STAGED;
	image = stack_build(s, c->next_record, c->error, sizeof(c->error));
	if (!image)
		return -EINVAL;
	stack_publish(s, c->next_record, image);
	c->next_record = NULL;
	let_go(c);
	return 0;
}

/* ---- the queue ---- */

static void take_first(struct stack *s)
{
	s->changes = s->changes->next;
	if (!s->changes)
		s->changes_last = &s->changes;
}

void change_go(struct change *c, const struct change_stage *stages)
{
	c->stage = stages;
	c->at = 0;
}

/* Runs stages until one must wait, or for ever. What `run` returned last. */
static int run_stages(struct change *c)
{
	int rc = c->result;

	c->result = 0;
	for (;;) {
		const struct change_stage *stage = c->stage;

		if (!rc && !stage->run)
			return 0;
		if (!rc)
			rc = stage->run(c, stage->arg);
		if (rc == -EINPROGRESS || rc > 0)
			return rc;
		if (rc) {
			c->failure = rc;
			if (!c->on_error)
				return rc;
			change_go(c, c->on_error);
			c->on_error = NULL;
			rc = 0;
		} else if (c->stage == stage) {
			change_go(c, stage + 1);
		}
	}
}

/* Runs the first change on until it must wait. False: it must. */
static bool run_first(struct stack *s)
{
	struct change *c = s->changes;
	int rc = run_stages(c);

	if (rc == -EINPROGRESS || rc == CHANGE_TICK) {
		s->waiting = rc == -EINPROGRESS;
		s->ticking = rc == CHANGE_TICK;
		return false;
	}
	take_first(s);
	if (rc == CHANGE_STAGED)
		stage_record(s, c);
	else if (c->failure)
		fail(c, c->failure);
	else
		succeed(c, 1);
	return true;
}

/* Not while the first one waits, and not nested: a change that `done` submits waits for its turn in
 * the loop that is running. */
static void pump(struct stack *s)
{
	if (s->pumping || s->waiting || s->ticking)
		return;
	s->pumping = true;
	while (s->changes && run_first(s))
		;
	s->pumping = false;
}

void change_submit_stages(struct change *c, const struct change_stage *stages)
{
	struct stack *s = c->stack;

	c->next = NULL;
	change_go(c, stages);
	*s->changes_last = c;
	s->changes_last = &c->next;
	pump(s);
}

static const struct change_stage chain_stages[] = {
	{change_load, 0},
	{change_arrange, 0},
	{change_hooks, HOOK_CONFIG},
	{change_hooks, HOOK_START},
	{change_publish, 0},
	{NULL, 0},
};

void change_submit(struct change *c)
{
	change_submit_stages(c, chain_stages);
}

void change_resume(struct change *c, int result)
{
	c->stack->waiting = false;
	c->result = result;
	pump(c->stack);
}

/* ---- what was held back ---- */

static void release(struct stack *s)
{
	struct record *r = s->staged;
	struct change *c = s->held, *next;
	struct tela_image *image;
	uint32_t merged = 0;
	char err[512] = "";

	if (!r || s->n_retiring >= STACK_PINNED)
		return;
	s->staged = NULL;
	s->held = NULL;
	s->held_last = &s->held;
	image = stack_build(s, r, err, sizeof(err));
	if (image)
		stack_publish(s, r, image);
	else
		record_free(r);
	for (struct change *i = c; i; i = i->next)
		merged++;
	if (merged > 1)
		log_debug("%s: %u changes in one image: %d older ones are still pinned", s->name,
			merged, STACK_PINNED);
	for (; c; c = next) {
		next = c->next;
		if (image)
			succeed(c, merged);
		else
			fail(c, change_fail(c, -EINVAL, "%s", err));
	}
}

void change_tick(struct stack *s)
{
	release(s);
	s->ticking = false;
	pump(s);
}
