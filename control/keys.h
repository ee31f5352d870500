/* keys.h - a plugin's configuration, read by the keys that it declares (tela_config.h).
 *
 * A configuration is a flat list of texts. A list that was written as one (in YAML or JSON) is the
 * text of its items, each behind a KEYS_ITEM, which no other value may hold; so a list is never
 * taken for a text, nor the other way round.
 *
 * Nothing that is made here points into the plugin: it may outlive the object.
 *
 * Context: any thread, while the plugin is loaded. */
#pragma once

#include "../dataplane/tela_plugin.h"

enum { KEYS_ITEM = 0x1f, KEYS_ITEMS_MAX = 1024 };

/* What is wrong at `path`, such as "rate" or "methods[1]"; `pair` of the configuration is to blame,
 * UINT32_MAX: something is missing. */
typedef void (*keys_report_fn)(void *arg, uint32_t pair, const char *path, const char *what);

/* The declaration itself is sane, and its defaults are what it says. 0, or -EINVAL with `err`. */
int keys_check(const struct tela_plugin *p, char *err, size_t err_len);
/* Reads `c` into *ret, a block to free(): the plugin's struct, defaults filled in, and behind it
 * what it points to; NULL if it has no keys. 0; -EINVAL: each mistake was reported; -ENOMEM. */
int keys_read(const struct tela_plugin *p, const struct tela_plugin_config *c, void **ret,
	keys_report_fn report, void *arg);
/* The one that `name` belongs to: its own, or the mapping that it is an entry of; NULL: none. */
const struct tela_config_key *keys_find(const struct tela_plugin *p, const char *name);
/* It, or a mapping that it is the name of: it may be taken out. */
bool keys_know(const struct tela_plugin *p, const char *name);
/* For people: "1..4096 calls/s", "a list of texts". */
void keys_expect(const struct tela_config_key *k, char *to, size_t size);
/* A list, each item of which follows. */
bool keys_is_list(const char *value);

/* ---- keys_value.c: one value ---- */

/* Memory behind the struct: what is taken lies in one block whose size was reckoned before. */
struct keys_build {
	char *block;
	size_t used, room;
	keys_report_fn report;
	void *arg;
	uint32_t pair;
	uint32_t n_errors;
	char path[320];
};

/* Upper bound of what a value takes. */
size_t keys_room(const char *key, const char *value);
void *keys_take(struct keys_build *b, size_t size, size_t align);
const char *keys_text(struct keys_build *b, const char *s, size_t len);
void keys_complain(struct keys_build *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* "expected ..., found ...": what `k` says, and the value. */
void keys_unexpected(
	struct keys_build *b, const struct tela_config_key *k, const char *value, size_t len);
/* Reads `value` as `k` says to `to`; a mistake is reported at the path. */
void keys_put(struct keys_build *b, const struct tela_config_key *k, const char *value, size_t len,
	void *to);
/* The next part between separators, without blanks around it; false: there is none. */
bool keys_next(const char **at, const char *end, char separator, const char **ret, size_t *ret_len);
/* How many parts there are. */
uint32_t keys_count(const char *value, size_t len, char separator);
/* Whether a list or mapping may have so many; reports it. */
bool keys_may_have(struct keys_build *b, const struct tela_config_key *k, uint32_t n);
/* What each of a list or mapping is. */
const struct tela_config_key *keys_of(const struct tela_config_key *k);
size_t keys_size(enum tela_config_type type);
/* Of a number: what it says, or what its type holds. */
void keys_range(const struct tela_config_key *k, int64_t *ret_min, int64_t *ret_max);
