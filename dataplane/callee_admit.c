/* callee_admit.c - what few requests meet on their way to a chain: those that name their service,
 * and those that are refused. callee_request.c has the rest. */
#include "callee.h"
#include "caller.h"
#include "descent.h"
#include "forward.h"
#include "identity.h"
#include "nest.h"

__attribute__((cold)) const struct refusal *admit_refused(
	struct machine *m, uint8_t code, const char *why)
{
	m->refusal = (struct refusal){.code = code, .message = why, .outcome = TELA_NOT_EXECUTED};
	return &m->refusal;
}

__attribute__((cold)) const struct refusal *admit_stale_bind(struct machine *m)
{
	m->refusal = (struct refusal){.rebind = true};
	return &m->refusal;
}

static const char no_service[] = "no such service on this node";

static const struct refusal *agrees(
	struct machine *m, const struct tela_service *svc, uint64_t schema)
{
	if (likely(service_accepts(svc->desc, schema)))
		return NULL;
	admit_refused(
		m, TELA_FAILED_PRECONDITION, "schemas differ and neither side knows the other's");
	m->refusal.schema = svc->desc->schema;
	return &m->refusal;
}

/* For a call that names its service: a local one, or one that is not bound yet. */
static const struct refusal *named_service(
	struct machine *m, struct tela_str name, uint64_t schema, struct tela_service **ret)
{
	struct service_table *t = atomic_load_explicit(m->cfg.services, memory_order_acquire);
	struct tela_service *svc = name.s && t ? service_table_find(t, name.s, name.len) : NULL;

	*ret = svc;
	if (!svc)
		return admit_refused(m, TELA_UNAVAILABLE, no_service);
	return agrees(m, svc, schema);
}

const struct refusal *admit_named(struct machine *m, const struct callee_session *s,
	frame_Envelope_t e, struct tela_service **ret)
{
	const struct tela_str name = frame_Envelope_service(e);
	const uint64_t schema = frame_Envelope_schema(e);
	const struct refusal *no = named_service(m, name, schema, ret);

	if (unlikely(!*ret) && name.s && (*ret = forward_find(m, s->path, name, schema)))
		no = agrees(m, *ret, schema);
	if (*ret && atomic_load_explicit(&(*ret)->local_only, memory_order_relaxed)) {
		*ret = NULL; /* and so it is never bound */
		return admit_refused(m, TELA_UNAVAILABLE, no_service);
	}
	return no;
}

void admit_bind(struct machine *m, struct callee_session *s, const frame_Packet *about,
	struct tela_service *svc, uint64_t schema, uint64_t generation)
{
	frame_Packet h = {.kind = frame_Kind_bind,
		.session = s->number,
		.slot = about->slot,
		.call = about->call};
	frame_Bind body = {.schema = schema};
	uint16_t i;

	for (i = 0; i < s->n_binds; i++)
		if (s->binds[i].schema == schema &&
			(s->binds[i].service == svc || s->binds[i].service == &service_gone))
			break;
	if (i == SESSION_BINDS)
		return;
	if (i == s->n_binds || s->binds[i].service != svc) {
		s->n_binds = (uint16_t)max_u64(s->n_binds, i + 1u);
		s->binds[i] = (struct bind){svc, schema, generation};
		count(m->counts, count_binds);
	}
	body.index = i + 1;
	path_packet(m, s->path, h, &body, sizeof(body));
}

__attribute__((cold)) const struct refusal *admit_at_closed_gate(
	struct machine *m, const struct tela_service *s, frame_Envelope_t e, const char *why)
{
	enum descent d;

	if (why && !atomic_load_explicit(&s->drains, memory_order_relaxed))
		return admit_refused(m, TELA_UNAVAILABLE, why);
	d = descent_of(m, e);
	if (d == DESCENT_NO)
		return admit_refused(m, TELA_UNAVAILABLE, why ? why : "node is draining");
	count(m->counts, count_calls_descended);
	if (d == DESCENT_YES)
		return NULL;
	m->refusal = (struct refusal){.ask = true};
	return &m->refusal;
}

__attribute__((cold)) const struct refusal *admit_late(
	struct machine *m, const struct tela_service *svc)
{
	if (!shed_call(m, atomic_load_explicit(&svc->shed_ns, memory_order_relaxed)))
		return NULL;
	m->refusal = (struct refusal){.shed = true};
	return &m->refusal;
}

const struct refusal *admit_local(
	struct machine *m, const struct tela_service_desc *caller, struct tela_service **ret)
{
	const struct tela_str name = {caller->name, strlen(caller->name)};
	const struct refusal *no = named_service(m, name, caller->schema, ret);

	return no && no->schema && service_accepts(caller, no->schema) ? NULL : no;
}

const struct refusal *admit_proved(struct machine *m, const struct callee_session *s,
	struct call *c, struct admission a, const struct refusal *no)
{
	const uint16_t index = frame_Envelope_identity(c->envelope);

	if (!index)
		return no;
	count(m->counts, count_identities_used);
	if (identity_admit(m, s, c, &a, index))
		return no;
	count(m->counts, count_identities_stale);
	return admit_stale_bind(m);
}
