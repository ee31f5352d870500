/* pair.h - two protocol machines and the wire between them, on a virtual clock.
 *
 * The real machine with its real parts; only the world around it is made here: a seeded wire that
 * loses, repeats, delays and damages, and a clock that moves when told. One seed, one run.
 */
#pragma once

#include "image.h"
#include "machine.h"

enum { PAIR_WIRE = 4096, PAIR_DATAGRAM = 2048 };

struct pair_frame {
	uint64_t at_ns; /* arrives */
	uint32_t refs;  /* in whose hands it is */
	uint32_t len;
	uint8_t to;
	struct net_addr from;
	uint8_t bytes[PAIR_DATAGRAM];
};

/* Sent, and read when it has to be. */
struct pair_borrowed {
	void *buf;
	const void *more;
	uint32_t len, more_len;
};

struct pair_end {
	struct machine m;
	struct counts counts;
	struct pair *pair;
	uint32_t ip;
	struct tela_service *service;
	_Atomic(struct service_table *) table;
	_Atomic(struct forward_table *) forwards;
	bool forwards_none; /* of nobody */
	struct caller_session sessions[16];
	struct path *path;
	bool frozen, deaf; /* not polled; nothing reaches it */
	uint32_t burst;    /* datagrams that a pass takes at most; 0: all */
	struct pair_borrowed borrowed[64];
	uint32_t n_borrowed;
	struct pair_frame *in_hand; /* NULL: what is worked on cannot be held */
	uint32_t n_held;
	bool holds_none;
};

struct pair {
	struct pair_end end[2];
	struct pair_frame *wire[PAIR_WIRE];
	uint32_t n_wire;
	uint64_t now_ns, step_ns, delay_ns;
	uint64_t seed;
	double loss, duplicate, reorder, corrupt;
	bool shared_memory;
	bool borrows; /* machines send messages from where they stand */
	uint64_t n_borrowed;
	uint16_t mtu;
	uint64_t n_buffers;    /* handed out and not given back */
	uint64_t buffers_fail; /* 1 in n fails, 0: none */
	uint64_t sent;
};

/* end[0] calls, end[1] serves `desc` under an image made of `links`. */
void pair_init(struct pair *p, uint64_t seed, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links, const struct tela_budgets *budgets);
void pair_fini(struct pair *p);
/* Opens `n` sessions of end[0] to end[1]. */
void pair_connect(struct pair *p, const struct tela_service_desc *desc, uint32_t n);
/* One pass of both ends, the clock moved on by step_ns. */
void pair_pass(struct pair *p);
void pair_run(struct pair *p, uint64_t ns);
/* The end forgets everything, as a process that was killed and started again. */
void pair_restart(struct pair *p, int end, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links);
/* The end, which serves nothing, serves that. */
void pair_serve(struct pair *p, int end, const struct tela_service_desc *desc,
	const struct tela_image_link *links, uint32_t n_links);
uint64_t pair_random(struct pair *p);
/* A datagram as if it had come from `end`'s address. */
void pair_inject(struct pair *p, int to, const void *data, uint32_t len);
