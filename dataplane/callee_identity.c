/* callee_identity.c - what callers have proved, see identity.h. */
#include "callee.h"
#include "identity.h"

#define IDLE_NS  NS_PER_S          /* unused for so long, its place is another's */
#define AGAIN_NS (100 * NS_PER_MS) /* a caller that keeps sending its token is told again */

enum { SERIALS = 1 << 13 };

static struct proofs *proofs_of(struct machine *m, const struct callee_session *s)
{
	return s->proofs ? &m->proofs[s->proofs - 1] : NULL;
}

static struct proofs *take(struct machine *m, struct callee_session *s)
{
	struct proofs *t;

	if (!m->free_proofs)
		return NULL;
	s->proofs = m->free_proofs;
	t = proofs_of(m, s);
	m->free_proofs = t->next_free;
	memset(t, 0, sizeof(*t));
	return t;
}

void identity_forget(struct machine *m, struct callee_session *s)
{
	struct proofs *t = proofs_of(m, s);

	if (!t)
		return;
	t->next_free = m->free_proofs;
	m->free_proofs = s->proofs;
	s->proofs = 0;
}

void identity_unbind(struct machine *m, struct callee_session *s)
{
	struct proofs *t = proofs_of(m, s);

	for (uint32_t i = 0; t && i < IDENTITIES; i++)
		if (t->at[i].service &&
			atomic_load_explicit(
				&t->at[i].service->leave.unnamed, memory_order_relaxed))
			t->at[i].service = &service_gone;
}

/* Does the link that gave the proof stand in the service's image? */
static bool holds(struct proof *p, const struct admission *a)
{
	if (likely(p->generation == a->image->generation))
		return true;
	for (uint32_t i = 0; i < a->chain->n_links; i++)
		if (a->chain->links[i].self == p->prover) {
			p->generation = a->image->generation;
			return true;
		}
	return false;
}

bool identity_admit(struct machine *m, const struct callee_session *s, struct call *c,
	const struct admission *a, uint16_t index)
{
	struct proofs *t = proofs_of(m, s);
	struct proof *p = t ? &t->at[index % IDENTITIES] : NULL;

	if (!p || p->index != index || !a->bind || p->service != a->svc || !holds(p, a))
		return false;
	p->used_ns = m->now_ns;
	c->prover = p->prover;
	c->proof = p->proof;
	c->proved = true;
	return true;
}

/* ---- offered ---- */

/* The bind that the caller knows the call's service by; 0: none. */
static uint16_t bind_of(const struct call *c)
{
	const struct callee_session *s = c->session;
	const uint64_t schema = frame_Envelope_schema(c->envelope);
	const uint16_t bind = frame_Envelope_bind(c->envelope);

	if (bind)
		return bind;
	for (uint16_t i = 0; i < s->n_binds; i++)
		if (s->binds[i].service == c->svc && s->binds[i].schema == schema)
			return i + 1;
	return 0;
}

/* Where the proof is kept, or may be; NULL: nowhere. */
static struct proof *place(struct machine *m, struct proofs *t, const struct proof *fresh)
{
	struct proof *best = &t->at[0];

	for (uint32_t i = 0; i < IDENTITIES; i++) {
		struct proof *p = &t->at[i];

		if (p->index && p->prover == fresh->prover && p->proof == fresh->proof &&
			p->service == fresh->service)
			return p;
		if (best->index && (!p->index || p->used_ns < best->used_ns))
			best = p;
	}
	return !best->index || m->now_ns - best->used_ns >= IDLE_NS ? best : NULL;
}

/* Another one than the place has had: no old one means the new proof. The first is any. */
static void index_next(struct machine *m, struct proofs *t, struct proof *p)
{
	uint32_t serial =
		p->index ? p->index / IDENTITIES : (uint32_t)m->ops->random(m->io) % SERIALS;

	serial = serial + 1 < SERIALS ? serial + 1 : 1;
	p->index = (uint16_t)(serial * IDENTITIES + (uint32_t)(p - t->at));
}

static void tell(struct machine *m, const struct call *c, uint16_t bind, uint16_t index)
{
	const struct callee_session *s = c->session;
	const frame_Packet h = {.kind = frame_Kind_bind,
		.session = s->number,
		.slot = c->slot->index,
		.call = c->slot->call};
	const frame_Bind body = {
		.schema = s->binds[bind - 1].schema, .index = bind, .identity = index};

	path_packet(m, s->path, h, &body, sizeof(body));
}

void tela_call_prove(struct tela_call *pub, const void *self, uint64_t proof)
{
	struct call *c = call_of(pub);
	struct machine *m = c->machine;
	struct proof fresh = {
		.prover = self, .proof = proof, .generation = pub->generation, .service = c->svc};
	struct proofs *t;
	struct proof *p;
	uint16_t bind;

	if (!c->slot || !c->envelope.p || !(bind = bind_of(c)))
		return; /* local, or on a worker, or nobody waits: there is no session */
	t = proofs_of(m, c->session);
	if (!t)
		t = take(m, c->session);
	p = t ? place(m, t, &fresh) : NULL;
	if (!p) {
		count(m->counts, count_identities_full);
		return;
	}
	if (p->index && p->prover == self && p->proof == proof && p->service == c->svc) {
		p->used_ns = m->now_ns;
		if (m->now_ns - p->offered_ns < AGAIN_NS)
			return;
	} else {
		index_next(m, t, p);
		fresh.index = p->index;
		*p = fresh;
		p->used_ns = m->now_ns;
		count(m->counts, count_identities);
	}
	p->offered_ns = m->now_ns;
	p->generation = pub->generation;
	tell(m, c, bind, p->index);
}

bool tela_call_proof(const struct tela_call *call, const void *self, uint64_t *ret_proof)
{
	const struct call *c = call_of(call);

	if (!c->proved || c->prover != self)
		return false;
	*ret_proof = c->proof;
	return true;
}

enum tela_verdict tela_reply_prove(struct tela_call *pub)
{
	struct call *c = call_of(pub);

	call_status(c, TELA_UNAUTHENTICATED, TELA_NOT_EXECUTED, "what was proved holds no more");
	c->prove_again = c->proved;
	return TELA_ANSWER;
}
