/* change.h - one change of a service: a list of stages, one new image at most, all or nothing.
 *
 * Changes of one service run one after another in the order given; those of different services do
 * not wait for each other, except for the lifecycle thread. Nothing here waits: a change that
 * needs a hook, an object or the data plane goes on when that is done. What the operator does to a
 * chain is one list of stages (change.c), what moves a service between statuses others (move.c).
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
};

struct change_step {
	enum change_op op;
	const char *plugin; /* ADD: of the plugin; else the name it has in the service */
	const char *as, *object, *before, *after;
	struct tela_plugin_config config; /* sorted by key */
	const char *const *unset;
	bool in_place;       /* REPLACE: the instance may stay, if its plugin can */
	uint32_t line;       /* in the configuration, 0: not from there */
	struct plugin *from; /* private */
};

/* 0: on to the next stage, or to the one that it jumped to. -EINPROGRESS: change_resume() comes.
 * Another error: the change fails. */
struct change_stage {
	int (*run)(struct change *c, int arg);
	int arg;
};

enum {
	CHANGE_TICK = 1,   /* look again at the next tick */
	CHANGE_STAGED = 2, /* its record waits to be published with others */
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
	struct record *before; /* what ran before it was published; NULL: nothing */
	uint32_t line;         /* of the step that failed, 0: not known */
	char error[512];

	/* private */
	const struct change_stage *stage, *on_error; /* on_error NULL: it ends at once */
	int failure;                                 /* what it ends with */
	int result;                                  /* of what it waited for */
	uint32_t at; /* step or instance that the stage has come to */
	struct record *next_record;
	struct tela_image *image; /* of it, built */
	struct record *telling;   /* what runs now, likewise */
	struct record *leaving;   /* what is being stopped, held until it is */
	struct tela_instance *created[ORDER_MAX];
	uint32_t n_created;
};

/* A change of the chain, by its steps. */
void change_submit(struct change *c);
/* One of other stages. */
void change_submit_stages(struct change *c, const struct change_stage *stages);
/* From inside a stage: goes on with these instead. */
void change_go(struct change *c, const struct change_stage *stages);
/* What the change waited for has come, or failed. */
void change_resume(struct change *c, int result);
/* At each tick, after tela_node_poll(), when images may have retired: publishes what was held back
 * until then, and lets the first change look again. */
void change_tick(struct stack *s);
/* change_fail(c, -EINVAL, "...") -> -EINVAL */
int change_fail(struct change *c, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- stages ---- */

int change_load(struct change *c, int unused);
int change_arrange(struct change *c, int unused); /* arrange.c: the new list and its order */
int change_publish(struct change *c, int unused);

/* change_hooks.c: each runs one hook of what is new. */
int change_config(struct change *c, int merge); /* config_merge, or config */
int change_start(struct change *c, int unused);
int change_prepare(struct change *c, int unused);
int change_abort(struct change *c, int unused); /* of what was prepared */
int change_notify(struct change *c, int unused);

/* ---- load.c ---- */

/* Finds or loads step's object. 0: step->from is set; -EINPROGRESS: change_resume() comes; else an
 * error. */
int load_step(struct change *c, struct change_step *step);
/* Unloads objects that nobody has used for a while. */
void load_reap(struct control *c);
