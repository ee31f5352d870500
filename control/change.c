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

	c->generation = s->current->generation;
	c->record = s->current;
	c->merged = merged;
	s->n_changes++;
	if (merged > 1)
		s->n_merged++;
	c->done(c, 0);
}

static void fail(struct change *c, int error)
{
	struct stack *s = c->stack;

	s->n_failed++;
	snprintf(s->last_error, sizeof(s->last_error), "%s", c->error);
	/* First these: then freeing the record is what stops the new ones, in reverse start order.
	 */
	let_go(c);
	if (c->next_record)
		record_free(c->next_record);
	c->next_record = NULL;
	c->done(c, error);
}

/* ---- phases: 0 on to the next, -EINPROGRESS, or an error ---- */

static int phase_load(struct change *c)
{
	for (; c->at < c->n_steps; c->at++) {
		struct change_step *step = &c->steps[c->at];
		int rc = step->object && !step->from ? load_step(c, step) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

static void take_first(struct stack *s)
{
	s->changes = s->changes->next;
	if (!s->changes)
		s->changes_last = &s->changes;
}

static void on_hook(void *arg, struct tela_instance *i, int error)
{
	struct change *c = arg;
	struct stack *s = c->stack;

	s->waiting = false;
	if (!error) {
		i->state = c->phase == CHANGE_CHECK ? INSTANCE_CHECKED : INSTANCE_RUNNING;
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
	if (error) {
		take_first(s);
		fail(c, error);
	}
	pump(s);
}

/* `config` in call order, `start` in start order, on what is new. */
static int phase_hooks(struct change *c, const uint32_t *order, enum instance_state to)
{
	const struct record *r = c->next_record;

	for (; c->at < r->n; c->at++) {
		struct tela_instance *i = r->declared[order[c->at]];

		if (i->state >= to)
			continue;
		if (!instance_advance(i, to, on_hook, c))
			return -EINPROGRESS;
		i->state = to;
	}
	return 0;
}

static void stage(struct stack *s, struct change *c)
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

static int phase_publish(struct change *c)
{
	struct stack *s = c->stack;
	struct tela_image *image;

	if (s->staged || s->n_retiring >= STACK_PINNED)
		return -EAGAIN;
	image = stack_build(s, c->next_record, c->error, sizeof(c->error));
	if (!image)
		return -EINVAL;
	stack_publish(s, c->next_record, image);
	c->next_record = NULL;
	if (!s->current->n)
		s->state = STACK_STOPPED;
	else if (s->state != STACK_PAUSED)
		s->state = STACK_RUNNING;
	let_go(c);
	return 0;
}

static int run_phase(struct change *c)
{
	switch (c->phase) {
	case CHANGE_LOAD:
		return phase_load(c);
	case CHANGE_ARRANGE:
		return change_arrange(c);
	case CHANGE_CHECK:
		return phase_hooks(c, c->next_record->call, INSTANCE_CHECKED);
	case CHANGE_START:
		return phase_hooks(c, c->next_record->start, INSTANCE_RUNNING);
	default:
		return phase_publish(c);
	}
}

/* Runs the first change on until it must wait. False: it must. */
static bool run_first(struct stack *s)
{
	struct change *c = s->changes;
	int rc = 0;

	while (!rc && c->phase < CHANGE_DONE) {
		rc = run_phase(c);
		if (!rc) {
			c->phase++;
			c->at = 0;
		}
	}
	if (rc == -EINPROGRESS) {
		s->waiting = true;
		return false;
	}
	take_first(s);
	if (!rc)
		succeed(c, 1);
	else if (rc == -EAGAIN)
		stage(s, c);
	else
		fail(c, rc);
	return true;
}

/* Not while the first one waits for the lifecycle thread, and not nested: a change that `done`
 * submits waits for its turn in the loop that is running. */
static void pump(struct stack *s)
{
	if (s->pumping || s->waiting)
		return;
	s->pumping = true;
	while (s->changes && run_first(s))
		;
	s->pumping = false;
}

void change_submit(struct change *c)
{
	struct stack *s = c->stack;

	c->next = NULL;
	c->phase = CHANGE_LOAD;
	c->at = 0;
	*s->changes_last = c;
	s->changes_last = &c->next;
	if (s->control->on_change)
		s->control->on_change();
	pump(s);
}

void change_loaded(struct change *c, int error)
{
	struct stack *s = c->stack;

	s->waiting = false;
	if (error) {
		take_first(s);
		fail(c, error);
	}
	pump(s);
}

/* ---- what was held back ---- */

void change_release(struct stack *s)
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
