/* tela_forward.h - calls of client processes that other nodes serve.
 *
 * A client process on the same host is a memif peer of its node. Where the node's configuration
 * says `forward` of the port, calls that come by it for a service which the node does not serve are
 * sent on to a peer that does, and what that one answers goes back. Which peers, the node's owner
 * says: telad does, by what they announce. dataplane/README.md draws the way of such a call.
 *
 * A node takes TELA_FORWARDS_MAX of them in its life, by name, schema hash and methods.
 */
#pragma once

#include "tela_mesh.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TELA_FORWARDS_MAX = 1024 };

struct tela_forward_method {
	const char *name;
	uint16_t id;
	bool idempotent;
};

struct tela_forward_peer {
	const char *peer; /* as the configuration names it */
	uint32_t weight;
};

/* A service as some peers serve it. */
struct tela_forward {
	const char *service; /* "echo.Echo" */
	uint64_t schema;     /* that each of these peers takes */
	const struct tela_forward_method *methods;
	const struct tela_forward_peer *peers;
	uint32_t n_methods, n_peers; /* no peers: nobody serves it */
	bool own; /* the hash is a peer's own, and told to callers with others that nobody takes */
};

/* From now on calls of that service by that hash are sent on so, each to the peer that `balance`
 * chooses (not TELA_BALANCE_HASH). All is copied. 0; -ENOENT: no such peer; -EINVAL; -E2BIG: more
 * than TELA_FORWARDS_MAX have been, or more than TELA_MESH_INSTANCES_MAX peers; -ENOMEM: it is as
 * it was. [control] */
int tela_node_forward(struct tela_node *n, const struct tela_forward *f, enum tela_balance balance);
/* Whether calls that come by some port of the node are sent on. [any] */
bool tela_node_has_clients(const struct tela_node *n);

struct tela_forward_view {
	const char *service, *peer;
	uint64_t schema;
	bool serves;                         /* it is sent calls */
	uint64_t calls, failures, ejections; /* on all cores */
};
/* Calls emit for each peer of each service that is, or was, sent on. [control] */
void tela_node_forwards(const struct tela_node *n,
	void (*emit)(void *arg, const struct tela_forward_view *v), void *arg);

#ifdef __cplusplus
}
#endif
