/* forward.h - calls of client processes: which peers they are sent on to, by what peers announce.
 *
 * Of each service that some peer serves and this node has not, every hash that a peer takes is sent
 * on to the peers that take it. What another node only sends on is not sent on again.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

#include <jansson.h>

/* Peers, or services of this node, may have changed. */
void forward_look(struct control *c, bool peers_changed);
/* An object of each peer of each service that is, or was, sent on. */
json_t *forward_show(struct control *c);
void forward_close(struct control *c);
