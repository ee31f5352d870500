/* stack.h - a running service: its plugins in order, their instances, and the images made of them.
 *
 * What runs is never edited. A change (change.c) copies the list of the newest *record*, applies
 * its steps, starts what is new, builds an image of it and publishes it with one pointer store.
 * The old record stands among the `retiring` until the data plane says that no call runs under its
 * image; then it lets go of its instances, and those that no other record holds are stopped, in
 * reverse start order.
 *
 *      change: load > arrange > config_merge > config > start > prepare > build > publish > updated
 *                 \________\___________\__________\________\_________\_______\
 *                       abort of what was prepared, in reverse; what was started is stopped, and
 *                       nothing has changed
 *
 *      record: built -> [staged ->] current -> retiring -> history (generation and calls only)
 *
 * At more than STACK_PINNED retiring records a record is not published but *staged*, with its image
 * so that nothing can fail later; later changes build on it, and the last of them is published for
 * all when one has retired.
 *
 * An instance of a plugin that can be reconfigured in place has a *root*: the one that was started.
 * It shares what start made, the workers, the registry's entries, and has a configuration and a
 * view of its own; the root is stopped when none of them is left.
 *
 * Context:   control thread; hooks run on the lifecycle thread, which sees one instance and
 *            nothing else of this.
 * Ownership: a record holds a reference on each of its instances, an instance one on its plugin.
 */
#pragma once

#include "control.h"
#include "log.h"
#include "running.h"
#include "worker.h"

enum { STACK_CANCEL_MS = 20, STACK_LATE_MS = 1000 };
enum { STACK_PINNED = 256, STACK_HISTORY = 65536, STACK_LINKS_MAX = 256 };

enum instance_state {
	INSTANCE_NEW,
	INSTANCE_CHECKED,
	INSTANCE_RUNNING,
	INSTANCE_STOPPING,
	INSTANCE_STOPPED,
	INSTANCE_ABANDONED /* a hook of it hangs: no other is run, and it is never freed */
};

enum instance_hook {
	HOOK_MERGE,
	HOOK_CONFIG,
	HOOK_START,
	HOOK_PREPARE,
	HOOK_ABORT,
	HOOK_UPDATED,
	HOOK_STATUS,
	HOOK_STOP,
};

struct setting;

struct tela_instance {
	struct lifecycle_job job; /* one at a time */
	struct stack *stack;
	struct plugin *plugin;
	uint64_t id;
	uint32_t refs;
	enum instance_state state;
	enum instance_hook hook; /* that runs, or ran last */
	bool haunted; /* a thread that hangs may look at it for ever: it ends, but is never freed */
	enum tela_running from_status, to_status;     /* what HOOK_STATUS tells */
	bool automatic;                               /* nobody listed it: another needs it */
	struct tela_instance *next_alive, **alive_at; /* roots that have not ended */
	struct tela_instance *root; /* itself, unless reconfigured in place: held */
	struct tela_instance *from; /* whose place it is to take, held until published; or NULL */
	struct tela_instance *told; /* what HOOK_UPDATED tells of, NULL: none */
	/* Root's. */
	void *self;
	struct team *team;        /* its workers, NULL: none */
	struct plugin *team_code; /* whose code they run, if they were claimed */
	bool team_claimed;        /* they have gone to the successor */
	struct tela_owner *owner; /* of entries in the registry */
	struct tela_log *log;     /* where its lines go */
	/* Its own. */
	void *view;                      /* the links' `self`; NULL: the root's */
	struct setting *settings;        /* what its hooks set: settings.c */
	struct tela_plugin_config given; /* by the operator; `config` is what was made of it */
	struct tela_plugin_config *base, *update; /* for HOOK_MERGE; NULL: nothing is merged */
	const struct tela_workers *from_workers;  /* for HOOK_PREPARE: what may be claimed */
	unsigned claim;
	bool prepared, wants_restart;
	struct lifecycle_job restart_job;
	bool restarting; /* restart_job is under way: the team is the lifecycle thread's */
	bool failed;     /* its workers ended too often */
	struct tela_plugin_config config;
	void *values; /* the same as its plugin's struct */
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
	uint32_t refs;
	struct stack *stack;
	uint64_t generation;
	uint64_t cancel_ns; /* retiring: calls that hold it are cancelled, if they hold others up */
	bool late;          /* that has been said */
	uint32_t n;
	struct tela_instance **declared;
	uint32_t *call, *start; /* indices into declared */
};

/* Of a service that is being removed. */
struct leaving {
	enum {
		LEAVING_NOT,
		LEAVING_DRAINS,
		LEAVING_STOPS,
		LEAVING_NODE, /* the data plane forgets it */
		LEAVING_GONE
	} step;
	struct request *request; /* NULL: it has been answered */
	int error;               /* 0: it was there; else why it could not be added */
	bool stopping;           /* LEAVING_STOPS: the move is under way */
	uint32_t cancelled;
	uint64_t since_ns;
	char why[768];
};

struct history {
	uint64_t generation, calls;
};

struct stack {
	struct stack *next;
	struct control *control;
	const struct conf_service *conf;
	uint32_t weight;    /* as it is announced: the configuration's at first */
	uint32_t log_level; /* likewise: 0: as the node's; else enum tela_log_level + 1 */
	const char *name;   /* of the service's plugin */
	const struct tela_service_desc *desc; /* NULL until it was loaded */
	struct tela_service *service;
	struct plugin *serves; /* whose schema `desc` is */
	struct conf *file;     /* that `conf` is of; NULL: the node's */
	bool haunted;          /* a thread that hangs may look at it for ever: it is never freed */
	const struct tela_image *image; /* of `current` */
	struct record *current, *staged, *retiring, **retiring_last;
	struct tela_image *staged_image;
	uint32_t n_retiring, n_stopping;
	struct history *history;                /* ring */
	uint64_t n_history;                     /* ever */
	struct change *changes, **changes_last; /* waiting, the first one runs */
	struct change *held, **held_last;       /* ready, their record is staged */
	struct tela_instance *alive;            /* roots that have not ended */
	struct parting *partings;               /* answers that wait for some to end */
	struct change *notice; /* tells `updated` of what was published for the held ones */
	struct record *untold; /* the one before that; NULL: all have been told */
	bool noticing;
	/* The first change is being run; it waits for the lifecycle thread, for the next tick. */
	bool pumping, waiting, ticking;
	uint64_t n_changes, n_failed, n_merged;
	char last_error[512];
	int64_t last_error_at; /* seconds since 1970, 0: none */
	uint32_t error_line;   /* of its file, of the last start that failed */

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
	bool failure_due;     /* a plugin has failed, and there was no memory to say so */

	/* ask.c */
	struct ask *asking;
	uint64_t ask_ns;
	bool ready, drained;
	char not_ready[192], not_drained[192];

	struct leaving leaving; /* whole.c */

	/* drain.c */
	enum { DRAIN_NONE, DRAIN_LEAVING, DRAIN_GATE } drain;
	uint64_t gate_ns;     /* when the gate closes */
	struct drain *drains; /* commands that wait until it has drained */
};

/* ---- stack.c ---- */

/* Whether every word of `blocking` is a method of `d`, or it is "all". 0 or -EINVAL with `err`. */
int stack_check_blocking(
	const struct tela_service_desc *d, const char *blocking, char *err, size_t err_len);

/* NULL: no memory. */
struct stack *stack_create(struct control *c, const struct conf_service *conf);
/* By the plugin's name or the schema's. */
struct stack *stack_find(struct control *c, const char *name);
/* Its lines are taken up to its level, or the node's. */
void stack_log_level(const struct stack *s);
/* What lines about it are known by: as in its own the schema's name, once that is loaded. */
const char *stack_shown(const struct stack *s);
#define stack_log(s, level, ...) log_of(level, stack_shown(s), __VA_ARGS__)
/* Nothing is retiring, stopping or waiting. */
bool stack_is_still(const struct stack *s);
/* Nor is it being removed. */
bool stack_is_quiet(const struct stack *s);
/* One that is not in the list any more, and still. */
void stack_free(struct stack *s);
/* "node.yaml:12: ", of where it is defined. */
int stack_where(const struct stack *s, uint32_t line, char *ret, size_t size);
/* At the very end, after the node: frees those that are quiet. */
void stack_destroy_all(struct control *c);
/* Claims can take effect: none waits for workers that are being started again. */
bool stack_may_publish(const struct record *r);
/* At each tick: calls that have held an old image since the drain deadline are cancelled, where an
 * instance waits for them that is not part of what runs; again every STACK_CANCEL_MS, for calls
 * made for them end first. What has not stopped STACK_LATE_MS after the deadline is held by a
 * worker. */
void stack_tick(struct stack *s);
/* Publishes `r` (whose reference it takes) as `image`. */
void stack_publish(struct stack *s, struct record *r, struct tela_image *image);
struct tela_image *stack_build(struct stack *s, const struct record *r, char *err, size_t err_len);
struct record *record_create(struct stack *s, struct tela_instance *const *declared, uint32_t n);
/* Another of the same instances in the same orders; NULL: no memory. */
struct record *record_copy(const struct record *r);
void record_get(struct record *r);
/* The last one lets go of the instances. */
void record_put(struct record *r);
/* The one of that name; NULL: none, or no record. */
struct tela_instance *record_find(const struct record *r, const char *name);
/* Whether one of its instances has that root; no record: none has. */
bool record_has(const struct record *r, const struct tela_instance *root);
/* Puts `i` in the place of that one. */
void record_set(struct record *r, uint32_t declared, struct tela_instance *i);
/* Keeps it as the last error, with the time. */
void stack_error(struct stack *s, const char *text);

/* ---- instance.c ---- */

/* What is given is what the plugin's keys allow. NULL: no memory, here and below. */
struct tela_instance *instance_create(struct stack *s, struct plugin *p, const char *name,
	const struct tela_plugin_config *given);
/* What takes the place of `old`: the same one seen with another configuration, where its plugin can
 * and `fresh` does not say otherwise, else a new one, of plugin `p`. */
struct tela_instance *instance_succeed(struct tela_instance *old, struct plugin *p,
	const struct tela_plugin_config *given, bool fresh);
/* Its configuration is now that block, which it takes. 0; -EINVAL or -ENOMEM with `err`: it stays
 * as it was. */
int instance_configure(
	struct tela_instance *i, struct tela_plugin_config *config, char *err, size_t err_len);
/* Likewise, what the operator has given. */
void instance_give(struct tela_instance *i, struct tela_plugin_config *given);
/* It is part of what is published: what it claims is its own. */
void instance_claim(struct tela_instance *i);
struct tela_hook instance_hook_of(struct tela_instance *i);
/* `what` hangs in it for ever. */
void instance_abandon(struct tela_instance *i, const char *what);
/* Looks after its workers. True: they have ended too often, as `err` says. */
bool instance_look(struct tela_instance *i, uint64_t now_ns, char *err, size_t err_len);
void instance_get(struct tela_instance *i);
/* By more than one record. */
bool instance_held(const struct tela_instance *i);
/* The last one stops it. */
void instance_put(struct tela_instance *i);
/* Runs a hook. True: done at once, there is none to run; else `ready` comes. */
bool instance_run(struct tela_instance *i, enum instance_hook hook,
	void (*ready)(void *arg, struct tela_instance *i, int error), void *arg);

/* ---- settings.c: blocks to free(), NULL: no memory ---- */

/* `base` without the keys `unset` and what lies below them, and `over` put over it. */
struct tela_plugin_config *config_merge(const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset);
/* `over` with the keys `unset` as pairs without a value. */
struct tela_plugin_config *config_update(
	const struct tela_plugin_config *over, const char *const *unset);
bool config_equal(const struct tela_plugin_config *a, const struct tela_plugin_config *b);
/* `given` of the instance at that place of the call order, and over it what those from place
 * `first` on have set for it, and itself. */
struct tela_plugin_config *settings_apply(const struct record *r, uint32_t first, uint32_t place,
	const struct tela_plugin_config *given);
/* What the one there has set is for none above it. 0 or -EINVAL with `err`. */
int settings_check(const struct record *r, uint32_t place, char *err, size_t err_len);
void settings_free(struct tela_instance *i);
