/* words.h - the kv service filled with a word list through typed calls, and read back byte for
 * byte. */
#pragma once

#include "tela_node.h"

#include <stdatomic.h>

struct words {
	/* set up */
	struct tela_client *client;
	const char *path;
	/* the list */
	char *text;
	size_t text_len;
	uint32_t n;
	struct word {
		const char *at;
		uint32_t len;
	} * word;
	/* shared: 0 idle, 1 put, 2 get */
	_Atomic int phase;
	_Atomic uint32_t ended;
	/* the core's */
	uint32_t next, in_flight;
	uint32_t put, read_back, wrong, failed, retried;
	uint32_t again[1024], n_again;
	char last_error[80];
};

/* 0 or -errno. */
int words_load(struct words *w);
void words_free(struct words *w);
/* Task of the core that calls; `arg` is a struct words **. */
bool words_task(struct tela_core *core, void *arg);
