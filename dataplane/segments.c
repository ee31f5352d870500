#include "segments.h"

#include "lend.h"
#include "machine.h"

enum { SEGMENTS_AHEAD = 16 };

static bool can_hold(struct machine *m, const struct path *p)
{
	void *held = m->ops->hold ? m->ops->hold(m->io, p) : NULL;

	if (held)
		m->ops->release(m->io, held);
	return held;
}

struct msg *segments_get(struct machine *m, const struct path *p, uint32_t n)
{
	struct msg *msg = NULL;

	if (m->segments_held + n <= m->cfg.budgets.segments && can_hold(m, p))
		msg = msgpool_get(
			&m->msgs, n * (uint32_t)(sizeof(struct tela_segment) + sizeof(uintptr_t)));
	if (!msg) {
		count(m->counts, count_segments_copied);
		return NULL;
	}
	m->segments_held += n;
	msg->n_segments = n;
	memset(segments_owners(msg), 0, n * sizeof(uintptr_t));
	return msg;
}

bool segments_keep(struct machine *m, const struct path *p, struct msg *msg, uint32_t index,
	const uint8_t *body, uint32_t len, uint32_t skip)
{
	uintptr_t owner = (uintptr_t)m->ops->hold(m->io, p);
	struct msg *own;

	if (unlikely(!owner)) {
		own = msgpool_get(&m->msgs, len);
		if (!own) {
			count(m->counts, count_drop_no_message);
			return false;
		}
		body = memcpy(own->data, body, len);
		owner = (uintptr_t)own | SEGMENT_OWN;
	}
	((struct tela_segment *)msg->data)[index] = (struct tela_segment){body + skip, len - skip};
	segments_owners(msg)[index] = owner;
	return true;
}

/* What was held for long is in no cache: the heads of the next ones come meanwhile. */
static inline void fetch_owner(uintptr_t owner)
{
	__builtin_prefetch((const void *)owner);
	__builtin_prefetch((const void *)(owner + CACHE_LINE));
}

static void segments_drop(struct machine *m, struct msg *msg)
{
	const uintptr_t *owner = segments_owners(msg);

	for (uint32_t i = 0; i < msg->n_segments; i++) {
		if (i + SEGMENTS_AHEAD < msg->n_segments)
			fetch_owner(owner[i + SEGMENTS_AHEAD]);
		if (owner[i] & SEGMENT_OWN)
			msgpool_put(&m->msgs, (struct msg *)(owner[i] ^ SEGMENT_OWN));
		else if (owner[i])
			m->ops->release(m->io, (void *)owner[i]);
	}
	m->segments_held -= msg->n_segments;
}

void message_put(struct machine *m, struct msg *msg)
{
	if (msg->n_segments)
		segments_drop(m, msg);
	if (unlikely(msg->lent))
		lend_end(m, msg);
	msgpool_put(&m->msgs, msg);
}
