/* emit_key.c - sorted vectors: finding an element by its key, and sorting what is built of them. */
#include "emit.h"

#include <inttypes.h>

static const char *c_key(struct emit *e, const struct field *key)
{
	return key->type.base == BASE_STRING ? "struct tela_str" : c_scalar(e, &key->type);
}

/* Statement that returns the order of x and y. */
static void out_order(struct emit *e, const struct field *key)
{
	if (key->type.base == BASE_STRING)
		out(e, "\treturn tela_fb_order_str(x, y);\n}\n\n");
	else if (base_is_real(key->type.base))
		out(e, "\treturn tela_fb_order_real(x, y);\n}\n\n");
	else
		out(e, "\treturn (x > y) - (x < y);\n}\n\n");
}

static void order_head(struct emit *e, const struct object *o)
{
	out(e, "static inline int %s_fb_order(const uint8_t *p, %s y)", o->c_name,
		c_key(e, o->key));
}

void emit_key_prototype(struct emit *e, const struct object *o)
{
	order_head(e, o);
	out(e, ";\n\n");
}

void emit_key(struct emit *e, const struct object *o)
{
	const char *c = o->c_name, *type;

	if (!o->key)
		return;
	type = c_key(e, o->key);
	out(e, "/* The order of the element at p and a key. */\n");
	order_head(e, o);
	if (o->is_struct)
		out(e, "\n{\n\tconst %s x = %s_load(p).%s;\n\n", type, c, o->key->member);
	else
		out(e, "\n{\n\tconst %s_t t = {p};\n\tconst %s x = %s_%s(t);\n\n", c, type, c,
			o->key->reader);
	out_order(e, o->key);
	out(e, "static inline int %s_fb_order_args(const void *a, const void *b)\n{\n", c);
	out(e, "\tconst %s x = ((const %s%s%s *)a)->%s;\n", type, o->is_struct ? "" : "struct ", c,
		o->is_struct ? "" : "_args", o->key->member);
	out(e, "\tconst %s y = ((const %s%s%s *)b)->%s;\n\n", type, o->is_struct ? "" : "struct ",
		c, o->is_struct ? "" : "_args", o->key->member);
	out_order(e, o->key);
	out(e, "/* Brings them into the order of `%s` that finding in a vector of them needs. */\n",
		o->key->name);
	out(e, "static inline void %s_sort(%s%s%s *v, size_t n)\n{\n", c,
		o->is_struct ? "" : "struct ", c, o->is_struct ? "" : "_args");
	out(e, "\ttela_fb_sort(v, n, sizeof(*v), %s_fb_order_args);\n}\n\n", c);
}

void emit_find(struct emit *e, const struct object *o, const struct field *f)
{
	const struct object *inner = type_object(e->s, &f->type);
	const char *type;

	if (!inner || !inner->key)
		return;
	type = c_key(e, inner->key);
	out(e,
		"/* The element with this key, by bisection: the vector must be sorted by `%s`. "
		"*/\n",
		inner->key->name);
	if (inner->is_struct)
		out(e, "static inline bool %s_%s_find(%s_t t, %s key, %s *ret)\n{\n", o->c_name,
			f->name, o->c_name, type, inner->c_name);
	else
		out(e, "static inline %s_t %s_%s_find(%s_t t, %s key)\n{\n", inner->c_name,
			o->c_name, f->name, o->c_name, type);
	out(e, "\tsize_t low = 0, high = tela_fb_length(t.p, %u);\n", slot_of(f));
	if (!inner->is_struct)
		out(e, "\t%s_t ret = {NULL};\n", inner->c_name);
	out(e, "\n\twhile (low < high) {\n\t\tconst size_t mid = low + (high - low) / 2;\n");
	out(e, "\t\tconst uint8_t *p = ");
	if (inner->is_struct)
		out(e, "tela_fb_element(t.p, %u, mid, %" PRIu32 ");\n", slot_of(f), inner->size);
	else
		out(e, "tela_fb_follow_element(t.p, %u, mid);\n", slot_of(f));
	out(e, "\t\tconst int order = %s_fb_order(p, key);\n\n\t\tif (!order) {\n", inner->c_name);
	if (inner->is_struct)
		out(e, "\t\t\t*ret = %s_load(p);\n\t\t\treturn true;\n", inner->c_name);
	else
		out(e, "\t\t\tret.p = p;\n\t\t\tbreak;\n");
	out(e, "\t\t}\n\t\tif (order < 0)\n\t\t\tlow = mid + 1;\n\t\telse\n\t\t\thigh = mid;\n");
	out(e, "\t}\n\treturn %s;\n}\n\n", inner->is_struct ? "false" : "ret");
}
