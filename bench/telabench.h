/* telabench.h - what the parts of telabench share. */
#pragma once

#include "admin_client.h"
#include "figures.h"
#include "load.h"
#include "storm.h"
#include "swap_cost.h"
#include "words.h"

#include "bytes_rpc.h"
#include "calculator_rpc.h"
#include "echo_rpc.h"
#include "kv_rpc.h"

struct options {
	const char *config, *peer, *admin, *words, *yardsticks;
	uint32_t in_flight, sessions, bytes, rounds, swaps, pairs;
	double seconds, rate,
		slow; /* rate: of an open loop, 0: closed; slow: percent of the calls */
	uint32_t slow_us;
	unsigned put, get; /* methods of bytes.Bytes, 0: echo */
	bool json, demo, overload, one_way, both;
};

struct bench {
	const struct options *options;
	FILE *out; /* for people */
	struct tela_node *node;
	struct tela_client *echo, *echo_one, *kv, *calculator, *bytes;
	struct tela_thread *thread;
	struct admin_client *admin, *storm_admin;
	struct load *load;
	struct load *_Atomic load_now; /* what the task works on, NULL: nothing */
	uint8_t *load_data;
	struct load_generation *load_generation;
	struct words words;
	struct words *_Atomic words_now;
	struct storm storm;
	struct swap_cost swap_cost;
	struct yardsticks yardsticks;
	struct figure figure[FIGURES_MAX];
	uint32_t n_figures;
	uint32_t n_failed_checks;
	uint64_t executed_twice;
};

bool telabench_interrupted(void);

/* Serves echo to the peer, from before the node starts. 0, or -1 with `err`. */
int both_serve(struct bench *b, char *err, size_t err_len);
/* Until the peer has called nothing for half a second, at most 10 s. */
void both_wait(struct bench *b);

/* Waits until the peer answers a call. 0 or -ETIMEDOUT. */
int wait_for_peer(struct bench *b, double seconds);
/* Load as `f` says it, from here on (after a while to warm up) and to its end, with the checks that
 * every run makes. */
void load_on(struct bench *b, struct figure *f, struct tela_client *client, bool stamped);
void load_off(struct bench *b, struct figure *f);
/* One round of load, added to `f`. `storm`: with the chain being changed. */
void measure(
	struct bench *b, struct figure *f, struct tela_client *client, bool stamped, bool storm);
struct figure *figure_add(
	struct bench *b, const char *key, const char *name, uint32_t in_flight, uint32_t sessions);
void check(struct bench *b, bool held, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Prints the table, or the object. */
void show(struct bench *b);

int run_once(struct bench *b);
int demo(struct bench *b);
int overload(struct bench *b);
