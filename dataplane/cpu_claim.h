/* cpu_claim.h - one poller a CPU, across all processes of this machine.
 *
 * Two pollers on one CPU get alternate time slices of milliseconds, and every call between them
 * waits for two: a thousandth of the rate, silently. So a node locks a file for each CPU that it
 * polls on. The lock is the kernel's (flock) and goes with the process, however it ends; the file
 * itself means nothing.
 *
 * Context: control thread.
 */
#pragma once

#include "base.h"

struct cpu_claim {
	int fd; /* -1: none, another poller shares the CPU by consent */
	char path[96];
};

/* Claims `cpu` for the node `owner`. `share`: take it even if another process polls on it. 0;
 * -EBUSY with a sentence. */
int cpu_claim_take(
	struct cpu_claim *c, int cpu, const char *owner, bool share, char *err, size_t err_len);
void cpu_claim_drop(struct cpu_claim *c);
