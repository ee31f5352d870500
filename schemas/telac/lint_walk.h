/* lint_walk.h - what the parts of lint share while it runs.
 *
 * Types are compared in pairs: those of one full name, and those that stand in each other's place
 * (request of one method, field of one id), whatever they are called. A pair is compared once.
 */
#pragma once

#include "lint.h"

struct pair {
	size_t older, newer;
	struct pair *next; /* of the same older one */
};

struct pairs {
	struct pair **of; /* by older one */
	struct pair **all;
	size_t n, room;
};

/* What a line is about. */
struct about {
	const char *kind, *name, *part; /* part: NULL, or of `name` */
	const struct object *object;    /* whose methods are named; of which schema: */
	const struct enumeration *enumeration;
	bool of_older;
};

struct lint_walk {
	struct lint *lint;
	const struct schema *older, *newer;
	struct pairs objects, enums;
	const char *stands_for; /* older name of what is being compared, if it differs */
};

void lint_breaks(struct lint_walk *w, const struct about *a, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(3)));
void lint_allows(struct lint_walk *w, const struct about *a, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(3)));

void lint_meet_objects(struct lint_walk *w, const struct object *o, const struct object *n);
void lint_meet_enums(struct lint_walk *w, const struct enumeration *o, const struct enumeration *n);
/* By full name; NULL: none. */
const struct object *lint_object(const struct schema *s, const char *name);
const struct enumeration *lint_enum(const struct schema *s, const char *name);
/* The enum or union of a type, NULL if it has none. */
const struct enumeration *lint_enum_of(const struct schema *s, const struct type *t);

void lint_objects(struct lint_walk *w, const struct object *o, const struct object *n);
void lint_enums(struct lint_walk *w, const struct enumeration *o, const struct enumeration *n);
void lint_services(struct lint_walk *w);
