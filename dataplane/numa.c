#include "numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NODES_MAX = 1024, WORD = 8 * sizeof(unsigned long) };

int numa_prefer(int node)
{
	unsigned long mask[NODES_MAX / WORD] = {0};
	int mode;

	if (node < 0 || node >= NODES_MAX)
		return -EINVAL;
	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0))
		return -errno;
	if (mode != MPOL_DEFAULT)
		return -EBUSY;
	mask[(size_t)node / WORD] = 1ul << (size_t)node % WORD;
	/* The kernel takes one bit less than it is told. */
	return syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, NODES_MAX + 1) ? -errno : 0;
}

void numa_default(void)
{
	syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
}

int numa_of(const void *memory)
{
	int node = 0;

	return syscall(SYS_get_mempolicy, &node, NULL, 0, memory, MPOL_F_NODE | MPOL_F_ADDR)
		       ? -errno
		       : node;
}
