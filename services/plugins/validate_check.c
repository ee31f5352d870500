#include "validate_check.h"

#include "tela_fb_print.h" /* what a descriptor says */

#include <ctype.h>
#include <stdarg.h>

enum { RULES_MAX = 256, DOUBLES_MAX = 7, PARTS_MAX = 4096, WORD_MAX = 128 };

/* What is asked of a field, or of each of its elements. */
enum {
	NEEDED = 1,
	LENGTH = 2, /* of a string or vector */
	RANGE = 4,
	KNOWN = 8, /* an enum's */
	FLAGS = 16,
	TEXT = 32,
	FINITE = 64,
	BELOW = 128, /* a table, struct or union has checks of its own */
};

struct part;

struct check {
	uint16_t at, asks;
	uint8_t unit, form;
	bool is_struct, one_double;
	uint16_t length; /* of an array */
	uint32_t size;   /* of an element */
	int64_t min, max, flags;
	double least, most;
	uint64_t shortest, longest;
	const struct tela_fb_desc *desc;
	const struct tela_fb_desc_type *known;
	const struct part *below;
	const struct part **member; /* of a union, as its values stand; NULL: nothing to check */
	const char *name;
};

/* A table or struct. */
struct part {
	/* Of a table of which nothing is asked but that these doubles are finite: as many, and
	 * where the vtable says where they are. 0: of any other. */
	uint16_t n_doubles, doubles[DOUBLES_MAX];
	const struct tela_fb_desc *desc;
	const struct tela_fb_desc_type *type;
	const char *name;
	struct check *check; /* those that ask something */
	uint32_t n;
	bool asks; /* it, or what is below it */
};

struct rule {
	char table[WORD_MAX], field[WORD_MAX], value[WORD_MAX];
	bool used;
};

struct validator {
	uint32_t max_method, n_parts, n_rules;
	struct part *part;
	const struct part **by_method; /* NULL: nothing to check */
	struct rule *rule;
	struct validate_options options;
};

/* ---- rules ---- */

__attribute__((format(printf, 3, 4))) static int bad(
	char *why, size_t why_len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_len, format, args);
	va_end(args);
	return -EINVAL;
}

/* The word from `s` on, without blanks around it. */
static bool word(const char *s, size_t n, char to[WORD_MAX])
{
	while (n && isspace((unsigned char)*s))
		s++, n--;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	if (!n || n >= WORD_MAX)
		return false;
	memcpy(to, s, n);
	to[n] = 0;
	return true;
}

static int read_rule(struct rule *r, const char *s, size_t n, char *why, size_t why_len)
{
	const char *equals = memchr(s, '=', n), *dot = NULL;
	char whole[WORD_MAX] = "";

	for (const char *c = s; equals && c < equals; c++)
		dot = *c == '.' ? c : dot;
	if (!dot || !word(s, (size_t)(dot - s), r->table) ||
		!word(dot + 1, (size_t)(equals - dot - 1), r->field) ||
		!word(equals + 1, n - (size_t)(equals + 1 - s), r->value)) {
		word(s, n, whole);
		return bad(why, why_len,
			"expected TABLE.FIELD=MIN..MAX or TABLE.FIELD=required, found \"%.60s\"",
			whole);
	}
	return 0;
}

static int read_rules(struct validator *v, const char *s, char *why, size_t why_len)
{
	int rc = 0;

	for (; !rc && *s; s += *s == ';') {
		size_t n = strcspn(s, ";");
		char any[WORD_MAX];

		if (n >= WORD_MAX || word(s, n, any)) {
			if (v->n_rules == RULES_MAX)
				return bad(why, why_len, "expected at most %d rules", RULES_MAX);
			rc = read_rule(&v->rule[v->n_rules++], s, n, why, why_len);
		}
		s += n;
	}
	return rc;
}

/* "kv.Item" or "Item" for kv.Item. */
static bool is_named(const char *full, const char *name)
{
	const char *last = strrchr(full, '.');

	return !strcmp(full, name) || (last && !strcmp(last + 1, name));
}

static bool is_real(const struct check *c)
{
	return c->unit == TELA_FB_FLOAT || c->unit == TELA_FB_DOUBLE;
}

static bool has_length(const struct check *c)
{
	return c->form == TELA_FB_VECTOR || c->unit == TELA_FB_STRING;
}

/* A bound as the field has it; *end moves behind it. */
static void bound(const char *s, char **end, const struct check *c, int64_t *n, double *real,
	uint64_t *length)
{
	if (has_length(c))
		*length = strtoull(s, end, 10);
	else if (is_real(c))
		*real = strtod(s, end);
	else
		*n = c->unit == TELA_FB_ULONG ? (int64_t)strtoull(s, end, 10) : strtoll(s, end, 10);
}

static int apply(struct check *c, struct rule *r, char *why, size_t why_len)
{
	char *dots = strstr(r->value, ".."), *end = r->value, text[WORD_MAX];

	if (!strcmp(r->value, "required")) {
		c->asks |= NEEDED;
		return 0;
	}
	if (!has_length(c) && (c->unit > TELA_FB_DOUBLE || c->form != TELA_FB_ONE))
		return bad(why, why_len, "%s.%s has no range", r->table, r->field);
	memcpy(text, r->value, sizeof(text));
	errno = 0;
	if (dots) {
		*dots = 0; /* "1." is a number too */
		if (dots != r->value)
			bound(r->value, &end, c, &c->min, &c->least, &c->shortest);
		if (end == dots)
			end = dots + 2;
		if (end == dots + 2 && *end)
			bound(dots + 2, &end, c, &c->max, &c->most, &c->longest);
		*dots = '.';
	}
	if (!dots || *end || errno || !text[2])
		return bad(why, why_len, "expected MIN..MAX or required for %s, found \"%.60s\"",
			r->field, text);
	c->asks |= has_length(c) ? LENGTH : RANGE;
	return 0;
}

/* ---- compiling ---- */

static struct part *part_of(struct validator *v, const struct tela_fb_desc *d, uint32_t type)
{
	const struct tela_fb_desc_type *t = tela_fb_desc_type_at(d, type);

	for (uint32_t i = 0; i < v->n_parts; i++)
		if (v->part[i].type == t)
			return &v->part[i];
	if (v->n_parts == PARTS_MAX || t->kind > TELA_FB_IS_STRUCT)
		return NULL;
	v->part[v->n_parts] =
		(struct part){.desc = d, .type = t, .name = tela_fb_desc_name(d, t->name)};
	return &v->part[v->n_parts++];
}

static int add_union(struct validator *v, struct check *c, const struct tela_fb_desc_type *u)
{
	const struct tela_fb_desc_value *values = tela_fb_desc_values(c->desc, u);

	c->known = u;
	c->asks |= v->options.enums ? KNOWN : 0;
	c->member = calloc(u->n + 1, sizeof(*c->member));
	for (uint32_t i = 0; c->member && i < u->n; i++)
		if (values[i].type != TELA_FB_NO_TYPE)
			c->member[i] = part_of(v, c->desc, values[i].type);
	return c->member ? 0 : -ENOMEM;
}

static int describe(struct validator *v, struct check *c, const struct part *p,
	const struct tela_fb_desc_field *f)
{
	const struct tela_fb_desc_type *t =
		f->type == TELA_FB_NO_TYPE ? NULL : tela_fb_desc_type_at(p->desc, f->type);

	*c = (struct check){.at = f->at,
		.unit = f->unit,
		.form = f->form,
		.length = f->length,
		.size = tela_fb_desc_size(p->desc, f),
		.one_double = f->unit == TELA_FB_DOUBLE && f->form == TELA_FB_ONE,
		.desc = p->desc,
		.min = f->unit == TELA_FB_ULONG ? 0 : INT64_MIN,
		.max = f->unit == TELA_FB_ULONG ? -1 : INT64_MAX,
		.least = -1.0 / 0.0,
		.most = 1.0 / 0.0,
		.longest = UINT64_MAX,
		.name = tela_fb_desc_name(p->desc, f->name)};
	if (f->nested)
		return 0; /* bytes, to whoever reads them */
	if (f->unit == TELA_FB_UNION)
		return add_union(v, c, t);
	if (f->unit == TELA_FB_OBJECT) {
		c->is_struct = t->kind == TELA_FB_IS_STRUCT;
		c->below = part_of(v, p->desc, f->type);
		return c->below ? 0 : -ENOMEM;
	}
	if (f->unit == TELA_FB_STRING && v->options.text)
		c->asks |= TEXT;
	if (is_real(c) && v->options.finite)
		c->asks |= FINITE;
	if (!t || t->kind != TELA_FB_IS_ENUM || !v->options.enums)
		return 0;
	c->known = t;
	c->asks |= t->bit_flags ? FLAGS : KNOWN;
	if (t->bit_flags)
		for (uint32_t i = 0; i < t->n; i++)
			c->flags |= tela_fb_desc_values(p->desc, t)[i].value;
	return 0;
}

static int compile(struct validator *v, struct part *p, char *why, size_t why_len)
{
	const struct tela_fb_desc_field *f = tela_fb_desc_fields(p->desc, p->type);
	int rc = 0;

	p->check = calloc(p->type->n + 1, sizeof(*p->check));
	if (!p->check)
		return -ENOMEM;
	for (uint32_t i = 0; !rc && i < p->type->n; i++) {
		struct check *c = &p->check[p->n++];

		rc = describe(v, c, p, &f[i]);
		for (uint32_t k = 0; !rc && k < v->n_rules; k++) {
			struct rule *r = &v->rule[k];

			if (!is_named(p->name, r->table) || strcmp(c->name, r->field))
				continue;
			r->used = true;
			rc = apply(c, r, why, why_len);
		}
	}
	return rc;
}

static bool asks_below(const struct check *c)
{
	bool asks = c->below && c->below->asks;

	for (uint32_t i = 0; c->member && i < c->known->n; i++)
		asks |= c->member[i] && c->member[i]->asks;
	return asks;
}

/* Tables may hold each other, so until nothing changes. */
static void find_what_asks(struct validator *v)
{
	bool more = true;

	while (more) {
		more = false;
		for (uint32_t i = 0; i < v->n_parts; i++) {
			struct part *p = &v->part[i];
			bool asks = false;

			for (uint32_t k = 0; k < p->n; k++)
				asks |= p->check[k].asks || asks_below(&p->check[k]);
			more |= asks != p->asks;
			p->asks = asks;
		}
	}
}

/* Only checks that ask something stay. */
static void shorten(struct part *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		struct check c = p->check[i];

		c.asks |= asks_below(&c) ? BELOW : 0;
		if (!c.asks) {
			free(c.member);
			continue;
		}
		p->check[n++] = c;
	}
	p->n = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct check *c = &p->check[i];

		if (n > DOUBLES_MAX || c->asks != FINITE || !c->one_double)
			return;
		p->doubles[i] = c->at;
	}
	p->n_doubles = (uint16_t)n;
}

static int make(struct validator *v, const struct tela_service_desc *d, char *why, size_t why_len)
{
	int rc = read_rules(v, v->options.rules ? v->options.rules : "", why, why_len);

	for (uint32_t i = 0; !rc && i < d->n_methods; i++) {
		const struct tela_fb_desc_type *t = d->methods[i].request;
		const struct tela_fb_desc *head;

		if (!t)
			continue;
		head = (const struct tela_fb_desc *)((const uint8_t *)t - t->at);
		v->by_method[d->methods[i].id] =
			part_of(v, head, (uint32_t)(t - tela_fb_desc_type_at(head, 0)));
	}
	for (uint32_t i = 0; !rc && i < v->n_parts; i++) /* finds others while it goes */
		rc = compile(v, &v->part[i], why, why_len);
	for (uint32_t k = 0; !rc && k < v->n_rules; k++)
		if (!v->rule[k].used)
			rc = bad(why, why_len, "no request of the service holds %s.%s",
				v->rule[k].table, v->rule[k].field);
	if (rc)
		return rc;
	find_what_asks(v);
	for (uint32_t i = 0; i < v->n_parts; i++)
		shorten(&v->part[i]);
	for (uint32_t i = 0; i <= v->max_method; i++)
		if (v->by_method[i] && !v->by_method[i]->asks)
			v->by_method[i] = NULL;
	return 0;
}

int validator_make(struct validator **ret, const struct tela_service_desc *d,
	const struct validate_options *o, char *why, size_t why_len)
{
	struct validator *v = calloc(1, sizeof(*v));
	int rc = -ENOMEM;

	if (!v)
		return rc;
	v->options = *o;
	for (uint32_t i = 0; i < d->n_methods; i++)
		if (d->methods[i].id > v->max_method)
			v->max_method = d->methods[i].id;
	v->by_method = calloc(v->max_method + 1, sizeof(*v->by_method));
	v->part = calloc(PARTS_MAX, sizeof(*v->part));
	v->rule = calloc(RULES_MAX, sizeof(*v->rule));
	if (v->by_method && v->part && v->rule)
		rc = make(v, d, why, why_len);
	v->options.rules = NULL;
	if (rc)
		validator_free(v);
	else
		*ret = v;
	return rc;
}

void validator_free(struct validator *v)
{
	for (uint32_t i = 0; v && v->part && i < v->n_parts; i++) {
		for (uint32_t k = 0; v->part[i].check && k < v->part[i].n; k++)
			free(v->part[i].check[k].member);
		free(v->part[i].check);
	}
	if (v) {
		free(v->part);
		free(v->by_method);
		free(v->rule);
	}
	free(v);
}

/* ---- checking: the bytes have been verified ---- */

struct walk {
	uint64_t visits; /* left */
	struct validate_fault *fault;
};

static bool wrong(struct walk *w, const struct part *p, const struct check *c, const char *why)
{
	*w->fault = (struct validate_fault){p->name, c->name, why};
	return false;
}

static int64_t integer(const struct check *c, const uint8_t *at)
{
	switch (c->unit) {
	case TELA_FB_BYTE:
		return tela_fb_load_i8(at);
	case TELA_FB_SHORT:
		return tela_fb_load_i16(at);
	case TELA_FB_USHORT:
		return tela_fb_load_u16(at);
	case TELA_FB_INT:
		return tela_fb_load_i32(at);
	case TELA_FB_UINT:
		return tela_fb_load_u32(at);
	case TELA_FB_LONG:
	case TELA_FB_ULONG:
		return tela_fb_load_i64(at);
	default:
		return *at;
	}
}

/* Not all bits of the exponent are set. */
static bool is_finite(const uint8_t *at)
{
	return (~tela_fb_load_i64(at) & 0x7ff0000000000000) != 0;
}

#define NOT_FINITE "is not finite"

static const char *real_wrong(const struct check *c, const uint8_t *at)
{
	double v = c->unit == TELA_FB_FLOAT ? (double)tela_fb_load_f32(at) : tela_fb_load_f64(at);

	if (c->asks & FINITE && v - v != 0)
		return NOT_FINITE;
	if (c->asks & RANGE && !(v >= c->least))
		return "is less than allowed";
	return c->asks & RANGE && !(v <= c->most) ? "is more than allowed" : NULL;
}

static const char *scalar_wrong(const struct check *c, const uint8_t *at)
{
	int64_t v;

	if (is_real(c))
		return real_wrong(c, at);
	v = integer(c, at);
	if (c->asks & KNOWN && !tela_fb_desc_find(c->desc, c->known, v))
		return "is none of the values that its type has";
	if (c->asks & FLAGS && v & ~c->flags)
		return "has flags that its type has not";
	if (!(c->asks & RANGE))
		return NULL;
	if (c->unit == TELA_FB_ULONG)
		return (uint64_t)v < (uint64_t)c->min   ? "is less than allowed"
		       : (uint64_t)v > (uint64_t)c->max ? "is more than allowed"
							: NULL;
	return v < c->min ? "is less than allowed" : v > c->max ? "is more than allowed" : NULL;
}

static bool is_text(const uint8_t *s, size_t n)
{
	unsigned len;

	for (; n; s += len, n -= len) {
		uint64_t w;

		if (n >= 8 && (memcpy(&w, s, 8), !(w & 0x8080808080808080ull))) {
			len = 8;
			continue;
		}
		len = tela_fb_utf8(s, n);
		if (!len)
			return false;
	}
	return true;
}

static const char *length_wrong(const struct check *c, uint32_t n)
{
	if (!(c->asks & LENGTH))
		return NULL;
	return n < c->shortest  ? "is shorter than allowed"
	       : n > c->longest ? "is longer than allowed"
				: NULL;
}

/* `at` of a string: of its length; of a table: of itself. */
static const char *string_wrong(const struct check *c, const uint8_t *at)
{
	uint32_t n = tela_fb_load_u32(at);

	if (c->asks & TEXT && !is_text(at + 4, n))
		return "is no UTF-8";
	return c->form == TELA_FB_ONE ? length_wrong(c, n) : NULL;
}

static bool table_right(struct walk *w, const struct part *p, const uint8_t *t);

static bool struct_right(struct walk *w, const struct part *p, const uint8_t *at)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const struct check *c = &p->check[i];
		uint32_t n = c->form == TELA_FB_ARRAY ? c->length : 1;

		for (uint32_t k = 0; k < n; k++) {
			const uint8_t *part = at + c->at + k * c->size;
			const char *why;

			if (c->below) {
				if (!struct_right(w, c->below, part))
					return false;
			} else if ((why = scalar_wrong(c, part))) {
				return wrong(w, p, c, why);
			}
		}
	}
	return true;
}

static const uint8_t *follow(const uint8_t *at)
{
	return at + tela_fb_load_u32(at);
}

/* A value, or an element; `at` is where it, or the offset that leads to it, stands. */
static bool value_right(
	struct walk *w, const struct part *p, const struct check *c, const uint8_t *at)
{
	const char *why;

	if (c->unit == TELA_FB_OBJECT) {
		if (!(c->asks & BELOW))
			return true;
		return c->is_struct ? struct_right(w, c->below, at)
				    : table_right(w, c->below, follow(at));
	}
	why = c->unit == TELA_FB_STRING ? string_wrong(c, follow(at)) : scalar_wrong(c, at);
	return !why || wrong(w, p, c, why);
}

/* By the value of its type. */
static bool member_right(struct walk *w, const struct part *p, const struct check *c, uint8_t type,
	const uint8_t *at)
{
	const struct tela_fb_desc_value *m =
		type ? tela_fb_desc_find(c->desc, c->known, type) : NULL;
	const struct part *below = m ? c->member[m - tela_fb_desc_values(c->desc, c->known)] : NULL;

	if (!m)
		return !type || !(c->asks & KNOWN) ||
		       wrong(w, p, c, "is of a type that its union has not");
	if (!below || !below->asks || !at)
		return true;
	return below->type->kind == TELA_FB_IS_STRUCT ? struct_right(w, below, follow(at))
						      : table_right(w, below, follow(at));
}

static bool elements_right(struct walk *w, const struct part *p, const struct check *c,
	const uint8_t *vector, const uint8_t *types)
{
	uint32_t n = tela_fb_load_u32(vector);
	const char *why = length_wrong(c, n);

	if (why)
		return wrong(w, p, c, why);
	if (!(c->asks & ~(NEEDED | LENGTH)) || (c->unit == TELA_FB_UNION && !types))
		return true;
	if (n > w->visits)
		return wrong(w, p, c, "is too entangled to be looked at");
	w->visits -= n;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *at = vector + 4 + (size_t)i * c->size;

		if (c->unit == TELA_FB_UNION ? !member_right(w, p, c, types[4 + i], at)
					     : !value_right(w, p, c, at))
			return false;
	}
	return true;
}

static bool table_right(struct walk *w, const struct part *p, const uint8_t *t)
{
	const uint8_t *vtable = t - tela_fb_load_i32(t);
	uint16_t vsize = tela_fb_load_u16(vtable);

	for (uint32_t i = 0; i < p->n; i++) {
		const struct check *c = &p->check[i];
		uint16_t to = c->at < vsize ? tela_fb_load_u16(vtable + c->at) : 0;
		uint16_t type = c->unit != TELA_FB_UNION ? 0
				: c->at - 2 < vsize      ? tela_fb_load_u16(vtable + c->at - 2)
							 : 0;
		bool right;

		if (likely(c->asks == FINITE && c->one_double && to)) {
			if (unlikely(!is_finite(t + to)))
				return wrong(w, p, c, NOT_FINITE);
			continue;
		}
		if (unlikely(!w->visits--))
			return (w->visits = 0, wrong(w, p, c, "is too entangled to be looked at"));
		if (!to && !type) {
			if (c->asks & NEEDED)
				return wrong(w, p, c, "is missing");
			continue;
		}
		if (c->unit == TELA_FB_UNION && c->form == TELA_FB_ONE)
			right = member_right(w, p, c, type ? t[type] : 0, to ? t + to : NULL);
		else if (c->form == TELA_FB_VECTOR)
			right = !to || elements_right(w, p, c, follow(t + to),
					       type ? follow(t + type) : NULL);
		else
			right = value_right(w, p, c, t + to);
		if (!right)
			return false;
	}
	return true;
}

/* False: one is not, or the table has to be looked at as any. */
static inline bool doubles_right(const struct part *p, const uint8_t *t)
{
	const uint8_t *vtable = t - tela_fb_load_i32(t);
	const uint16_t vsize = tela_fb_load_u16(vtable);

	for (uint32_t i = 0; i < p->n_doubles; i++) {
		uint16_t at = p->doubles[i], to = at < vsize ? tela_fb_load_u16(vtable + at) : 0;

		if (unlikely(to && !is_finite(t + to)))
			return false;
	}
	return p->n_doubles;
}

static __attribute__((noinline)) bool any_right(
	const struct part *p, const void *request, size_t len, struct validate_fault *ret)
{
	struct walk w = {64 + 4 * (uint64_t)len, ret};

	return table_right(&w, p, follow(request));
}

bool validator_check(const struct validator *v, uint16_t method, const void *request, size_t len,
	struct validate_fault *ret)
{
	const struct part *p = likely(method <= v->max_method) ? v->by_method[method] : NULL;

	return !p || likely(doubles_right(p, follow(request))) || any_right(p, request, len, ret);
}
