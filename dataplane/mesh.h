/* mesh.h - a client of many instances: one call, perhaps several attempts.
 *
 *   FREE -> BUILDING -> trying: an attempt is out, perhaps a second one (hedge)
 *                   \-> waiting: for the next round, for an instance to connect, or to be told that
 *                       nothing came of it (a call never ends inside the function that makes it)
 *
 * Memory of the calls is taken when the client is opened; request and metadata stand in a message
 * buffer of the core until the call ends, for the next attempt.
 */
#pragma once

#include "balance.h"
#include "client.h"

struct mesh_call;

struct mesh_attempt {
	struct mesh_call *call;
	struct caller_slot *slot;
	uint64_t sent_ns;
	uint8_t instance;
	bool live;
};

struct mesh_call {
	struct list waiting;
	struct mesh_call *next_free;
	struct mesh_core *core;
	uint32_t serial; /* another one for each call that it is used for */
	const struct tela_method_desc *method;
	struct msg *msg; /* payload, then metadata */
	tela_done_fn done;
	void *arg;
	uint64_t again_ns; /* not tried again before: an instance has said so */
	uint64_t deadline_ns, due_ns, hash, max_reply_bytes, key[2];
	struct tela_context context; /* hops 0: it is made for no other call */
	uint64_t tried, only;        /* masks: in this round; those that may be asked */
	uint32_t len, n_metadata, flags, rounds;
	uint8_t code; /* of the last attempt that failed */
	bool has_key, maybe, over, hedged;
	void *into;          /* the caller's memory for the reply, NULL: none */
	struct call *answer; /* it ends with what a link of request_out has said; NULL: no */
	struct call *held;   /* is with such a link; NULL: no */
	struct mesh_attempt attempt[2];
};

/* One call of every instance. */
struct mesh_part {
	struct mesh_all *all;
	struct caller_slot *slot; /* NULL: not asked, or answered */
	uint8_t instance;
	uint8_t code; /* why it cannot be asked, until that is told */
};

struct mesh_all {
	struct list waiting; /* in core->alls: somebody cannot be asked */
	struct mesh_all *next_free;
	struct mesh_core *core;
	tela_each_fn each;
	tela_all_fn all;
	void *arg;
	uint32_t n_left, n_ok, quorum;
	bool cancelling;
	struct mesh_part part[TELA_MESH_INSTANCES_MAX];
};

enum { MESH_ALLS = 16 };

struct mesh_core {
	struct mesh *mesh;
	struct core *core;
	struct list of_core, waiting, alls;
	struct mesh_call *calls, *free;
	struct mesh_all *all, *free_all; /* [MESH_ALLS] */
	struct balance balance;
	int64_t budget; /* hundredths of a retry */
	bool open, closed;
};

/* What the owner has said of an instance; the rest is what its node announces. */
struct mesh_given {
	uint32_t weight; /* 0: nothing */
	bool zoned;      /* its zone */
};

struct mesh {
	struct balance_config balance;
	struct mesh_given given[TELA_MESH_INSTANCES_MAX];
	uint64_t given_first;         /* the local one, or those said to be of the zone */
	char zone[TELA_NAME_MAX + 1]; /* whose instances come first, empty: nobody's */
	struct tela_policy policy;
	struct tela_client *instance[TELA_MESH_INSTANCES_MAX];
	_Atomic uint64_t out; /* mask: those that are known not to serve (directory.c) */
	uint32_t n_cores;
	struct mesh_core core[];
};

/* Of a call with these options. */
uint64_t mesh_deadline_us(const struct tela_client *c, const struct tela_method_desc *m,
	const struct tela_options *o);
/* As client_begin, tela_request_send and tela_request_abandon. */
int mesh_begin(struct core *core, struct tela_client *c, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret);
void mesh_send(struct mesh_call *k, tela_done_fn done, void *arg);
void mesh_abandon(struct mesh_call *k);
/* Before it is sent, as caller_replace. */
int mesh_replace(struct mesh_call *k, const struct tela_pair *metadata, uint32_t n,
	const uint8_t *payload, uint32_t len);
/* In place of sending it: it ends, in a later pass, with what `c` holds, which it takes. */
void mesh_answered(struct mesh_call *k, struct call *c, tela_done_fn done, void *arg);
/* Before it is sent: `c` is pending with a link, until mesh_let_go(); a deadline or cancel before
 * detaches it. */
void mesh_hold(struct mesh_call *k, struct call *c, tela_done_fn done, void *arg);
void mesh_let_go(struct mesh_call *k);
/* The first call on this core: every instance begins to connect. 0, or -ESHUTDOWN: it is closed. */
int mesh_core_open(struct mesh_core *mc);
/* Ends its calls; those of all instances with the instances' clients. */
void mesh_core_close(struct mesh_core *mc, const char *why);
/* Tells what could not be asked. */
void mesh_all_due(struct mesh_all *a);
/* What is due on this core; returns whether there was something. */
bool mesh_due(struct core *core);
/* Whether a call waits for something that only time brings. */
bool mesh_waits(const struct core *core);
void mesh_free(struct mesh *mesh);
