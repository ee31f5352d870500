/* lint.c - what is compared with what, and which methods a change reaches. */
#include "lint_walk.h"
#include "hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

void lint_add(struct lint *l, const struct lint_line *line)
{
	if (l->n_lines == l->room) {
		struct lint_line *lines = schema_alloc(l->newer, 2 * l->room + 16, sizeof(*lines));

		if (l->n_lines)
			memcpy(lines, l->lines, l->n_lines * sizeof(*lines));
		l->lines = lines;
		l->room = 2 * l->room + 16;
	}
	l->lines[l->n_lines++] = *line;
	l->breaking = l->breaking || line->breaking;
}

static __attribute__((nonnull(4))) void say(
	struct lint_walk *w, const struct about *a, bool breaking, const char *format, va_list args)
{
	struct schema *s = w->lint->newer;
	struct lint_line line = {.breaking = breaking,
		.kind = a->kind,
		.name = a->part ? schema_format(s, "%s.%s", a->name, a->part) : a->name,
		.object = a->object,
		.enumeration = a->enumeration,
		.of_older = a->of_older};
	char *text;
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	text = schema_alloc(s, (size_t)n + 1, 1);
	vsnprintf(text, (size_t)n + 1, format, args);
	line.text = w->stands_for ? schema_format(s, "%s (%s stands where %s did)", text, a->name,
					    w->stands_for)
				  : text;
	lint_add(w->lint, &line);
}

void lint_breaks(struct lint_walk *w, const struct about *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(w, a, true, format, args);
	va_end(args);
}

void lint_allows(struct lint_walk *w, const struct about *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(w, a, false, format, args);
	va_end(args);
}

/* ---- pairs ---- */

static void meet(struct schema *s, struct pairs *p, size_t older, size_t newer)
{
	struct pair *pair;

	for (pair = p->of[older]; pair; pair = pair->next) {
		if (pair->newer == newer)
			return;
	}
	pair = schema_alloc(s, 1, sizeof(*pair));
	*pair = (struct pair){older, newer, p->of[older]};
	p->of[older] = pair;
	if (p->n == p->room) {
		struct pair **all = schema_alloc(s, 2 * p->room + 16, sizeof(struct pair *));

		if (p->n)
			memcpy(all, p->all, p->n * sizeof(struct pair *));
		p->all = all;
		p->room = 2 * p->room + 16;
	}
	p->all[p->n++] = pair;
}

void lint_meet_objects(struct lint_walk *w, const struct object *o, const struct object *n)
{
	meet(w->lint->newer, &w->objects, (size_t)(o - w->older->objects),
		(size_t)(n - w->newer->objects));
}

void lint_meet_enums(struct lint_walk *w, const struct enumeration *o, const struct enumeration *n)
{
	meet(w->lint->newer, &w->enums, (size_t)(o - w->older->enums),
		(size_t)(n - w->newer->enums));
}

const struct object *lint_object(const struct schema *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n_objects; i++) {
		if (!strcmp(s->objects[i].name, name))
			return &s->objects[i];
	}
	return NULL;
}

const struct enumeration *lint_enum(const struct schema *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n_enums; i++) {
		if (!strcmp(s->enums[i].name, name))
			return &s->enums[i];
	}
	return NULL;
}

const struct enumeration *lint_enum_of(const struct schema *s, const struct type *t)
{
	const struct enumeration *e = type_enum(s, t);

	return e ? e : type_union(s, t);
}

/* ---- which methods carry what ---- */

struct reach {
	bool *objects, *enums;
	const struct object **queue;
	size_t n;
};

static void reach_object(struct reach *r, const struct schema *s, const struct object *o)
{
	const size_t i = (size_t)(o - s->objects);

	if (!r->objects[i])
		r->queue[r->n++] = o;
	r->objects[i] = true;
}

static void reach_type(struct reach *r, const struct schema *s, const struct type *t)
{
	const struct object *o = type_object(s, t);
	const struct enumeration *e = lint_enum_of(s, t);
	size_t i;

	if (o)
		reach_object(r, s, o);
	if (!e || r->enums[e - s->enums])
		return;
	r->enums[e - s->enums] = true;
	for (i = 0; i < e->n_values; i++) {
		o = type_object(s, &e->values[i].type);
		if (o)
			reach_object(r, s, o);
	}
}

/* Adds `m` to the lines about what it carries. */
static void carry(
	struct lint_walk *w, struct schema *s, const struct service *v, const struct method *m)
{
	struct reach r = {schema_alloc(s, s->n_objects + 1, 1), schema_alloc(s, s->n_enums + 1, 1),
		schema_alloc(s, s->n_objects + 1, sizeof(*r.queue)), 0};
	const char *name = schema_format(s, "%s.%s", v->name, m->name);
	size_t i, k;

	reach_object(&r, s, m->request);
	reach_object(&r, s, m->response);
	for (i = 0; i < r.n; i++) { /* grows meanwhile */
		for (k = 0; k < r.queue[i]->n_fields; k++)
			reach_type(&r, s, &r.queue[i]->fields[k].type);
	}
	for (i = 0; i < w->lint->n_lines; i++) {
		struct lint_line *line = &w->lint->lines[i];

		if (line->of_older != (s == w->older))
			continue;
		if ((line->object && r.objects[line->object - s->objects]) ||
			(line->enumeration && r.enums[line->enumeration - s->enums])) {
			const char **methods =
				schema_alloc(s, line->n_methods + 1, sizeof(*methods));

			if (line->n_methods)
				memcpy(methods, line->methods, line->n_methods * sizeof(*methods));
			methods[line->n_methods++] = name;
			line->methods = methods;
		}
	}
}

static void carry_all(struct lint_walk *w, struct schema *s)
{
	size_t i, k;

	for (i = 0; i < s->n_services; i++) {
		for (k = 0; k < s->services[i].n_methods; k++)
			carry(w, s, &s->services[i], &s->services[i].methods[k]);
	}
}

/* A service breaks with what is said of it, its methods, and the types that these carry. */
static void judge(struct lint *l, struct lint_service *v)
{
	const size_t len = strlen(v->name);
	size_t i, k;

	for (i = 0; i < l->n_lines; i++) {
		const struct lint_line *line = &l->lines[i];

		if (!line->breaking)
			continue;
		if ((!strcmp(line->kind, "service") && !strcmp(line->name, v->name)) ||
			!strcmp(line->kind, "schema"))
			v->breaking = true;
		if (!strcmp(line->kind, "method") && !strncmp(line->name, v->name, len) &&
			line->name[len] == '.' && !strchr(line->name + len + 1, '.'))
			v->breaking = true;
		for (k = 0; k < line->n_methods; k++) {
			const char *name = line->methods[k];

			v->breaking =
				v->breaking || (!strncmp(name, v->name, len) && name[len] == '.' &&
						       !strchr(name + len + 1, '.'));
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(
		((const struct lint_service *)a)->name, ((const struct lint_service *)b)->name);
}

static void list_services(struct lint *l)
{
	struct schema *o = l->older, *n = l->newer;
	size_t i, k;

	l->services = schema_alloc(n, o->n_services + n->n_services + 1, sizeof(*l->services));
	for (i = 0; i < o->n_services; i++)
		l->services[l->n_services++] = (struct lint_service){
			o->services[i].name, hash_service(o, &o->services[i]), 0, false};
	for (i = 0; i < n->n_services; i++) {
		const uint64_t hash = hash_service(n, &n->services[i]);

		for (k = 0; k < o->n_services; k++) {
			if (!strcmp(l->services[k].name, n->services[i].name))
				break;
		}
		if (k < o->n_services)
			l->services[k].new_hash = hash;
		else
			l->services[l->n_services++] =
				(struct lint_service){n->services[i].name, 0, hash, false};
	}
	qsort(l->services, l->n_services, sizeof(*l->services), by_name);
	for (i = 0; i < l->n_services; i++)
		judge(l, &l->services[i]);
}

/* ---- the walk ---- */

static void named_alike(struct lint_walk *w)
{
	size_t i;

	for (i = 0; i < w->older->n_objects; i++) {
		const struct object *o = &w->older->objects[i], *n = lint_object(w->newer, o->name);

		if (n)
			lint_meet_objects(w, o, n);
	}
	for (i = 0; i < w->older->n_enums; i++) {
		const struct enumeration *o = &w->older->enums[i],
					 *n = lint_enum(w->newer, o->name);

		if (n)
			lint_meet_enums(w, o, n);
	}
}

static void compare_pairs(struct lint_walk *w)
{
	size_t i = 0, k = 0;

	while (i < w->objects.n || k < w->enums.n) { /* both grow meanwhile */
		if (i < w->objects.n) {
			const struct pair *p = w->objects.all[i++];

			lint_objects(w, &w->older->objects[p->older], &w->newer->objects[p->newer]);
		} else {
			const struct pair *p = w->enums.all[k++];

			lint_enums(w, &w->older->enums[p->older], &w->newer->enums[p->newer]);
		}
		w->stands_for = NULL;
	}
}

static const char *object_kind(const struct object *o)
{
	return o->is_struct ? "struct" : "table";
}

static const char *enum_kind(const struct enumeration *e)
{
	return e->is_union ? "union" : "enum";
}

/* Types that are in one schema only and stand in no other's place. */
static void comers_and_goers(struct lint_walk *w)
{
	bool *placed = schema_alloc(w->lint->newer, w->newer->n_objects + w->newer->n_enums + 1, 1);
	size_t i;

	for (i = 0; i < w->objects.n; i++)
		placed[w->objects.all[i]->newer] = true;
	for (i = 0; i < w->enums.n; i++)
		placed[w->newer->n_objects + w->enums.all[i]->newer] = true;
	for (i = 0; i < w->older->n_objects; i++) {
		const struct object *o = &w->older->objects[i];
		const struct about a = {object_kind(o), o->name, NULL, o, NULL, true};

		if (!w->objects.of[i])
			lint_allows(w, &a, "removed");
	}
	for (i = 0; i < w->older->n_enums; i++) {
		const struct enumeration *e = &w->older->enums[i];
		const struct about a = {enum_kind(e), e->name, NULL, NULL, e, true};

		if (!w->enums.of[i])
			lint_allows(w, &a, "removed");
	}
	for (i = 0; i < w->newer->n_objects; i++) {
		const struct object *o = &w->newer->objects[i];
		const struct about a = {object_kind(o), o->name, NULL, o, NULL, false};

		if (!placed[i])
			lint_allows(w, &a, "added");
	}
	for (i = 0; i < w->newer->n_enums; i++) {
		const struct enumeration *e = &w->newer->enums[i];
		const struct about a = {enum_kind(e), e->name, NULL, NULL, e, false};

		if (!placed[w->newer->n_objects + i])
			lint_allows(w, &a, "added");
	}
}

void lint_run(struct lint *ret, struct schema *older, struct schema *newer)
{
	struct lint_walk w = {.lint = ret, .older = older, .newer = newer};
	const struct about a = {"schema", newer->file, NULL, NULL, NULL, false};

	*ret = (struct lint){.older = older, .newer = newer};
	w.objects.of = schema_alloc(newer, older->n_objects + 1, sizeof(struct pair *));
	w.enums.of = schema_alloc(newer, older->n_enums + 1, sizeof(struct pair *));
	if (strcmp(older->ident, newer->ident))
		lint_breaks(&w, &a, "file_identifier was \"%s\" and is now \"%s\"", older->ident,
			newer->ident);
	lint_services(&w);
	named_alike(&w);
	compare_pairs(&w);
	comers_and_goers(&w);
	carry_all(&w, older);
	carry_all(&w, newer);
	list_services(ret);
}
