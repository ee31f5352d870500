/* auth_token.c - see auth_token.h. */
#include "auth_token.h"

#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { MAC_BYTES = 32, PART_MAX = AUTH_TOKEN_MAX };

static const char invalid[] = "token_invalid";

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Base64url without padding; bytes, or -1. */
static int decode(const char *from, size_t len, uint8_t *to, size_t room)
{
	uint32_t bits = 0, n_bits = 0;
	size_t n = 0;

	if (len % 4 == 1)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int d = digit_of(from[i]);

		if (d < 0)
			return -1;
		bits = bits << 6 | (uint32_t)d;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		if (n == room)
			return -1;
		to[n++] = (uint8_t)(bits >> n_bits);
	}
	return bits & ((1u << n_bits) - 1) ? -1 : (int)n; /* one way to write each */
}

static json_t *object_of(const char *from, size_t len)
{
	uint8_t text[PART_MAX];
	int n = decode(from, len, text, sizeof(text));
	json_t *o = n < 0 ? NULL
			  : json_loadb((const char *)text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);

	if (o && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

static bool header_is_ours(const char *from, size_t len)
{
	json_t *o = object_of(from, len);
	const char *alg = json_string_value(json_object_get(o, "alg"));
	bool is = alg && !strcmp(alg, "HS256") && !json_object_get(o, "crit");

	json_decref(o);
	return is;
}

static bool signature_holds(const char *signed_part, size_t len, const char *mac, size_t mac_len,
	const uint8_t *secret, size_t secret_len)
{
	uint8_t theirs[MAC_BYTES], ours[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	return decode(mac, mac_len, theirs, sizeof(theirs)) == MAC_BYTES &&
	       HMAC(EVP_sha256(), secret, (int)secret_len, (const uint8_t *)signed_part, len, ours,
		       &n) &&
	       n == MAC_BYTES && !CRYPTO_memcmp(ours, theirs, MAC_BYTES);
}

/* Letters that stand in a rule and in a log without being taken for something else. */
static bool is_subject(const char *s)
{
	size_t n = strlen(s);

	return n && n <= AUTH_SUBJECT_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-") == n;
}

static const char *claims_of(const char *from, size_t len, int64_t now_s, struct auth_claims *ret)
{
	json_t *o = object_of(from, len);
	const json_t *exp = json_object_get(o, "exp"), *nbf = json_object_get(o, "nbf");
	const char *sub = json_string_value(json_object_get(o, "sub")), *why = NULL;

	if (!sub || !is_subject(sub) || !json_is_number(exp) || (nbf && !json_is_number(nbf)))
		why = invalid;
	else if (json_number_value(exp) <= (double)now_s)
		why = "token_expired";
	else if (nbf && json_number_value(nbf) > (double)now_s)
		why = invalid;
	if (!why) {
		double until = json_number_value(exp);

		memcpy(ret->subject, sub, strlen(sub) + 1);
		/* The first second that it does not hold for. */
		ret->expires_s = until > 1e15 ? (int64_t)1e15 : (int64_t)until;
		ret->expires_s += (double)ret->expires_s < until && until < 1e15;
	}
	json_decref(o);
	return why;
}

const char *auth_token_verify(const char *token, size_t len, const uint8_t *secret,
	size_t secret_len, int64_t now_s, struct auth_claims *ret)
{
	const char *claims, *mac;

	if (len > AUTH_TOKEN_MAX || !(claims = memchr(token, '.', len)))
		return invalid;
	claims++;
	mac = memchr(claims, '.', len - (size_t)(claims - token));
	if (!mac)
		return invalid;
	mac++;
	if (!signature_holds(token, (size_t)(mac - 1 - token), mac, len - (size_t)(mac - token),
		    secret, secret_len) ||
		!header_is_ours(token, (size_t)(claims - 1 - token)))
		return invalid;
	return claims_of(claims, (size_t)(mac - 1 - claims), now_s, ret);
}
