/* conf_value.c - one value of the configuration, by its field; and how errors are told. */
#include "conf_read.h"

#include "../dataplane/base.h"

#include <ctype.h>
#include <stdarg.h>

/* ---- errors ---- */

void conf_complain(struct reader *r, size_t line, const char *format, ...)
{
	char text[768];
	va_list args;
	int n;

	if (r->n_errors++ >= CONF_ERRORS_MAX)
		return;
	n = conf_where(r->conf, (uint32_t)line, text, sizeof(text));
	n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s", r->path, *r->path ? ": " : "");
	va_start(args, format);
	if (n < (int)sizeof(text))
		vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	r->report(r->arg, text);
}

size_t conf_line(const yaml_node_t *n)
{
	return n->start_mark.line + 1;
}

/* What stands there, to show in an error: a scalar in quotes, the kind of anything else. */
const char *conf_found(const yaml_node_t *n, char *text, size_t size)
{
	if (n->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (n->type == YAML_SEQUENCE_NODE)
		return "a list";
	if (!n->data.scalar.length)
		return "nothing";
	snprintf(text, size, "'%.*s'", (int)min_u64(n->data.scalar.length, 60),
		(const char *)n->data.scalar.value);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return text;
}

void conf_expected(struct reader *r, const yaml_node_t *n, const char *what)
{
	char text[80];

	conf_complain(r, conf_line(n), "%s, found %s", what, conf_found(n, text, sizeof(text)));
}

/* The path grows by a key or an index while its value is read; returns its length before. */
size_t conf_enter(struct reader *r, const char *key, int index)
{
	size_t n = strlen(r->path);

	if (key)
		snprintf(r->path + n, sizeof(r->path) - n, "%s%.64s", n ? "." : "", key);
	else
		snprintf(r->path + n, sizeof(r->path) - n, "[%d]", index);
	return n;
}

/* ---- scalars ---- */

static bool read_unsigned(const char *s, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return !*end && !errno;
}

static bool read_ratio(const char *s, double *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return false;
	if (strspn(s, "0123456789.eE+-") != strlen(s))
		return false; /* neither hexadecimal nor "nan" */
	*ret = strtod(s, &end);
	return !*end && *ret >= 0 && *ret <= 1;
}

static bool store_number(const struct conf_field *f, void *to, const char *s)
{
	uint64_t v;

	if (!read_unsigned(s, &v) || v < f->min || v > f->max)
		return false;
	switch (f->kind) {
	case CONF_U16:
		*(uint16_t *)to = (uint16_t)v;
		break;
	case CONF_U32:
		*(uint32_t *)to = (uint32_t)v;
		break;
	case CONF_INT:
		*(int *)to = (int)v;
		break;
	default:
		*(uint64_t *)to = v;
	}
	return true;
}

static bool store_choice(
	const struct conf_field *f, uint32_t *to, const char *s, char *why, size_t size)
{
	size_t n = snprintf(why, size, "expected one of");

	for (uint32_t i = 0; f->choices[i]; i++) {
		if (!strcmp(f->choices[i], s)) {
			*to = i;
			return true;
		}
		n += snprintf(why + n, size - n, "%s %s", i ? "," : "", f->choices[i]);
	}
	return false;
}

/* Stores `s` as the kind of `f` at `to`, or says in `why` what was expected. */
bool conf_store(struct reader *r, const struct conf_field *f, void *to, const char *s, char *why,
	size_t size)
{
	const char *wrong;

	switch (f->kind) {
	case CONF_STRING:
		wrong = f->check ? f->check(s) : NULL;
		if (!wrong)
			*(const char **)to = conf_copy(r->conf, s, strlen(s));
		else
			snprintf(why, size, "%s", wrong);
		return !wrong;
	case CONF_BOOL:
		snprintf(why, size, "expected true or false");
		*(bool *)to = !strcmp(s, "true");
		return *(bool *)to || !strcmp(s, "false");
	case CONF_RATIO:
		snprintf(why, size, "expected a probability, 0.0 to 1.0");
		return read_ratio(s, to);
	case CONF_CHOICE:
		return store_choice(f, to, s, why, size);
	default:
		snprintf(why, size, "expected %llu..%llu", (unsigned long long)f->min,
			(unsigned long long)f->max);
		return store_number(f, to, s);
	}
}

const char *conf_text(const yaml_node_t *n)
{
	const char *s = (const char *)n->data.scalar.value;

	return strlen(s) == n->data.scalar.length ? s : NULL;
}
