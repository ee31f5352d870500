/* tela_config.h - what a plugin can be told: its keys, with type, range, default and help.
 *
 * A plugin declares a struct and, for each member that can be configured, a key:
 *
 *      struct options {
 *              uint32_t rate;
 *              uint64_t pause;
 *              struct tela_list methods;
 *      };
 *
 *      static const struct tela_config_key keys[] = {
 *              TELA_CONFIG(struct options, rate, .min = 1, .max = 1000000, .unit = "calls/s",
 *                      .fallback = "1000", .help = "most of one caller"),
 *              TELA_CONFIG_AS(DURATION, struct options, pause, .max = NS_PER_S,
 *                      .help = "before each; none unless given"),
 *              TELA_CONFIG(struct options, methods, .help = "those it looks at; all unless given"),
 *      };
 *
 * Whatever an operator gives is held against them before a hook of the plugin runs, without
 * starting anything in `telad --check`; the hooks find the struct filled, as h->values. What only
 * the plugin can know (that a file is there, that two keys go together) its config hook checks.
 *
 * In a configuration values are texts, as they stand in YAML or behind `key=`; a list may also be
 * written with commas between its items ("add,get"), a mapping with semicolons ("add:alice;get:*").
 * A member of a nested struct, `limits.rate`, is the key "rate" of the mapping "limits". */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tela_config_type {
	TELA_CONFIG_BOOL, /* bool: true or false */
	TELA_CONFIG_U16,  /* uint16_t; these hold a decimal integer in min..max */
	TELA_CONFIG_U32,  /* uint32_t */
	TELA_CONFIG_U64,  /* uint64_t, up to INT64_MAX */
	TELA_CONFIG_I32,  /* int32_t */
	TELA_CONFIG_I64,  /* int64_t */
	TELA_CONFIG_REAL, /* double: a finite number in min..max */
	/* uint64_t, ns: an integer with its unit, ns, us, ms, s, min or h, in min..max ns; or 0 */
	TELA_CONFIG_DURATION,
	TELA_CONFIG_TEXT, /* const char *: min..max bytes, at least one */
	TELA_CONFIG_WORD, /* uint32_t: index of one of `words` */
	TELA_CONFIG_LIST, /* struct tela_list: min..max items */
	TELA_CONFIG_MAP,  /* struct tela_map: min..max entries, with keys that the operator chooses
			   */
};

/* `at` is an array of what `of` says, of const char * by default. */
struct tela_list {
	uint32_t n;
	const void *at;
};

/* keys[i] has the i-th value of the array `at`. */
struct tela_map {
	uint32_t n;
	const char *const *keys;
	const void *at;
};

/* One key. `min` and `max` both 0: whatever fits the member (a list or mapping: up to 1024). */
struct tela_config_key {
	const char *name;         /* letters, digits, '_' and '-'; nested ones joined with dots */
	const char *help;         /* one line */
	const char *fallback;     /* its text; NULL: the member stays 0 where nothing is given */
	const char *unit;         /* of a number, for people */
	const char *const *words; /* of WORD, NULL-terminated */
	const struct tela_config_key *of; /* of LIST and MAP: each value; no list of lists */
	int64_t min, max;
	enum tela_config_type type;
	uint32_t offset;   /* in the plugin's struct */
	bool required;     /* by the operator: a default makes no sense */
	bool power_of_two; /* of an integer */
};

#ifndef __cplusplus
/* The type that the member's own says. */
#define TELA_CONFIG_TYPE_OF(options, member)                                                       \
	_Generic(((options *)0)->member, bool                                                      \
		 : TELA_CONFIG_BOOL, uint16_t                                                      \
		 : TELA_CONFIG_U16, uint32_t                                                       \
		 : TELA_CONFIG_U32, uint64_t                                                       \
		 : TELA_CONFIG_U64, int32_t                                                        \
		 : TELA_CONFIG_I32, int64_t                                                        \
		 : TELA_CONFIG_I64, double                                                         \
		 : TELA_CONFIG_REAL, const char *                                                  \
		 : TELA_CONFIG_TEXT, struct tela_list                                              \
		 : TELA_CONFIG_LIST, struct tela_map                                               \
		 : TELA_CONFIG_MAP)

#define TELA_CONFIG(options, member, ...)                                                          \
	{                                                                                          \
		.name = #member, .type = TELA_CONFIG_TYPE_OF(options, member),                     \
		.offset = offsetof(options, member), __VA_ARGS__                                   \
	}
#endif

/* A WORD or a DURATION, which no C type says. */
#define TELA_CONFIG_AS(kind, options, member, ...)                                                 \
	{                                                                                          \
		.name = #member, .type = TELA_CONFIG_##kind, .offset = offsetof(options, member),  \
		__VA_ARGS__                                                                        \
	}

/* Configuration of an instance as it was given: a flat list of key and value strings, sorted by
 * key, nested keys joined with dots ("limits.rate"). Immutable. */
struct tela_plugin_config {
	uint32_t n;
	const struct tela_pair *pairs;
};

/* Value of `key` as it was given, or `fallback`. [any] */
const char *tela_config_str(
	const struct tela_plugin_config *c, const char *key, const char *fallback);

#ifdef __cplusplus
}
#endif
