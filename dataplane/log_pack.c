#include "log_pack.h"

#include "base.h"

#include <limits.h>

enum {
	FORMAT_MAX = 400,
	FIELD_MAX = 256, /* width; precision, but of strings, which have an end */
	NUMBER_MAX = UINT16_MAX,
};

static const char cut[] = "...";

/* One conversion of a format: "%-*.3ld". */
struct spec {
	char flags[8];
	bool star_width, star_precision, has_precision;
	int width, precision;
	char length; /* h, l, z, j, t; H: hh, q: ll; 0: none */
	char conversion;
};

/* ---- formats ---- */

static const char *read_number(const char *f, int *ret)
{
	int n = 0;

	for (; *f >= '0' && *f <= '9'; f++)
		n = n < NUMBER_MAX ? 10 * n + (*f - '0') : n;
	*ret = n < NUMBER_MAX ? n : NUMBER_MAX;
	return f;
}

static const char *read_length(const char *f, struct spec *s)
{
	if (!*f || !strchr("hlzjtqL", *f))
		return f;
	s->length = *f++;
	if (*f == s->length && (*f == 'h' || *f == 'l'))
		s->length = *f++ == 'h' ? 'H' : 'q';
	return f;
}

static bool is_known(const struct spec *s)
{
	char c = s->conversion;

	if (!c || s->length == 'L')
		return false;
	if (c == 's' || c == 'c')
		return !s->length;
	return strchr("diouxXpeEfFgGaAm%", c) != NULL;
}

/* Behind the conversion that begins at `f`, a percent sign. NULL: none that is known. */
static const char *read_spec(const char *f, struct spec *s)
{
	size_t n = 0;

	*s = (struct spec){.precision = -1};
	for (f++; *f && strchr("-+ #0", *f); f++)
		if (n < sizeof(s->flags) - 1)
			s->flags[n++] = *f;
	s->star_width = *f == '*';
	f = s->star_width ? f + 1 : read_number(f, &s->width);
	if (*f == '.') {
		s->has_precision = true;
		s->star_precision = *++f == '*';
		f = s->star_precision ? f + 1 : read_number(f, &s->precision);
	}
	f = read_length(f, s);
	s->conversion = *f;
	return is_known(s) ? f + 1 : NULL;
}

/* ---- a core's side ---- */

struct packer {
	uint8_t *to;
	size_t room, len;
	bool full; /* something was left out: so is all that follows */
};

static void put(struct packer *p, const void *bytes, size_t n)
{
	if (p->full || n > p->room - p->len) {
		p->full = true;
		return;
	}
	memcpy(p->to + p->len, bytes, n);
	p->len += n;
}

/* Of `precision` bytes at most, unless that is negative. As much of it as there is room for. */
static void put_string(struct packer *p, const char *s, int precision)
{
	size_t n = precision < 0 ? p->room : (size_t)precision;
	uint16_t len;

	s = s ? s : "(null)";
	if (p->room - p->len < sizeof(len) + 1)
		p->full = true;
	if (p->full)
		return;
	n = min_u64(n, p->room - p->len - sizeof(len) + 1); /* one more says that it was cut */
	n = strnlen(s, n);
	len = (uint16_t)n;
	put(p, &len, sizeof(len));
	if (n > p->room - p->len)
		n = p->room - p->len;
	memcpy(p->to + p->len, s, n);
	p->len += n;
}

static int64_t signed_of(char length, int64_t v)
{
	return length == 'H' ? (signed char)v : length == 'h' ? (short)v : v;
}

static uint64_t unsigned_of(char length, uint64_t v)
{
	return length == 'H' ? (unsigned char)v : length == 'h' ? (unsigned short)v : v;
}

/* va_arg needs the very type. */
#define NEXT_ARG(args, length, kind)                                                               \
	((length) == 'l'          ? va_arg(args, kind long)                                        \
		: (length) == 'q' ? va_arg(args, kind long long)                                   \
		: (length) == 'j' ? (kind long long)va_arg(args, intmax_t)                         \
		: (length) == 'z' ? (kind long long)va_arg(args, ssize_t)                          \
		: (length) == 't' ? (kind long long)va_arg(args, ptrdiff_t)                        \
				  : va_arg(args, kind int))

struct arguments {
	va_list list;
};

static void put_value(struct packer *p, const struct spec *s, int error, struct arguments *a)
{
	union {
		int64_t i;
		uint64_t u;
		double d;
	} v = {0};

	switch (s->conversion) {
	case 'd':
	case 'i':
		v.i = signed_of(s->length, NEXT_ARG(a->list, s->length, signed));
		break;
	case 'o':
	case 'u':
	case 'x':
	case 'X':
		v.u = unsigned_of(s->length, NEXT_ARG(a->list, s->length, unsigned));
		break;
	case 'c':
		v.i = va_arg(a->list, int);
		break;
	case 'p':
		v.u = (uintptr_t)va_arg(a->list, void *);
		break;
	case 'm':
		v.i = error;
		break;
	default:
		v.d = va_arg(a->list, double);
	}
	put(p, &v, sizeof(v));
}

size_t log_pack(uint8_t *to, size_t room, const char *format, va_list args)
{
	struct packer p = {.to = to, .room = room};
	const int error = errno;
	struct arguments a;
	const char *f, *end;

	put(&p, format, strnlen(format, FORMAT_MAX));
	put(&p, "", 1);
	va_copy(a.list, args);
	for (f = strchr((char *)to, '%'); f && !p.full; f = strchr(end, '%')) {
		struct spec s;

		end = read_spec(f, &s);
		if (!end)
			break;
		if (s.star_width) {
			s.width = va_arg(a.list, int);
			put(&p, &s.width, sizeof(s.width));
		}
		if (s.star_precision) {
			s.precision = va_arg(a.list, int);
			put(&p, &s.precision, sizeof(s.precision));
		}
		if (s.conversion == 's')
			put_string(&p, va_arg(a.list, const char *), s.precision);
		else if (s.conversion != '%')
			put_value(&p, &s, error, &a);
	}
	va_end(a.list);
	return p.len;
}

/* ---- the other side ---- */

struct unpacker {
	const uint8_t *at, *end;
	char *text;
	size_t room, len;
};

static void add(struct unpacker *u, const char *bytes, size_t n)
{
	n = min_u64(n, u->room - u->len);
	memcpy(u->text + u->len, bytes, n);
	u->len += n;
}

static bool get(struct unpacker *u, void *ret, size_t n)
{
	if ((size_t)(u->end - u->at) < n)
		return false;
	memcpy(ret, u->at, n);
	u->at += n;
	return true;
}

/* "%-5.3lld" for numbers, whose values have become as wide as can be. */
static void spell(const struct spec *s, char ret[40])
{
	int n = snprintf(ret, 40, "%%%s", s->flags);

	if (s->width)
		n += snprintf(ret + n, 40 - (size_t)n, "%d", s->width);
	if (s->has_precision && s->precision >= 0)
		n += snprintf(ret + n, 40 - (size_t)n, ".%d", s->precision);
	snprintf(ret + n, 40 - (size_t)n, "%s%c", strchr("diouxX", s->conversion) ? "ll" : "",
		s->conversion);
}

static bool add_string(struct unpacker *u, const char *spelt)
{
	char bytes[LOG_TEXT_MAX], wide[LOG_TEXT_MAX + FIELD_MAX];
	uint16_t len;
	size_t n;

	if (!get(u, &len, sizeof(len)))
		return false;
	n = min_u64(min_u64(len, (size_t)(u->end - u->at)), sizeof(bytes) - 1);
	memcpy(bytes, u->at, n);
	bytes[n] = 0;
	u->at += n;
	snprintf(wide, sizeof(wide), spelt, bytes);
	add(u, wide, strlen(wide));
	return n == len;
}

static bool add_value(struct unpacker *u, const struct spec *s, const char *spelt)
{
	char wide[2 * FIELD_MAX + 400]; /* 1e308 has 309 digits */
	long long i;
	double d;
	int n;

	if (!get(u, &i, sizeof(i)))
		return false;
	memcpy(&d, &i, sizeof(d));
	if (s->conversion == 'c') {
		n = snprintf(wide, sizeof(wide), spelt, (int)i);
	} else if (s->conversion == 'p') {
		n = snprintf(wide, sizeof(wide), spelt, (void *)(uintptr_t)i);
	} else if (s->conversion == 'm') {
		n = snprintf(wide, sizeof(wide), "%s", strerror((int)i));
	} else if (strchr("diouxX", s->conversion)) {
		n = snprintf(wide, sizeof(wide), spelt, i);
	} else {
		n = snprintf(wide, sizeof(wide), spelt, d);
	}
	add(u, wide, n < 0 ? 0 : min_u64((size_t)n, sizeof(wide) - 1));
	return true;
}

/* A field given as *; a negative width stands left, a negative precision is none. */
static bool get_field(struct unpacker *u, int *ret, char flags[8])
{
	int v;

	if (!get(u, &v, sizeof(v)))
		return false;
	if (v < 0 && flags) {
		size_t n = strlen(flags);

		if (n < 7)
			flags[n] = '-', flags[n + 1] = 0;
		v = v < -FIELD_MAX ? FIELD_MAX : -v;
	}
	*ret = v;
	return true;
}

static bool add_conversion(struct unpacker *u, struct spec *s)
{
	char spelt[40];

	if (s->conversion == '%') {
		add(u, "%", 1);
		return true;
	}
	if ((s->star_width && !get_field(u, &s->width, s->flags)) ||
		(s->star_precision && !get_field(u, &s->precision, NULL)))
		return false;
	s->width = s->width < FIELD_MAX ? s->width : FIELD_MAX;
	s->precision = s->precision < FIELD_MAX ? s->precision : FIELD_MAX;
	if (s->conversion == 's') /* there are no more bytes of it than that */
		s->has_precision = false;
	spell(s, spelt);
	return s->conversion == 's' ? add_string(u, spelt) : add_value(u, s, spelt);
}

size_t log_unpack(char *text, size_t room, const uint8_t *packed, size_t len)
{
	const char *f = (const char *)packed, *percent;
	size_t n = strnlen(f, len);
	struct unpacker u = {.end = packed + len, .text = text, .room = room - sizeof(cut)};
	bool whole = true, more = n == len || n >= FORMAT_MAX;
	char format[FORMAT_MAX + 1];

	n = min_u64(n, FORMAT_MAX);
	memcpy(format, f, n);
	format[n] = 0;
	u.at = packed + min_u64(n + 1, len);
	for (f = format; whole && (percent = strchr(f, '%')) != NULL;) {
		struct spec s;
		const char *end = read_spec(percent, &s);

		add(&u, f, (size_t)(percent - f));
		f = percent;
		if (!end)
			break;
		whole = add_conversion(&u, &s);
		f = end;
	}
	if (whole)
		add(&u, f, strlen(f));
	if (!whole || more || u.len == u.room) {
		memcpy(text + u.len, cut, sizeof(cut) - 1);
		u.len += sizeof(cut) - 1;
	}
	text[u.len] = 0;
	return u.len;
}

uint64_t log_packed_place(const uint8_t *packed, size_t len)
{
	uint64_t h = 14695981039346656037ull;

	for (size_t i = 0; i < len && packed[i]; i++)
		h = (h ^ packed[i]) * 1099511628211ull;
	return h;
}
