/* auth_token.h - a token as RFC 7519 has it (JWT), signed with HMAC-SHA256 under a shared secret.
 *
 * Taken: header {"alg":"HS256"}, claims `sub` (who) and `exp` (until when), both required, and
 * `nbf`. Everything else in it is ignored. The signature is checked before a claim is read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUTH_TOKEN_MAX = 900, AUTH_SUBJECT_MAX = 63, AUTH_SECRET_MIN = 16, AUTH_SECRET_MAX = 1024 };

struct auth_claims {
	char subject[AUTH_SUBJECT_MAX + 1];
	int64_t expires_s; /* Unix time */
};

/* NULL: `*ret` is filled; else the name of a status: "token_invalid" or "token_expired". */
const char *auth_token_verify(const char *token, size_t len, const uint8_t *secret,
	size_t secret_len, int64_t now_s, struct auth_claims *ret);
