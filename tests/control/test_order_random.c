/* test_order_random.c - both orders of random plugins against a slow reference that follows
 * service-model section 1 word by word: the transitive closure of what is declared, then always the
 * first in tie order that nothing left must precede.
 *
 * Usage: test_order_random [ROUNDS [SEED]] */
#include "../../control/order.h"

#include "../../dataplane/base.h"

enum { ITEMS = 9, LIST = 3 };

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 11) % below;
}

/* ---- random plugins ---- */

static const char *const item_names[] = {"svc", "a", "b", "c", "d", "e", "f", "g", "h"};
static const char *const plugin_names[] = {"P", "Q", "R"}; /* some plugins are there twice */
static const char *const group_names[] = {"one", "two"};

struct world {
	uint32_t n;
	struct order_item item[ITEMS];
	const char *list[ITEMS][4][LIST + 1];
};

static void draw_list(struct world *w, const char **list, bool optional)
{
	uint32_t n = draw(6) ? 0 : 1 + draw(LIST);

	for (uint32_t i = 0; i < n; i++)
		list[i] = optional && !draw(3) ? "absent"
			  : !draw(6)           ? w->item[draw(w->n)].plugin
					       : w->item[draw(w->n)].name;
	list[n] = NULL;
}

static void draw_world(struct world *w)
{
	w->n = 1 + draw(ITEMS);
	for (uint32_t i = 0; i < w->n; i++)
		w->item[i] = (struct order_item){.name = item_names[i],
			.plugin = i && !draw(3) ? plugin_names[draw(3)] : item_names[i],
			.also = i ? NULL : "test.Svc",
			.group = draw(4) ? NULL : group_names[draw(2)]};
	for (uint32_t i = 0; i < w->n; i++) {
		for (uint32_t l = 0; l < 4; l++)
			draw_list(w, w->list[i][l], l >= 2);
		w->item[i].needs = w->list[i][0];
		w->item[i].wraps = w->list[i][1];
		w->item[i].may_need = w->list[i][2];
		w->item[i].may_wrap = w->list[i][3];
	}
}

/* ---- the reference ---- */

typedef bool square[ITEMS][ITEMS];

static bool is_called(const struct order_item *i, const char *name)
{
	return !strcmp(name, i->name) || !strcmp(name, i->plugin) ||
	       (i->also && !strcmp(name, i->also));
}

static bool lists(const char *const *list, const struct order_item *i)
{
	for (; *list; list++)
		if (is_called(i, *list))
			return true;
	return false;
}

static bool needs(const struct order_item *a, const struct order_item *b)
{
	return lists(a->needs, b) || lists(a->may_need, b);
}

static bool wraps(const struct order_item *a, const struct order_item *b)
{
	return lists(a->wraps, b) || lists(a->may_wrap, b);
}

static bool group_puts_above(const struct world *w, uint32_t a, uint32_t b)
{
	return a && a < b && w->item[a].group && w->item[b].group &&
	       !strcmp(w->item[a].group, w->item[b].group);
}

static void close_over(square r, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				r[i][j] |= r[i][k] && r[k][j];
}

static bool has_cycle(square r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (r[i][i])
			return true;
	return false;
}

static void pick(square r, uint32_t n, const uint32_t *ties, uint32_t *order)
{
	bool taken[ITEMS] = {false};

	for (uint32_t k = 0; k < n; k++) {
		for (uint32_t t = 0; t < n; t++) {
			bool free = !taken[ties[t]];

			for (uint32_t a = 0; a < n; a++)
				free = free && (taken[a] || !r[a][ties[t]]);
			if (!free)
				continue;
			taken[order[k] = ties[t]] = true;
			break;
		}
	}
}

/* 0, 1: a cycle in call order, 2: in start order. */
static int reference(const struct world *w, uint32_t *call, uint32_t *start)
{
	uint32_t ties[ITEMS], n = w->n;
	square above = {{false}}, after = {{false}}, before = {{false}};

	for (uint32_t a = 0; a < n; a++) {
		for (uint32_t b = 0; b < n; b++) {
			const struct order_item *x = &w->item[a], *y = &w->item[b];

			above[a][b] = wraps(x, y) || needs(y, x) || group_puts_above(w, a, b);
			after[a][b] = needs(x, y) || wraps(x, y) || group_puts_above(w, a, b);
		}
		ties[a] = a;
	}
	close_over(above, n);
	for (uint32_t b = 1; b < n; b++)
		if (!above[b][0])
			above[0][b] = true;
	close_over(above, n);
	if (has_cycle(above, n))
		return 1;
	pick(above, n, ties, call);
	close_over(after, n);
	for (uint32_t b = 1; b < n; b++)
		if (!after[b][0])
			after[0][b] = true;
	close_over(after, n);
	if (has_cycle(after, n))
		return 2;
	for (uint32_t a = 0; a < n; a++) {
		ties[a] = call[n - 1 - a];
		for (uint32_t b = 0; b < n; b++)
			before[b][a] = after[a][b];
	}
	pick(before, n, ties, start);
	return 0;
}

/* ---- comparison ---- */

/* "a cycle in the call order: x before y before x": every pair of it is declared. */
static void check_cycle(const struct world *w, const char *text, int which)
{
	static const char *const heads[] = {
		"", "a cycle in the call order: ", "a cycle in the start order: "};
	char copy[512], *at, *word, first[16] = "", last[16] = "";

	CHECK(!strncmp(text, heads[which], strlen(heads[which])));
	snprintf(copy, sizeof(copy), "%s", text + strlen(heads[which]));
	for (word = strtok_r(copy, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
		bool known = false;

		if (!strcmp(word, "before"))
			continue;
		for (uint32_t i = 0; i < w->n; i++)
			known = known || !strcmp(w->item[i].name, word);
		CHECK(known);
		if (!*first)
			snprintf(first, sizeof(first), "%s", word);
		snprintf(last, sizeof(last), "%s", word);
	}
	CHECK(*first && !strcmp(first, last));
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, ends[3] = {0};
	uint32_t call[ORDER_MAX], start[ORDER_MAX], call2[ITEMS], start2[ITEMS];
	struct world w;
	char err[512];

	for (uint64_t r = 0; r < rounds; r++) {
		int rc, wanted;

		state = (seed + r) * 0x9e3779b97f4a7c15ull | 1;
		for (int i = 0; i < 8; i++)
			draw(1);
		draw_world(&w);
		wanted = reference(&w, call2, start2);
		rc = order_solve(w.item, w.n, call, start, err, sizeof(err));
		ends[wanted]++;
		if (rc == (wanted ? -ELOOP : 0)) {
			if (wanted)
				check_cycle(&w, err, wanted);
			if (wanted || (!memcmp(call, call2, w.n * sizeof(*call)) &&
					      !memcmp(start, start2, w.n * sizeof(*start))))
				continue;
		}
		printf("seed %llu: %d items, wanted %d, got %d (%s)\n",
			(unsigned long long)(seed + r), (int)w.n, wanted, rc, rc ? err : "");
		return 1;
	}
	printf("%llu orders, %llu call cycles, %llu start cycles, all as the reference has them\n",
		(unsigned long long)ends[0], (unsigned long long)ends[1],
		(unsigned long long)ends[2]);
	return !ends[0] || !ends[1] || !ends[2];
}
