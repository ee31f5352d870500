/* probe.h - how the node and its services are, over HTTP, for whoever runs them.
 *
 *      GET /livez    GET /livez/SERVICE     200 "ok", or 503 and why not
 *      GET /readyz   GET /readyz/SERVICE    the same
 *      ?verbose                             every check by name, whatever came of it
 *
 * Live: not failed and not unknown; the node, if all its services are and every data core polls.
 * Ready: running, every `ready` link agrees, and every data core polls; the node, if all services
 * that shall be active are, and it does not drain. Nothing can be changed here, and nothing is told
 * but that.
 *
 * Bounded are the bytes of a request, its methods (GET, HEAD), how long a connection may take, and
 * how many there are at once: further ones wait to be accepted. So one connection carries one
 * request, and libevent's HTTP server, which cannot count its connections, is not used; its
 * buffers, listeners and URI parser are.
 *
 * Context: control thread. */
#pragma once

#include "control.h"

/* At "127.0.0.1:8080", or the path of a Unix socket for owner and group. NULL with `err`. */
struct probe *probe_open(struct control *c, const char *address, char *err, size_t err_len);
void probe_close(struct probe *p);
