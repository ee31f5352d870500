/* stack.h - a running service: its plugins in order, their instances, and the images made of them.
 *
 * What runs is never edited. A change (change.c) copies the list of the newest *record*, applies
 * its steps, starts what is new, builds an image of it and publishes it with one pointer store.
 * The old record stands among the `retiring` until the data plane says that no call runs under its
 * image; then it lets go of its instances, and those that no other record holds are stopped, in
 * reverse start order.
 *
 *      change: load -> arrange -> config hooks -> start hooks -> build -> publish -> done
 *                 \________\____________\______________\___________\-> what was started is
 *                                                        stopped, and nothing has changed
 *
 *      record: built -> [staged ->] current -> retiring -> history (generation and calls only)
 *
 * At more than STACK_PINNED retiring records a record is not published but *staged*; later changes
 * build on it, and the last of them is published for all when one has retired.
 *
 * Context:   control thread; hooks run on the lifecycle thread, which sees one instance and
 *            nothing else of this.
 * Ownership: a record holds a reference on each of its instances, an instance one on its plugin.
 */
#pragma once

#include "control.h"
#include "running.h"
#include "worker.h"

enum { STACK_PINNED = 256, STACK_HISTORY = 65536, STACK_LINKS_MAX = 256 };

enum instance_state {
	INSTANCE_NEW,
	INSTANCE_CHECKED,
	INSTANCE_RUNNING,
	INSTANCE_STOPPING,
	INSTANCE_STOPPED,
	INSTANCE_ABANDONED /* a hook of it hangs: no other is run, and it is never freed */
};

enum instance_hook { HOOK_CONFIG, HOOK_START, HOOK_STATUS, HOOK_STOP };

struct tela_instance {
	struct lifecycle_job job; /* one at a time */
	struct stack *stack;
	struct plugin *plugin;
	uint64_t id;
	uint32_t refs;
	enum instance_state state;
	enum instance_hook hook;    /* that runs, or ran last */
	enum tela_running from, to; /* what HOOK_STATUS tells */
	bool automatic;             /* nobody listed it: another needs it */
	void *self;
	struct team *team; /* its workers, NULL: none */
	struct lifecycle_job restart_job;
	bool restarting; /* restart_job is under way: the team is the lifecycle thread's */
	bool failed;     /* its workers ended too often */
	struct tela_plugin_config config;
	void (*ready)(void *arg, struct tela_instance *i, int error); /* of the hook that runs */
	void *ready_arg;
	char error[256];
	char what[128]; /* "start hook of counter1 in echo" */
	char restart_what[160];
	char name[];
};

/* One arrangement of instances; `declared`[0] is the service. */
struct record {
	struct record *next, **at; /* among the retiring */
	struct stack *stack;
	uint64_t generation;
	uint32_t n;
	struct tela_instance **declared;
	uint32_t *call, *start; /* indices into declared */
};

struct history {
	uint64_t generation, calls;
};

struct stack {
	struct stack *next;
	struct control *control;
	const struct conf_service *conf;
	const char *name;                     /* of the service's plugin */
	const struct tela_service_desc *desc; /* NULL until it was loaded */
	struct tela_service *service;
	const struct tela_image *image; /* of `current` */
	struct record *current, *staged, *retiring, **retiring_last;
	uint32_t n_retiring, n_stopping;
	struct history *history;                /* ring */
	uint64_t n_history;                     /* ever */
	struct change *changes, **changes_last; /* waiting, the first one runs */
	struct change *held, **held_last;       /* ready, their record is staged */
	/* The first change is being run; it waits for the lifecycle thread, for the next tick. */
	bool pumping, waiting, ticking;
	uint64_t n_changes, n_failed, n_merged;
	char last_error[512];
	int64_t last_error_at; /* seconds since 1970, 0: none */

	/* move.c */
	enum tela_running status, told; /* told: before the last change of it */
	int64_t status_since;           /* seconds since 1970 */
	uint64_t calm_ns;               /* the same moment, by our clock */
	enum admin_status admin;
	char reason[64];
	struct change_step
		*plan; /* what it consisted of when it was stopped, NULL: as configured */
	uint32_t n_plan;
	uint32_t n_tries;     /* to start it, that failed one after another */
	uint64_t next_try_ns; /* UINT64_MAX: there will be none */

	/* ask.c */
	struct ask *asking;
	uint64_t ask_ns;
	bool ready, drained;
	char not_ready[192], not_drained[192];

	/* drain.c */
	enum { DRAIN_NONE, DRAIN_LEAVING, DRAIN_GATE } drain;
	uint64_t gate_ns;     /* when the gate closes */
	struct drain *drains; /* commands that wait until it has drained */
};

/* ---- stack.c ---- */

/* Whether every word of `blocking` is a method of `d`, or it is "all". 0 or -EINVAL with `err`. */
int stack_check_blocking(
	const struct tela_service_desc *d, const char *blocking, char *err, size_t err_len);

struct stack *stack_create(struct control *c, const struct conf_service *conf);
/* By the plugin's name or the schema's. */
struct stack *stack_find(struct control *c, const char *name);
/* Nothing is retiring, stopping or waiting. */
bool stack_is_quiet(const struct stack *s);
/* At the very end, after the node: frees those that are quiet. */
void stack_destroy_all(struct control *c);
/* Publishes `r` (whose reference it takes) as `image`. */
void stack_publish(struct stack *s, struct record *r, struct tela_image *image);
struct tela_image *stack_build(struct stack *s, const struct record *r, char *err, size_t err_len);
struct record *record_create(struct stack *s, struct tela_instance *const *declared, uint32_t n);
/* Another of the same instances in the same orders; NULL: no memory. */
struct record *record_copy(const struct record *r);
void record_free(struct record *r);
/* Keeps it as the last error, with the time. */
void stack_error(struct stack *s, const char *text);

/* ---- instance.c ---- */

struct tela_instance *instance_create(struct stack *s, struct plugin *p, const char *name,
	const struct tela_plugin_config *config);
struct tela_hook instance_hook_of(struct tela_instance *i);
/* `what` hangs in it for ever. */
void instance_abandon(struct tela_instance *i, const char *what);
/* Looks after its workers. True: they have ended too often, as `err` says. */
bool instance_look(struct tela_instance *i, uint64_t now_ns, char *err, size_t err_len);
void instance_get(struct tela_instance *i);
/* The last one stops it. */
void instance_put(struct tela_instance *i);
/* Runs a hook. True: done at once, there is none to run; else `ready` comes. */
bool instance_run(struct tela_instance *i, enum instance_hook hook,
	void (*ready)(void *arg, struct tela_instance *i, int error), void *arg);
/* `base` with `over` put over it and the keys `unset` taken out, as one block to free(). */
struct tela_plugin_config *config_merge(const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset);
