#include "load.h"

#include "../services/bytes_pattern.h"
#include "bytes_rpc.h"
#include "echo_rpc.h"
#include "frame.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t ticks(void)
{
	return __rdtsc();
}
#else
static inline uint64_t ticks(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
#endif

static void done(void *arg, const struct tela_result *r);
static void slow_done(void *arg, const struct tela_result *r);
static void put_done(void *arg, const struct tela_result *r);
static void get_done(void *arg, const struct tela_result *r);

enum { USUAL_BYTES = 32 };

uint64_t load_ticks(void)
{
	return ticks();
}

static inline uint64_t scramble(uint64_t id, uint32_t word)
{
	return (id + word) * 0x9e3779b97f4a7c15ull;
}

/* Making and comparing the bytes of a large message would take longer than moving it: they are
 * those of call 0, but for the id, and compared at the speed of memcmp(). */
static inline bool large(const struct load *l)
{
	return l->bytes > LOAD_BYTES_OWN;
}

static inline __attribute__((always_inline)) void fill(uint8_t *to, uint64_t id, uint32_t bytes)
{
	memcpy(to, &id, 8);
	for (uint32_t i = 8; i + 8 <= bytes; i += 8) {
		uint64_t w = scramble(id, i);

		memcpy(to + i, &w, 8);
	}
	if (bytes % 8)
		memset(to + bytes / 8 * 8, (int)(id & 0xff), bytes % 8);
}

static bool same_large(const struct load *l, const uint8_t *from, uint64_t id)
{
	return !memcmp(from, &id, 8) && !memcmp(from + 8, l->data + 8, l->bytes - 8);
}

static inline __attribute__((always_inline)) bool same(
	const uint8_t *from, uint64_t id, uint32_t bytes)
{
	uint64_t w, differ;

	memcpy(&w, from, 8);
	differ = w ^ id;
	for (uint32_t i = 8; i + 8 <= bytes; i += 8) {
		memcpy(&w, from + i, 8);
		differ |= w ^ scramble(id, i);
	}
	for (uint32_t i = bytes / 8 * 8; i < bytes; i++)
		differ |= from[i] ^ (id & 0xff);
	return !differ;
}

/* The bytes of the next call, made now: by then they have left the store buffer, and the message is
 * copied without waiting for them. */
static inline void next_data(struct load *l)
{
	if (l->bytes == USUAL_BYTES) /* without a loop */
		fill(l->data, l->next_id, USUAL_BYTES);
	else if (!large(l))
		fill(l->data, l->next_id, l->bytes);
}

static inline bool is_own(const struct load *l, const struct load_call *c, struct tela_bytes data)
{
	if (data.len != l->bytes)
		return false;
	if (l->bytes == USUAL_BYTES)
		return same(data.data, c->id, USUAL_BYTES);
	return large(l) ? same_large(l, data.data, c->id) : same(data.data, c->id, l->bytes);
}

static int issue_bytes(struct load *l, struct load_call *c)
{
	if (l->put)
		return (l->put == bytes_Bytes_put_ID ? bytes_Bytes_put_lend
						     : bytes_Bytes_put_whole_lend)(
			l->client, l->data, l->bytes, &l->options, put_done, c);
	return (l->get == bytes_Bytes_get_lent_ID ? bytes_Bytes_get_lent_call
						  : bytes_Bytes_get_call)(
		l->client, &(struct bytes_Wanted_args){.len = l->bytes}, &l->options, get_done, c);
}

static int issue_echo(struct load *l, struct load_call *c, uint64_t due_ticks)
{
	if (l->until_sample-- == 0) {
		l->until_sample = l->sample_every - 1;
		c->due_ticks = due_ticks ? due_ticks : ticks();
	}
	return echo_Echo_echo_call(l->client,
		&(struct echo_Message_args){.data = {l->data, l->bytes}}, &l->options, done, c);
}

static __attribute__((noinline)) int issue_other(
	struct load *l, struct load_call *c, uint64_t due_ticks)
{
	if (l->put || l->get) {
		c->due_ticks = ticks();
		return issue_bytes(l, c);
	}
	if (large(l))
		memcpy(l->data, &c->id, sizeof(c->id));
	if (scramble(c->id, 1) >> 48 < l->slow_65536)
		return echo_Echo_later_call(l->client,
			&(struct echo_Delayed_args){
				.delay_us = l->slow_us, .data = {l->data, l->bytes}},
			&l->options, slow_done, c);
	return issue_echo(l, c, due_ticks);
}

/* Starts a call that is due since then (closed loop: 0, now). 0, or why it cannot be: a later pass
 * tries again. */
static int issue(struct load *l, struct load_call *c, uint64_t due_ticks)
{
	int rc;

	c->id = l->next_id;
	c->due_ticks = 0;
	rc = l->plain ? issue_echo(l, c, due_ticks) : issue_other(l, c, due_ticks);
	if (rc)
		return rc;
	l->next_id++;
	l->outstanding++;
	next_data(l);
	return 0;
}

/* "s12" -> bit 12, "345" -> 345. False if it is no stamp. */
static bool read_stamp(frame_Pair_t pair, unsigned *ret_bit, uint64_t *ret_generation)
{
	struct tela_str k = frame_Pair_key(pair), v = frame_Pair_value(pair);
	unsigned bit = 0;
	uint64_t g = 0;

	if (k.len < 2 || k.s[0] != 's')
		return false;
	for (size_t i = 1; i < k.len; i++)
		bit = bit * 10 + (unsigned)(k.s[i] - '0');
	for (size_t i = 0; i < v.len; i++)
		g = g * 10 + (unsigned)(v.s[i] - '0');
	*ret_bit = bit & 63;
	*ret_generation = g;
	return true;
}

/* All stamps of one reply must name one generation, and all replies of a generation the same
 * plugins. */
static void check_stamps(struct load *l, const struct tela_result *r)
{
	uint64_t generation = 0, mask = 0, g;
	struct load_generation *seen;
	frame_Envelope_t e;
	unsigned bit;
	size_t n;

	if (!r->envelope) {
		l->torn++;
		return;
	}
	e = frame_Envelope_root(r->envelope);
	n = frame_Envelope_metadata_len(e);
	for (size_t i = 0; i < n; i++) {
		if (!read_stamp(frame_Envelope_metadata_at(e, i), &bit, &g))
			continue;
		if ((generation && g != generation) || mask & 1ull << bit)
			l->torn++;
		generation = g;
		mask |= 1ull << bit;
	}
	if (generation < l->first_generation ||
		generation - l->first_generation >= LOAD_GENERATIONS) {
		l->torn++;
		return;
	}
	seen = &l->generation[generation - l->first_generation];
	if (seen->replies && seen->mask != mask)
		l->torn++;
	seen->mask = mask;
	seen->replies++;
}

static void failed(struct load *l, const struct tela_result *r)
{
	l->failed++;
	l->last_code = r->code;
	l->last_message[0] = 0;
	if (r->message.s) {
		size_t n = r->message.len < sizeof(l->last_message) - 1
				   ? r->message.len
				   : sizeof(l->last_message) - 1;

		memcpy(l->last_message, r->message.s, n);
		l->last_message[n] = 0;
	}
}

static inline void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void measured(struct load *l, const struct load_call *c)
{
	if (!atomic_load_explicit(&l->measure, memory_order_relaxed))
		return;
	add(&l->measured, 1);
	if (c->due_ticks)
		hist_add(&l->hist, (uint64_t)((double)(ticks() - c->due_ticks) * l->ns_per_tick));
}

/* False: it counts as refused, and for no more. */
static __attribute__((noinline)) bool account_status(struct load *l, const struct tela_result *r)
{
	if (l->overload && r->code == TELA_RESOURCE_EXHAUSTED && r->outcome == TELA_NOT_EXECUTED) {
		l->refused += atomic_load_explicit(&l->measure, memory_order_relaxed);
		return false;
	}
	/* As asked: the handler has run, and may not answer with so much. */
	if (!(l->one_way && r->code == TELA_RESOURCE_EXHAUSTED && r->outcome == TELA_EXECUTED))
		failed(l, r);
	return true;
}

/* The call has ended: what holds for every one. */
static inline void account(struct load *l, const struct load_call *c, const struct tela_result *r,
	struct tela_bytes (*data_of)(const struct tela_result *r))
{
	l->outstanding--;
	add(&l->done, 1);
	l->resent_calls += r->resends > 0;
	if (__builtin_expect(r->code != TELA_OK, 0)) {
		if (!account_status(l, r))
			return;
	} else {
		if (!is_own(l, c, data_of(r)))
			l->wrong++;
		if (l->stamped)
			check_stamps(l, r);
	}
	measured(l, c);
}

static inline void put_free(struct load *l, struct load_call *c)
{
	c->next = l->free;
	l->free = c;
}

static struct tela_bytes echoed(const struct tela_result *r)
{
	return echo_Message_data(echo_Echo_echo_result(r));
}

static void done(void *arg, const struct tela_result *r)
{
	struct load_call *c = arg;
	struct load *l = c->load;

	account(l, c, r, echoed);
	if (l->open_loop || atomic_load_explicit(&l->state, memory_order_relaxed) != LOAD_RUN ||
		issue(l, c, 0))
		put_free(l, c);
}

static void bytes_done(struct load *l, struct load_call *c, const struct tela_result *r, bool good)
{
	l->outstanding--;
	add(&l->done, 1);
	l->resent_calls += r->resends > 0;
	if (r->code)
		failed(l, r);
	else
		l->wrong += !good;
	measured(l, c);
	if (atomic_load_explicit(&l->state, memory_order_relaxed) != LOAD_RUN || issue(l, c, 0))
		put_free(l, c);
}

/* Its reply tells what has arrived. */
static void put_done(void *arg, const struct tela_result *r)
{
	struct load_call *c = arg;

	bytes_done(c->load, c, r, bytes_Taken_len(bytes_Bytes_put_result(r)) == c->load->bytes);
}

/* Looking at all bytes would take longer than moving them: of each piece the first and the last. */
static void get_done(void *arg, const struct tela_result *r)
{
	struct load_call *c = arg;
	struct tela_segment whole;
	const struct tela_segment *s;
	size_t n, at = 0;
	bool good = true;

	s = tela_result_segments(r, &whole, &n);
	for (size_t i = 0; !r->code && i < n; at += s[i++].len) {
		const uint8_t *b = s[i].data;

		good &= !s[i].len ||
			(b[0] == bytes_at(at) && b[s[i].len - 1] == bytes_at(at + s[i].len - 1));
	}
	bytes_done(c->load, c, r, good && at == c->load->bytes);
}

static struct tela_bytes echoed_later(const struct tela_result *r)
{
	return echo_Message_data(echo_Echo_later_result(r));
}

static void slow_done(void *arg, const struct tela_result *r)
{
	struct load_call *c = arg;

	account(c->load, c, r, echoed_later);
	put_free(c->load, c);
}

static bool issue_one(struct load *l, uint64_t due_ticks)
{
	struct load_call *c = l->free;
	int rc;

	l->free = c->next;
	rc = issue(l, c, due_ticks);
	if (!rc)
		return true;
	put_free(l, c);
	if (rc != -EBUSY || !due_ticks)
		return false;
	l->held_back += atomic_load_explicit(&l->measure, memory_order_relaxed);
	return true;
}

static void issue_due(struct load *l)
{
	const double now = (double)ticks();

	if (l->next_ticks == 0)
		l->next_ticks = now;
	while (l->next_ticks <= now && l->free && issue_one(l, (uint64_t)l->next_ticks))
		l->next_ticks += l->interval_ticks;
}

bool load_task(struct tela_core *core, void *arg)
{
	struct load *l = *(struct load * _Atomic *)arg;
	int state;

	(void)core;
	if (!l)
		return false;
	state = atomic_load_explicit(&l->state, memory_order_acquire);
	if (state == LOAD_RUN && l->open_loop) {
		issue_due(l);
	} else if (state == LOAD_RUN) {
		while (l->outstanding < l->in_flight && l->free && issue_one(l, 0))
			;
	} else if (state == LOAD_STOP && !l->outstanding) {
		if (l->open_loop && l->next_ticks < (double)l->stop_ticks)
			l->late = (uint64_t)(((double)l->stop_ticks - l->next_ticks) /
					     l->interval_ticks);
		atomic_store_explicit(&l->state, LOAD_DONE, memory_order_release);
	}
	return false; /* what the calls do is work enough for the loop to see */
}

static void set_options(struct load *l)
{
	static const struct tela_pair ask = {"stamp", ""};

	l->options = (struct tela_options){
		.deadline_us = l->deadline_us, .metadata = &ask, .n_metadata = l->stamped};
	if (l->get) {
		l->options.max_reply_bytes = l->bytes;
		l->options.flags = TELA_CALL_SEGMENTS;
	} else if (large(l) && !l->put) {
		l->options.max_reply_bytes = l->one_way ? 1 : l->bytes + 64;
	}
}

void load_start(struct load *l)
{
	fill(l->data, 0, l->bytes);
	next_data(l);
	l->free = NULL;
	l->outstanding = 0;
	l->failed = l->wrong = l->torn = l->resent_calls = l->refused = l->held_back = 0;
	l->last_code = 0;
	l->until_sample = 0;
	l->next_ticks = 0;
	l->late = 0;
	l->open_loop = l->per_second > 0;
	l->interval_ticks = l->open_loop ? 1e9 / l->per_second / l->ns_per_tick : 0;
	l->plain = !l->put && !l->get && !l->slow_65536 && !large(l);
	set_options(l);
	l->last_message[0] = 0;
	hist_init(&l->hist);
	atomic_store(&l->done, 0);
	atomic_store(&l->measured, 0);
	atomic_store(&l->measure, false);
	for (uint32_t i = l->in_flight; i-- > 0;) {
		l->calls[i].load = l;
		l->calls[i].next = l->free;
		l->free = &l->calls[i];
	}
	atomic_store_explicit(&l->state, LOAD_RUN, memory_order_release);
}

void load_stop(struct load *l)
{
	const struct timespec tick = {.tv_nsec = 1000000};

	l->stop_ticks = ticks();
	atomic_store_explicit(&l->state, LOAD_STOP, memory_order_release);
	while (atomic_load_explicit(&l->state, memory_order_acquire) != LOAD_DONE)
		nanosleep(&tick, NULL);
}
