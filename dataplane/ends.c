#include "ends.h"

#include "machine.h"

static uint32_t hash(uint32_t h, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)s[i]) * 16777619u;
	return h;
}

static size_t cut(struct tela_str s)
{
	return s.s ? min_u64(s.len, ENDS_TEXT_MAX) : 0;
}

static void copy(char to[ENDS_TEXT_MAX + 1], struct tela_str s)
{
	size_t n = cut(s);

	if (n)
		memcpy(to, s.s, n);
	to[n] = 0;
}

static bool same(const char *text, struct tela_str s)
{
	size_t n = cut(s);

	return strlen(text) == n && !memcmp(text, s.s ? s.s : "", n);
}

const struct tela_method_desc *ends_method(const struct tela_service_desc *d, uint16_t id)
{
	for (uint32_t i = 0; d && i < d->n_methods; i++)
		if (d->methods[i].id == id)
			return &d->methods[i];
	return NULL;
}

__attribute__((cold)) void ends_count(struct machine *m, enum ends_side side,
	const struct tela_service_desc *service, const struct tela_method_desc *method,
	uint8_t code, struct tela_str reason)
{
	struct tela_str names[3] = {{"", 0}, {"", 0}, reason};
	uint32_t h = 2166136261u ^ code ^ (uint32_t)side << 8;

	if (service)
		names[0] = (struct tela_str){service->name, strlen(service->name)};
	if (method)
		names[1] = (struct tela_str){method->name, strlen(method->name)};
	for (int i = 0; i < 3; i++)
		h = hash(h, names[i].s, cut(names[i]));
	for (uint32_t i = 0; i < ENDS_MAX; i++) {
		struct ends_series *s = &m->ends[(h + i) % ENDS_MAX];

		if (!atomic_load_explicit(&s->used, memory_order_relaxed)) {
			s->side = (uint8_t)side;
			s->code = code;
			s->hash = h;
			copy(s->service, names[0]);
			copy(s->method, names[1]);
			copy(s->reason, names[2]);
			/* Pairs with ends_read(). */
			atomic_store_explicit(&s->used, true, memory_order_release);
		} else if (s->hash != h || s->side != side || s->code != code ||
			   !same(s->service, names[0]) || !same(s->method, names[1]) ||
			   !same(s->reason, names[2])) {
			continue;
		}
		atomic_store_explicit(&s->calls,
			atomic_load_explicit(&s->calls, memory_order_relaxed) + 1,
			memory_order_relaxed);
		return;
	}
	count(m->counts, count_ends_full);
}
