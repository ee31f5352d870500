/* payload.h - calls between the machines of a pair whose payloads can be checked from anywhere, for
 * tests of payloads that are not copied. */
#pragma once

#include "caller.h"
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static inline uint8_t byte_at(uint64_t id, size_t i)
{
	return (uint8_t)(id * 131 + i * 7 + (i >> 8) + (i >> 16));
}

static inline void fill(uint8_t *to, uint64_t id, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = byte_at(id, i);
}

static inline bool pieces_are(const struct tela_segment *s, size_t n, uint64_t id, size_t len)
{
	size_t at = 0;

	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < s[k].len; i++, at++)
			if (((const uint8_t *)s[k].data)[i] != byte_at(id, at))
				return false;
	return at == len;
}

enum { YES = 43 /* byte_at(YES, 0) is 1 */ };

struct ended {
	uint32_t times;
	uint8_t code, outcome;
	size_t len, pieces;
	const void *payload;
	bool own, marked;
	uint64_t id;
	void *lent; /* freed when the call ends */
	char message[64];
};

static inline void on_done(void *arg, const struct tela_result *r)
{
	struct ended *e = arg;
	struct tela_segment whole;
	const struct tela_segment *s = tela_result_segments(r, &whole, &e->pieces);

	e->times++;
	e->code = r->code;
	e->outcome = r->outcome;
	e->len = r->len;
	e->payload = r->payload;
	e->own = !r->code && pieces_are(s, e->pieces, e->id, r->len);
	e->marked = r->envelope_len > 0;
	snprintf(e->message, sizeof(e->message), "%.*s", (int)r->message.len,
		r->message.s ? r->message.s : "");
	free(e->lent);
	e->lent = NULL;
}

/* A pair that is up, the service at its second machine, with room for `mib` MiB of messages; every
 * port lends and borrows. */
static inline struct pair *bytes_pair(uint64_t seed, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links, uint32_t mib)
{
	static struct pair p;
	const struct tela_budgets budgets = {.paths = 4,
		.sessions = 4,
		.slots = 64,
		.slots_per_session = 64,
		.calls = 32,
		.detached = 8,
		.messages_2k = 32,
		.messages_64k = 8,
		.messages_1m = mib,
		.segments = 16384,
		.in_flight = 64};

	pair_init(&p, seed, desc, links, n_links, &budgets);
	p.borrows = true;
	pair_connect(&p, desc, 1);
	pair_run(&p, 20 * NS_PER_MS);
	assert_int_equal(p.end[0].path->state, PATH_UP);
	return &p;
}

static inline void wait_for(struct pair *p, const struct ended *e)
{
	for (int i = 0; i < 4000000 && !e->times; i++)
		pair_pass(p);
	assert_int_equal(e->times, 1);
}

enum { CANCEL, DEADLINE, LINK, SILENCE, WAYS };

static inline void end_it(struct pair *p, struct caller_slot *s, int way)
{
	if (way == CANCEL)
		caller_fail(&p->end[0].m, s, TELA_CANCELLED, "cancelled");
	else if (way == DEADLINE)
		p->loss = 1; /* what is missing comes too late */
	else if (way == LINK)
		for (int i = 0; i < 2; i++)
			machine_link_down(&p->end[i].m, 0);
	else if (way == SILENCE)
		p->end[0].deaf = p->end[1].deaf = true;
	else if (way == DEADLINE) { /* of 3 ms: so that nothing ends it before */
		p->end[0].deaf = true;
		pair_run(p, 4 * NS_PER_MS);
		p->end[0].deaf = false;
	}
	pair_run(p, 3 * NS_PER_S);
	p->end[0].deaf = p->end[1].deaf = false;
}

static inline void assert_nothing_held(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		const struct machine *m = &p->end[i].m;

		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
		assert_int_equal(m->segments_held, 0);
		assert_int_equal(p->end[i].n_held, 0);
		assert_int_equal(m->reassembly_bytes, 0);
	}
}
