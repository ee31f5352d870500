/* admin.h - the admin socket: who may come in, lines in, replies out. The commands are in
 * command.c.
 *
 * A client is the node's own user, root, or a member of the node's group; anybody else is told so
 * and closed. A client that does not read its replies is no longer read from, and closed if that
 * lasts; its commands under way still end.
 *
 * Context:   the control thread's event loop; nothing here waits.
 * Ownership: a request belongs to its command until request_ok or request_fail, which end it. */
#pragma once

#include "control.h"
#include "protocol.h"

enum {
	ADMIN_CLIENTS_MAX = 32,
	ADMIN_PIPELINE_MAX = 1024,    /* requests of one client under way */
	ADMIN_OUTPUT_PAUSE = 1 << 20, /* bytes not read by a client: stop reading from it */
	ADMIN_OUTPUT_MAX = 16 << 20,  /* and at that, close it */
	ADMIN_STALLED_S = 10,         /* nothing written for so long: close it */
	ADMIN_LINES_PER_TURN =
		64, /* of one client before others, and retired images, have their turn */
};

struct admin;

/* 0 or -errno with what to do in `err`. */
int admin_open(struct control *c, const char *path, char *err, size_t err_len);
void admin_close(struct admin *a);

/* ---- for commands ---- */

const json_t *request_arguments(const struct request *r);
/* NULL if it was not given. */
const char *request_text(const struct request *r, const char *name);
int64_t request_number(const struct request *r, const char *name, int64_t fallback);
bool request_flag(const struct request *r, const char *name);
/* Answers with `result`, whose reference is taken. NULL, or no memory while it was made: with
 * RESOURCE_EXHAUSTED, saying that the command is done. */
void request_ok(struct request *r, json_t *result);
/* A line ahead of the reply, which says how far it is: `progress` is true in it. Left out while
 * older requests are to be answered first, when the client leaves much unread, and without memory.
 */
void request_progress(struct request *r, json_t *line);
void request_fail(struct request *r, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
