/* dial.h - where calls from the admin socket go, and what describes them.
 *
 * A client lives as long as the node, and so does what describes its service; one is kept for each
 * peer and service, at most DIAL_MAX of each in all.
 *
 * Context:   control thread.
 * Errors:    NULL with errno: ENOENT (no such peer), ENOMEM, EMFILE (too many are kept). */
#pragma once

#include "control.h"

enum { DIAL_MAX = 1024, DIAL_NAME_MAX = 255, DIAL_METHOD_MAX = 63 };

struct request;

/* `peer` NULL: this node. */
struct tela_client *dial_client(
	struct control *c, const char *peer, const struct tela_service_desc *service);
struct dial_how {
	const char *policy, *balance; /* NULL: mesh, round_robin */
	const char *zone;             /* those of it first; NULL: this node's own */
	uint32_t hedge_us;            /* 0: no second attempts */
};
/* Of several: names with commas between, "." for this node. NULL: the request has been answered. */
struct tela_client *dial_mesh(struct control *c, struct request *r, const char *peers,
	const struct dial_how *how, const struct tela_service_desc *service);
/* Answers that there is no client, by errno. */
void dial_refused(struct request *r, const char *peer);
/* Described by a service that runs here, else by any plugin that serves it. NULL: by nobody. */
const struct tela_service_desc *dial_known_service(struct control *c, const char *name);
/* Described by the caller alone: nothing here verifies its payloads, the callee does. */
const struct tela_service_desc *dial_service(const char *name, uint64_t schema);
/* `name` is what traces and figures call it, cut at DIAL_METHOD_MAX; NULL: its number. */
const struct tela_method_desc *dial_method(uint16_t id, const char *name, bool idempotent);
