/* tela_mesh.h - a client of a service wherever it runs: on this node, on some peers, on all of
 * them.
 *
 * It is a tela_client like any other, so typed calls, blocking calls and tela_request_begin() take
 * it. What it adds: each call goes to the instance that `balance` chooses; one that surely did not
 * run goes on at once to the next instance; when all have been tried, the policy says when they are
 * tried again. A call that may have run is repeated only if its method is idempotent or
 * TELA_CALL_REPEAT allows it; all attempts of such a call carry one request key. One that is
 * refused because the instance is behind goes on within the retry budget only, and to no instance a
 * second time before that one has said (`retry_after_us`; up to a quarter later). Instances that
 * fail again and again are left out for a while, then probed with one call.
 *
 * Memory: a core holds TELA_MESH_CALLS calls of one client at a time, then tela_request_begin()
 * says -EAGAIN. Instances are counted up to TELA_MESH_INSTANCES_MAX.
 */
#pragma once

#include "tela_node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TELA_MESH_INSTANCES_MAX = 64, TELA_MESH_CALLS = 1024 };

enum tela_balance {
	TELA_BALANCE_ROUND_ROBIN,
	TELA_BALANCE_LEAST,    /* of two at random, by calls in flight and latency */
	TELA_BALANCE_WEIGHTED, /* at random, by weight, as it is announced just now; one of
				* weight 0 only when all are */
	TELA_BALANCE_HASH,     /* tela_options.hash decides; few move when instances come and go */
};

/* "round_robin", "least", "weighted", "hash": its number, or -EINVAL. [any] */
int tela_balance_named(const char *name);

struct tela_policy {
	const char *name;
	uint32_t deadline_ms;    /* of the whole call, where nothing else sets one; 0: none */
	uint32_t attempt_ms;     /* of each attempt; 0: what is left of the whole */
	uint32_t retries;        /* rounds over all instances after the first */
	uint32_t backoff_ms;     /* before the first of them */
	uint32_t backoff_max_ms; /* doubled each time up to this; the same: always the same */
	uint32_t jitter_percent; /* each wait is shorter by up to so much */
	uint32_t budget_percent; /* retries and hedges, of calls; 0: without a budget */
	uint32_t hedge_us;       /* a second attempt elsewhere after so long; 0: none */
};

/* "mesh": 15 s in all, exponential backoff with jitter, a budget of 20 %. "malla": 15 s an attempt,
 * 5 retries 1 s apart. NULL: no preset has that name. [any] */
const struct tela_policy *tela_policy_named(const char *name);

struct tela_mesh_instance {
	const char *peer; /* as the configuration names it; NULL: this node */
	const char *zone; /* NULL: the one that it announces, none if it does not */
	uint32_t weight;  /* 0: what it announces, 1 if it does not */
};

struct tela_mesh_config {
	const struct tela_mesh_instance *instances;
	uint32_t n_instances;
	const struct tela_policy *policy; /* copied; NULL: mesh */
	enum tela_balance balance;
	bool anywhere;    /* do not prefer this node's own instance */
	const char *zone; /* instances of this zone first, others when none of them can be asked;
			     behind this node's own, where that is preferred; NULL: all alike */
};

/* NULL with `err`: no or too many instances, one named twice, no such peer, no memory. Strings are
 * copied. tela_client_close() closes it, or the end of the node. [any but data cores] */
struct tela_client *tela_mesh_open(struct tela_node *n, const struct tela_service_desc *service,
	const struct tela_mesh_config *c, char *err, size_t err_len);

/* How many instances; the node of one of them, NULL: this one. [any] */
uint32_t tela_mesh_size(const struct tela_client *c);
const char *tela_mesh_name(const struct tela_client *c, uint32_t instance);

/* One answer of a call of all: whose, and what. */
typedef void (*tela_each_fn)(
	void *arg, uint32_t instance, const char *name, const struct tela_result *result);
typedef void (*tela_all_fn)(void *arg, uint32_t n_ok, uint32_t n_asked);

/* Calls every instance at once, each exactly once, with one deadline: none takes the place of
 * another. `each` runs for each of them, `all` once after that. As soon as `quorum` (0: no such)
 * are OK, the rest are cancelled. 0, -EAGAIN (too many such calls are under way), -EINVAL (no
 * client of many, a quorum above their number, unknown flags), -ESHUTDOWN (it is being closed).
 * [core] */
int tela_mesh_all(struct tela_client *c, const struct tela_method_desc *m, const void *payload,
	size_t len, const struct tela_options *o, uint32_t quorum, tela_each_fn each,
	tela_all_fn all, void *arg);
/* The same, waiting for all: replies[i] is of instance i, each to be freed. 0, or as
 * tela_thread_call, or -EINVAL, -EAGAIN as above; then none is to be freed. [thread] */
int tela_thread_all(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, uint32_t quorum,
	struct tela_reply *replies);

/* What a core knows of an instance, as it was a moment ago. [any] */
struct tela_mesh_view {
	const char *peer; /* NULL: this node */
	uint64_t calls, failures, ejections;
	bool ejected;
};
/* Of core `core`; false: there are fewer instances. */
bool tela_mesh_view(
	const struct tela_client *c, uint32_t core, uint32_t instance, struct tela_mesh_view *ret);

#ifdef __cplusplus
}
#endif
