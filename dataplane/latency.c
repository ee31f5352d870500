#include "latency.h"

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void set(_Atomic uint64_t *v, uint64_t to)
{
	atomic_store_explicit(v, to, memory_order_relaxed);
}

uint64_t latency_value(uint32_t bucket)
{
	uint32_t shift = (bucket >> LATENCY_BITS) - 1;
	uint64_t low;

	if (bucket < 2 << LATENCY_BITS)
		return bucket;
	low = ((1ull << LATENCY_BITS) + (bucket & ((1 << LATENCY_BITS) - 1))) << shift;
	return low + ((1ull << shift) - 1) / 2;
}

void latency_add(struct latency_hist *h, uint64_t ns, uint64_t calls)
{
	_Atomic uint64_t *b = &h->bucket[latency_bucket(ns)];

	set(b, get(b) + calls);
	set(&h->samples, get(&h->samples) + 1);
	if (ns > get(&h->max_ns))
		set(&h->max_ns, ns);
}

void latency_merge(struct latency_hist *to, const struct latency_hist *from)
{
	for (int i = 0; i < LATENCY_BUCKETS; i++)
		set(&to->bucket[i], get(&to->bucket[i]) + get(&from->bucket[i]));
	set(&to->samples, get(&to->samples) + get(&from->samples));
	set(&to->max_ns, max_u64(get(&to->max_ns), get(&from->max_ns)));
}

/* Since `from` was last looked at. */
static uint64_t since(_Atomic uint64_t *told, const _Atomic uint64_t *now)
{
	uint64_t n = get(now) - get(told);

	set(told, get(told) + n);
	return n;
}

void latency_since(
	struct latency_hist *to, const struct latency_hist *now, struct latency_hist *told)
{
	for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t n = since(&told->bucket[i], &now->bucket[i]);

		if (!n)
			continue;
		set(&to->bucket[i], get(&to->bucket[i]) + n);
		set(&to->max_ns,
			max_u64(get(&to->max_ns), min_u64(latency_value(i), get(&now->max_ns))));
	}
	set(&to->samples, get(&to->samples) + since(&told->samples, &now->samples));
}

uint64_t latency_calls(const struct latency_hist *h)
{
	uint64_t n = 0;

	for (int i = 0; i < LATENCY_BUCKETS; i++)
		n += get(&h->bucket[i]);
	return n;
}

uint64_t latency_quantile(const struct latency_hist *h, uint32_t permille)
{
	uint64_t wanted = (latency_calls(h) * permille + 999) / 1000, seen = 0;

	for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
		seen += get(&h->bucket[i]);
		if (seen && seen >= wanted)
			return min_u64(latency_value(i), get(&h->max_ns));
	}
	return 0;
}

uint64_t latency_weight(struct latency_turn *t)
{
	uint64_t weight = t->begun;

	t->left = t->begun = t->every;
	return weight;
}

void latency_choose(struct latency_turn *t, uint64_t calls, uint32_t every)
{
	t->every = calls - t->calls > LATENCY_ALL_UNTIL ? every : 1;
	t->calls = calls;
	if (t->left > t->every) { /* the next one, for those that were let go */
		t->begun -= t->left - t->every;
		t->left = t->every;
	}
}
