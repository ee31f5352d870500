/* lend.h - replies that stand in memory of whoever answers (tela_reply_lend).
 *
 * Such a reply has a message buffer as any large one: its timing and envelope stand there, and in
 * place of the payload whose memory that is. What ends the message, wherever that is, gives the
 * memory back. Until then the image of its call is pinned and its service has it in flight, so that
 * memory of the instance is still there, and what is to be called still loaded.
 */
#pragma once

#include "msgpool.h"
#include "tela.h"

struct machine;
struct tela_service;

/* Calls `done`; the message is yet to be put. */
void lend_end(struct machine *m, struct msg *msg);
/* Whether it is a reply lent by `svc` (NULL: by anybody) under the image of that generation
 * (UINT64_MAX: any). */
bool lend_is_of(const struct msg *msg, const struct tela_service *svc, uint64_t generation);
