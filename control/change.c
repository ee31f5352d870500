#include "change.h"

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
	struct record *before = c->before;

	c->generation = s->current ? s->current->generation : 0;
	c->record = s->current;
	c->merged = merged;
	s->n_changes += c->n_steps > 0;
	if (merged > 1)
		s->n_merged++;
	c->done(c, 0);
	if (before)
		record_put(before);
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
		record_put(c->next_record);
	c->next_record = NULL;
	tela_image_free(c->image);
	c->image = NULL;
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

static void stage_record(struct stack *s, struct change *c)
{
	if (s->staged)
		record_put(s->staged);
	tela_image_free(s->staged_image);
	s->staged = c->next_record;
	s->staged_image = c->image;
	c->next_record = NULL;
	c->image = NULL;
	let_go(c);
	c->next = NULL;
	*s->held_last = c;
	s->held_last = &c->next;
}

int change_publish(struct change *c, int unused)
{
	struct stack *s = c->stack;

	(void)unused;
	errno = 0;
	if (!c->image)
		c->image = stack_build(s, c->next_record, c->error, sizeof(c->error));
	if (!c->image)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	if (s->staged || s->n_retiring >= STACK_PINNED)
		return c->starts ? CHANGE_TICK : CHANGE_STAGED;
	if (!stack_may_publish(c->next_record))
		return CHANGE_TICK;
	c->before = s->current;
	if (c->before)
		record_get(c->before);
	stack_publish(s, c->next_record, c->image);
	c->next_record = NULL;
	c->image = NULL;
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
	{change_config, true},
	{change_config, false},
	{change_start, 0},
	{change_prepare, 0},
	{change_publish, 0},
	{change_notify, 0},
	{NULL, 0},
};

static const struct change_stage chain_fails[] = {
	{change_abort, 0},
	{NULL, 0},
};

void change_submit(struct change *c)
{
	c->on_error = chain_fails;
	change_submit_stages(c, chain_stages);
}

void change_resume(struct change *c, int result)
{
	c->stack->waiting = false;
	c->result = result;
	pump(c->stack);
}

/* ---- what was held back ---- */

static int take_untold(struct change *c, int unused)
{
	(void)unused;
	c->before = c->stack->untold;
	c->stack->untold = NULL;
	return 0;
}

static const struct change_stage notice_stages[] = {
	{take_untold, 0},
	{change_notify, 0},
	{NULL, 0},
};

static void notice(struct stack *s);

static void noticed(struct change *c, int error)
{
	(void)error; /* there is none */
	c->stack->noticing = false;
	if (c->stack->untold)
		notice(c->stack);
}

/* In its turn, for a change may be under way. */
static void notice(struct stack *s)
{
	s->noticing = true;
	*s->notice = (struct change){.stack = s, .done = noticed};
	change_submit_stages(s->notice, notice_stages);
}

static void release(struct stack *s)
{
	struct record *r = s->staged, *before = s->current;
	struct change *c = s->held, *next;
	uint32_t merged = 0;

	if (!r || s->n_retiring >= STACK_PINNED || !stack_may_publish(r))
		return;
	s->staged = NULL;
	s->held = NULL;
	s->held_last = &s->held;
	record_get(before); /* there is one: its images are what is pinned */
	if (!s->untold) {
		record_get(before);
		s->untold = before;
	}
	stack_publish(s, r, s->staged_image);
	s->staged_image = NULL;
	for (struct change *i = c; i; i = i->next)
		merged++;
	if (merged > 1)
		stack_log(s, TELA_LOG_DEBUG,
			"%u changes in one image: %d older ones are still pinned", merged,
			STACK_PINNED);
	for (; c; c = next) {
		next = c->next;
		c->before = before;
		record_get(before);
		succeed(c, merged);
	}
	record_put(before);
	if (s->untold && !s->noticing)
		notice(s);
}

void change_tick(struct stack *s)
{
	release(s);
	s->ticking = false;
	pump(s);
}
