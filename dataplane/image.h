/* image.h - services and their images: what a data core looks up to run a call.
 *
 * A service lives as long as its node. Its image - every method's chain, flat, in call order - is
 * immutable; a change builds another one and publishes it with one pointer store. A core loads the
 * pointer inside a pass and never keeps it beyond the pass, except in a call that has gone pending:
 * that one pins the image by a plain count of its core.
 *
 * When an old image may go: (1) the new pointer is stored; (2) a grace period ends, so every core
 * has been quiescent and no core holds the old pointer from an earlier pass; from here its pins can
 * only fall, since a pin is taken only by a call that found the image in its own pass; (3) all pins
 * are zero; (4) `retired` is called.
 *
 * Context: *_build, publish, admit on the control thread; image_method, chain_* on data cores.
 */
#pragma once

#include "tela_node.h"
#include "base.h"

enum {
	IMAGE_CORES_MAX = 64,
	IMAGE_LINKS_MAX = 64,
	IMAGE_STATUSES_MAX = 256,
	SERVICES_MAX = 256,
};

struct chain_link {
	tela_enter_fn enter; /* NULL: the link only has a leave hook */
	void *self;
};

struct chain_leave {
	tela_leave_fn leave;
	void *self;
	uint32_t link; /* of the link it belongs to, in the same chain */
};

/* Chain of one method: request_in links, then its own. Leave hooks stand apart, so that absent ones
 * cost nothing. */
struct chain {
	const struct tela_method_desc *method;
	const struct chain_link *links;
	const struct chain_leave *leaves; /* in call order */
	uint16_t n_links, n_leaves;
	uint32_t key; /* what stands for service and method: CHAIN_KEY; never 0 */
};

#define CHAIN_KEY(service_index, method) ((uint32_t)((service_index) + 1) << 16 | (method))

struct image_core {
	_Atomic uint64_t calls; /* whose chain was started under this image by this core */
	_Atomic uint32_t pins;  /* pending calls that hold it */
} cache_aligned;

struct image_status_hook {
	tela_status_fn fn;
	void *self;
};

struct tela_image {
	struct tela_service *service;
	uint64_t generation;
	uint32_t max_method;
	uint32_t n_chains, n_cores;
	const struct chain **by_method; /* [max_method + 1], NULL: no such method */
	struct chain *chains;
	struct image_core *core;
	/* In call order; all of them hold fewer than IMAGE_STATUSES_MAX statuses. */
	const struct tela_link **statuses;
	struct image_status_hook *status_hooks;
	uint32_t n_statuses, n_status_hooks;
	struct chain_link *out; /* request_out, in call order */
	uint32_t n_out;
	uint32_t n_own; /* callbacks of plugins' own: ids, and their chains */
	uint64_t *own_ids;
	const struct callback_chain *own;
	void (*retired)(void *arg, uint64_t generation, uint64_t calls);
	void *retired_arg;
	void *extra;             /* freed with it */
	struct tela_image *next; /* among those being retired */
};

struct service_core {
	_Atomic uint32_t in_flight; /* pending calls of this core */
	_Atomic uint64_t cancel;    /* control side: generation whose calls end now; 0: none */
} cache_aligned;

/* A service is being removed, in this order: (1) no core finds it by its name, after a grace
 * period; (2) each core has looked through its sessions and has no bind to it any more. It has no
 * image before that, so nothing else leads to it. */
struct service_leave {
	struct tela_service *next; /* among those being removed (control thread) */
	uint64_t walk;             /* of the cores, that is to come to its end; 0: not yet */
	_Atomic bool unnamed;      /* (1); released by the reclaimer, read by cores too */
	void (*removed)(void *arg);
	void *arg;
};

struct tela_service {
	const struct tela_service_desc *desc;
	struct tela_node *node;
	uint32_t index, name_len;
	_Atomic(struct tela_image *) image; /* NULL: starting */
	struct tela_storage *storage;       /* of a node's service; freed with the node */
	_Atomic uint64_t shed_ns;   /* calls may wait so long: shed.h; UINT64_MAX: for ever */
	_Atomic(char *) refusal;    /* why calls are not taken; NULL: they are */
	_Atomic bool local_only;    /* calls from other nodes do not find it */
	_Atomic uint32_t log_level; /* least important enum tela_log_level that is taken */
	_Atomic bool drains;        /* but those that descend from one in flight are */
	/* How often the gate was closed; and how often no core was left that had seen it open. */
	uint64_t n_closed;
	_Atomic uint64_t n_settled;
	uint64_t generation; /* of the last image published */
	uint32_t n_retiring; /* of its images (control thread) */
	struct service_leave leave;
	struct forward *forward; /* its calls are sent on; NULL: they are served here */
	struct service_core core[IMAGE_CORES_MAX];
};

/* What binds lead to whose service was removed: their callers are to bind again. */
extern struct tela_service service_gone;

/* Immutable, replaced as a whole when a service is added or removed. */
struct service_table {
	uint32_t n, mask;
	struct tela_service *const
		*by_hash; /* open addressing on the name's hash, mask + 1 places */
};

/* Of `n` places, some of which may be empty. */
struct service_table *service_table_build(struct tela_service *const *services, uint32_t n);
void service_table_free(struct service_table *t);
/* By name, as a call that is not bound yet gives it; NULL if there is none. */
struct tela_service *service_table_find(
	const struct service_table *t, const char *name, size_t len);

/* Do the two sides agree? Either knows the other's hash. */
bool service_accepts(const struct tela_service_desc *d, uint64_t schema);

struct tela_service *service_create(
	struct tela_node *n, const struct tela_service_desc *desc, uint32_t index);
void service_free(struct tela_service *s);
/* A copy of `reason` that calls may be refused with; never NULL. */
char *service_refusal(const char *reason);
void service_refusal_free(char *text);
uint32_t image_pins(const struct tela_image *i);
struct tela_image *image_build(struct tela_service *s, uint32_t n_cores,
	const struct tela_image_link *links, uint32_t n_links, char *err, size_t err_len);

/* The publication itself; returns the image before. */
static inline struct tela_image *image_swap(struct tela_service *s, struct tela_image *i)
{
	if (i)
		i->generation = ++s->generation;
	return atomic_exchange_explicit(&s->image, i, memory_order_acq_rel);
}

static inline const struct chain *image_method(const struct tela_image *i, uint32_t method)
{
	return likely(method <= i->max_method) ? i->by_method[method] : NULL;
}

/* Only the owning core writes its word. */
static inline void image_count_call(struct tela_image *i, unsigned core)
{
	_Atomic uint64_t *c = &i->core[core].calls;

	atomic_store_explicit(
		c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Pairs with image_pins(): release, so that whoever reads zero has seen all that the call did. */
static inline void image_pin_add(struct tela_image *i, unsigned core, int delta)
{
	_Atomic uint32_t *p = &i->core[core].pins;

	atomic_store_explicit(p, atomic_load_explicit(p, memory_order_relaxed) + (uint32_t)delta,
		memory_order_release);
}

static inline void service_in_flight_add(struct tela_service *s, unsigned core, int delta)
{
	_Atomic uint32_t *p = &s->core[core].in_flight;

	atomic_store_explicit(p, atomic_load_explicit(p, memory_order_relaxed) + (uint32_t)delta,
		memory_order_relaxed);
}

/* Walks from link `from` on. Returns the link that ended the walk (then *ret_verdict is TELA_ANSWER
 * or TELA_PENDING), or n_links with TELA_CONTINUE when the walk fell off the end. */
static inline uint32_t chain_walk(const struct chain *c, uint32_t from, struct tela_call *call,
	enum tela_verdict *ret_verdict)
{
	const struct chain_link *link = c->links;
	uint32_t i;

	for (i = from; i < c->n_links; i++) {
		enum tela_verdict v = link[i].enter(call, link[i].self);

		if (v != TELA_CONTINUE) {
			*ret_verdict = v;
			return i;
		}
	}
	*ret_verdict = TELA_CONTINUE;
	return i;
}

/* Runs the leave hooks of links 0..last, in reverse. */
static inline void chain_leave(const struct chain *c, uint32_t last, struct tela_call *call)
{
	for (uint32_t i = c->n_leaves; i-- > 0;)
		if (c->leaves[i].link <= last)
			c->leaves[i].leave(call, c->leaves[i].self);
}
