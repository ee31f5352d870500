/* auth_rules.h - who may call what: for each method a list of subjects, a rule each, each rule one
 * bit.
 *
 * Context:   checked once, then read by any thread.
 * Ownership: all texts are those of the configuration.
 */
#pragma once

#include <string.h>

#include "base.h"
#include "tela_config.h"

enum { AUTH_RULES_MAX = 63 };

/* Not a rule: a word of rules that has been computed. */
#define AUTH_RULES_COMPUTED (1ull << 63)

struct auth_rules {
	const struct tela_map *allow; /* of lists of texts, at most AUTH_RULES_MAX */
};

static inline bool auth_is_word(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";

	return !strcmp(s, "*") || (*s && strspn(s, letters) == strlen(s));
}

static inline const struct tela_list *auth_subjects(const struct auth_rules *r, uint32_t rule)
{
	return (const struct tela_list *)r->allow->at + rule;
}

static inline const char *auth_subject(const struct tela_list *subjects, uint32_t i)
{
	return ((const char *const *)subjects->at)[i];
}

/* The first one that is neither a name nor *; NULL: there is none. */
static inline const char *auth_rules_set(struct auth_rules *r, const struct tela_map *allow)
{
	r->allow = allow;
	for (uint32_t i = 0; i < allow->n; i++) {
		const struct tela_list *subjects = auth_subjects(r, i);

		if (!auth_is_word(allow->keys[i]))
			return allow->keys[i];
		for (uint32_t k = 0; k < subjects->n; k++)
			if (!auth_is_word(auth_subject(subjects, k)))
				return auth_subject(subjects, k);
	}
	return NULL;
}

static inline uint64_t auth_rules_of_method(const struct auth_rules *r, const char *method)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->allow->n; i++)
		if (!strcmp(r->allow->keys[i], "*") || !strcmp(r->allow->keys[i], method))
			bits |= 1ull << i;
	return bits;
}

static inline bool auth_rule_has(const struct auth_rules *r, uint32_t rule, const char *subject)
{
	const struct tela_list *subjects = auth_subjects(r, rule);

	for (uint32_t i = 0; i < subjects->n; i++)
		if (!strcmp(auth_subject(subjects, i), subject))
			return true;
	return false;
}

/* "anonymous" has no token, so a token of that name proves nothing by it. */
static inline uint64_t auth_rules_of_subject(const struct auth_rules *r, const char *subject)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->allow->n; i++)
		if (auth_rule_has(r, i, "*") || auth_rule_has(r, i, "anonymous") ||
			auth_rule_has(r, i, subject))
			bits |= 1ull << i;
	return bits;
}

static inline uint64_t auth_rules_of_anonymous(const struct auth_rules *r)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->allow->n; i++)
		if (auth_rule_has(r, i, "anonymous"))
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
