/* validate_check.h - what a schema and an operator ask of a request beyond what its verifier has
 * seen to, compiled into a few checks for each table that has any.
 *
 * Context: make and free on the lifecycle thread; check on any thread, without memory, in at most
 * four visits for each byte of the request.
 */
#pragma once

#include "base.h"
#include "tela.h"

struct validator;

struct validate_options {
	const char *rules; /* "TABLE.FIELD=MIN..MAX; TABLE.FIELD=required; ..." */
	bool enums, text, finite;
};

/* Why a request is refused; the names live as long as the service's schema. */
struct validate_fault {
	const char *table, *field, *why;
};

/* For the requests of `d`, whose methods without a descriptor pass. 0, -ENOMEM, or -EINVAL with
 * what is wrong with the rules. */
int validator_make(struct validator **ret, const struct tela_service_desc *d,
	const struct validate_options *o, char *why, size_t why_len);
void validator_free(struct validator *v);
/* The request is one that the method's verifier has taken. */
bool validator_check(const struct validator *v, uint16_t method, const void *request, size_t len,
	struct validate_fault *ret);
