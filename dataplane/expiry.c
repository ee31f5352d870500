#include "expiry.h"

static void put(struct expiry *e, uint32_t place, struct msg *m)
{
	e->at[place] = m;
	m->place = place;
}

/* From `place`, which is free, to where `m` belongs. */
static void settle(struct expiry *e, uint32_t place, struct msg *m)
{
	uint32_t child;

	for (; place && m->expires_ns < e->at[(place - 1) / 2]->expires_ns; place = (place - 1) / 2)
		put(e, place, e->at[(place - 1) / 2]);
	for (; (child = 2 * place + 1) < e->n; place = child) {
		if (child + 1 < e->n && e->at[child + 1]->expires_ns < e->at[child]->expires_ns)
			child++;
		if (e->at[child]->expires_ns >= m->expires_ns)
			break;
		put(e, place, e->at[child]);
	}
	put(e, place, m);
}

void expiry_add(struct expiry *e, struct msg *m, void *owner, uint64_t expires_ns)
{
	m->owner = owner;
	m->expires_ns = expires_ns;
	e->bytes += m->cap;
	settle(e, e->n++, m);
}

void expiry_del(struct expiry *e, struct msg *m)
{
	struct msg *last = e->at[--e->n];

	DCHECK(m->place <= e->n && (m == last || e->at[m->place] == m));
	e->bytes -= m->cap;
	if (m != last)
		settle(e, m->place, last);
}
