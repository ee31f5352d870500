/* counted.h - a service between two machines that counts how often each call of it ran, and calls
 * to it that keep what they ended with. */
#pragma once

#include "pair.h"

enum { IDS = 1 << 16, COUNTED_METHODS = 6, COUNTED_LINKS = 5 };

/* By the id in a request's first 8 bytes. */
extern uint8_t executions[IDS];
extern struct tela_handle parked[64]; /* of method 2, in order of arrival */
extern uint32_t n_parked, n_left;
extern uint64_t ran_until_ns; /* deadline of the call that ran last, as its handler sees it */

/* echo, park (behind it echo), refuse, absent (no link answers), marked (a leave hook adds
 * metadata), and one that the service does not have. */
extern const struct tela_method_desc methods[COUNTED_METHODS];
/* As served; an earlier version of it; one that is neither; a service that is not there. */
extern const struct tela_service_desc desc, older, stranger, nobody;
extern const struct tela_image_link image_links[COUNTED_LINKS];

struct outcome {
	bool done;
	uint8_t code, outcome;
	uint32_t times;
	bool own_bytes, left;
	uint64_t id;
	size_t len;
	char message[64], name[32]; /* of the status */
	uint32_t retry_after_us;
};

/* The bytes of a request: its id, then what follows from it. */
void fill(uint8_t *to, uint64_t id, size_t len);
/* Completion of a call whose outcome is `arg`. */
void done(void *arg, const struct tela_result *r);
/* 0, or as caller_begin() has it. `method` counts from 1. */
int start(struct pair *p, uint32_t session, unsigned method, uint64_t id, size_t len,
	struct outcome *o, const struct tela_options *options);
/* Runs both ends until the call has ended. */
struct outcome call(struct pair *p, unsigned method, uint64_t id, size_t len,
	const struct tela_options *options);
struct pair *pair_new(uint64_t seed, uint32_t sessions);
/* Both ends hold nothing but what they were made with. */
void assert_quiet(struct pair *p);
