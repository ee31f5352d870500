/* conf_table.h - what a mapping of the configuration may hold: private to conf*.c. */
#pragma once

#include "conf.h"

enum conf_kind {
	CONF_STRING, /* const char * */
	CONF_U16,
	CONF_U32,
	CONF_U64,
	CONF_INT, /* int */
	CONF_BOOL,
	CONF_RATIO,  /* double in 0..1 */
	CONF_CHOICE, /* uint32_t index into `choices` */
	CONF_MAP,    /* a mapping whose fields lie at `offset` of the same struct */
	CONF_LIST,   /* a sequence of mappings: a pointer at `offset`, a uint32_t at `count` */
	CONF_FREE,   /* a mapping of keys known elsewhere: struct conf_free */
};

struct conf_field {
	const char *key;
	enum conf_kind kind;
	bool required;
	size_t offset;
	uint64_t min, max;
	const char *const *choices;
	const struct conf_field *sub; /* of MAP and LIST, ends with a NULL key */
	size_t size, count;           /* LIST: of an element; offset of the number of them */
	size_t line; /* LIST: offset in the element of the line it starts on, 0: none */
	/* Says what is wrong with a string, NULL if nothing is. */
	const char *(*check)(const char *value);
	bool unique;          /* in its list */
	const char *fallback; /* text of the default; applied by reading it */
	const char *help;
};

extern const struct conf_field conf_root[];
extern const struct conf_field conf_service_fields[];

/* Memory that lives as long as `c`, zeroed. Only while it is read: without memory that ends. */
void *conf_alloc(struct conf *c, size_t size);
char *conf_copy(struct conf *c, const char *text, size_t len);
