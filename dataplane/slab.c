#include "slab.h"

#include <sys/mman.h>

void *slab_take(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* A kernel without them says so, and gives small pages. */
	madvise(p, bytes, MADV_HUGEPAGE);
	for (size_t i = 0; i < bytes; i += 4096)
		((volatile uint8_t *)p)[i] = 0;
	return p;
}

void slab_give(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}
