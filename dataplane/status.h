/* status.h - the status of a reply while it is being made, and the node's own table of statuses.
 *
 * A status is kept at the end of the buffer that holds the reply's metadata, so a reply without one
 * costs nothing. It goes out in the envelope (frame.fbs, Status).
 */
#pragma once

#include "call.h"
#include "tela_plugin.h"

enum { STATUS_DATA_MAX = 32 };

/* A sentence for the status that the call has been given. */
void status_say(struct call *c, const char *message);
/* Of the reply as it stands, "" of a plain one. */
const char *status_name(const struct call *c);
/* The plugins that want to see it do. */
void status_seen(struct call *c);
/* What the envelope says of it; `data` has room for STATUS_DATA_MAX pairs. */
void status_args(const struct call *c, struct frame_Status_args *to, struct frame_Pair_args *data);
/* `n` pairs that stand as key\0value\0... */
void pairs_of(const char *s, uint32_t n, struct frame_Pair_args *to);
/* The statuses that a link registers: 0, or -EINVAL with a sentence. */
int status_check(const char *plugin, const struct tela_link *l, char *err, size_t err_len);

/* In one piece, to be sent to another thread: the bytes it takes; `to` NULL: only counts. Moved to
 * its place (a multiple of 8), status_unpack makes its pointers good again. */
size_t status_pack(const struct tela_status *s, void *to);
void status_unpack(void *packed);
