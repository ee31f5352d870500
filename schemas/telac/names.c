/* names.c - dots become underscores, words of C and C++ get an underscore behind them, and so does
 * a field whose reader would have the name of something else that its table gets.
 *
 * All names that a header defines are collected and sorted; two of a kind are refused, and so are
 * those that C, C++ or tela_fb.h have, for the C compiler would only say so about code that nobody
 * wrote. Members are collected with the type's name and MEMBER before them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrorname_np() */
#endif
#include "names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER "~" /* behind all that names have */

/* What the writers of code have room for. */
enum { NAME_MAX_C = 240 };

struct names {
	struct schema *s;
	struct name {
		const char *c, *full;
	} * at;
	size_t n, room;
};

static bool is_among(const char *name, const char *const *list)
{
	for (; *list; list++) {
		if (!strcmp(*list, name))
			return true;
	}
	return false;
}

/* As a macro of stdint.h or limits.h, a compiler's own name, or the padding of our structs. */
static bool is_macro(const char *name)
{
	static const char *const tails[] = {"_MAX", "_MIN", "_C", "_WIDTH", NULL};
	const char *p, *tail = strrchr(name, '_');

	if (!strncmp(name, "__", 2))
		return true;
	if (!strncmp(name, "padding", 7) && !strcmp(name + 7 + strspn(name + 7, "0123456789"), "_"))
		return true;
	for (p = name; *p; p++) {
		if (islower((unsigned char)*p))
			return false;
	}
	return tail && is_among(tail, tails);
}

static bool is_errno(const char *name)
{
	const char *known;
	int i;

	for (i = 1; name[0] == 'E' && i < 200; i++) {
		known = strerrorname_np(i);
		if (known && !strcmp(known, name))
			return true;
	}
	return false;
}

/* No member can have such a name. */
static bool is_word(const char *name)
{
	static const char *const words[] = {"alignas", "alignof", "and", "and_eq", "asm", "auto",
		"bitand", "bitor", "bool", "break", "case", "catch", "char", "char16_t", "char32_t",
		"char8_t", "class", "compl", "concept", "const", "const_cast", "consteval",
		"constexpr", "constinit", "continue", "co_await", "co_return", "co_yield",
		"decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
		"errno", "explicit", "export", "extern", "false", "float", "for", "friend", "goto",
		"i386", "if", "inline", "int", "linux", "long", "mutable", "namespace", "new",
		"noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private",
		"protected", "public", "register", "reinterpret_cast", "requires", "restrict",
		"return", "short", "signed", "sizeof", "static", "static_assert", "static_cast",
		"stderr", "stdin", "stdout", "struct", "switch", "template", "this", "thread_local",
		"throw", "true", "try", "typedef", "typeid", "typename", "typeof", "union", "unix",
		"unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor",
		"xor_eq", "_Alignas", "_Alignof", "_Atomic", "_Bool", "_Complex", "_Generic",
		"_Imaginary", "_Noreturn", "_Static_assert", "_Thread_local", "EDEADLOCK",
		"ENOTSUP", "EOF", "EWOULDBLOCK", "NULL", NULL};

	return is_among(name, words) || is_macro(name) || is_errno(name);
}

/* No type can: what the headers have that ours include. */
static bool is_reserved(const char *name)
{
	static const char *const words[] = {"bcmp", "bcopy", "bzero", "error_t", "explicit_bzero",
		"ffs", "ffsl", "ffsll", "index", "int16_t", "int32_t", "int64_t", "int8_t",
		"intmax_t", "intptr_t", "locale_t", "main", "max_align_t", "memccpy", "memchr",
		"memcmp", "memcpy", "memfrob", "memmem", "memmove", "mempcpy", "memrchr", "memset",
		"nullptr_t", "off_t", "pid_t", "ptrdiff_t", "rawmemchr", "rindex", "size_t",
		"ssize_t", "std", "stpcpy", "stpncpy", "strcasecmp", "strcasestr", "strcat",
		"strchr", "strchrnul", "strcmp", "strcoll", "strcpy", "strcspn", "strdup",
		"strerror", "strfry", "strlen", "strncasecmp", "strncat", "strncmp", "strncpy",
		"strndup", "strnlen", "strpbrk", "strrchr", "strsep", "strsignal", "strspn",
		"strstr", "strtok", "strverscmp", "strxfrm", "tela_bytes", "tela_str", "time_t",
		"uint16_t", "uint32_t", "uint64_t", "uint8_t", "uintmax_t", "uintptr_t", NULL};
	/* parts that follow: of a family of types, as int_fast8_t, and ours */
	static const char *const starts[] = {
		"int_fast", "int_least", "uint_fast", "uint_least", "tela_fb_", "TELA_FB_", NULL};
	const char *const *start;

	for (start = starts; *start; start++) {
		if (!strncmp(name, *start, strlen(*start)))
			return true;
	}
	return is_word(name) || is_among(name, words);
}

/* What a table's own functions and types end in. */
static bool is_taken(const char *name)
{
	static const char *const taken[] = {"t", "args", "root", "verify", "size", "build",
		"root_prefixed", "verify_prefixed", "size_prefixed", "build_prefixed", "IDENTIFIER",
		"sort", "fb_shape", "fb_full", "fb_verify", "fb_verify_whole", "fb_measure",
		"fb_put", "fb_vtable", "fb_desc", "fb_order", "fb_order_args", "ARGS_INIT", "DESC",
		NULL};

	return is_among(name, taken);
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

static void add_all(struct names *n, const char *full, const char *c_name, const char *const *tails)
{
	for (; *tails; tails++)
		add(n, full, c_name, *tails);
}

/* The member of a struct in C, of a type's name and `tail`. */
static char *add_member(
	struct names *n, const char *full, const char *c_name, const char *tail, const char *name)
{
	char *member = schema_format(n->s, "%s%s", name, is_word(name) ? "_" : "");

	add(n, full, schema_format(n->s, "%s%s" MEMBER "%s", c_name, tail, member), "");
	return member;
}

static void name_enum(struct names *n, struct enumeration *e)
{
	static const char *const unions[] = {"args", "fb_verify", "fb_measure", "fb_put", NULL};
	size_t i;

	e->c_name = flat(n->s, e->name);
	add(n, e->name, e->c_name, "");
	add(n, e->name, e->c_name, "name");
	if (e->is_union)
		add_all(n, e->name, e->c_name, unions);
	for (i = 0; i < e->n_values; i++) {
		struct enum_value *v = &e->values[i];
		const char *full = schema_format(n->s, "%s.%s", e->name, v->name);
		const bool type = !strcmp(v->name, "type");

		if (e->is_union)
			v->member =
				add_member(n, full, e->c_name, "_args", type ? "type_" : v->name);
		add(n, full, e->c_name, v->name);
	}
}

static void name_key(struct names *n, const struct object *o)
{
	static const char *const own[] = {"sort", "fb_order", "fb_order_args", NULL};

	if (o->key)
		add_all(n, o->name, o->c_name, own);
}

static void name_struct(struct names *n, struct object *o)
{
	static const char *const own[] = {
		"", "load", "store", "SIZE", "fb_scrub", "fb_put_vector", "fb_desc", NULL};
	size_t i;

	o->c_name = flat(n->s, o->name);
	add_all(n, o->name, o->c_name, own);
	name_key(n, o);
	for (i = 0; i < o->n_fields; i++) {
		struct field *f = &o->fields[i];
		const char *full = schema_format(n->s, "%s.%s", o->name, f->name);

		f->member = add_member(n, full, o->c_name, "", f->name);
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

static void name_field(struct names *n, const struct object *o, struct field *f)
{
	const char *full = schema_format(n->s, "%s.%s", o->name, f->name);
	const bool many = field_kind(n->s, f) >= KIND_SCALARS;

	f->c_ref = schema_format(n->s, "ref%u_%s", f->id, f->name);
	if (field_is_hidden(f))
		return;
	f->member = add_member(n, full, o->c_name, "_args", f->name);
	if (many)
		add_member(n, full, o->c_name, "_args", schema_format(n->s, "%s_len", f->member));
	f->reader = schema_format(n->s, "%s%s", f->name, is_taken(f->name) ? "_" : "");
	add(n, full, o->c_name, schema_format(n->s, "has_%s", f->name));
	if (type_union(n->s, &f->type)) {
		name_union_readers(n, o, f);
		return;
	}
	if (!many) {
		add(n, full, o->c_name, f->reader);
		if (f->nested)
			add(n, full, o->c_name, schema_format(n->s, "%s_root", f->name));
		return;
	}
	add(n, full, o->c_name, schema_format(n->s, "%s_len", f->name));
	add(n, full, o->c_name, schema_format(n->s, "%s_at", f->name));
	if (type_object(n->s, &f->type) && type_object(n->s, &f->type)->key)
		add(n, full, o->c_name, schema_format(n->s, "%s_find", f->name));
}

static void name_table(struct names *n, struct object *o)
{
	static const char *const own[] = {"t", "args", "root", "verify", "size", "build",
		"root_prefixed", "verify_prefixed", "size_prefixed", "build_prefixed", "ARGS_INIT",
		"DESC", "fb_shape", "fb_full", "fb_verify", "fb_verify_whole", "fb_measure",
		"fb_put", "fb_vtable", "fb_desc", NULL};
	static const char *const identified[] = {"IDENTIFIER", "has_identifier", NULL};
	size_t i;

	o->c_name = flat(n->s, o->name);
	add_all(n, o->name, o->c_name, own);
	name_key(n, o);
	if (schema_identifier(n->s, o))
		add_all(n, o->name, o->c_name, identified);
	for (i = 0; i < o->n_fields; i++)
		name_field(n, o, &o->fields[i]);
}

static void name_service(struct names *n, struct service *v)
{
	static const char *const own[] = {"methods", "service", "server", "server_method",
		"SCHEMA_HASH", "compatible", "BFBS", "bfbs", NULL};
	static const char *const tails[] = {"ID", "request", "reply", "call", "result", "wait",
		"send", "send_wait", "attributes", NULL};
	size_t i, k;

	v->c_name = flat(n->s, v->name);
	add_all(n, v->name, v->c_name, own);
	for (i = 0; i < v->n_methods; i++) {
		struct method *m = &v->methods[i];
		const char *full = schema_format(n->s, "%s.%s", v->name, m->name);

		m->member = add_member(n, full, v->c_name, "_server", m->name);
		for (k = 0; tails[k]; k++)
			add(n, full, v->c_name, schema_format(n->s, "%s_%s", m->name, tails[k]));
		if (m->request_bytes)
			add(n, full, v->c_name, schema_format(n->s, "%s_lend", m->name));
		if (m->response_bytes)
			add(n, full, v->c_name, schema_format(n->s, "%s_reply_lend", m->name));
	}
}

static int by_c_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->c, ((const struct name *)b)->c);
}

const char *names_assign(struct schema *s, const char **ret_name)
{
	struct names n = {.s = s};
	const char *member;
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
		*ret_name = n.at[i].full;
		if (strlen(n.at[i].c) > NAME_MAX_C)
			return schema_format(
				s, "a name in C would be longer than %d characters", NAME_MAX_C);
		if (is_reserved(n.at[i].c))
			return schema_format(s,
				"the C name %s belongs to C, C++ or tela_fb.h; a namespace helps",
				n.at[i].c);
	}
	for (i = 1; i < n.n; i++) {
		if (strcmp(n.at[i - 1].c, n.at[i].c))
			continue;
		member = strstr(n.at[i].c, MEMBER);
		*ret_name = n.at[i].full;
		return schema_format(s, "the C name %s is that of %s too",
			member ? member + 1 : n.at[i].c, n.at[i - 1].full);
	}
	return NULL;
}
