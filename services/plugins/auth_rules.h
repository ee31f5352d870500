/* auth_rules.h - who may call what: "METHOD:SUBJECT,SUBJECT;METHOD:...", each rule one bit.
 *
 * Context: parsed once, then read by any thread.
 */
#pragma once

#include <string.h>

#include "base.h"
#include "tela.h"

enum { AUTH_RULES_MAX = 63, AUTH_RULES_BYTES = 2048 };

/* Not a rule: a word of rules that has been computed. */
#define AUTH_RULES_COMPUTED (1ull << 63)

struct auth_rule {
	const char *method, *subjects; /* in `text`; subjects end with a second zero */
};

struct auth_rules {
	uint32_t n;
	struct auth_rule rule[AUTH_RULES_MAX];
	char text[AUTH_RULES_BYTES];
};

static inline bool auth_is_word(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";

	return !strcmp(s, "*") || (*s && strspn(s, letters) == strlen(s));
}

/* Cuts one rule in place. */
static inline int auth_rule_parse(struct auth_rules *r, char *text, char *why, size_t why_len)
{
	struct auth_rule *rule = &r->rule[r->n];
	char *colon = strchr(text, ':'), *at;

	if (!colon || r->n == AUTH_RULES_MAX)
		goto bad;
	*colon = 0;
	rule->method = text;
	rule->subjects = at = colon + 1;
	if (!auth_is_word(text))
		goto bad;
	for (char *comma; at; at = comma) {
		comma = strchr(at, ',');
		if (comma)
			*comma++ = 0;
		if (!auth_is_word(at))
			goto bad;
	}
	r->n++;
	return 0;
bad:
	snprintf(why, why_len,
		r->n == AUTH_RULES_MAX ? "expected at most 63 rules"
				       : "expected METHOD:SUBJECT,SUBJECT, found it wrong in rule "
					 "%u, at \"%.40s\"",
		r->n + 1, text);
	return -EINVAL;
}

/* 0, or -EINVAL with what is wrong. */
static inline int auth_rules_parse(
	struct auth_rules *r, const char *text, char *why, size_t why_len)
{
	char *at = r->text;
	int rc = 0;

	memset(r, 0, sizeof(*r));
	/* Two zeros end a list of subjects. */
	for (const char *from = text; *from; from++) {
		if (at >= r->text + sizeof(r->text) - 3) {
			snprintf(why, why_len, "longer than %d bytes", AUTH_RULES_BYTES - 3);
			return -EINVAL;
		}
		if (*from == ';')
			at += 2;
		else
			*at++ = *from;
	}
	for (char *rule = r->text, *next; rule < at && !rc; rule = next) {
		next = rule + strlen(rule) + 2; /* before it is cut */
		rc = auth_rule_parse(r, rule, why, why_len);
	}
	if (!rc && !r->n) {
		snprintf(why, why_len, "expected METHOD:SUBJECT, found nothing");
		rc = -EINVAL;
	}
	return rc;
}

static inline uint64_t auth_rules_of_method(const struct auth_rules *r, const char *method)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->n; i++)
		if (!strcmp(r->rule[i].method, "*") || !strcmp(r->rule[i].method, method))
			bits |= 1ull << i;
	return bits;
}

static inline bool auth_rule_has(const struct auth_rule *r, const char *subject)
{
	for (const char *s = r->subjects; *s; s += strlen(s) + 1)
		if (!strcmp(s, subject))
			return true;
	return false;
}

/* "anonymous" has no token, so a token of that name proves nothing by it. */
static inline uint64_t auth_rules_of_subject(const struct auth_rules *r, const char *subject)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->n; i++)
		if (auth_rule_has(&r->rule[i], "*") || auth_rule_has(&r->rule[i], "anonymous") ||
			auth_rule_has(&r->rule[i], subject))
			bits |= 1ull << i;
	return bits;
}

static inline uint64_t auth_rules_of_anonymous(const struct auth_rules *r)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->n; i++)
		if (auth_rule_has(&r->rule[i], "anonymous"))
			bits |= 1ull << i;
	return bits;
}

/* The token behind "Bearer ". */
static inline struct tela_str auth_without(struct tela_str s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s.s && s.len >= n && !memcmp(s.s, prefix, n))
		return (struct tela_str){s.s + n, s.len - n};
	return s;
}
