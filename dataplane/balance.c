#include "balance.h"

#include "list.h"

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Number `k` of the bits set. */
static int nth(uint64_t mask, uint32_t k)
{
	while (k--)
		mask &= mask - 1;
	return __builtin_ctzll(mask);
}

static uint32_t below(uint64_t random, uint32_t n)
{
	return (uint32_t)((random >> 32) * n >> 32);
}

static uint64_t load_of(const struct balance_state *s)
{
	return (s->in_flight + 1ull) * (s->latency_ns + 1000);
}

static int least(const struct balance *b, uint64_t mask, uint64_t random)
{
	uint32_t n = (uint32_t)__builtin_popcountll(mask), i = below(random, n), j;

	if (n == 1)
		return nth(mask, 0);
	j = below(mix(random), n - 1);
	j += j >= i; /* another one */
	i = (uint32_t)nth(mask, i);
	j = (uint32_t)nth(mask, j);
	return load_of(&b->at[j]) < load_of(&b->at[i]) ? (int)j : (int)i;
}

static uint32_t weight_of(const struct balance_config *cfg, uint64_t mask)
{
	return atomic_load_explicit(&cfg->at[__builtin_ctzll(mask)].weight, memory_order_relaxed);
}

static int weighted(const struct balance_config *cfg, uint64_t mask, uint64_t random)
{
	uint64_t sum = 0, at;

	for (uint64_t m = mask; m; m &= m - 1)
		sum += weight_of(cfg, m);
	at = (uint64_t)((unsigned __int128)random * sum >> 64);
	for (uint64_t m = mask; m; m &= m - 1) {
		uint32_t weight = weight_of(cfg, m);

		if (at < weight)
			return __builtin_ctzll(m);
		at -= weight;
	}
	return __builtin_ctzll(mask);
}

/* Rendezvous (Thaler and Ravishankar, 1996): the instance whose name and the key give the most. */
static int hashed(const struct balance_config *cfg, uint64_t mask, uint64_t hash)
{
	int best = -1;
	uint64_t most = 0;

	for (uint64_t m = mask; m; m &= m - 1) {
		int i = __builtin_ctzll(m);
		uint64_t score = mix(cfg->at[i].name_hash ^ mix(hash + 1));

		if (best < 0 || score > most) {
			best = i;
			most = score;
		}
	}
	return best;
}

static int round_robin(const struct balance_config *cfg, struct balance *b, uint64_t mask)
{
	for (uint32_t i = 0; i < cfg->n; i++) {
		uint32_t at = b->next;

		b->next = at + 1 == cfg->n ? 0 : at + 1;
		if (mask >> at & 1)
			return (int)at;
	}
	return -1;
}

int balance_choose(const struct balance_config *cfg, struct balance *b, uint64_t usable,
	uint64_t now_ns, uint64_t random, uint64_t hash)
{
	uint64_t in = usable, first = atomic_load_explicit(&cfg->first, memory_order_relaxed);

	if (!usable)
		return -1;
	for (uint64_t m = usable; m; m &= m - 1) {
		const struct balance_state *s = &b->at[__builtin_ctzll(m)];

		if (s->ejected_until_ns && (now_ns < s->ejected_until_ns || s->probing))
			in &= ~(m & -m);
		else if (s->ejected_until_ns) /* its time has come: this call probes it */
			return __builtin_ctzll(m);
	}
	if (!in)
		in = usable;
	if (in & first)
		in &= first;
	switch (cfg->how) {
	case TELA_BALANCE_LEAST:
		return least(b, in, random);
	case TELA_BALANCE_WEIGHTED:
		return weighted(cfg, in, random);
	case TELA_BALANCE_HASH:
		return hashed(cfg, in, hash);
	default:
		return round_robin(cfg, b, in);
	}
}

static void up(_Atomic uint64_t *n)
{
	atomic_store_explicit(
		n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

void balance_begin(struct balance *b, int instance, uint64_t now_ns)
{
	struct balance_state *s = &b->at[instance];

	up(&s->calls);
	s->in_flight++;
	if (s->ejected_until_ns && now_ns >= s->ejected_until_ns)
		s->probing = true;
}

static void eject(struct balance_state *s, uint64_t now_ns)
{
	uint64_t ns = EJECT_FIRST_NS << min_u32(s->ejected_times, 5);

	s->ejected_times++;
	s->ejected_until_ns = now_ns + min_u64(ns, EJECT_LAST_NS);
	s->probing = false;
	up(&s->ejections);
	atomic_store_explicit(&s->ejected, true, memory_order_relaxed);
}

static void failed(struct balance_state *s, uint64_t now_ns)
{
	up(&s->failures);
	s->failures_in_row++;
	if (s->probing || (!s->ejected_until_ns && s->failures_in_row >= EJECT_AFTER))
		eject(s, now_ns);
}

static void well(struct balance_state *s, uint64_t took_ns)
{
	s->failures_in_row = 0;
	s->latency_ns = s->latency_ns ? s->latency_ns - s->latency_ns / 8 + took_ns / 8 : took_ns;
	if (likely(!s->ejected_until_ns))
		return;
	s->ejected_until_ns = 0;
	s->ejected_times = 0;
	s->probing = false;
	atomic_store_explicit(&s->ejected, false, memory_order_relaxed);
}

void balance_end(struct balance *b, int instance, const struct tela_result *r, uint64_t took_ns,
	uint64_t now_ns)
{
	struct balance_state *s = &b->at[instance];

	s->in_flight--;
	if (r && balance_shed(r)) /* what refuses fast is not fast */
		well(s, r->retry_after_us * NS_PER_US);
	else if (r && r->outcome == TELA_EXECUTED)
		well(s, took_ns);
	else if (r && (r->code == TELA_UNAVAILABLE || r->code == TELA_DEADLINE_EXCEEDED))
		failed(s, now_ns);
	else
		s->probing = false;
}

void balance_unreached(struct balance *b, int instance, uint64_t now_ns)
{
	struct balance_state *s = &b->at[instance];

	if (s->ejected_until_ns && now_ns >= s->ejected_until_ns)
		s->probing = true; /* that was its probe */
	failed(s, now_ns);
}

uint64_t balance_backoff_ns(const struct tela_policy *p, uint32_t rounds, uint64_t random)
{
	uint64_t ms = min_u64((uint64_t)p->backoff_ms << min_u32(rounds, 20), p->backoff_max_ms);
	uint64_t ns = ms * NS_PER_MS;

	return ns - (uint64_t)((unsigned __int128)random * (ns / 100 * p->jitter_percent) >> 64);
}
