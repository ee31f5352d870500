/* names.c - dots become underscores, words of C and C++ get an underscore behind them, and so does
 * a field whose reader would have the name of something else that its table gets.
 *
 * All names that a header defines are collected and sorted; two of a kind are refused, for the C
 * compiler would only say so about code that nobody wrote.
 */
#include "names.h"

#include <stdlib.h>
#include <string.h>

/* What the writers of code have room for. */
enum { NAME_MAX_C = 240 };

struct names {
	struct schema *s;
	struct name {
		const char *c, *full;
	} * at;
	size_t n, room;
};

static bool is_word(const char *name)
{
	static const char *const words[] = {"alignas", "alignof", "and", "and_eq", "asm", "auto",
		"bitand", "bitor", "bool", "break", "case", "catch", "char", "char16_t", "char32_t",
		"class", "compl", "concept", "const", "const_cast", "consteval", "constexpr",
		"constinit", "continue", "co_await", "co_return", "co_yield", "decltype", "default",
		"delete", "do", "double", "dynamic_cast", "else", "enum", "errno", "explicit",
		"export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
		"int", "linux", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq",
		"nullptr", "operator", "or", "or_eq", "private", "protected", "public", "register",
		"reinterpret_cast", "requires", "restrict", "return", "short", "signed", "sizeof",
		"static", "static_assert", "static_cast", "struct", "switch", "template", "this",
		"thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "typeof",
		"union", "unix", "unsigned", "using", "virtual", "void", "volatile", "wchar_t",
		"while", "xor", "xor_eq"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!strcmp(words[i], name))
			return true;
	}
	return false;
}

/* What a table's own functions and types end in. */
static bool is_taken(const char *name)
{
	static const char *const taken[] = {"t", "args", "root", "verify", "size", "build",
		"root_prefixed", "verify_prefixed", "size_prefixed", "build_prefixed", "IDENTIFIER",
		"sort", "fb_shape", "fb_full", "fb_verify", "fb_measure", "fb_put", "fb_desc",
		"ARGS_INIT", "DESC"};
	size_t i;

	for (i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
		if (!strcmp(taken[i], name))
			return true;
	}
	return false;
}

static char *flat(struct schema *s, const char *full)
{
	char *c = schema_format(s, "%s", full), *p;

	for (p = c; *p; p++) {
		if (*p == '.')
			*p = '_';
	}
	return c;
}

static void add(struct names *n, const char *full, const char *c_name, const char *tail)
{
	struct name *at;

	if (n->n == n->room) {
		at = schema_alloc(n->s, 2 * n->room + 64, sizeof(*at));
		if (n->n)
			memcpy(at, n->at, n->n * sizeof(*at));
		n->at = at;
		n->room = 2 * n->room + 64;
	}
	at = &n->at[n->n++];
	at->full = full;
	at->c = schema_format(n->s, "%s%s%s", c_name, *tail ? "_" : "", tail);
}

static void name_enum(struct names *n, struct enumeration *e)
{
	size_t i;

	e->c_name = flat(n->s, e->name);
	add(n, e->name, e->c_name, "");
	add(n, e->name, e->c_name, "name");
	if (e->is_union)
		add(n, e->name, e->c_name, "args");
	for (i = 0; i < e->n_values; i++) {
		struct enum_value *v = &e->values[i];
		const bool taken = is_word(v->name) || !strcmp(v->name, "type");

		v->member = schema_format(n->s, "%s%s", v->name, taken ? "_" : "");
		add(n, e->name, e->c_name, v->name);
	}
}

static void name_struct(struct names *n, struct object *o)
{
	size_t i;

	o->c_name = flat(n->s, o->name);
	add(n, o->name, o->c_name, "");
	add(n, o->name, o->c_name, "load");
	add(n, o->name, o->c_name, "store");
	add(n, o->name, o->c_name, "SIZE");
	if (o->key)
		add(n, o->name, o->c_name, "sort");
	for (i = 0; i < o->n_fields; i++) {
		struct field *f = &o->fields[i];

		f->member = schema_format(n->s, "%s%s", f->name, is_word(f->name) ? "_" : "");
	}
}

static void name_union_readers(struct names *n, const struct object *o, const struct field *f)
{
	const struct enumeration *u = type_union(n->s, &f->type);
	const char *full = schema_format(n->s, "%s.%s", o->name, f->name);
	const char *at = f->type.base == BASE_VECTOR ? "_at" : "";
	size_t i;

	add(n, full, o->c_name, schema_format(n->s, "%s_type%s", f->name, at));
	if (*at)
		add(n, full, o->c_name, schema_format(n->s, "%s_len", f->name));
	for (i = 0; i < u->n_values; i++)
		add(n, full, o->c_name,
			schema_format(n->s, "%s_as_%s%s", f->name, u->values[i].name, at));
}

static void name_table(struct names *n, struct object *o)
{
	static const char *const own[] = {"t", "args", "root", "verify", "size", "build",
		"root_prefixed", "verify_prefixed", "size_prefixed", "build_prefixed", "ARGS_INIT",
		"DESC"};
	size_t i;

	o->c_name = flat(n->s, o->name);
	for (i = 0; i < sizeof(own) / sizeof(*own); i++)
		add(n, o->name, o->c_name, own[i]);
	if (o->key)
		add(n, o->name, o->c_name, "sort");
	if (schema_identifier(n->s, o)) {
		add(n, o->name, o->c_name, "IDENTIFIER");
		add(n, o->name, o->c_name, "has_identifier");
	}
	for (i = 0; i < o->n_fields; i++) {
		struct field *f = &o->fields[i];
		const char *full = schema_format(n->s, "%s.%s", o->name, f->name);

		f->c_ref = schema_format(n->s, "ref%u_%s", f->id, f->name);
		if (field_is_hidden(f))
			continue;
		f->member = schema_format(n->s, "%s%s", f->name, is_word(f->name) ? "_" : "");
		f->reader = schema_format(n->s, "%s%s", f->name, is_taken(f->name) ? "_" : "");
		add(n, full, o->c_name, schema_format(n->s, "has_%s", f->name));
		if (type_union(n->s, &f->type)) {
			name_union_readers(n, o, f);
			continue;
		}
		if (field_kind(n->s, f) < KIND_SCALARS) {
			add(n, full, o->c_name, f->reader);
			if (f->nested)
				add(n, full, o->c_name, schema_format(n->s, "%s_root", f->name));
			continue;
		}
		add(n, full, o->c_name, schema_format(n->s, "%s_len", f->name));
		add(n, full, o->c_name, schema_format(n->s, "%s_at", f->name));
		if (type_object(n->s, &f->type) && type_object(n->s, &f->type)->key)
			add(n, full, o->c_name, schema_format(n->s, "%s_find", f->name));
	}
}

static void name_service(struct names *n, struct service *v)
{
	static const char *const tails[] = {
		"ID", "request", "reply", "call", "result", "wait", "send", "send_wait"};
	size_t i, k;

	v->c_name = flat(n->s, v->name);
	add(n, v->name, v->c_name, "methods");
	add(n, v->name, v->c_name, "service");
	add(n, v->name, v->c_name, "server");
	add(n, v->name, v->c_name, "server_method");
	add(n, v->name, v->c_name, "SCHEMA_HASH");
	for (i = 0; i < v->n_methods; i++) {
		struct method *m = &v->methods[i];
		const char *full = schema_format(n->s, "%s.%s", v->name, m->name);

		m->member = schema_format(n->s, "%s%s", m->name, is_word(m->name) ? "_" : "");
		for (k = 0; k < sizeof(tails) / sizeof(*tails); k++)
			add(n, full, v->c_name, schema_format(n->s, "%s_%s", m->name, tails[k]));
	}
}

static int by_c_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->c, ((const struct name *)b)->c);
}

/* "values" beside "values_len", as members of the arguments. */
static const char *check_members(struct names *n, const struct object *o, const char **ret_name)
{
	size_t i, k;

	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];

		if (o->is_struct || field_is_hidden(f) || field_kind(n->s, f) < KIND_SCALARS)
			continue;
		for (k = 0; k < o->n_fields; k++) {
			if (field_is_hidden(&o->fields[k]) ||
				strcmp(o->fields[k].member,
					schema_format(n->s, "%s_len", f->member)))
				continue;
			*ret_name = schema_format(n->s, "%s.%s", o->name, o->fields[k].name);
			return schema_format(
				n->s, "the length of `%s` has this name in C", f->name);
		}
	}
	return NULL;
}

const char *names_assign(struct schema *s, const char **ret_name)
{
	struct names n = {.s = s};
	const char *why = NULL;
	size_t i;

	for (i = 0; i < s->n_enums; i++)
		name_enum(&n, &s->enums[i]);
	for (i = 0; i < s->n_objects; i++)
		(s->objects[i].is_struct ? name_struct : name_table)(&n, &s->objects[i]);
	for (i = 0; i < s->n_services; i++)
		name_service(&n, &s->services[i]);
	if (n.n)
		qsort(n.at, n.n, sizeof(*n.at), by_c_name);
	for (i = 0; i < n.n; i++) {
		if (strlen(n.at[i].c) <= NAME_MAX_C)
			continue;
		*ret_name = n.at[i].full;
		return schema_format(
			s, "a name in C would be longer than %d characters", NAME_MAX_C);
	}
	for (i = 1; i < n.n; i++) {
		if (strcmp(n.at[i - 1].c, n.at[i].c))
			continue;
		*ret_name = n.at[i].full;
		return schema_format(
			s, "the C name %s is that of %s too", n.at[i].c, n.at[i - 1].full);
	}
	for (i = 0; i < s->n_objects && !why; i++)
		why = check_members(&n, &s->objects[i], ret_name);
	return why;
}
