/* admin_client.h - the admin socket of a node from a program: a JSON object a line, each way, one
 * after the other. */
#pragma once

#include <jansson.h>

struct admin_client;

/* NULL with errno. */
struct admin_client *admin_client_open(const char *path);
void admin_client_close(struct admin_client *a);
/* Process id of the node. */
int admin_client_pid(const struct admin_client *a);
/* Takes `request`; the reply, owned by the caller. NULL: the node has gone or said something else
 * than JSON. */
json_t *admin_client_ask(struct admin_client *a, json_t *request);
