#include "out.h"

#include "caller.h"
#include "mesh.h"
#include "nest.h"
#include "node.h"

enum { METADATA_MAX = 16 };

bool out_is(const struct core *core, const void *session)
{
	const struct call *c = session;

	return c >= core->m.calls && c < core->m.calls + core->m.cfg.budgets.calls;
}

/* What the links see. */
static bool fill(struct call *c, const struct tela_client *client, const struct tela_method_desc *m,
	const struct tela_options *o)
{
	const struct call *parent = call_of(o->parent);

	memset((uint8_t *)c + CALL_FRESH_FIRST, 0, CALL_FRESH_END - CALL_FRESH_FIRST);
	c->chain = NULL;
	c->image = parent->image;
	c->svc = parent->svc;
	c->session = NULL;
	c->slot = NULL;
	c->local = NULL;
	c->reply_limit =
		o->max_reply_bytes ? saturate_u32(o->max_reply_bytes) : REPLY_LIMIT_DEFAULT;
	c->subject = parent->subject;
	c->arrived_ns = c->machine->now_ns;
	c->pub = (struct tela_call){.began_ns = c->arrived_ns,
		.pass = &c->machine->pass,
		.identity = parent->pub.identity,
		.hops = parent->pub.hops,
		.method = m,
		.service = client->service,
		.deadline_ns = parent->pub.deadline_ns,
		.generation = parent->pub.generation,
		.context = parent->pub.context};
	for (uint32_t i = o->n_metadata; i-- > 0;) /* the first one stays the first */
		if (tela_call_metadata_add(&c->pub, o->metadata[i].key, o->metadata[i].value))
			return false;
	return true;
}

int out_begin(struct core *core, struct tela_client *client, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret)
{
	int rc = client_begin(core, client, m, size, o, ret);
	struct call *c;

	if (likely(rc || !o || !o->parent || !call_of(o->parent)->image->n_out))
		return rc;
	c = call_get(&core->m);
	if (!c || !fill(c, client, m, o)) {
		tela_request_abandon(ret);
		if (c)
			call_put(&core->m, c);
		return -ENOBUFS;
	}
	c->pub.request = ret->payload;
	c->pub.request_len = (uint32_t)size;
	c->out = ret->session;
	ret->session = c;
	return 0;
}

static struct call *take(struct tela_request *r)
{
	struct call *c = r->session;

	r->session = c->out;
	return c;
}

void out_abandon(struct tela_request *r)
{
	struct core *core = r->client_core;
	struct call *c = take(r);

	call_put(&core->m, c);
	tela_request_abandon(r);
}

static enum tela_verdict walk(struct call *c, uint32_t from)
{
	const struct tela_image *image = c->image;
	enum tela_verdict v = TELA_CONTINUE;

	for (uint32_t i = from; v == TELA_CONTINUE && i < image->n_out; i++) {
		c->cursor = i;
		v = image->out[i].enter(&c->pub, image->out[i].self);
	}
	if (v == TELA_PENDING && !c->prepared) {
		call_status(c, TELA_INTERNAL, TELA_NOT_EXECUTED,
			"a link of request_out said pending without tela_call_pend");
		v = TELA_ANSWER;
	}
	return v;
}

/* What goes out differs from what the caller built. 0, or why it cannot. */
static const char *replace(struct tela_request *r, struct call *c)
{
	struct core *core = r->client_core;
	struct tela_pair pairs[METADATA_MAX];
	uint32_t n = 0;

	for (const struct call_pair *p = c->added; p; p = p->next) {
		if (n == METADATA_MAX)
			return "links of request_out added too much metadata";
		pairs[n++] = (struct tela_pair){p->text, p->text + strlen(p->text) + 1};
	}
	if (r->session ? mesh_replace(r->session, pairs, n, c->pub.request, c->pub.request_len)
		       : caller_replace(
				 &core->m, r->slot, pairs, n, c->pub.request, c->pub.request_len))
		return "no room for what links of request_out added";
	return NULL;
}

/* The slot is the call's until it has ended, or goes out. */
static void hold_slot(
	struct core *core, struct caller_slot *slot, struct call *c, tela_done_fn done, void *arg)
{
	slot->done = done;
	slot->arg = arg;
	slot->state = CALLER_HELD;
	slot->serving = c;
	c->local = slot;
	core->m.due_ns = min_u64(core->m.due_ns, slot->deadline_ns);
}

/* It ends with what the call object holds; surely no handler has run. */
static void answered(struct tela_request *r, struct call *c, tela_done_fn done, void *arg)
{
	struct core *core = r->client_core;

	count(&core->counts, count_calls_intercepted);
	if (c->pub.reply_code)
		c->outcome = TELA_NOT_EXECUTED;
	if (r->session) {
		mesh_answered(r->session, c, done, arg);
		return;
	}
	hold_slot(core, r->slot, c, done, arg);
	count(&core->counts, count_calls_made);
	list_del(&c->of_machine);
	list_add_tail(&core->m.ended, &c->of_machine);
}

/* ---- pending ---- */

/* What the call goes on with; in its arena. */
struct waiting {
	struct tela_request request;
	tela_done_fn done;
	void *arg;
	const struct call_pair *before;
};

/* Until the link resumes it; its deadline, and the end of the call that it is for, end it before.
 */
static void hold(struct tela_request *r, struct call *c, const struct waiting *with)
{
	struct core *core = r->client_core;
	struct waiting *w = tela_call_alloc(&c->pub, sizeof(*w));

	if (!w) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_NOT_EXECUTED,
			"no room to wait for a link of request_out");
		answered(r, c, with->done, with->arg);
		return;
	}
	*w = *with;
	c->out = w;
	c->goes_out = true;
	call_park(&core->m, c);
	if (r->session)
		mesh_hold(r->session, c, w->done, w->arg);
	else
		hold_slot(core, r->slot, c, w->done, w->arg);
}

static void go_on(
	struct tela_request *r, struct call *c, enum tela_verdict v, const struct waiting *with)
{
	struct core *core = r->client_core;
	const char *why = NULL;

	if (v == TELA_PENDING) {
		hold(r, c, with);
		return;
	}
	if (v == TELA_CONTINUE && (c->added != with->before || c->pub.request != r->payload))
		why = replace(r, c);
	if (why)
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_NOT_EXECUTED, why);
	if (why || v != TELA_CONTINUE) {
		answered(r, c, with->done, with->arg);
		return;
	}
	call_put(&core->m, c);
	tela_request_send(r, with->done, with->arg);
}

void out_resumed(void *io, struct call *c, bool further)
{
	struct core *core = io;
	struct waiting w = *(struct waiting *)c->out;

	if (c->detached) { /* who made it knows that it has ended */
		count(&core->counts, count_drop_detached);
		call_put(&core->m, c);
		return;
	}
	if (w.request.session)
		mesh_let_go(w.request.session);
	else
		c->local->serving = NULL;
	c->local = NULL;
	go_on(&w.request, c, further ? walk(c, c->cursor + 1) : TELA_ANSWER, &w);
}

void out_send(struct tela_request *r, tela_done_fn done, void *arg)
{
	struct call *c = take(r);
	const struct waiting w = {*r, done, arg, c->added};

	go_on(r, c, walk(c, 0), &w);
}
