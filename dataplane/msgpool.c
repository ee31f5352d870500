#include "msgpool.h"

#include "slab.h"

enum { ARENA = MSG_CLASSES - 1, LARGE_PAGES = 16 };

static const uint32_t class_cap[ARENA] = {MSG_2K, MSG_64K};

uint32_t msgpool_most(const uint32_t n[MSG_CLASSES])
{
	return n[0] + n[1] + n[ARENA] * MSG_PAGES_OF_1M;
}

int msgpool_init(struct msgpool *p, const uint32_t n[MSG_CLASSES])
{
	uint32_t pages = n[ARENA] * MSG_PAGES_OF_1M;
	uint8_t *at;

	memset(p, 0, sizeof(*p));
	p->bytes = (size_t)pages * (MSG_PAGE + sizeof(*p->run)) + 1;
	for (int c = 0; c < ARENA; c++)
		p->bytes += (size_t)n[c] * (MSG_HEADER + class_cap[c]);
	p->memory = slab_take(p->bytes);
	if (!p->memory)
		return -ENOMEM;
	p->arena = p->memory;
	at = p->arena + (size_t)pages * MSG_PAGE;
	for (int c = 0; c < ARENA; c++) {
		p->n[c] = n[c];
		for (uint32_t i = 0; i < n[c]; i++) {
			struct msg *m = (struct msg *)at;

			m->cap = class_cap[c];
			m->class = (uint16_t)c;
			m->units = 1;
			msgpool_put(p, m);
			at += MSG_HEADER + class_cap[c];
		}
	}
	p->run = (uint32_t *)at;
	p->n[ARENA] = p->n_free[ARENA] = pages;
	if (pages)
		p->run[0] = pages << 1;
	return 0;
}

void msgpool_fini(struct msgpool *p)
{
	slab_give(p->memory, p->bytes);
	memset(p, 0, sizeof(*p));
}

/* First page of a free run of so many, UINT32_MAX: there is none. Neighbours that are free become
 * one on the way. */
static uint32_t run_find(struct msgpool *p, uint32_t pages)
{
	uint32_t found = UINT32_MAX;

	for (uint32_t at = 0, len; at < p->n[ARENA]; at += len) {
		len = p->run[at] >> 1;
		if (p->run[at] & 1)
			continue;
		while (at + len < p->n[ARENA] && !(p->run[at + len] & 1))
			len += p->run[at + len] >> 1;
		p->run[at] = len << 1;
		if (len < pages)
			continue;
		if (pages >= LARGE_PAGES)
			return at;
		found = at;
	}
	return found;
}

static struct msg *arena_get(struct msgpool *p, uint32_t size)
{
	uint32_t pages = (size + MSG_HEADER + MSG_PAGE - 1) / MSG_PAGE, at, len;
	struct msg *m;

	if (pages > p->n_free[ARENA])
		return NULL;
	at = run_find(p, pages);
	if (at == UINT32_MAX)
		return NULL;
	len = p->run[at] >> 1;
	if (len > pages && pages >= LARGE_PAGES) {
		p->run[at + pages] = (len - pages) << 1;
	} else if (len > pages) {
		p->run[at] = (len - pages) << 1;
		at += len - pages;
	}
	p->run[at] = pages << 1 | 1;
	p->n_free[ARENA] -= pages;
	m = (struct msg *)(p->arena + (size_t)at * MSG_PAGE);
	*m = (struct msg){.cap = pages * MSG_PAGE - MSG_HEADER, .class = ARENA, .units = pages};
	return m;
}

struct msg *msgpool_get(struct msgpool *p, uint32_t size)
{
	if (unlikely(size > MSG_MAX))
		return NULL;
	for (int c = 0; c < ARENA; c++) {
		struct msg *m = p->free[c];

		if (size > class_cap[c] || !m)
			continue;
		p->free[c] = m->next;
		p->n_free[c]--;
		m->next = NULL;
		m->len = m->n_segments = 0;
		m->wants_segments = m->lent = false;
		m->from = NULL;
		m->into = NULL;
		return m;
	}
	return arena_get(p, size);
}

void msgpool_put(struct msgpool *p, struct msg *m)
{
	p->n_free[m->class] += m->units;
	if (m->class == ARENA) {
		p->run[((uint8_t *)m - p->arena) / MSG_PAGE] &= ~1u;
		return;
	}
	DCHECK(m->class < ARENA && m->cap == class_cap[m->class]);
	m->next = p->free[m->class];
	p->free[m->class] = m;
}
