/* slab.h - memory that is taken once at start and touched then, so that no core takes a page fault
 * for it later; in huge pages where the kernel has them to give (madvise(2), MADV_HUGEPAGE).
 *
 * Context: any thread. Zeroed.
 */
#pragma once

#include "base.h"

/* NULL: none. */
void *slab_take(size_t bytes);
/* `p` may be NULL. */
void slab_give(void *p, size_t bytes);
