/* lint.h - may nodes that have one version of a schema talk to nodes that have another?
 *
 * The relation is made to be transitive, so that a version found compatible stays so with every
 * later one that lint passes: what goes for good (a field, a method, a value) could come back as
 * something else, and is therefore breaking. It fails wherever `flatc --conform` does on the same
 * binary schemas, and where flatc does not look: methods, structs, required, key, identifier.
 */
#pragma once

#include "schema.h"

struct lint_line {
	bool breaking;
	const char *kind, *name; /* "field", "kv.Key.key" */
	const char *text;        /* what changed, and what that means */
	const char **methods;    /* those that carry it, by full name */
	size_t n_methods;
	/* The type whose methods these are, and whether it is of the older schema. */
	const struct object *object;
	const struct enumeration *enumeration;
	bool of_older;
};

struct lint_service {
	const char *name;
	uint64_t old_hash, new_hash; /* 0: not there */
	bool breaking;
};

struct lint {
	struct schema *older, *newer; /* both checked by check_services(); lines live in `newer` */
	struct lint_line *lines;
	size_t n_lines, room;
	struct lint_service *services; /* of both, by name */
	size_t n_services;
	bool breaking;
};

/* Compares. Everything in `ret` lives as long as both schemas. */
void lint_run(struct lint *ret, struct schema *older, struct schema *newer);

/* One more thing found, elsewhere. */
void lint_add(struct lint *l, const struct lint_line *line);

/* For people, and as JSON; `old_path` and `new_path` as they were named. */
void lint_print(const struct lint *l, const char *old_path, const char *new_path);
void lint_print_json(const struct lint *l, const char *old_path, const char *new_path);

/* `telac lint`; argv[0] is "lint". The exit status: 0 compatible, 1 breaking, 2 could not tell. */
int lint_main(int argc, char **argv);
