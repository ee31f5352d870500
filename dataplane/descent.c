#include "descent.h"

#include "nest.h"

/* One that waits to be let in itself proves nothing. */
static bool in_flight(const struct call *c)
{
	return c->state == CALL_PENDING && c->cursor != UINT32_MAX;
}

bool descent_here(const struct machine *m, const uint64_t root[2])
{
	uint64_t other[2];

	list_for_each_safe(e, tmp, &m->pending)
	{
		const struct call *c = list_entry(e, struct call, of_machine);

		if (in_flight(c) && nest_root(c, other) && other[0] == root[0] &&
			other[1] == root[1])
			return true;
	}
	return false;
}

enum descent descent_of(const struct machine *m, frame_Envelope_t e)
{
	frame_Id128 id;
	uint64_t root[2];

	if (!e.p || !frame_Envelope_root_(e, &id) || !(id.low | id.high))
		return DESCENT_NO;
	envelope_id_words(&id, root);
	if (descent_here(m, root))
		return DESCENT_YES;
	return m->cfg.n_cores > 1 && m->ops->ask ? DESCENT_ASK : DESCENT_NO;
}
