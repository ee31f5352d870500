/* svc.h - the few lines that the services and plugins here share: the entry of a shared object,
 * options read with a reason, counters per core.
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

/* An integer option within [min, max]; -EINVAL names the key, what was expected and what stands
 * there. */
static inline int svc_option_int(struct tela_hook *h, const char *key, int64_t fallback,
	int64_t min, int64_t max, int64_t *ret)
{
	int bad = 0;
	int64_t v = tela_config_int(h->config, key, fallback, min, max, &bad);
	int rc = bad;

	if (!rc) {
		*ret = v;
		return 0;
	}
	svc_fail(h, rc, "%s: expected an integer from %lld to %lld, found \"%s\"", key,
		(long long)min, (long long)max, tela_config_str(h->config, key, ""));
	return rc;
}

/* A counter on a cache line of its own: one core writes it, anyone reads it. An array of them has
 * one for each data core of the node. */
struct svc_count {
	_Atomic uint64_t n;
} cache_aligned;

static inline struct svc_count *svc_counts_create(uint32_t n_cores)
{
	size_t size = (size_t)n_cores * sizeof(struct svc_count);
	struct svc_count *c = n_cores ? aligned_alloc(CACHE_LINE, size) : NULL;

	if (c)
		memset(c, 0, size);
	return c;
}

/* The counter of the core that runs `call`. */
static inline struct svc_count *svc_count_of(struct svc_count *counts, const struct tela_call *call)
{
	return &counts[tela_core_index(tela_call_core(call))];
}

/* A load and a store suffice: nobody else writes this one. */
static inline void svc_count_up(struct svc_count *c)
{
	atomic_store_explicit(
		&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline uint64_t svc_counts_sum(const struct svc_count *counts, uint32_t n_cores)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n_cores; i++)
		sum += atomic_load_explicit(&counts[i].n, memory_order_relaxed);
	return sum;
}
