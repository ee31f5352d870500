/* lint_services.c - two versions of the services of a schema. */
#include "lint_walk.h"

#include <string.h>

static struct about about_method(const struct service *v, const struct method *m)
{
	return (struct about){"method", v->name, m->name, NULL, NULL, false};
}

static const struct method *method_named(const struct service *v, const char *name)
{
	size_t i;

	for (i = 0; i < v->n_methods; i++) {
		if (!strcmp(v->methods[i].name, name))
			return &v->methods[i];
	}
	return NULL;
}

static const struct method *method_of(const struct service *v, uint16_t id)
{
	size_t i;

	for (i = 0; i < v->n_methods; i++) {
		if (v->methods[i].id == id)
			return &v->methods[i];
	}
	return NULL;
}

static const char *streaming(const struct method *m)
{
	const char *s = attribute_find(&m->attributes, "streaming");

	return s ? s : "none";
}

static const char *kind_name(bool bytes)
{
	return bytes ? "bytes" : "a table";
}

/* What a method takes or gives. Another type is no harm where it is what the first could have
 * become: the pair is compared as any two versions are. */
static void compare_message(struct lint_walk *w, const struct about *a, const char *which,
	const struct object *o, const struct object *n)
{
	lint_meet_objects(w, o, n);
	if (strcmp(o->name, n->name) &&
		(lint_object(w->newer, o->name) || lint_object(w->older, n->name)))
		lint_allows(w, a, "%s was %s and is now %s: as good as what is said of the two",
			which, o->name, n->name);
}

static void compare_method(struct lint_walk *w, const struct service *v, const struct method *o,
	const struct method *n)
{
	const struct about a = about_method(v, n);

	if (strcmp(streaming(o), streaming(n)))
		lint_breaks(w, &a, "streaming was %s and is now %s", streaming(o), streaming(n));
	if (o->request_bytes != n->request_bytes)
		lint_breaks(w, &a, "request was %s and is now %s", kind_name(o->request_bytes),
			kind_name(n->request_bytes));
	if (o->response_bytes != n->response_bytes)
		lint_breaks(w, &a, "response was %s and is now %s", kind_name(o->response_bytes),
			kind_name(n->response_bytes));
	if (o->idempotent && !n->idempotent)
		lint_breaks(w, &a,
			"no longer idempotent: callers of the old side let it run twice for one "
			"call");
	else if (n->idempotent && !o->idempotent)
		lint_allows(w, &a,
			"now idempotent: it may run twice for one call, on nodes of the old side "
			"too");
	if (o->deadline_us != n->deadline_us)
		lint_allows(w, &a, "default deadline was %u us and is now %u us (0: the node's)",
			o->deadline_us, n->deadline_us);
	compare_message(w, &a, "request", o->request, n->request);
	compare_message(w, &a, "response", o->response, n->response);
}

static void compare_service(struct lint_walk *w, const struct service *o, const struct service *n)
{
	size_t i;

	for (i = 0; i < n->n_methods; i++) {
		const struct method *m = &n->methods[i], *named = method_named(o, m->name),
				    *held = method_of(o, m->id);
		const struct about a = about_method(n, m);

		if (named && named->id == m->id)
			compare_method(w, n, named, m);
		else if (held)
			lint_breaks(w, &a,
				"method_id %u was that of %s: an id is never given to another "
				"method, and a rename cannot be told from that",
				m->id, held->name);
		else if (named)
			lint_breaks(w, &a,
				"method_id was %u and is now %u: the other side does not "
				"know it by that",
				named->id, m->id);
		else
			lint_allows(w, &a, "added with method_id %u: UNIMPLEMENTED on the old side",
				m->id);
	}
	for (i = 0; i < o->n_methods; i++) {
		const struct method *m = &o->methods[i];
		const struct about a = about_method(o, m);

		if (!method_named(n, m->name) && !method_of(n, m->id))
			lint_breaks(w, &a,
				"removed: UNIMPLEMENTED to callers of the old side, and method_id "
				"%u could come back as something else",
				m->id);
	}
}

void lint_services(struct lint_walk *w)
{
	const struct schema *o = w->older, *n = w->newer;
	size_t i, k;

	for (i = 0; i < o->n_services; i++) {
		const struct about a = {"service", o->services[i].name, NULL, NULL, NULL, true};

		for (k = 0; k < n->n_services; k++) {
			if (!strcmp(o->services[i].name, n->services[k].name))
				break;
		}
		if (k < n->n_services)
			compare_service(w, &o->services[i], &n->services[k]);
		else
			lint_breaks(w, &a,
				"removed, or renamed: callers of the old side ask for it by this "
				"name");
	}
	for (i = 0; i < n->n_services; i++) {
		const struct about a = {"service", n->services[i].name, NULL, NULL, NULL, false};

		for (k = 0; k < o->n_services; k++) {
			if (!strcmp(o->services[k].name, n->services[i].name))
				break;
		}
		if (k == o->n_services)
			lint_allows(w, &a, "added");
	}
}
