/* change.h - one change of a running service: some steps, one new image, all or nothing.
 *
 * Changes of one service run one after another in the order given; those of different services do
 * not wait for each other, except for the lifecycle thread. Nothing here waits: a change that
 * needs a hook or an object goes on when the lifecycle thread is done with it.
 *
 * Context:   control thread.
 * Ownership: the caller keeps the change and all strings of its steps alive until `done`. After
 *            `done` it may free them.
 * Errors:    `done` gets 0 or -errno, with a sentence in change->error; then nothing has changed.
 */
#pragma once

#include "order.h"
#include "stack.h"

enum change_op {
	CHANGE_ADD,     /* plugin, as, object, before, after, config */
	CHANGE_REMOVE,  /* name */
	CHANGE_REPLACE, /* name, object, config over the old one, unset; keeps the place */
	CHANGE_EMPTY, /* an image without links: the last one, so that everything can be stopped */
};

struct change_step {
	enum change_op op;
	const char *plugin; /* ADD: of the plugin; else the name it has in the service */
	const char *as, *object, *before, *after;
	struct tela_plugin_config config; /* sorted by key */
	const char *const *unset;
	uint32_t line;       /* in the configuration, 0: not from there */
	struct plugin *from; /* private */
};

enum change_phase {
	CHANGE_LOAD,
	CHANGE_ARRANGE,
	CHANGE_CHECK,
	CHANGE_START,
	CHANGE_PUBLISH,
	CHANGE_DONE
};

struct change {
	struct change *next;
	struct stack *stack;
	struct change_step *steps;
	uint32_t n_steps;
	void (*done)(struct change *c, int error);
	bool starts; /* its first step adds the service itself */

	/* for `done` */
	uint64_t generation;
	uint32_t merged; /* how many changes this image brought, 1 unless too many were pinned */
	const struct record *record;
	uint32_t line; /* of the step that failed, 0: not known */
	char error[512];

	/* private */
	enum change_phase phase;
	uint32_t at; /* step or instance that the phase has come to */
	struct record *next_record;
	struct tela_instance *created[ORDER_MAX];
	uint32_t n_created;
};

void change_submit(struct change *c);
/* After tela_node_poll(), when images may have retired: publishes what was held back until then. */
void change_release(struct stack *s);
/* change_fail(c, -EINVAL, "...") -> -EINVAL */
int change_fail(struct change *c, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- arrange.c: the new list and its order ---- */
int change_arrange(struct change *c);

/* ---- load.c ---- */

/* Finds or loads step's object. 0: step->from is set; -EINPROGRESS: change_loaded() comes; else an
 * error. */
int load_step(struct change *c, struct change_step *step);
void change_loaded(struct change *c, int error);
/* Unloads objects that nobody has used for a while. */
void load_reap(struct control *c);
