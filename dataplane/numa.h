/* numa.h - which NUMA node memory comes from, on machines that have several.
 *
 * A core's memory is of the node of its ports, and packet buffers are of the node of their port;
 * what has no port with a node of its own (virtual devices), of the node of the core's CPU. A node
 * that has no memory to give, or a sandbox in which none may be asked for, is said at start
 * (tela_node_print_budgets()); memory is then of any node, which is slower and no more than that.
 *
 * Context: any thread, for itself.
 */
#pragma once

#include "base.h"

enum { NUMA_ANY = -1 };

/* What was asked for, and what came of it. */
struct numa_place {
	int node;  /* NUMA_ANY: none in particular */
	int error; /* 0, or why that node was asked for in vain, -errno */
};

/* What the calling thread touches first from now on comes from that node, as long as it has some.
 * 0: numa_default() takes that back. Else nothing has changed: -EBUSY (the thread has a policy
 * already, numactl(8): it stays), -EINVAL (no such node, or none of its memory is for this
 * process), -EPERM, -ENOSYS (the sandbox or the kernel). */
int numa_prefer(int node);
/* The thread has no policy. */
void numa_default(void);
/* The node of the page at that address, which is touched; -errno: the kernel does not say. */
int numa_of(const void *memory);
