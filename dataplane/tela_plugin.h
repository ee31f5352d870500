/* tela_plugin.h - a plugin: what it is called, what it hooks, how it lives.
 *
 * A plugin is linked in or loaded from a shared object that exports
 *     const struct tela_plugin *tela_plugin_v1(void);
 * A running plugin is an *instance*; two instances of one plugin may overlap during a replacement,
 * so a plugin keeps its state in its instance, not in globals. Hooks run on the lifecycle thread,
 * one at a time, each with a deadline (default 5 s); links run on data cores.
 *
 * A change of a service runs the hooks of what is new in it, then publishes one image:
 *
 *      config_merge -> config -> start -> prepare -> PUBLISHED -> updated
 *       call order      call     start    start |                  start order
 *                                               '-> a failure: abort, reverse start order,
 *                                                   then stop of what was started
 *
 * Call order and start order: service-model section 1. B stands above A if A `needs` B's result; A
 * stands above B if A `wraps` B. The service stands above its plugins, except those that wrap it.
 */
#pragma once

#include "tela_callback.h"
#include "tela_config.h"
#include "tela_log.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TELA_PLUGIN_ABI 20

/* Names the chain of a callback that belongs to no schema: every call from outside walks it first.
 */
#define TELA_REQUEST_IN "request_in"
/* The same for calls that go out: those that a handler of the service makes with its own call as
 * `parent`, to any service, walk these links before they leave the core. They see a call as ever
 * (tela_call_request, tela_call_metadata: what goes out; method and service: the callee's; identity
 * and subject: of the parent) and may add metadata, replace the payload, or answer in the callee's
 * place: an error of theirs reaches the caller as one of the callee would, surely not executed.
 * They may go pending, to fetch a token for instance: the call goes on when they resume it, from
 * any thread; it has ended by then if its deadline has passed or nobody waits for its parent any
 * more, and what they answer is dropped. They cannot block, and have no leave hook. */
#define TELA_REQUEST_OUT "request_out"
/* Names what a plugin has to say about statuses: those that it registers, and a look at each one
 * that a call of the service ends with. */
#define TELA_STATUS "status"

/* One link. `callback` is TELA_REQUEST_IN, TELA_REQUEST_OUT or TELA_STATUS, or NULL for a method of
 * `service` with id `method`, which may also be one that the plugin's schema has and the service's
 * has not yet; callbacks of one's own are in tela_callback.h (TELA_ON). Either of enter and leave
 * may be NULL (a link with neither is refused). */
struct tela_link {
	const char *callback;
	const struct tela_service_desc *service;
	uint16_t method;
	tela_enter_fn enter;
	tela_leave_fn leave;
	bool blocking; /* `enter` may wait: it runs on a worker of the node (see tela.h); without
			  workers the plugin is refused */
	/* TELA_STATUS only, instead of enter and leave. The first plugin in call order that
	 * registers a name wins, before the node's own table: so a service overrides. */
	const struct tela_status_def *statuses;
	uint32_t n_statuses;
	tela_status_fn status; /* sees every status, may be NULL */
	/* TELA_ON */
	const struct tela_callback *own;
	tela_step_fn step;
};

/* How a service is. Whoever operates a node finds the moves between them in control/README.md. */
enum tela_running {
	TELA_SERVICE_UNKNOWN,
	TELA_SERVICE_STARTING,
	TELA_SERVICE_RUNNING,
	TELA_SERVICE_PAUSING,
	TELA_SERVICE_PAUSED,
	TELA_SERVICE_STOPPING,
	TELA_SERVICE_STOPPED,
	TELA_SERVICE_FAILED,
};

struct tela_instance; /* opaque: the running instance */

/* ---- workers: what a start hook wants to have running, and kept so ---- */

enum { TELA_WORKERS_MAX = 64 };

enum tela_restart {
	TELA_PERMANENT, /* whenever it ends */
	TELA_TRANSIENT, /* when `run` returned an error */
	TELA_TEMPORARY, /* never */
};

enum tela_strategy {
	TELA_ONE_FOR_ONE, /* the one that ended is started again */
	TELA_ONE_FOR_ALL, /* all are ended and started again */
};

struct tela_worker_run; /* opaque: one that runs */

/* With `run` a thread of its own: with period_ms 0 it runs once, and returns when
 * tela_worker_wait() says that it shall; else it is a timer, run every period_ms until it returns
 * an error. `run` returns 0 or -errno. It may attach itself (tela_thread_attach).
 *
 * With `task` a stage in the loop of data core `core`, run in every pass or every period_ms, as a
 * link is: it may call and answer, never wait, and takes its time from everybody else. It returns 1
 * if it did something, 0 if not, -errno: it has ended.
 *
 * `self` is what `start` returned. */
struct tela_worker {
	const char *name; /* 1 to 15 bytes, shown as the thread's */
	int (*run)(struct tela_worker_run *r, void *self);
	uint32_t period_ms;
	enum tela_restart restart;
	int (*task)(struct tela_core *core, void *self); /* instead of `run` */
	uint32_t core;
};

/* When workers had to be started again more than `max_restarts` times in period_ms, the instance
 * has failed, and with it the service; a new instance is tried with backoff (control/README.md). */
struct tela_workers {
	const struct tela_worker *list;
	uint32_t n; /* at most TELA_WORKERS_MAX */
	enum tela_strategy strategy;
	uint32_t max_restarts; /* at most 63; 0: 3 */
	uint32_t period_ms;    /* 0: 5000 */
};

/* Waits so long, or until the worker shall end; true: it shall, and stays so. [worker] */
bool tela_worker_wait(struct tela_worker_run *r, uint64_t ns);

/* What a successor may take over from the instance before it: entries in the registry, and its
 * workers. */
enum { TELA_CLAIM_NAMES = 1, TELA_CLAIM_BAGS = 2, TELA_CLAIM_WORKERS = 4 };

struct tela_owner;

/* What a hook gets. */
struct tela_hook {
	struct tela_node *node;
	struct tela_instance *instance;
	const char *service;                     /* the service it is part of */
	const struct tela_service_desc *schema;  /* of that; lives as long as it */
	const struct tela_plugin_config *config; /* merged, as it was given */
	const void *values; /* the same by the plugin's keys: its struct, defaults filled in; lives
			       as long as `config`, which is longer than any call under the image;
			       NULL in `config_merge`, or without keys */
	void *self;         /* what `start` returned, NULL before it */
	/* `start`, or else `prepare`, may set it: started when it has returned, ended before
	 * `stop`; must live as long as the instance. Of the one before: what runs and may be
	 * claimed. */
	const struct tela_workers *workers;
	struct tela_owner *owner;   /* whose its entries in the registry are (tela_registry.h) */
	const struct tela_log *log; /* where its lines go (tela_log.h) */
	uint32_t claim;             /* `prepare` may set it: TELA_CLAIM_*, done at publication */
	bool claimed; /* for `stop`: its workers have gone to its successor, with what they use */
	bool restart; /* `updated` may set it: a new instance in place of this one, please */
	char *error;  /* say why, at most error_len bytes with its NUL */
	size_t error_len;
};

/* In `config_merge` and `config`: `key` of the plugin that the service lists as `name` has that
 * value (copied), or with NULL none. `name` NULL: its own; another one stands below it in call
 * order, which only `config` may alter. That the key is known there, and the value right, is
 * checked when the hook has returned; then h->values are others. What `config` sets holds as long
 * as this instance is there, over whatever the operator gives. 0, -EINVAL (a name or key of no or
 * more than 255 bytes), -ENOMEM, -EPERM (in another hook). */
int tela_hook_set(struct tela_hook *h, const char *name, const char *key, const char *value);
/* In `prepare`: `size` zeroed bytes at a multiple of 64, which the links get as `self` in place of
 * what `start` returned; freed when the last image with it has gone. NULL: no memory. Once. */
void *tela_hook_view(struct tela_hook *h, size_t size);

/* A service somewhere that serves from now on, or does not any more. */
struct tela_seen {
	const char *node; /* as the configuration names the peer; NULL: this node */
	const char *service;
	uint64_t incarnation; /* of that node: another one each time it starts */
	bool serves;
};

struct tela_plugin {
	uint32_t abi; /* TELA_PLUGIN_ABI */
	uint32_t n_links;
	const char *name, *version;
	const char *const *needs; /* names, NULL-terminated; NULL: none */
	const char *const *wraps;
	/* Likewise, but only where the other one is there: these order, and take nothing along. */
	const char *const *may_need;
	const char *const *may_wrap;
	/* Members of one group stand in the order in which the service lists them, as if each
	 * wrapped the next. NULL: none. */
	const char *group;
	/* Services that it calls, by name or by their plugin's; NULL: none. When a node drains,
	 * they go on until this one is done. */
	const char *const *uses;
	/* What it can be told; anything else is refused. `values_size`: of the struct they fill. */
	const struct tela_config_key *keys;
	uint32_t n_keys, values_size;
	const struct tela_link *links;
	/* Services only: what it serves. NULL for a plain plugin. */
	const struct tela_service_desc *serves;

	/* A changed configuration is another view of the same instance, which `prepare` makes
	 * (tela_hook_view): neither `start` nor `stop` runs, workers go on. Else each change of it
	 * takes a new instance. */
	bool in_place;

	/* `update` is about to be put over h->config, which stays as it is: keys that have the
	 * value NULL are taken out, all others replaced. What is to become of a key in another way
	 * it says by tela_hook_set(h, NULL, key, value). 0 or -errno with h->error. Optional. */
	int (*config_merge)(struct tela_hook *h, const struct tela_plugin_config *update);
	/* Checks what its keys cannot say of h->values; may set keys of its own, and of those that
	 * stand below it (tela_hook_set). 0 or -errno with h->error. Optional. */
	int (*config)(struct tela_hook *h);
	/* Makes the instance's state; *ret_self is the `self` of its links. 0 or -errno with
	 * h->error. Optional. */
	int (*start)(struct tela_hook *h, void **ret_self);
	/* The last step that may fail, for every instance that is new or (`in_place`) has another
	 * configuration: builds its view, says what it claims. `old` is the one of its name that it
	 * follows, old->self == h->self if it is the same instance; NULL if there was none. 0 or
	 * -errno with h->error; then it is not aborted. Optional. */
	int (*prepare)(struct tela_hook *h, const struct tela_hook *old);
	/* What was prepared is not published: another one failed. Its view goes. Optional. */
	void (*abort)(struct tela_hook *h);
	/* An image has been published, and this instance is part of it; `old` as for `prepare`, of
	 * the image before. One in place that sets h->restart is replaced by a new instance, in
	 * an image of its own. Optional. */
	void (*updated)(struct tela_hook *h, const struct tela_hook *old);
	/* The instance has left every image and no call can reach it: frees what start made.
	 * Optional. */
	void (*stop)(struct tela_hook *h);
	/* Told each change of the service's status, the first one included, in call order. h->self
	 * is NULL before `start` and after `stop`. Optional. */
	void (*status_changed)(struct tela_hook *h, enum tela_running from, enum tela_running to);
	/* Asked several times a second while the service runs: may calls come? Asked while it
	 * drains: is all work of its own done? h->error may say what is missing. Optional; then
	 * yes. */
	bool (*ready)(struct tela_hook *h);
	bool (*drain)(struct tela_hook *h);
	/* Told of services that come and go, here and on peers, in the order in which this node
	 * hears of it; what was there before it started it finds by tela_services_served()
	 * (tela_discovery.h). Optional. */
	void (*seen)(struct tela_hook *h, const struct tela_seen *s);
	/* Figures of its own for `telactl stats`: calls emit(arg, name, value) for each.
	 * On the lifecycle thread, with a deadline as for hooks. Optional. */
	void (*stats)(
		void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg);
};

#define TELA_PLUGIN_ENTRY "tela_plugin_v1"
typedef const struct tela_plugin *(*tela_plugin_entry_fn)(void);

#ifdef __cplusplus
}
#endif
