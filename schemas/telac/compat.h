/* compat.h - the record beside a schema: which versions lint found compatible.
 *
 *   # NAME.compat; comments stay with the line that follows
 *   kv.Kv 0x0123456789abcdef 0xfedcba9876543210  # 2026-11-20
 *
 * Each line is a fact that no later change makes wrong: service, hash of the newer version, hash of
 * the older one. What is compatible with a version is all that is reached from it, line by line.
 */
#pragma once

#include "schema.h"

struct compat_line {
	const char *service, *above, *note; /* above: whole comment lines; note: "" or "# ..." */
	uint64_t newer, older;
	unsigned line; /* 0: not from the file */
};

struct compat {
	struct schema *memory; /* everything lives in it */
	const char *path, *head, *tail;
	struct compat_line *at;
	size_t n;
	size_t n_added; /* since it was read */
};

/* The record beside a schema: dir/NAME.compat of dir/NAME.fbs. */
const char *compat_path(struct schema *memory, const char *schema);
/* 0, also for a file that is not there (*ret_exists tells); -errno, or -EBADMSG with the reason,
 * file and line in it, printed. */
int compat_read(struct compat *ret, struct schema *memory, const char *path, bool *ret_exists);
/* Nothing if the line is there already. -ENOSPC, printed: the record is full. */
int compat_add(struct compat *c, const struct compat_line *line);
/* Adds the lines of `from` that are reached from `hash`. The same errors. */
int compat_add_reached(
	struct compat *c, const struct compat *from, const char *service, uint64_t hash);
/* Sorted, in place of the old file at once. 0, or -errno, printed. */
int compat_write(const struct compat *c);
/* Gives each service of the schema, whose hash is known, its compatible earlier ones. 0, or
 * -EBADMSG, printed: a line is about a service that is not in the schema, or no line knows the
 * version that the schema has now. */
int compat_assign(const struct compat *c, struct schema *s);
