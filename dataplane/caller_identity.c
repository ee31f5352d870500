/* caller_identity.c - tokens that indices stand for, see identity.h. */
#include "caller.h"
#include "identity.h"

uint16_t token_find(const struct machine *m, const struct caller_session *s, const char *text)
{
	const size_t len = strlen(text);

	for (uint16_t id = s->tokens; id;) {
		const struct token *t = token_at(m->tokens, id);

		if (t->index && t->len == len && !memcmp(t->text, text, len))
			return id;
		id = t->next;
	}
	return 0;
}

/* One that neither stands for an index nor is needed again is free. */
static void sweep(struct machine *m, struct caller_session *s)
{
	for (uint16_t *at = &s->tokens; *at;) {
		const uint16_t id = *at;
		struct token *t = token_at(m->tokens, id);

		if (t->index || t->in_use) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->next = m->free_token;
		m->free_token = id;
	}
}

void token_carry(struct machine *m, struct caller_slot *s, uint16_t token)
{
	const uint16_t before = s->token;
	struct token *t;

	s->token = token;
	if (token)
		token_at(m->tokens, token)->in_use++;
	if (!before)
		return;
	t = token_at(m->tokens, before);
	if (!--t->in_use && !t->index)
		sweep(m, s->session);
}

/* The token of this text, or a new one; 0: there is no room. */
static uint16_t enter(struct machine *m, struct caller_session *s, struct tela_str text)
{
	uint16_t id = s->tokens;
	struct token *t;

	for (; id; id = t->next) {
		t = token_at(m->tokens, id);
		if (t->len == text.len && !memcmp(t->text, text.s, text.len))
			return id;
	}
	id = m->free_token;
	if (!id || text.len > TOKEN_MAX) {
		count(m->counts, count_tokens_full);
		return 0;
	}
	t = token_at(m->tokens, id);
	m->free_token = t->next;
	memcpy(t->text, text.s, text.len);
	t->text[text.len] = 0;
	t->len = (uint16_t)text.len;
	t->in_use = t->index = 0;
	t->next = s->tokens;
	s->tokens = id;
	return id;
}

void token_offered(struct machine *m, struct caller_slot *slot, uint16_t index)
{
	struct caller_session *s = slot->session;
	struct tela_str text;
	uint16_t id;

	if (slot->bound)
		return;
	text = envelope_metadata(frame_Envelope_root(slot->body), "authorization");
	id = text.s ? enter(m, s, text) : slot->token;
	for (uint16_t other = s->tokens; other; other = token_at(m->tokens, other)->next) {
		struct token *t = token_at(m->tokens, other);

		/* Its place is another's now, whether or not that one could be kept. */
		if (other != id && t->index % IDENTITIES == index % IDENTITIES)
			t->index = 0;
	}
	if (id)
		token_at(m->tokens, id)->index = index;
	sweep(m, s);
}

void token_refused(struct machine *m, const struct caller_slot *s)
{
	token_at(m->tokens, s->token)->index = 0; /* the slot holds it still */
}

void tokens_forget(struct machine *m, struct caller_session *s)
{
	/* Those that have not been sent yet: the next peer's indices are others'. */
	for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++)
		if (caller_slot_at(s, i)->token)
			envelope_patch_identity(caller_slot_at(s, i)->body, IDENTITY_NONE);
	for (uint16_t id = s->tokens; id; id = token_at(m->tokens, id)->next)
		token_at(m->tokens, id)->index = 0;
	sweep(m, s);
}
