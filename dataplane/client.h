/* client.h - where calls of one service go. A client's share of a core is opened by that core at
 * the first call. */
#pragma once

#include "core.h"

struct client_core {
	bool open;
	int error;                      /* why it cannot be opened */
	uint32_t next;                  /* session to try first */
	uint32_t n_sessions;            /* of this core: fewer where slots ran out */
	uint32_t n_paths;               /* callee cores that have sessions */
	bool spread;                    /* there will be no more of them */
	struct caller_session *session; /* in `memory`, each in lines of its own */
	void *memory;
	uint32_t closing; /* looks at it since it is */
	/* Of the sessions of each path, which stand one behind the other. */
	uint32_t end[SPREAD_MAX];
};

struct tela_client {
	struct tela_node *node;
	const struct tela_service_desc *service;
	struct tela_client *next;
	struct mesh *mesh;   /* of many instances; NULL: of one */
	int peer;            /* index in the configuration, -1: this node */
	uint32_t n_sessions; /* a callee core */
	struct client_core core[];
};

/* How an instance is reached from a core; begins to connect. On that core. */
enum client_state { CLIENT_UP, CLIENT_CONNECTING, CLIENT_LEAVING, CLIENT_DOWN };
enum client_state client_state(struct core *core, struct tela_client *c);
/* A client in front of `mesh`, which it frees; NULL: no memory. */
struct tela_client *client_of_mesh(
	struct tela_node *n, const struct tela_service_desc *service, struct mesh *mesh);
/* On a data core. As tela_request_begin. */
int client_begin(struct core *core, struct tela_client *c, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret);
/* Why it said -EBUSY: when the first of its paths may be asked again, in microseconds. */
uint32_t client_retry_us(struct core *core, struct tela_client *c);
void client_free(struct tela_client *c);
/* What its calls are told that end when it is closed. */
extern const char client_closed[];
/* CORE_CLOSE: a part of what is to be done; the command stays until all of it is. */
void core_close(struct core *core);
