#include "nest.h"

#include "machine.h"

enum { HOPS_MAX = UINT8_MAX };

static struct nest *nest_in(const struct msg *msg)
{
	return (struct nest *)msg->data;
}

/* Of the request, as its envelope says it. */
static bool root_received(const struct call *c, uint64_t ret[2])
{
	frame_Id128 root;

	if (!c->envelope.p || !frame_Envelope_root_(c->envelope, &root))
		return false;
	envelope_id_words(&root, ret);
	return ret[0] || ret[1];
}

struct nest *nest_of(struct call *c)
{
	struct machine *m = c->machine;
	struct nest *n;

	if (c->nest)
		return nest_in(c->nest);
	c->nest = msgpool_get(&m->msgs, MSG_2K);
	if (!c->nest)
		return NULL;
	n = nest_in(c->nest);
	*n = (struct nest){.context.hops = c->pub.hops};
	if (!root_received(c, n->context.root)) {
		n->context.root[0] = m->ops->random(m->io);
		n->context.root[1] = m->ops->random(m->io) | 1;
	}
	return n;
}

bool nest_root(const struct call *c, uint64_t ret[2])
{
	if (!c->nest)
		return root_received(c, ret);
	memcpy(ret, nest_in(c->nest)->context.root, 2 * sizeof(ret[0]));
	return true;
}

void nest_receive(struct call *c)
{
	frame_Trace trace;
	struct nest *n;

	c->pub.hops = frame_Envelope_hops(c->envelope);
	if (!frame_Envelope_trace(c->envelope, &trace) || !(trace.trace.low | trace.trace.high))
		return;
	n = nest_of(c);
	if (!n)
		return;
	envelope_id_words(&trace.trace, n->context.trace);
	n->context.span = trace.span;
	n->context.trace_flags = (uint8_t)trace.flags;
	c->pub.context = &n->context;
}

void tela_call_context(const struct tela_call *call, struct tela_context *ret)
{
	const struct nest *n = nest_of(call_of(call));

	*ret = n ? n->context : (struct tela_context){.hops = call->hops};
	ret->deadline_ns = call->deadline_ns;
}

int nest_context(struct machine *m, const struct tela_options *o, struct tela_context *ret)
{
	if (o->parent) {
		const struct call *parent = call_of(o->parent);

		if (parent->detached && !parent->one_way)
			return -ECANCELED;
		tela_call_context(o->parent, ret);
	} else {
		*ret = *o->context;
	}
	if (ret->hops == HOPS_MAX)
		return -ELOOP;
	ret->hops++;
	return 0;
}

/* ---- children ---- */

/* The place of one that has ended, or a new one; NULL: no memory. */
static struct nest_child *place(struct call *c, struct nest *n)
{
	uint32_t room = (c->nest->cap - (uint32_t)sizeof(*n)) / (uint32_t)sizeof(n->child[0]);
	struct msg *larger;

	if (n->n_children < room && n->n_children % 8)
		return &n->child[n->n_children++];
	for (uint32_t i = 0; i < n->n_children; i++)
		if (*n->child[i].serial != n->child[i].was)
			return &n->child[i];
	if (n->n_children < room)
		return &n->child[n->n_children++];
	larger = msgpool_get(&c->machine->msgs, 2 * c->nest->cap);
	if (!larger)
		return NULL;
	memcpy(larger->data, n, sizeof(*n) + n->n_children * sizeof(n->child[0]));
	msgpool_put(&c->machine->msgs, c->nest);
	c->nest = larger;
	n = nest_in(larger);
	if (c->pub.context)
		c->pub.context = &n->context;
	return &n->child[n->n_children++];
}

uint32_t nest_serial(struct machine *m)
{
	m->nest_serial += m->nest_serial == UINT32_MAX ? 2 : 1; /* 0: no child */
	return m->nest_serial;
}

bool nest_add(struct machine *m, const struct tela_options *o, const struct nest_child *child)
{
	struct call *parent = o->parent ? call_of(o->parent) : NULL;
	struct nest_child *to;
	struct nest *n;

	if (!parent || parent->machine != m)
		return true;
	n = nest_of(parent);
	to = n ? place(parent, n) : NULL;
	if (to)
		*to = *child;
	return to;
}

/* Only calls that are pending outlive the pass, and with it what they have made. */
void nest_forget(struct machine *m, const void *memory, size_t size)
{
	list_for_each_safe(e, tmp, &m->pending)
	{
		struct call *c = list_entry(e, struct call, of_machine);
		struct nest *n = c->nest ? nest_in(c->nest) : NULL;

		for (uint32_t i = n ? n->n_children : 0; i-- > 0;)
			if ((uintptr_t)n->child[i].child - (uintptr_t)memory < size)
				n->child[i] = n->child[--n->n_children];
	}
}

void nest_orphan(struct machine *m, struct call *c)
{
	if (!c->nest || !c->pinned || !nest_in(c->nest)->n_children)
		return;
	c->orphan = true;
	m->orphans = true;
	list_del(&c->of_machine);
	list_add_head(&m->pending, &c->of_machine);
}

bool nest_cancels(struct machine *m, struct call *c)
{
	const struct nest *n = c->nest ? nest_in(c->nest) : NULL;

	for (uint32_t i = 0; n && i < n->n_children; i++)
		if (*n->child[i].serial == n->child[i].was) {
			nest_orphan(m, c);
			return true;
		}
	return false;
}

/* A completion may end the call: then it has no nest. */
static void cancel_children(struct machine *m, struct call *c)
{
	while (c->nest && nest_in(c->nest)->n_children) {
		struct nest *n = nest_in(c->nest);
		struct nest_child *child = &n->child[--n->n_children];

		if (*child->serial == child->was)
			child->cancel(m, child->child);
	}
}

void nest_cancel(struct machine *m)
{
	while (!list_empty(&m->pending)) {
		struct call *c = list_entry(m->pending.next, struct call, of_machine);

		if (!c->orphan)
			break;
		c->orphan = false;
		list_del(&c->of_machine);
		list_add_tail(&m->pending, &c->of_machine);
		cancel_children(m, c);
	}
	m->orphans = false;
}
