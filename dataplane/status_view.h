/* status_view.h - what is known of a status wherever it is read: see status_view.c. */
#pragma once

#include "tela_status.h"

#include <string.h>

/* NULL: no node knows it by itself. */
const struct tela_status_def *status_known(const char *name);
/* Name, HTTP-like code and kind of a result that has only `v->code`. */
void status_imply(struct tela_status_view *v);

static inline struct tela_str status_str(const char *s)
{
	return (struct tela_str){s, strlen(s)};
}
