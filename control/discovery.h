/* discovery.h - what this node tells others of its services, and hears of theirs.
 *
 * Each node serves tela.node.Node: a beat that says its incarnation and the version of what it has
 * to say, and the announcement itself. A thread asks all peers of the configuration for their beat,
 * all at once, every heartbeat_ms; where that says something new, for the announcement. So a
 * service that comes, goes or drains is known to everybody a heartbeat later, and a silent peer
 * keeps nobody waiting longer than that.
 *
 *      not known -> (a beat) -> known -> (three heartbeats without an answer) -> not known
 *
 * Of a peer nothing is believed but what verifies and is within bounds; else it is not known, and
 * the log says why, once for each version.
 *
 * Context: control thread; the thread hands over what it hears. */
#pragma once

#include "stack.h"

#include <jansson.h>
#include <node_rpc.h>

enum {
	DISCOVERY_SERVICES_MAX = 256,
	DISCOVERY_METHODS_MAX = 4096,
	DISCOVERY_NAME_MAX = 255,
	DISCOVERY_BYTES_MAX = 1 << 20,
	DISCOVERY_MISSED = 3, /* beats */
};

/* The service tela.node.Node. Before the node starts. 0 or -errno with `err`. */
int discovery_open(struct control *c, char *err, size_t err_len);
/* When the cores poll. */
void discovery_start(struct control *c);
/* At each tick. */
void discovery_tick(struct control *c);
/* No peer is asked any more; what is known stays. */
void discovery_stop(struct control *c);
/* Before the node is destroyed. Waits at most `wait_s` for the question under way. False: a core
 * that is held keeps it, and the node may not be destroyed. */
bool discovery_close(struct control *c, uint32_t wait_s);

/* Calls each(arg, node, announcement) for every peer that is known; of it and its strings nothing
 * may be kept. */
void discovery_each(const struct control *c,
	void (*each)(void *arg, const char *node, tela_node_Announcement_t a), void *arg);
/* An object of each service that is known, this node's first. */
json_t *discovery_show(struct control *c);
