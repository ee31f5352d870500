/* trace.c - what happened: always as a hash, with --verbose as text too. Nothing that differs
 * between two runs of one seed (an address, the time of day) goes in. */
#include "sim.h"

static void mix(struct sim *sim, uint64_t v)
{
	sim->hash = rng_mix(sim->hash ^ v) + 0x9e3779b97f4a7c15ull;
}

void trace_bytes(struct sim *sim, const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t word;

	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, 8);
		mix(sim, word);
	}
	word = len;
	memcpy(&word, at, len);
	mix(sim, word);
}

static bool shown(const struct sim *sim, int64_t call)
{
	return sim->o.verbose && (sim->o.follow < 0 || call < 0 || sim->o.follow == call);
}

void trace(struct sim *sim, const char *what, uint32_t node, int64_t call, uint64_t a, uint64_t b)
{
	sim->n_traced++;
	mix(sim, sim->now_ns);
	trace_bytes(sim, what, strlen(what));
	mix(sim, node);
	mix(sim, (uint64_t)call);
	mix(sim, a);
	mix(sim, b);
	if (!shown(sim, call))
		return;
	printf("%14.3f node %u: ", (double)sim->now_ns / 1000, node);
	if (call >= 0)
		printf("call %lld ", (long long)call);
	printf("%s %llu %llu\n", what, (unsigned long long)a, (unsigned long long)b);
}

static const char *kind_name(uint8_t kind)
{
	static const char *const name[256] = {[frame_Kind_hello] = "hello",
		[frame_Kind_cookie] = "cookie",
		[frame_Kind_accept] = "accept",
		[frame_Kind_refuse] = "refuse",
		[frame_Kind_request] = "request",
		[frame_Kind_response] = "response",
		[frame_Kind_in_progress] = "in_progress",
		[frame_Kind_acknowledge] = "acknowledge",
		[frame_Kind_gap] = "gap",
		[frame_Kind_credit] = "credit",
		[frame_Kind_cancel] = "cancel",
		[frame_Kind_release] = "release",
		[frame_Kind_bind] = "bind",
		[frame_Kind_rebind] = "rebind",
		[frame_Kind_ping] = "ping",
		[frame_Kind_pong] = "pong",
		[frame_Kind_go_away] = "go_away"};

	return name[kind] ? name[kind] : "?";
}

static void print_packets(const struct frame *f)
{
	uint32_t at = f->len > WIRE_DATAGRAM ? f->bytes[2] : f->len;

	while (at + WIRE_PACKET <= f->len) {
		frame_Packet h = frame_Packet_load(f->bytes + at);

		if (h.length < WIRE_PACKET || at + h.length > f->len)
			break;
		printf(" %s", kind_name(h.kind));
		if (h.kind < frame_Kind_hello || h.kind > frame_Kind_refuse)
			printf("(%u.%u#%u f%u of %u%s)", h.session, h.slot, h.call, h.fragment,
				h.body_length, h.flags & frame_PacketFlag_resent ? " resent" : "");
		at += ALIGN8((uint32_t)h.length);
	}
}

void trace_frame(struct sim *sim, const char *what, const struct frame *f)
{
	sim->n_traced++;
	mix(sim, sim->now_ns);
	trace_bytes(sim, what, strlen(what));
	mix(sim, (uint64_t)f->from << 32 | f->to);
	trace_bytes(sim, f->bytes, f->len);
	if (!sim->o.verbose || sim->o.follow >= 0)
		return;
	printf("%14.3f %u>%u %s %u:", (double)sim->now_ns / 1000, f->from, f->to, what, f->len);
	if (f->len >= WIRE_DATAGRAM) {
		frame_Datagram d = frame_Datagram_load(f->bytes);

		printf(" [%08x %u]", d.connection, d.number_low);
	}
	print_packets(f);
	printf("\n");
}
