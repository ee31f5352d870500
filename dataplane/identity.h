/* identity.h - who calls: proved once for each session and bind, then an index.
 *
 *   caller                                       callee
 *   authorization: TOKEN                   ->    a link verifies it, and says so: tela_call_prove()
 *   keeps TOKEN as index 17                <-    keeps its proof as index 17 (a bind packet)
 *   identity 17, and no TOKEN              ->    the link finds its proof: tela_call_proof()
 *   identity 17                            ->    that is not known, or holds no more
 *   authorization: TOKEN, as a new call    <-    rebind: surely not executed
 *
 * The callee keeps IDENTITIES proofs a session, in a table from the core's budget. Such a proof is
 * good for the link that gave it: under a newer image it is looked for once, and the index is no
 * good if it stands there no more. A place is given to another proof when it was not used for a
 * second; if there is none, or no table, the caller goes on with its token. Index n is place n % 8;
 * a place that was given away has another index, so an old one never means somebody else.
 *
 * The caller keeps, in the core's budget, the tokens that indices stand for; one that is not kept
 * is sent. It holds those that calls under way depend on, to say them again. A one-way call is
 * accepted before its links run: nobody could ask for its token, so it carries that always.
 *
 * Context: the owning core.
 */
#pragma once

#include "base.h"
#include "frame.h"

struct machine;
struct call;
struct admission;
struct caller_session;
struct caller_slot;
struct callee_session;

enum {
	IDENTITIES = 8,
	IDENTITY_NONE = 1, /* an index, but no callee gives it to anybody */
	TOKEN_MAX = 1000,
};

/* ---- callee ---- */

struct proof {
	const void *prover; /* the link's self */
	uint64_t proof, generation;
	const struct tela_service *service;
	uint64_t used_ns, offered_ns;
	uint16_t index; /* 0: free */
};

struct proofs {
	struct proof at[IDENTITIES];
	uint16_t next_free; /* id */
};

/* What the index stands for goes to the call, which has been admitted. False: it stands for nothing
 * that holds. */
bool identity_admit(struct machine *m, const struct callee_session *s, struct call *c,
	const struct admission *a, uint16_t index);
/* Proofs for services that are being removed: their indices stand for nothing any more. */
void identity_unbind(struct machine *m, struct callee_session *s);
/* The session is over. */
void identity_forget(struct machine *m, struct callee_session *s);

/* ---- caller ---- */

struct token {
	uint16_t next;   /* id: of its session, or free */
	uint16_t index;  /* 0: not any more */
	uint16_t in_use; /* calls under way that carry the index */
	uint16_t len;
	char text[TOKEN_MAX + 1];
};

static inline bool token_is(const char *key)
{
	return !strcmp(key, "authorization");
}

/* Id of the token, if an index stands for it in this session; 0: none. */
uint16_t token_find(const struct machine *m, const struct caller_session *s, const char *text);
/* The slot carries it in place of what it carried before (0: nothing). */
void token_carry(struct machine *m, struct caller_slot *s, uint16_t token);
/* The callee keeps what the slot's call has proved as `index`. */
void token_offered(struct machine *m, struct caller_slot *s, uint16_t index);
/* The callee does not take the index any more. */
void token_refused(struct machine *m, const struct caller_slot *s);
/* None of the session's indices is good any more. */
void tokens_forget(struct machine *m, struct caller_session *s);

/* Ids are places + 1. */
static inline struct token *token_at(struct token *tokens, uint16_t id)
{
	return &tokens[id - 1];
}
