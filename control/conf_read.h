/* conf_read.h - one reading of a configuration: private to conf*.c. */
#pragma once

#include "conf_table.h"

#include <yaml.h>

/* The document, where we are in it, and how many errors it had. */
struct reader {
	struct conf *conf;
	yaml_document_t *doc;
	conf_report_fn report;
	void *arg;
	uint32_t n_errors;
	const char *folder; /* that relative paths start from; NULL: as they are */
	char path[256];     /* "ports[0].mtu" */
};

/* Reports one error at the path that is being read. */
void conf_complain(struct reader *r, size_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "`what`, found 'abc'". */
void conf_expected(struct reader *r, const yaml_node_t *n, const char *what);
/* What stands there, to show in an error: a scalar in quotes, the kind of anything else. */
const char *conf_found(const yaml_node_t *n, char *text, size_t size);
size_t conf_line(const yaml_node_t *n);
/* The path grows by a key, or by an index if `key` is NULL, while its value is read; returns its
 * length before. */
size_t conf_enter(struct reader *r, const char *key, int index);

/* Text of a scalar; NULL if it holds a zero byte. */
const char *conf_text(const yaml_node_t *n);
/* Stores `s` as the kind of `f` at `to`, or says in `why` what was expected. */
bool conf_store(struct reader *r, const struct conf_field *f, void *to, const char *s, char *why,
	size_t size);
void conf_read_free(struct reader *r, const yaml_node_t *n, struct conf_free *to);
void conf_read_map(
	struct reader *r, const yaml_node_t *n, const struct conf_field *fields, char *base);
