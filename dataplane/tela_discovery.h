/* tela_discovery.h - which services run where, as their nodes announced it a moment ago.
 *
 * The control side asks each peer of the configuration once in a heartbeat. What it hears steers
 * clients of many instances (tela_mesh.h): they leave out an instance that is known not to serve,
 * and go by announced weights and zones. A
 * peer that says nothing, because it is not reached or has no discovery, is not known, and is
 * called as if there were none. Services whose names begin with "tela." belong to the nodes
 * themselves and are never announced.
 */
#pragma once

#include "tela_node.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Waits until each of those services (by the names of their schemas, "echo.Echo"; NULL ends the
 * list) is served by somebody, this node included. 0; -ETIMEDOUT; -ENOMEM.
 * [any but data cores and the control thread] */
int tela_wait_for_services(struct tela_node *n, const char *const *services, uint64_t deadline_us);

/* Calls each(arg, node, service) for every service that is served, of this node with node NULL,
 * under a lock: it calls nothing of tela in turn. [any but data cores] */
void tela_services_served(struct tela_node *n,
	void (*each)(void *arg, const char *node, const char *service), void *arg);

/* ---- for whoever asks the peers ---- */

/* What that peer (NULL: this node) serves from now on, `n_services` of them with their weights, and
 * its zone (NULL: none); copied. No services: it is not known. 0, -ENOENT: no such peer, -ENOMEM:
 * what was known is. [control] */
int tela_node_discovered(struct tela_node *n, const char *peer, const char *zone,
	const char *const *services, const uint32_t *weights, uint32_t n_services);

/* Calls from other nodes find no such service from now on, those of this node do. Before it has an
 * image. [control] */
void tela_service_keep_local(struct tela_service *s);

#ifdef __cplusplus
}
#endif
