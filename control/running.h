/* running.h - the statuses of a service, and the only moves between them.
 *
 * Two dimensions. The *admin status* is what the operator wants: active, pause or inactive, with a
 * reason. The *running status* is what is (enum tela_running). README.md shows the same table and a
 * picture; a test compares them.
 *
 * Context: control thread. */
#pragma once

#include "../dataplane/tela_plugin.h"

enum admin_status { ADMIN_ACTIVE, ADMIN_PAUSE, ADMIN_INACTIVE };
extern const char *const admin_status_names[]; /* ends with NULL */

struct running_move {
	enum tela_running from, to;
	const char *when;
};

extern const struct running_move running_moves[];
extern const uint32_t n_running_moves;

const char *running_name(enum tela_running s);
bool running_may_move(enum tela_running from, enum tela_running to);
/* How long to wait before a service that has failed to start so many times is tried again: `first`,
 * doubled each time up to `most`. */
uint64_t running_retry_ms(uint64_t first, uint64_t most, uint32_t n_tries);
