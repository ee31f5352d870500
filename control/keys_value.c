/* keys_value.c - one value of a plugin's configuration, by the type of its key. */
#include "keys.h"

#include "../dataplane/base.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {{"h", 3600 * NS_PER_S}, {"min", 60 * NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS},
	{"us", NS_PER_US}, {"ns", 1}};

/* ---- memory, and messages ---- */

/* The text itself, and for each part of it at most an entry of a list or mapping. */
size_t keys_room(const char *key, const char *value)
{
	size_t parts = 2;

	for (const char *c = value; *c; c++)
		parts += *c == ',' || *c == ';' || *c == KEYS_ITEM;
	return strlen(key) + 2 * strlen(value) + 48 * parts + 64;
}

void *keys_take(struct keys_build *b, size_t size, size_t align)
{
	void *at;

	b->used = (b->used + align - 1) & ~(align - 1);
	CHECK(b->used + size <= b->room);
	at = b->block + b->used;
	b->used += size;
	return at;
}

const char *keys_text(struct keys_build *b, const char *s, size_t len)
{
	char *copy = keys_take(b, len + 1, 1);

	memcpy(copy, s, len);
	return copy;
}

void keys_complain(struct keys_build *b, const char *format, ...)
{
	char text[640];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	b->n_errors++;
	b->report(b->arg, b->pair, b->path, text);
}

bool keys_is_list(const char *value)
{
	return *value == KEYS_ITEM;
}

static void found(const char *value, size_t len, char text[80])
{
	if (len && keys_is_list(value)) {
		strcpy(text, "a list");
	} else if (!len) {
		strcpy(text, "nothing");
	} else {
		snprintf(text, 80, "'%.*s'", (int)min_u64(len, 60), value);
		for (char *c = text; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = '?';
	}
}

void keys_unexpected(
	struct keys_build *b, const struct tela_config_key *k, const char *value, size_t len)
{
	char expected[400], text[80];

	keys_expect(k, expected, sizeof(expected));
	found(value, len, text);
	keys_complain(b, "expected %s, found %s", expected, text);
}

/* ---- what a key says ---- */

size_t keys_size(enum tela_config_type type)
{
	static const size_t sizes[] = {
		[TELA_CONFIG_BOOL] = sizeof(bool),
		[TELA_CONFIG_U16] = sizeof(uint16_t),
		[TELA_CONFIG_U32] = sizeof(uint32_t),
		[TELA_CONFIG_U64] = sizeof(uint64_t),
		[TELA_CONFIG_I32] = sizeof(int32_t),
		[TELA_CONFIG_I64] = sizeof(int64_t),
		[TELA_CONFIG_REAL] = sizeof(double),
		[TELA_CONFIG_DURATION] = sizeof(uint64_t),
		[TELA_CONFIG_TEXT] = sizeof(const char *),
		[TELA_CONFIG_WORD] = sizeof(uint32_t),
		[TELA_CONFIG_LIST] = sizeof(struct tela_list),
		[TELA_CONFIG_MAP] = sizeof(struct tela_map),
	};

	return (size_t)type < ARRAY_SIZE(sizes) ? sizes[type] : 0;
}

const struct tela_config_key *keys_of(const struct tela_config_key *k)
{
	static const struct tela_config_key text = {.type = TELA_CONFIG_TEXT};

	return k->of ? k->of : &text;
}

void keys_range(const struct tela_config_key *k, int64_t *ret_min, int64_t *ret_max)
{
	static const int64_t ranges[][2] = {
		[TELA_CONFIG_U16] = {0, UINT16_MAX},
		[TELA_CONFIG_U32] = {0, UINT32_MAX},
		[TELA_CONFIG_U64] = {0, INT64_MAX},
		[TELA_CONFIG_I32] = {INT32_MIN, INT32_MAX},
		[TELA_CONFIG_I64] = {INT64_MIN, INT64_MAX},
		[TELA_CONFIG_DURATION] = {0, INT64_MAX},
		[TELA_CONFIG_TEXT] = {0, 65535},
		[TELA_CONFIG_LIST] = {0, KEYS_ITEMS_MAX},
		[TELA_CONFIG_MAP] = {0, KEYS_ITEMS_MAX},
	};
	bool has = k->min || k->max;

	*ret_min = has ? k->min : (size_t)k->type < ARRAY_SIZE(ranges) ? ranges[k->type][0] : 0;
	*ret_max = has ? k->max : (size_t)k->type < ARRAY_SIZE(ranges) ? ranges[k->type][1] : 0;
}

static int duration(int64_t ns, char text[32])
{
	uint32_t u = 0;

	while (ns && (uint64_t)ns % units[u].ns)
		u++;
	return ns ? snprintf(text, 32, "%lld%s", (long long)((uint64_t)ns / units[u].ns),
			    units[u].name)
		  : snprintf(text, 32, "0");
}

static void expect_range(const struct tela_config_key *k, char *to, size_t size)
{
	char from[32], until[32];
	int64_t min, max;

	keys_range(k, &min, &max);
	if (k->type == TELA_CONFIG_DURATION) {
		duration(min, from);
		duration(max, until);
		if (max == INT64_MAX)
			snprintf(to, size, "a time such as 20ms or 2s");
		else
			snprintf(to, size, "a time such as 20ms or 2s, %s..%s", from, until);
		return;
	}
	if (k->type == TELA_CONFIG_REAL && !k->min && !k->max)
		snprintf(to, size, "a finite number%s%s", k->unit ? " of " : "",
			k->unit ? k->unit : "");
	else
		snprintf(to, size, "%s%lld..%lld%s%s",
			k->power_of_two               ? "a power of two, "
			: k->type == TELA_CONFIG_REAL ? "a number, "
						      : "",
			(long long)min, (long long)max, k->unit ? " " : "", k->unit ? k->unit : "");
}

static void expect_words(const struct tela_config_key *k, char *to, size_t size)
{
	size_t n = 0;

	*to = 0;
	for (uint32_t i = 0; k->words[i] && n < size; i++)
		n += (size_t)snprintf(to + n, size - n, "%s%s",
			!i                ? ""
			: k->words[i + 1] ? ", "
					  : " or ",
			k->words[i]);
}

void keys_expect(const struct tela_config_key *k, char *to, size_t size)
{
	char each[300];

	switch (k->type) {
	case TELA_CONFIG_BOOL:
		snprintf(to, size, "true or false");
		break;
	case TELA_CONFIG_WORD:
		expect_words(k, to, size);
		break;
	case TELA_CONFIG_TEXT:
		if (k->max)
			snprintf(to, size, "a text of %lld..%lld bytes",
				(long long)(k->min ? k->min : 1), (long long)k->max);
		else
			snprintf(to, size, "a text");
		break;
	case TELA_CONFIG_LIST:
	case TELA_CONFIG_MAP:
		keys_expect(keys_of(k), each, sizeof(each));
		snprintf(to, size, "%s %s",
			k->type == TELA_CONFIG_LIST ? "a list, each item" : "a mapping, each value",
			each);
		break;
	default:
		expect_range(k, to, size);
	}
}

/* ---- scalars ---- */

/* Decimal digits, with a sign where there may be one. */
static bool read_integer(const char *s, const char **ret_end, int64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)s[*s == '-']))
		return false;
	errno = 0;
	*ret = strtoll(s, &end, 10);
	*ret_end = end;
	return !errno;
}

static bool read_real(const char *s, double *ret)
{
	char *end;

	if (!*s || strspn(s, "0123456789.eE+-") != strlen(s))
		return false; /* neither hexadecimal nor "nan" */
	*ret = strtod(s, &end);
	return !*end && isfinite(*ret);
}

static bool read_duration(const char *s, int64_t *ret)
{
	const char *unit;

	if (!read_integer(s, &unit, ret) || *ret < 0)
		return false;
	for (uint32_t u = 0; u < ARRAY_SIZE(units); u++)
		if (!strcmp(unit, units[u].name))
			return !__builtin_mul_overflow(*ret, (int64_t)units[u].ns, ret);
	return !*ret && !*unit;
}

static bool store_integer(const struct tela_config_key *k, const char *s, void *to)
{
	const char *end = "";
	int64_t v, min, max;

	keys_range(k, &min, &max);
	if (k->type == TELA_CONFIG_DURATION ? !read_duration(s, &v) : !read_integer(s, &end, &v))
		return false;
	if (*end || v < min || v > max || (k->power_of_two && (v <= 0 || v & (v - 1))))
		return false;
	if (keys_size(k->type) == sizeof(uint16_t))
		*(uint16_t *)to = (uint16_t)v;
	else if (keys_size(k->type) == sizeof(uint32_t))
		*(uint32_t *)to = (uint32_t)v;
	else
		*(uint64_t *)to = (uint64_t)v;
	return true;
}

static bool store_word(const struct tela_config_key *k, const char *s, uint32_t *to)
{
	for (uint32_t i = 0; k->words[i]; i++)
		if (!strcmp(k->words[i], s)) {
			*to = i;
			return true;
		}
	return false;
}

static bool store_real(const struct tela_config_key *k, const char *s, double *to)
{
	return read_real(s, to) &&
	       ((!k->min && !k->max) || (*to >= (double)k->min && *to <= (double)k->max));
}

/* `s` has ended with a zero; it is kept only as a text. */
static bool store(const struct tela_config_key *k, const char *s, size_t len, void *to)
{
	int64_t min, max;

	switch (k->type) {
	case TELA_CONFIG_BOOL:
		*(bool *)to = !strcmp(s, "true");
		return *(bool *)to || !strcmp(s, "false");
	case TELA_CONFIG_REAL:
		return store_real(k, s, to);
	case TELA_CONFIG_WORD:
		return store_word(k, s, to);
	case TELA_CONFIG_TEXT:
		keys_range(k, &min, &max);
		*(const char **)to = s;
		return (int64_t)len >= (min > 0 ? min : 1) && (int64_t)len <= max;
	default:
		return store_integer(k, s, to);
	}
}

/* ---- lists ---- */

bool keys_next(const char **at, const char *end, char separator, const char **ret, size_t *ret_len)
{
	const char *from = *at, *until = from;

	if (from > end)
		return false;
	while (until < end && *until != separator)
		until++;
	*at = until + 1;
	while (from < until && *from == ' ')
		from++;
	while (until > from && until[-1] == ' ')
		until--;
	*ret = from;
	*ret_len = (size_t)(until - from);
	return true;
}

uint32_t keys_count(const char *value, size_t len, char separator)
{
	uint32_t n = len > 0;

	for (size_t i = 0; i < len; i++)
		n += value[i] == separator;
	return n;
}

bool keys_may_have(struct keys_build *b, const struct tela_config_key *k, uint32_t n)
{
	int64_t min, max;

	keys_range(k, &min, &max);
	if (n >= min && n <= max)
		return true;
	keys_complain(
		b, "expected %lld..%lld of them, found %u", (long long)min, (long long)max, n);
	return false;
}

static void put_list(struct keys_build *b, const struct tela_config_key *k, const char *value,
	size_t len, struct tela_list *to)
{
	bool written = len && keys_is_list(value);
	char separator = written ? KEYS_ITEM : ',';
	const char *at = value + written, *end = value + len, *item;
	uint32_t n = keys_count(at, (size_t)(end - at), separator), i = 0;
	size_t size = keys_size(keys_of(k)->type), path = strlen(b->path), item_len;
	char *items;

	if (!keys_may_have(b, k, n))
		return;
	items = keys_take(b, n * size, 8);
	for (; i < n && keys_next(&at, end, separator, &item, &item_len); i++) {
		snprintf(b->path + path, sizeof(b->path) - path, "[%u]", i);
		keys_put(b, keys_of(k), item, item_len, items + i * size);
		b->path[path] = 0;
	}
	*to = (struct tela_list){n, items};
}

void keys_put(struct keys_build *b, const struct tela_config_key *k, const char *value, size_t len,
	void *to)
{
	if (k->type == TELA_CONFIG_LIST)
		put_list(b, k, value, len, to);
	else if ((len && keys_is_list(value)) || !store(k, keys_text(b, value, len), len, to))
		keys_unexpected(b, k, value, len);
}
