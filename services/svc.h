/* svc.h - the few lines that the services and plugins here share: the entry of a shared object,
 * why a hook failed, counters per core.
 */
#pragma once

#include <stdarg.h>

#include "base.h"
#include "tela.h"
#include "tela_node.h"
#include "tela_plugin.h"

/* One source, two ways: linked in, builtin.c lists the plugin and this is nothing; compiled with
 * -DTELA_SHARED_OBJECT, it is the entry that the loader looks for (TELA_PLUGIN_ENTRY). */
#ifdef TELA_SHARED_OBJECT
#define TELA_PLUGIN_EXPORT(plugin)                                                                 \
	__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);     \
	const struct tela_plugin *tela_plugin_v1(void)                                             \
	{                                                                                          \
		return &(plugin);                                                                  \
	}
#else
#define TELA_PLUGIN_EXPORT(plugin) _Static_assert(sizeof(plugin) != 0, "a plugin")
#endif

/* Why a hook failed, into h->error; hands `rc` on. [lifecycle] */
__attribute__((format(printf, 3, 4))) static inline int svc_fail(
	struct tela_hook *h, int rc, const char *format, ...)
{
	va_list args;

	if (!h->error || !h->error_len)
		return rc;
	va_start(args, format);
	vsnprintf(h->error, h->error_len, format, args);
	va_end(args);
	return rc;
}

/* Zeroed, on cache lines of its own; free() it. NULL: no memory. */
static inline void *svc_zalloc(size_t size)
{
	size_t whole = (size + CACHE_LINE - 1) & ~(CACHE_LINE - 1ul);
	void *p = size ? aligned_alloc(CACHE_LINE, whole) : NULL;

	return p ? memset(p, 0, whole) : NULL;
}

/* ---- counters per core: one core writes its own, anyone reads them ---- */

/* A load and a store suffice: nobody else writes this one. */
static inline void svc_up(_Atomic uint64_t *n)
{
	atomic_store_explicit(
		n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline uint64_t svc_sum(const _Atomic uint64_t *first, size_t stride, uint32_t n_cores)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n_cores; i++)
		sum += atomic_load_explicit(
			(const _Atomic uint64_t *)((const char *)first + i * stride),
			memory_order_relaxed);
	return sum;
}

/* Of a counter that stands in an array of structs, one for each core. */
#define SVC_SUM(cores, counter, n_cores) svc_sum(&(cores)[0].counter, sizeof((cores)[0]), (n_cores))

/* For who has only one: an array of them, each on a cache line of its own. */
struct svc_count {
	_Atomic uint64_t n;
} cache_aligned;

static inline struct svc_count *svc_counts_create(uint32_t n_cores)
{
	return svc_zalloc((size_t)n_cores * sizeof(struct svc_count));
}

/* The counter of the core that runs `call`. */
static inline struct svc_count *svc_count_of(struct svc_count *counts, const struct tela_call *call)
{
	return &counts[call->pass->core];
}

static inline void svc_count_up(struct svc_count *c)
{
	svc_up(&c->n);
}

static inline uint64_t svc_counts_sum(const struct svc_count *counts, uint32_t n_cores)
{
	return SVC_SUM(counts, n, n_cores);
}
