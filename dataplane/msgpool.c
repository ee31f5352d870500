#include "msgpool.h"

#include "slab.h"

static const uint32_t class_cap[MSG_CLASSES] = {MSG_2K, MSG_64K, MSG_1M};

int msgpool_init(struct msgpool *p, const uint32_t n[MSG_CLASSES])
{
	uint8_t *at;

	memset(p, 0, sizeof(*p));
	for (int c = 0; c < MSG_CLASSES; c++)
		p->bytes += (size_t)n[c] * (sizeof(struct msg) + class_cap[c]);
	p->memory = slab_take(p->bytes ? p->bytes : 1);
	if (!p->memory)
		return -ENOMEM;
	at = p->memory;
	for (int c = 0; c < MSG_CLASSES; c++) {
		p->n[c] = n[c];
		for (uint32_t i = 0; i < n[c]; i++) {
			struct msg *m = (struct msg *)at;

			m->cap = class_cap[c];
			m->class = (uint32_t)c;
			msgpool_put(p, m);
			at += sizeof(*m) + class_cap[c];
		}
	}
	return 0;
}

void msgpool_fini(struct msgpool *p)
{
	slab_give(p->memory, p->bytes ? p->bytes : 1);
	memset(p, 0, sizeof(*p));
}

struct msg *msgpool_get(struct msgpool *p, uint32_t size)
{
	for (int c = 0; c < MSG_CLASSES; c++) {
		struct msg *m = p->free[c];

		if (size > class_cap[c] || !m)
			continue;
		p->free[c] = m->next;
		p->n_free[c]--;
		m->next = NULL;
		m->len = 0;
		return m;
	}
	return NULL;
}

void msgpool_put(struct msgpool *p, struct msg *m)
{
	DCHECK(m->class < MSG_CLASSES && m->cap == class_cap[m->class]);
	m->next = p->free[m->class];
	p->free[m->class] = m;
	p->n_free[m->class]++;
}
