/* announce.h - what this node says of itself: the service tela.node.Node. Each version is one image
 * of that service, so cores read it as they read any image.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

struct announce;

/* NULL with `err`. */
struct announce *announce_open(struct control *c, char *err, size_t err_len);
/* Says what is new, if something is. Returns the announcement then, else NULL. */
const uint8_t *announce_look(struct announce *a, size_t *ret_len);
/* What it has returned could not be used: it is new at the next look. */
void announce_again(struct announce *a);
/* After the node. */
void announce_close(struct announce *a);
