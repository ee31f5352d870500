/* share.c - see share.h. Objects and then enums are numbered; from those that have a shared part
 * themselves we go backwards along what refers to them.
 */
#include "share.h"

struct graph {
	struct schema *s;
	size_t n;
	size_t *starts; /* of the referrers of each number, in `from` */
	uint32_t *from;
	bool counting;
};

static bool *flag_of(struct schema *s, size_t i)
{
	return i < s->n_objects ? &s->objects[i].shares : &s->enums[i - s->n_objects].shares;
}

static void refer(struct graph *g, size_t from, const struct type *t)
{
	const struct object *o = type_object(g->s, t);
	const struct enumeration *u = type_union(g->s, t);
	size_t to;

	if (!o && !u)
		return;
	to = o ? (size_t)(o - g->s->objects) : g->s->n_objects + (size_t)(u - g->s->enums);
	if (g->counting)
		g->starts[to + 1]++;
	else
		g->from[--g->starts[to + 1]] = (uint32_t)from;
}

static void all_references(struct graph *g)
{
	const struct schema *s = g->s;
	size_t i, k;

	for (i = 0; i < s->n_objects; i++) {
		for (k = 0; k < s->objects[i].n_fields; k++) {
			if (!s->objects[i].fields[k].deprecated)
				refer(g, i, &s->objects[i].fields[k].type);
		}
	}
	for (i = 0; i < s->n_enums; i++) {
		for (k = 0; k < s->enums[i].n_values && s->enums[i].is_union; k++)
			refer(g, s->n_objects + i, &s->enums[i].values[k].type);
	}
}

static bool has_shared_part(const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		if (o->fields[i].shared && !o->fields[i].deprecated)
			return true;
	}
	return o->shared_vtable;
}

void share_find(struct schema *s)
{
	struct graph g = {s, s->n_objects + s->n_enums, NULL, NULL, true};
	uint32_t *queue = schema_alloc(s, g.n + 1, sizeof(*queue));
	size_t i, k, n = 0, edges;

	g.starts = schema_alloc(s, g.n + 2, sizeof(*g.starts));
	all_references(&g);
	for (i = 1; i <= g.n; i++)
		g.starts[i] += g.starts[i - 1];
	edges = g.starts[g.n];
	g.starts[g.n + 1] = edges;
	g.from = schema_alloc(s, edges + 1, sizeof(*g.from));
	g.counting = false;
	all_references(&g); /* leaves in starts[i + 1] where those of i begin */
	for (i = 0; i < s->n_objects; i++) {
		if (has_shared_part(&s->objects[i])) {
			s->objects[i].shares = true;
			queue[n++] = (uint32_t)i;
		}
	}
	for (i = 0; i < n; i++) { /* grows meanwhile */
		const size_t at = queue[i];
		const size_t end = at + 1 < g.n ? g.starts[at + 2] : edges;

		for (k = g.starts[at + 1]; k < end; k++) {
			bool *flag = flag_of(s, g.from[k]);

			if (!*flag)
				queue[n++] = g.from[k];
			*flag = true;
		}
	}
}
