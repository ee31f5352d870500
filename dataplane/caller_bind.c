/* caller_bind.c - how caller and callee come to agree on what a service is. Once for each session:
 * nothing here is on the way of a bound call.
 *
 * The first calls name the service and a schema hash. A callee that knows the hash, as its own or
 * as an earlier version's, answers with an index beside the response. One that does not refuses
 * with its own hash, and a caller that knows that one as an earlier version's calls again with it.
 */
#include "caller.h"
#include "identity.h"
#include "image.h"

void caller_bind(
	struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct caller_session *s = caller_session_of(m, p, h->session);
	struct caller_slot *slot;
	frame_Bind b;

	if (!s || len != sizeof(b)) {
		count(m->counts, s ? count_drop_body : count_drop_session);
		return;
	}
	b = frame_Bind_load(body);
	if (b.schema != s->schema) {
		count(m->counts, count_drop_body);
		return;
	}
	s->bind = b.index;
	slot = b.identity ? caller_slot_of(m, p, h) : NULL;
	if (slot)
		token_offered(m, slot, b.identity);
}

void caller_options(const struct machine *m, const struct caller_slot *s, struct tela_options *o,
	struct tela_pair pairs[CALLER_PAIRS_MAX], uint64_t key[2], struct tela_context *context)
{
	frame_Envelope_t e = frame_Envelope_root(s->body);
	frame_Trace trace = {0};
	frame_Id128 id;

	if (s->flags & frame_PacketFlag_one_way)
		o->flags = TELA_CALL_ONE_WAY;
	if (s->reply_limit != REPLY_LIMIT_DEFAULT)
		o->max_reply_bytes = caller_reply_limit(s);
	if (s->bound)
		return; /* the canonical one holds no more */
	o->metadata = pairs;
	if (s->token)
		pairs[o->n_metadata++] =
			(struct tela_pair){"authorization", token_at(m->tokens, s->token)->text};
	for (uint32_t i = 0; o->n_metadata < CALLER_PAIRS_MAX && i < frame_Envelope_metadata_len(e);
		i++) {
		frame_Pair_t p = frame_Envelope_metadata_at(e, i);

		pairs[o->n_metadata++] =
			(struct tela_pair){frame_Pair_key(p).s, frame_Pair_value(p).s};
	}
	if (frame_Envelope_key(e, &id)) {
		key[0] = id.low;
		key[1] = id.high;
		o->key = key;
	}
	if (frame_Envelope_hops(e)) {
		id = (frame_Id128){0};
		frame_Envelope_root_(e, &id);
		frame_Envelope_trace(e, &trace);
		*context = (struct tela_context){.span = trace.span,
			.trace_flags = (uint8_t)trace.flags,
			.hops = frame_Envelope_hops(e)};
		envelope_id_words(&id, context->root);
		envelope_id_words(&trace.trace, context->trace);
		o->context = context;
	}
}

/* Writes the request anew. 0, or -ENOBUFS, -EMSGSIZE with nothing changed. */
static int rebuild(struct machine *m, struct caller_slot *s, const struct tela_options *o,
	const uint8_t *payload, uint32_t len)
{
	bool lent = s->msg && s->msg->from == payload;
	struct msg *msg = msgpool_get(&m->msgs, (lent ? 0 : len) + ENVELOPE_MAX + 8);
	uint32_t envelope_len, head;
	uint16_t token;

	if (!msg)
		return -ENOBUFS;
	envelope_len = caller_envelope(m, s->session, s->method->id, o,
		caller_budget_left_us(m->now_ns, s->deadline_ns), msg->data, &token);
	if (!envelope_len) {
		msgpool_put(&m->msgs, msg);
		return -EMSGSIZE;
	}
	head = ALIGN8(envelope_len);
	memset(msg->data + envelope_len, 0, head - envelope_len);
	if (!lent)
		memcpy(msg->data + head, payload, len);
	if (s->tx)
		bulk_tx_end(m, s->tx);
	if (s->msg) {
		msg->from = lent ? s->msg->from : NULL;
		msg->len = s->msg->len;
		msg->into = s->msg->into;
		msg->wants_segments = s->msg->wants_segments;
		msgpool_put(&m->msgs, s->msg);
	}
	token_carry(m, s, token);
	s->tx = NULL;
	s->msg = msg;
	s->body = msg->data;
	s->envelope_len = (uint16_t)envelope_len;
	s->body_len = head + len;
	s->bound = false;
	return 0;
}

int caller_replace(struct machine *m, struct caller_slot *s, const struct tela_pair *metadata,
	uint32_t n, const uint8_t *payload, uint32_t len)
{
	struct tela_pair pairs[CALLER_PAIRS_MAX];
	struct tela_options o = {0};
	struct tela_context context;
	uint64_t key[2];

	caller_options(m, s, &o, pairs, key, &context);
	o.metadata = metadata;
	o.n_metadata = n;
	return rebuild(m, s, &o, payload, len);
}

/* Surely not executed: names the service, as a new call of the same slot, within the same deadline.
 */
static void bind_again(struct machine *m, struct caller_slot *s)
{
	struct tela_pair pairs[CALLER_PAIRS_MAX];
	struct tela_options o = {0};
	struct tela_context context;
	uint32_t head = ALIGN8(s->envelope_len);
	uint64_t key[2];
	int rc;

	s->session->bind = 0;
	s->on_wire = false;
	caller_options(m, s, &o, pairs, key, &context);
	rc = rebuild(m, s, &o, caller_payload(s), s->body_len - head);
	if (rc) {
		caller_fail(m, s, TELA_UNAVAILABLE,
			rc == -ENOBUFS ? "no memory to bind again"
				       : "no room for the service's name beside the metadata, to "
					 "bind again");
		return;
	}
	s->call++;
	caller_transmit(m, s->session->path, s, 0);
}

void caller_rebind(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct caller_slot *s = caller_slot_of(m, p, h);

	if (!s || s->rx)
		return; /* nobody who is answering says so */
	if (!s->bound && !frame_Envelope_bind(frame_Envelope_root(s->body))) {
		count(m->counts, count_drop_call); /* it has named everything */
		return;
	}
	s->session->schema = s->session->service->schema;
	if (s->token)
		token_refused(m, s);
	bind_again(m, s);
}

bool caller_schema_refused(struct machine *m, struct caller_slot *s, uint64_t theirs)
{
	struct caller_session *session = s->session;
	const struct tela_service_desc *mine = session->service;
	uint64_t asked;

	if (s->bound || s->rx || !session->path)
		return false;
	asked = frame_Envelope_schema(frame_Envelope_root(s->body));
	if (asked != mine->schema) { /* the second refusal, or the callee has changed meanwhile */
		session->schema = mine->schema;
		return false;
	}
	if (theirs == asked || !service_accepts(mine, theirs))
		return false;
	session->schema = theirs;
	bind_again(m, s);
	return true;
}
