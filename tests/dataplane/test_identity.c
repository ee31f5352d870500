/* Who calls is proved once for a session, then says an index: whatever the wire, the image, the
 * tables and the prover do, each call runs at most once, and as whom its token names. */
#include "identity.h"
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { WHO = 1, CALLS = 4096, TOKENS = 64 };

/* ---- the service ---- */

/* A link that takes "token-N" for caller N, as its instance number `self` says it in proofs. */
static struct prover {
	uint32_t tokens_read, proofs_read, asked_again;
	bool revoked[TOKENS]; /* its proof; the token may be shown again */
	uint16_t times[TOKENS];
} prover[2];

static uint8_t executions[CALLS];

static uint16_t number_of(struct tela_str token)
{
	unsigned n = 0;

	for (size_t i = 6; i < token.len; i++)
		n = 10 * n + (unsigned)(token.s[i] - '0');
	return (uint16_t)n;
}

static enum tela_verdict prove(struct tela_call *call, void *self)
{
	struct prover *v = self;
	const uint64_t own = (uint64_t)(v - prover + 1) << 32;
	struct tela_str token = tela_call_metadata(call, "authorization");
	uint64_t proof;
	uint16_t who;

	if (tela_call_proof(call, v, &proof)) {
		assert_null(token.s);
		assert_int_equal(proof >> 32, v - prover + 1);
		who = (uint16_t)proof;
		v->proofs_read++;
		if (v->revoked[who] || (uint16_t)(proof >> 16) != v->times[who]) {
			v->asked_again++;
			return tela_reply_prove(call);
		}
	} else {
		if (!token.s)
			return tela_reply_status(call, TELA_UNAUTHENTICATED, "no token");
		v->tokens_read++;
		who = number_of(token);
		v->times[who] += v->revoked[who];
		v->revoked[who] = false;
		tela_call_prove(call, v, own | (uint64_t)v->times[who] << 16 | who);
	}
	tela_call_identify(call, who, "somebody");
	return TELA_CONTINUE;
}

/* Its request: the number of the call, and whom it is from. */
static enum tela_verdict handle(struct tela_call *call, void *self)
{
	const struct tela_str want = tela_call_metadata(call, "want");
	uint64_t key[2];
	uint16_t who[4];

	(void)self;
	assert_true(call->request_len >= sizeof(who));
	memcpy(who, call->request, sizeof(who));
	executions[who[0]]++;
	if (call->identity != who[1] || (who[1] && !tela_call_subject(call)))
		return tela_reply_status(call, TELA_DATA_LOSS, "somebody else");
	/* Whoever gives a key asks for all there is. */
	if (tela_call_key(call, key)
			? key[0] != 7 || key[1] != 8 || !want.s || strcmp(want.s, "all")
			: want.s != NULL)
		return tela_reply_status(call, TELA_DATA_LOSS, "options are gone");
	return tela_reply_copy(call, call->request, call->request_len);
}

static const struct tela_method_desc methods[] = {{"who", WHO, 0, 2000000, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 42, NULL, 0, 1, methods};
static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = prove}, {NULL, &desc, WHO, handle, NULL}};
static const struct tela_image_link with[2][2] = {
	{{&links[0], &prover[0], "prover"}, {&links[1], NULL, "test"}},
	{{&links[0], &prover[1], "prover"}, {&links[1], NULL, "test"}}};

static struct pair the_pair;

static struct pair *begin(uint32_t sessions, uint32_t identities)
{
	const struct tela_budgets b = {.paths = 2,
		.sessions = 16,
		.slots = 512,
		.slots_per_session = 64,
		.calls = 128,
		.messages_2k = 128,
		.messages_64k = 4,
		.messages_1m = 1,
		.in_flight = 512,
		.identities = identities};

	memset(executions, 0, sizeof(executions));
	memset(prover, 0, sizeof(prover));
	pair_init(&the_pair, 1, &desc, with[0], 2, &b);
	pair_connect(&the_pair, &desc, sessions);
	return &the_pair;
}

/* Another image, with that prover or none. */
static void publish(struct pair *p, const struct tela_image_link *l, uint32_t n)
{
	struct tela_service *s = p->end[1].service;
	char err[100];
	struct tela_image *i = image_build(s, 1, l, n, err, sizeof(err));

	assert_non_null(i);
	tela_image_free(image_swap(s, i));
}

/* ---- calls ---- */

struct outcome {
	uint32_t times;
	uint8_t code, outcome;
	char message[64];
};

static struct outcome outcomes[CALLS];
static uint16_t n_calls;

static void done(void *arg, const struct tela_result *r)
{
	struct outcome *o = arg;

	o->times++;
	o->code = r->code;
	o->outcome = r->outcome;
	snprintf(o->message, sizeof(o->message), "%.*s", (int)r->message.len,
		r->message.s ? r->message.s : "");
}

static struct outcome *start(
	struct pair *p, uint32_t session, uint16_t who, size_t len, const struct tela_options *more)
{
	struct pair_end *e = &p->end[0];
	const uint16_t request[4] = {n_calls, who};
	struct outcome *o = &outcomes[n_calls++ % CALLS];
	struct tela_pair metadata[2] = {{"authorization", NULL}};
	struct tela_options options = {.metadata = metadata, .n_metadata = who ? 1 : 0};
	struct tela_request r;
	char token[32];

	assert_true(n_calls < CALLS);
	snprintf(token, sizeof(token), "token-%u", who);
	metadata[0].value = token;
	if (more) {
		options.key = more->key;
		options.deadline_us = more->deadline_us;
		options.flags = more->flags;
		if (more->n_metadata)
			metadata[options.n_metadata++] = more->metadata[0];
	}
	*o = (struct outcome){0};
	if (caller_begin(&e->m, &e->sessions[session], &methods[0], len, &options, &r))
		return NULL;
	memset(r.payload, 0, len);
	memcpy(r.payload, request, sizeof(request));
	caller_send(&e->m, r.slot, done, o);
	return o;
}

static void finish(struct pair *p, const struct outcome *o)
{
	assert_non_null(o);
	for (int i = 0; i < 3000000 && !o->times; i++)
		pair_pass(p);
	assert_int_equal(o->times, 1);
}

static struct outcome *call_with(
	struct pair *p, uint32_t session, uint16_t who, size_t len, const struct tela_options *more)
{
	struct outcome *o = start(p, session, who, len, more);

	finish(p, o);
	return o;
}

static void call_ok(struct pair *p, uint32_t session, uint16_t who)
{
	const struct outcome *o = call_with(p, session, who, 8, NULL);

	assert_string_equal(o->message, "");
	assert_int_equal(o->code, TELA_OK);
	assert_int_equal(executions[n_calls - 1], 1);
}

/* Nothing is asked meanwhile. */
static void idle(struct pair *p, uint64_t ns)
{
	uint64_t step_ns = p->step_ns;

	p->step_ns = NS_PER_MS;
	pair_run(p, ns);
	p->step_ns = step_ns;
}

static uint64_t served(const struct pair *p, enum count_id id)
{
	return count_read(&p->end[1].counts, id);
}

/* Nothing is left of calls that have ended: every token is free, or stands for an index. */
static void end(struct pair *p)
{
	const struct machine *m = &p->end[0].m;
	uint32_t n = 0;

	for (uint16_t id = m->free_token; id; id = token_at(m->tokens, id)->next)
		n++;
	for (uint32_t s = 0; s < 16; s++)
		for (uint16_t id = p->end[0].sessions[s].tokens; id;
			id = token_at(m->tokens, id)->next) {
			assert_int_equal(token_at(m->tokens, id)->in_use, 0);
			assert_int_not_equal(token_at(m->tokens, id)->index, 0);
			n++;
		}
	assert_int_equal(n, m->cfg.budgets.identities);
	pair_fini(p);
	n_calls = 0;
}

/* ---- tests ---- */

static void test_once(void **state)
{
	struct pair *p = begin(1, 4);

	(void)state;
	for (int i = 0; i < 10; i++)
		call_ok(p, 0, 3);
	assert_int_equal(prover[0].tokens_read, 1);
	assert_int_equal(prover[0].proofs_read, 9);
	assert_int_equal(served(p, count_identities), 1);
	assert_int_equal(served(p, count_identities_used), 9);
	call_ok(p, 0, 4); /* another token: another proof, and the first stays */
	call_ok(p, 0, 4);
	call_ok(p, 0, 3);
	assert_int_equal(prover[0].tokens_read, 2);
	assert_int_equal(call_with(p, 0, 0, 8, NULL)->code, TELA_UNAUTHENTICATED);
	assert_int_equal(served(p, count_rebinds), 0);
	end(p);
}

/* The index stands beside whatever else a call carries, in one packet or in several. */
static void test_options(void **state)
{
	const uint64_t key[2] = {7, 8};
	const struct tela_pair want = {"want", "all"};
	const struct tela_options all = {.key = key, .metadata = &want, .n_metadata = 1};
	struct pair *p = begin(1, 4);

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(call_with(p, 0, 5, 8, i & 1 ? NULL : &all)->code, TELA_OK);
		assert_int_equal(call_with(p, 0, 5, 5000, &all)->code, TELA_OK);
	}
	assert_int_equal(prover[0].tokens_read, 1);
	prover[0].revoked[5] = true;
	assert_int_equal(call_with(p, 0, 5, 5000, &all)->code, TELA_OK);
	assert_int_equal(prover[0].tokens_read, 2);
	assert_int_equal(prover[0].asked_again, 1);
	end(p);
}

/* The proof ends while eight calls carry its index: each comes once more, within its deadline. */
static void test_proof_ends(void **state)
{
	const struct tela_options o = {.deadline_us = 50000};
	struct pair *p = begin(1, 4);
	struct outcome *at[SLOT_BLOCK];
	uint64_t begun;

	(void)state;
	call_ok(p, 0, 1);
	call_ok(p, 0, 1);
	prover[0].revoked[1] = true;
	p->delay_ns = 5 * NS_PER_MS;
	begun = p->now_ns;
	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		at[i] = start(p, 0, 1, 8, &o);
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		finish(p, at[i]);
		assert_int_equal(at[i]->code, TELA_OK);
		assert_int_equal(executions[i + 2], 1);
	}
	assert_true(p->now_ns < begun + 50 * NS_PER_MS);
	assert_int_equal(prover[0].asked_again, SLOT_BLOCK);
	assert_int_equal(served(p, count_rebinds), SLOT_BLOCK);
	assert_int_equal(served(p, count_identities_stale), SLOT_BLOCK);
	assert_int_equal(served(p, count_calls_refused), 0);
	p->delay_ns = 0;
	call_ok(p, 0, 1);
	assert_int_equal(prover[0].tokens_read, 1 + SLOT_BLOCK);
	end(p);
}

/* Nobody can be told to show a token again for what was accepted: one-way calls carry it. */
static void test_one_way(void **state)
{
	const struct tela_options o = {.flags = TELA_CALL_ONE_WAY};
	struct pair *p = begin(1, 4);

	(void)state;
	call_ok(p, 0, 1);
	for (int i = 0; i < 3; i++) {
		prover[0].revoked[1] = i == 1;
		assert_int_equal(call_with(p, 0, 1, 8, &o)->code, TELA_OK);
		assert_int_equal(executions[n_calls - 1], 1);
	}
	end(p);
}

static void test_images(void **state)
{
	struct pair *p = begin(1, 4);

	(void)state;
	call_ok(p, 0, 1);
	publish(p, with[0], 2); /* the same prover stands in it: nobody is asked */
	call_ok(p, 0, 1);
	call_ok(p, 0, 1);
	assert_int_equal(prover[0].tokens_read, 1);
	assert_int_equal(served(p, count_rebinds), 0);
	publish(p, with[1], 2); /* another one: asked, once */
	call_ok(p, 0, 1);
	call_ok(p, 0, 1);
	assert_int_equal(prover[1].tokens_read, 1);
	assert_int_equal(prover[1].proofs_read, 1);
	assert_int_equal(served(p, count_rebinds), 1);
	publish(p, &with[0][1], 1); /* none: what was proved is nobody's any more */
	assert_int_equal(call_with(p, 0, 1, 8, NULL)->code, TELA_DATA_LOSS);
	assert_int_equal(served(p, count_rebinds), 2);
	publish(p, with[0], 2); /* it is back, and its proof is not believed from hearsay */
	call_ok(p, 0, 1);
	end(p);
}

/* More callers than a session keeps: the first ones have an index, until they are idle. */
static void test_more_than_fit(void **state)
{
	struct pair *p = begin(1, 64);
	uint32_t read;

	(void)state;
	for (int round = 0; round < 4; round++)
		for (uint16_t who = 1; who <= IDENTITIES + 4; who++)
			call_ok(p, 0, who);
	assert_int_equal(served(p, count_identities), IDENTITIES);
	assert_int_equal(prover[0].tokens_read, IDENTITIES + 4 * 4);
	assert_int_equal(served(p, count_identities_full), 4 * 4);
	idle(p, 2 * NS_PER_S);
	for (uint16_t who = 20; who < 20 + IDENTITIES; who++) /* all places are others' */
		call_ok(p, 0, who);
	assert_int_equal(served(p, count_identities), 2 * IDENTITIES);
	read = prover[0].tokens_read;
	for (uint16_t who = 1; who <= IDENTITIES; who++)
		call_ok(p, 0, who);
	assert_int_equal(prover[0].tokens_read, read + IDENTITIES);
	assert_int_equal(served(p, count_rebinds), 0); /* the caller knew */
	end(p);
}

/* The tables of a core: two sessions, two tokens; others send theirs. */
static void test_budget(void **state)
{
	struct pair *p = begin(4, 2);

	(void)state;
	for (int round = 0; round < 3; round++)
		for (uint32_t s = 0; s < 4; s++)
			call_ok(p, s, (uint16_t)(s + 1));
	assert_int_equal(served(p, count_identities), 2);
	assert_int_equal(prover[0].tokens_read, 2 + 2 * 3);
	assert_int_equal(served(p, count_identities_full), 2 * 3);
	for (uint16_t who = 1; who < 20; who++) /* no room for their tokens at the caller */
		call_ok(p, 0, who);
	assert_true(count_read(&p->end[0].counts, count_tokens_full) > 0);
	end(p);
}

/* Any index: what it does not stand for here and now is asked for. */
static void test_forged(void **state)
{
	struct pair *p = begin(2, 8);
	struct machine *m = &p->end[0].m;
	uint16_t own, other;

	(void)state;
	call_ok(p, 0, 1);
	call_ok(p, 1, 2);
	own = token_at(m->tokens, p->end[0].sessions[0].tokens)->index;
	other = token_at(m->tokens, p->end[0].sessions[1].tokens)->index;
	for (uint32_t i = 0; i < 300; i++) {
		uint16_t forged = i ? (uint16_t)(65537u * i / 300 + own + 1) : other;

		if (forged == own || !forged)
			continue;
		token_at(m->tokens, p->end[0].sessions[0].tokens)->index = forged;
		call_ok(p, 0, 1);
		assert_int_equal(served(p, count_identities_stale), i + 1);
		idle(p, 110 * NS_PER_MS); /* told no more often than that */
		call_ok(p, 0, 1);
		assert_int_equal(token_at(m->tokens, p->end[0].sessions[0].tokens)->index, own);
	}
	end(p);
}

/* A caller that does not listen, as one of before, is not told with each call. */
static void test_deaf_caller(void **state)
{
	struct pair *p = begin(1, 4);
	uint64_t sent = 0, begun;

	(void)state;
	for (int i = 0; i < 200; i++) {
		call_ok(p, 0, 1);
		sent += p->end[0].sessions[0].tokens != 0;
		tokens_forget(&p->end[0].m, &p->end[0].sessions[0]);
	}
	begun = p->now_ns;
	assert_int_equal(prover[0].tokens_read, 200);
	assert_true(sent >= 1 && sent <= 1 + begun / (100 * NS_PER_MS) + 1);
	assert_int_equal(served(p, count_identities), 1);
	end(p);
}

/* Nobody who has been told all says rebind; who does, changes nothing. */
static void test_rebind_of_a_named_call(void **state)
{
	const frame_Packet h = {.kind = frame_Kind_rebind, .call = 1};
	struct pair *p = begin(2, 4);
	struct outcome *o;

	(void)state;
	call_ok(p, 1, 2); /* the path is up */
	o = start(p, 0, 1, 8, NULL);
	for (int i = 0; i < 10; i++)
		caller_rebind(&p->end[0].m, p->end[0].sessions[0].path, &h);
	assert_int_equal(count_read(&p->end[0].counts, count_drop_call), 10);
	finish(p, o);
	assert_int_equal(o->code, TELA_OK);
	assert_int_equal(executions[1], 1);
	end(p);
}

/* The service is removed and another one added in its place, even with the same prover: what was
 * proved to the first is nothing to the second, though its memory and its images' numbers are. */
static void test_removed(void **state)
{
	struct pair *p = begin(1, 4);
	struct tela_service *s = p->end[1].service;
	uint32_t at = 0;

	(void)state;
	call_ok(p, 0, 1);
	call_ok(p, 0, 1);
	assert_int_equal(prover[0].proofs_read, 1);
	tela_image_free(image_swap(s, NULL));
	atomic_store(&s->leave.unnamed, true);
	while (!callee_unbind(&p->end[1].m, &at))
		;
	atomic_store(&s->leave.unnamed, false);
	s->generation = 0;
	publish(p, with[0], 2);
	call_ok(p, 0, 1);
	assert_int_equal(prover[0].tokens_read, 2);
	assert_int_equal(prover[0].proofs_read, 1);
	call_ok(p, 0, 1);
	assert_int_equal(prover[0].proofs_read, 2);
	end(p);
}

static void test_restart(void **state)
{
	struct pair *p = begin(2, 4);

	(void)state;
	call_ok(p, 0, 3);
	call_ok(p, 0, 1);
	call_ok(p, 0, 1);
	pair_restart(p, 1, &desc, with[1], 2);
	assert_int_equal(call_with(p, 0, 1, 8, NULL)->code, TELA_UNAVAILABLE); /* finds out */
	idle(p, 2 * NS_PER_S);
	call_ok(p, 0, 2);
	call_ok(p, 0, 1);
	call_ok(p, 0, 2);
	assert_int_equal(prover[1].tokens_read, 2);
	assert_int_equal(prover[1].proofs_read, 1);
	assert_int_equal(served(p, count_rebinds), 0); /* the caller has forgotten all indices */
	end(p);
}

/* A call that is begun before its peer is another, and sent after: what its index stands for there
 * by chance is somebody else. */
static void test_begun_before_restart(void **state)
{
	const struct tela_pair metadata = {"authorization", "token-1"}, want = {"want", "no"};
	const struct tela_pair both[] = {want, metadata};
	const uint64_t key[2] = {7, 8};

	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct tela_options o = {.deadline_us = 60000000,
			.metadata = i ? both : &metadata,
			.n_metadata = i ? 2 : 1,
			.key = i ? key : NULL};
		struct pair *p = begin(1, 4);
		struct pair_end *e = &p->end[0];
		struct tela_request r;
		struct outcome *at;
		uint16_t request[4] = {0, 1}, index;

		call_ok(p, 0, 1);
		index = token_at(e->m.tokens, e->sessions[0].tokens)->index;
		assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8, &o, &r), 0);
		request[0] = n_calls++;
		memcpy(r.payload, request, sizeof(request));
		pair_restart(p, 1, &desc, with[0], 2);
		assert_int_equal(call_with(p, 0, 0, 8, NULL)->code, TELA_UNAVAILABLE);
		idle(p, 2 * NS_PER_S);
		call_ok(p, 0, 2);
		for (int n = 0; n < IDENTITIES; n++)
			if (p->end[1].m.proofs[0].at[n].index)
				p->end[1].m.proofs[0].at[index % IDENTITIES] =
					p->end[1].m.proofs[0].at[n];
		p->end[1].m.proofs[0].at[index % IDENTITIES].index = index;
		at = &outcomes[request[0]];
		*at = (struct outcome){0};
		caller_send(&e->m, r.slot, done, at);
		finish(p, at);
		assert_int_equal(at->code, i ? TELA_DATA_LOSS : TELA_OK); /* "want" is wrong */
		assert_string_equal(at->message, i ? "options are gone" : "");
		end(p);
	}
}

/* Once, at most once, and nobody as somebody else, while all of it changes. */
static void test_bad_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct pair *p = begin(2, 3);
		struct outcome *o[CALLS];
		uint64_t random = seed;
		uint32_t n = 0;

		p->seed = seed;
		p->shared_memory = false;
		p->loss = p->duplicate = p->reorder = 0.1;
		p->corrupt = 0.01;
		for (uint32_t i = 0; i < 300; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			n = n_calls;
			o[n] = start(p, random >> 40 & 1, 1 + (random >> 33) % 12,
				(random >> 45) % 16 ? 8 : 3000, NULL);
			if (i % 37 == 0)
				publish(p, with[random >> 50 & 1], 2);
			prover[random >> 51 & 1].revoked[1 + (random >> 53) % 12] |= i % 5 == 0;
			if (i % 50)
				pair_run(p, (random >> 58) * 10000);
			else
				idle(p, (random >> 58) * NS_PER_S / 16);
		}
		for (uint32_t i = 0; i < n_calls; i++) {
			if (!o[i])
				continue;
			finish(p, o[i]);
			assert_true(executions[i] <= 1);
			assert_int_not_equal(o[i]->code, TELA_DATA_LOSS);
			if (!o[i]->code)
				assert_int_equal(executions[i], 1);
		}
		idle(p, NS_PER_S); /* what was detached */
		assert_true(served(p, count_identities_used) > 10);
		end(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_proof_ends),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_more_than_fit),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_deaf_caller),
		cmocka_unit_test(test_rebind_of_a_named_call),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_begun_before_restart),
		cmocka_unit_test(test_bad_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
