#include "order.h"

#include "../dataplane/base.h"

/* before[a][b]: a comes before b. At 128 items a square of bytes is small and makes reachability
 * plain. */
struct relation {
	uint32_t n;
	uint8_t before[ORDER_MAX][ORDER_MAX];
};

static bool answers_to(const struct order_item *i, const char *name)
{
	return !strcmp(i->name, name) || !strcmp(i->plugin, name) ||
	       (i->also && !strcmp(i->also, name));
}

static bool is_there(const struct order_item *items, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (answers_to(&items[i], name))
			return true;
	return false;
}

const char *order_missing(const struct order_item *items, uint32_t n, uint32_t *ret_item)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *const *lists[] = {items[i].needs, items[i].wraps};

		for (int l = 0; l < 2; l++) {
			for (const char *const *name = lists[l]; name && *name; name++) {
				if (is_there(items, n, *name))
					continue;
				*ret_item = i;
				return *name;
			}
		}
	}
	return NULL;
}

/* Declares every item called one of `names` to come before (`first`) or after item `i`. */
static void declare(struct relation *r, const struct order_item *items, uint32_t i,
	const char *const *names, bool first)
{
	for (; names && *names; names++) {
		for (uint32_t j = 0; j < r->n; j++) {
			if (!answers_to(&items[j], *names))
				continue;
			if (first)
				r->before[j][i] = 1;
			else
				r->before[i][j] = 1;
		}
	}
}

/* Marks what reaches `from` (backwards) or is reached by it, itself included. */
static void reach(const struct relation *r, uint32_t from, bool backwards, bool *mark)
{
	uint32_t todo[ORDER_MAX], n = 0;

	memset(mark, 0, ORDER_MAX * sizeof(*mark));
	mark[from] = true;
	todo[n++] = from;
	while (n) {
		uint32_t at = todo[--n];

		for (uint32_t i = 0; i < r->n; i++) {
			if (mark[i] || !(backwards ? r->before[i][at] : r->before[at][i]))
				continue;
			mark[i] = true;
			todo[n++] = i;
		}
	}
}

/* Takes free items one after another, the first in `ties` each time. Returns how many could be
 * taken. */
static uint32_t sort(const struct relation *r, const uint32_t *ties, uint32_t *order)
{
	bool taken[ORDER_MAX] = {false};
	uint32_t n = 0, waits[ORDER_MAX] = {0};

	for (uint32_t a = 0; a < r->n; a++)
		for (uint32_t b = 0; b < r->n; b++)
			waits[b] += r->before[a][b];
	while (n < r->n) {
		uint32_t t = 0;

		while (t < r->n && (taken[ties[t]] || waits[ties[t]]))
			t++;
		if (t == r->n)
			break;
		taken[ties[t]] = true;
		order[n++] = ties[t];
		for (uint32_t b = 0; b < r->n; b++)
			waits[b] -= r->before[ties[t]][b];
	}
	return n;
}

/* Names one cycle: from any item that is before itself, always on to one from which that item can
 * be reached. */
static int name_cycle(const struct relation *r, const struct order_item *items, const char *which,
	char *err, size_t err_len)
{
	bool back[ORDER_MAX];
	uint32_t first, at, steps = 0;
	size_t n = snprintf(err, err_len, "a cycle in the %s order: ", which);

	for (first = 0; first < r->n; first++) {
		reach(r, first, true, back);
		for (at = 0; at < r->n && !(r->before[first][at] && back[at]); at++)
			;
		if (at < r->n)
			break;
	}
	CHECK(first < r->n);
	/* A shortest way home keeps the list short: go to the neighbour from which home is nearest,
	 * by breadth. */
	uint32_t distance[ORDER_MAX];

	memset(distance, 0xff, sizeof(distance));
	distance[first] = 0;
	for (uint32_t d = 0; d < r->n; d++)
		for (uint32_t a = 0; a < r->n; a++)
			for (uint32_t b = 0; b < r->n && distance[a] > d + 1; b++)
				if (r->before[a][b] && distance[b] == d)
					distance[a] = d + 1;
	n += snprintf(err + n, n < err_len ? err_len - n : 0, "%s", items[first].name);
	at = first;
	do {
		uint32_t next = r->n;

		for (uint32_t b = 0; b < r->n; b++)
			if (r->before[at][b] && distance[b] < r->n &&
				(next == r->n || distance[b] < distance[next]))
				next = b;
		at = next;
		if (n < err_len)
			n += snprintf(err + n, err_len - n, " before %s", items[at].name);
	} while (at != first && ++steps < r->n);
	return -ELOOP;
}

/* The members of a group, from the first declared to the last. In call order each comes before the
 * next, in start order behind it. */
static void declare_groups(struct relation *r, const struct order_item *items, bool call)
{
	for (uint32_t i = 1; i < r->n; i++) {
		uint32_t j = i + 1;

		while (j < r->n && !(items[i].group && items[j].group &&
					   !strcmp(items[i].group, items[j].group)))
			j++;
		if (j == r->n)
			continue;
		if (call)
			r->before[i][j] = 1;
		else
			r->before[j][i] = 1;
	}
}

static int call_order(struct relation *r, const struct order_item *items, uint32_t *call, char *err,
	size_t err_len)
{
	uint32_t declared[ORDER_MAX];
	bool above[ORDER_MAX];

	memset(r->before, 0, sizeof(r->before));
	for (uint32_t i = 0; i < r->n; i++) {
		declared[i] = i;
		declare(r, items, i, items[i].needs, true);
		declare(r, items, i, items[i].may_need, true);
		declare(r, items, i, items[i].wraps, false);
		declare(r, items, i, items[i].may_wrap, false);
	}
	declare_groups(r, items, true);
	reach(r, 0, true, above);
	for (uint32_t i = 1; i < r->n; i++)
		if (!above[i])
			r->before[0][i] = 1;
	return sort(r, declared, call) == r->n ? 0 : name_cycle(r, items, "call", err, err_len);
}

static int start_order(struct relation *r, const struct order_item *items, const uint32_t *call,
	uint32_t *start, char *err, size_t err_len)
{
	uint32_t ties[ORDER_MAX];
	bool after[ORDER_MAX];

	memset(r->before, 0, sizeof(r->before));
	for (uint32_t i = 0; i < r->n; i++) {
		ties[i] = call[r->n - 1 - i];
		declare(r, items, i, items[i].needs, true);
		declare(r, items, i, items[i].wraps, true);
		declare(r, items, i, items[i].may_need, true);
		declare(r, items, i, items[i].may_wrap, true);
	}
	declare_groups(r, items, false);
	reach(r, 0, false, after);
	for (uint32_t i = 1; i < r->n; i++)
		if (!after[i])
			r->before[i][0] = 1;
	return sort(r, ties, start) == r->n ? 0 : name_cycle(r, items, "start", err, err_len);
}

int order_solve(const struct order_item *items, uint32_t n, uint32_t *call, uint32_t *start,
	char *err, size_t err_len)
{
	struct relation r = {.n = n};
	const char *name;
	uint32_t who;
	int rc;

	if (n > ORDER_MAX) {
		snprintf(err, err_len, "more than %d plugins in one service", ORDER_MAX);
		return -E2BIG;
	}
	name = order_missing(items, n, &who);
	if (name) {
		snprintf(err, err_len,
			"%s needs or wraps '%s', which is not there: add it, or load it",
			items[who].name, name);
		return -ENOENT;
	}
	rc = call_order(&r, items, call, err, err_len);
	if (rc)
		return rc;
	return start_order(&r, items, call, start, err, err_len);
}
