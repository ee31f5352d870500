/* worker.h - the workers of a plugin instance, supervised: threads and timers that its start hook
 * asked for are started after it and ended before its stop hook. One that ends is started again as
 * its policy says, at most so often in a period; then the instance has failed, which move.c knows
 * how to go on from.
 *
 *      lifecycle thread   start all, end all, start again what ended
 *      its own thread     run, then says that it has ended
 *      a data core        the same, pass by pass, of one that is a task
 *      control thread     looks at each tick, decides
 *
 * Ownership: the team belongs to its instance. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "../dataplane/tela_plugin.h"

#include "lifecycle.h"

struct team;

/* Starts every worker. NULL with `err`. [lifecycle] */
struct team *team_start(const struct tela_workers *w, struct tela_node *node, void *self, char *err,
	size_t err_len);
/* Ends every worker that runs, last one first, and waits for it. [lifecycle] */
void team_end(struct team *t);
/* Starts again what the last team_look() found, with one-for-all everything. 0 or -errno; then
 * those not started count as ended. [lifecycle] */
int team_restart(struct team *t);
void team_free(struct team *t); /* after team_end */

enum team_state { TEAM_FINE, TEAM_RESTART, TEAM_SPENT };
/* What has ended since the last look. SPENT: it was the last straw, `err` says so. [control] */
enum team_state team_look(struct team *t, uint64_t now_ns, char *err, size_t err_len);
/* What it was started with. */
const struct tela_workers *team_workers(const struct team *t);
/* For people: i-th worker; false: there is none. [control] */
bool team_show(const struct team *t, uint32_t i, const char **ret_name, bool *ret_runs,
	uint32_t *ret_restarts);
