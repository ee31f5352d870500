/* bfbs_cursor.c - see bfbs_cursor.h. */
#include "bfbs_cursor.h"

#include <string.h>

static const char truncated[] = "the file is cut off or an offset in it leads outside";

void cursor_fail(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
}

static bool inside(struct cursor *c, uint64_t at, uint64_t n)
{
	if (!c->why && n <= c->len && at <= c->len - n)
		return true;
	cursor_fail(c, truncated);
	return false;
}

static void charge(struct cursor *c, uint32_t visits)
{
	if (visits > c->budget)
		cursor_fail(c, "the file names the same place too many times");
	else
		c->budget -= visits;
}

/* Little-endian, at any alignment; 0 if it is not all there. */
static uint64_t load(struct cursor *c, uint64_t at, unsigned size)
{
	uint64_t v = 0;

	if (inside(c, at, size))
		memcpy(&v, c->data + at, size);
	return v;
}

static uint32_t follow(struct cursor *c, uint64_t at)
{
	const uint64_t to = at + load(c, at, 4);

	return to != at && inside(c, to, 4) ? (uint32_t)to : 0;
}

/* Where field `slot` stands, 0 if absent. */
static uint32_t field(struct cursor *c, uint32_t table, unsigned slot)
{
	const int64_t vtable = (int64_t)table - (int32_t)(uint32_t)load(c, table, 4);
	uint64_t offset;

	if (!table || c->why)
		return 0;
	if (vtable < 0) {
		cursor_fail(c, truncated);
		return 0;
	}
	if (slot >= load(c, (uint64_t)vtable, 2))
		return 0;
	offset = load(c, (uint64_t)vtable + slot, 2);
	return offset && inside(c, table + offset, 1) ? (uint32_t)(table + offset) : 0;
}

uint32_t cursor_start(struct cursor *c, const uint8_t *data, size_t len)
{
	c->data = data;
	c->len = (uint32_t)len;
	c->budget = 64 + 2 * (uint64_t)len;
	if (len < 12 || len > INT32_MAX)
		cursor_fail(c, len < 12 ? truncated : "the file is larger than 2 GiB");
	else if (memcmp(data + 4, "BFBS", 4))
		cursor_fail(c, "not a binary schema (flatc -b --schema makes one)");
	return cursor_table(c, follow(c, 0));
}

uint64_t cursor_scalar(
	struct cursor *c, uint32_t table, unsigned slot, unsigned size, uint64_t absent)
{
	const uint32_t at = field(c, table, slot);

	return at ? load(c, at, size) : absent;
}

uint32_t cursor_table(struct cursor *c, uint32_t at)
{
	charge(c, 1);
	if (!at)
		cursor_fail(c, truncated);
	return c->why ? 0 : at;
}

uint32_t cursor_child(struct cursor *c, uint32_t table, unsigned slot)
{
	const uint32_t at = field(c, table, slot);

	return at ? cursor_table(c, follow(c, at)) : 0;
}

const char *cursor_string_at(struct cursor *c, uint32_t at)
{
	const uint64_t n = at ? load(c, at, 4) : 0;

	charge(c, 1);
	if (!at || c->why || !inside(c, at, 4 + n + 1))
		return "";
	if (memchr(c->data + at + 4, 0, n + 1) != c->data + at + 4 + n) {
		cursor_fail(c, "a string in the file does not end where it should");
		return "";
	}
	return (const char *)c->data + at + 4;
}

const char *cursor_string(struct cursor *c, uint32_t table, unsigned slot)
{
	const uint32_t at = field(c, table, slot);

	return at ? cursor_string_at(c, follow(c, at)) : "";
}

struct elements cursor_vector(struct cursor *c, uint32_t table, unsigned slot)
{
	const uint32_t at = field(c, table, slot);
	struct elements e = {at ? follow(c, at) : 0, 0};
	uint64_t n;

	if (!e.at)
		return e;
	n = load(c, e.at, 4);
	if (!inside(c, (uint64_t)e.at + 4, 4 * n))
		return e;
	charge(c, (uint32_t)n);
	e.at += 4;
	e.n = c->why ? 0 : (uint32_t)n;
	return e;
}

uint32_t cursor_element(struct cursor *c, const struct elements *e, size_t i)
{
	return follow(c, e->at + 4 * (uint64_t)i);
}
