/* test_kinds.c - what telac's C does with each kind of declaration at its edges: what a builder
 * refuses and what a verifier does. test_monster.cc has what goes well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "random_monster.h"

static uint8_t buf[4096];

static size_t build_bin(const struct depot_stock_Bin_args *a)
{
	const int len = depot_stock_Bin_build(buf, sizeof(buf), a);

	assert_true(len > 0);
	assert_int_equal(depot_stock_Bin_verify(buf, (size_t)len), 0);
	return (size_t)len;
}

static struct depot_stock_Bin_args bin_with_note(void)
{
	struct depot_stock_Bin_args a = depot_stock_Bin_ARGS_INIT;

	a.needed.type = depot_stock_Load_note;
	a.needed.note.s = "note";
	a.needed.note.len = 4;
	return a;
}

static void unions_need_their_value(void **state)
{
	struct depot_stock_Bin_args a = bin_with_note();
	struct depot_stock_Load_args load = {0};

	(void)state;
	assert_true(depot_stock_Bin_size(&a) > 0);
	a.needed.note.s = NULL; /* a string, but none */
	assert_int_equal(depot_stock_Bin_size(&a), 0);
	a.needed.type = depot_stock_Load_NONE; /* required */
	assert_int_equal(depot_stock_Bin_size(&a), 0);
	a = bin_with_note();
	a.content.type = depot_stock_Content_Crate; /* a table, but NULL */
	assert_int_equal(depot_stock_Bin_size(&a), 0);
	a.content.type = 77; /* no such member */
	assert_int_equal(depot_stock_Bin_size(&a), 0);
	a = bin_with_note();
	a.loads = &load;
	a.loads_len = 1;
	load.type = depot_stock_Load_spot; /* a struct, but NULL */
	assert_int_equal(depot_stock_Bin_size(&a), 0);
	a.loads = NULL;
	assert_int_equal(depot_stock_Bin_size(&a), 0);
}

static void an_element_may_be_none(void **state)
{
	struct depot_stock_Bin_args a = bin_with_note();
	struct depot_stock_Load_args loads[3] = {{0}};
	depot_stock_Bin_t t;

	(void)state;
	loads[1] = a.needed;
	a.loads = loads;
	a.loads_len = 3;
	build_bin(&a);
	t = depot_stock_Bin_root(buf);
	assert_int_equal(depot_stock_Bin_loads_len(t), 3);
	assert_int_equal(depot_stock_Bin_loads_type_at(t, 0), depot_stock_Load_NONE);
	assert_null(depot_stock_Bin_loads_as_note_at(t, 0).s);
	assert_null(depot_stock_Bin_loads_as_Crate_at(t, 2).p);
	assert_memory_equal(depot_stock_Bin_loads_as_note_at(t, 1).s, "note", 5);
}

/* The value of a type that came with a later schema is not looked at, neither by verifier nor
 * reader. */
static void unknown_members_are_not_followed(void **state)
{
	struct depot_stock_Bin_args a = bin_with_note();
	const struct depot_stock_Crate_args crate = depot_stock_Crate_ARGS_INIT;
	depot_stock_Bin_t t;
	uint8_t *type;
	size_t len;

	(void)state;
	a.content.type = depot_stock_Content_Crate;
	a.content.Crate = &crate;
	len = build_bin(&a);
	t = depot_stock_Bin_root(buf);
	type = (uint8_t *)(uintptr_t)tela_fb_field(t.p, 4); /* content_type, id 0 */
	tela_fb_store_u32((uint8_t *)(uintptr_t)depot_stock_Bin_content_as_Crate(t).p, 0x70000001);
	assert_int_equal(depot_stock_Bin_verify(buf, len), -EBADMSG);
	*type = 200;
	assert_int_equal(depot_stock_Bin_verify(buf, len), 0);
	assert_int_equal(depot_stock_Bin_content_type(t), 200);
	assert_true(depot_stock_Bin_has_content(t));
	assert_null(depot_stock_Bin_content_as_Crate(t).p);
	assert_string_equal(depot_stock_Content_name(200), "?");
}

static void a_type_is_inside(void **state)
{
	const struct depot_stock_Bin_args a = bin_with_note();
	const size_t len = build_bin(&a);
	const uint8_t *table = tela_fb_root(buf);
	uint8_t *vtable = (uint8_t *)(uintptr_t)(table - tela_fb_load_i32(table));

	(void)state;
	tela_fb_store_u16(vtable + 24, 3000); /* needed_type, id 10: behind the end */
	assert_int_equal(depot_stock_Bin_verify(buf, len), -EBADMSG);
	tela_fb_store_u16(vtable + 24, 0); /* absent: none, whatever the value is */
	assert_int_equal(depot_stock_Bin_verify(buf, len), 0);
}

static void types_and_values_are_as_many(void **state)
{
	struct depot_stock_Bin_args a = bin_with_note();
	struct depot_stock_Load_args loads[3];
	uint8_t *types, *field;
	size_t len;

	(void)state;
	loads[0] = loads[1] = loads[2] = a.needed;
	a.loads = loads;
	a.loads_len = 3;
	len = build_bin(&a);
	types = (uint8_t *)(uintptr_t)tela_fb_follow(tela_fb_root(buf), 20); /* loads_type, id 8 */
	assert_int_equal(types[0], 3);
	types[0] = 2;
	assert_int_equal(depot_stock_Bin_verify(buf, len), -EBADMSG);
	types[0] = 3;
	assert_int_equal(depot_stock_Bin_verify(buf, len), 0);
	/* either of them alone */
	field = (uint8_t *)(uintptr_t)(tela_fb_root(buf) - tela_fb_load_i32(tela_fb_root(buf)));
	tela_fb_store_u16(field + 20, 0);
	assert_int_equal(depot_stock_Bin_verify(buf, len), -EBADMSG);
	tela_fb_store_u16(field + 22, 0);
	assert_int_equal(depot_stock_Bin_verify(buf, len), 0);
}

static void identifiers_are_written_and_checked(void **state)
{
	const struct depot_stock_Spot spot = {1, {0}, 2, 3, {0}};
	struct depot_stock_Ticket_args a = depot_stock_Ticket_ARGS_INIT;
	int len, full;

	(void)state;
	len = depot_stock_Ticket_build(buf, sizeof(buf), &a); /* by the general path */
	assert_memory_equal(buf + 4, depot_stock_Ticket_IDENTIFIER, 4);
	assert_int_equal(depot_stock_Ticket_verify(buf, (size_t)len), 0);
	a.seat = &spot;
	a.note.s = "";
	full = depot_stock_Ticket_build(buf, sizeof(buf), &a); /* from its image */
	assert_true(full > len);
	assert_memory_equal(buf + 4, "DEPO", 4);
	assert_int_equal(depot_stock_Ticket_verify(buf, (size_t)full), 0);
	assert_true(depot_stock_Ticket_has_identifier(buf, 8));
	assert_false(depot_stock_Ticket_has_identifier(buf, 7));
	assert_false(depot_stock_Ticket_has_identifier(NULL, 8));
	buf[7] = 'X';
	assert_false(depot_stock_Ticket_has_identifier(buf, (size_t)full));
	assert_int_equal(depot_stock_Ticket_verify(buf, (size_t)full), -EBADMSG);
}

static void prefixed_buffers_end_where_they_say(void **state)
{
	const struct depot_stock_Ticket_args a = depot_stock_Ticket_ARGS_INIT;
	const int size = (int)depot_stock_Ticket_size_prefixed(&a);
	size_t len = (size_t)size;

	(void)state;
	memset(buf, 0xab, sizeof(buf));
	assert_int_equal(depot_stock_Ticket_build_prefixed(buf, len - 1, &a), -ENOSPC);
	assert_int_equal(buf[0], 0xab);
	assert_int_equal(depot_stock_Ticket_build_prefixed(buf, len, &a), size);
	assert_int_equal(buf[len], 0xab);
	assert_int_equal(tela_fb_load_u32(buf), len - 4);
	assert_int_equal(depot_stock_Ticket_verify_prefixed(buf, len), 0);
	assert_int_equal(depot_stock_Ticket_verify_prefixed(buf, len + 1), -EBADMSG);
	assert_int_equal(depot_stock_Ticket_verify(buf + 4, len - 4), 0);
	assert_int_equal(depot_stock_Ticket_number(depot_stock_Ticket_root_prefixed(buf)), 7);
	assert_null(depot_stock_Ticket_root_prefixed(NULL).p);
	tela_fb_store_u32(buf, (uint32_t)len);
	assert_int_equal(depot_stock_Ticket_verify_prefixed(buf, len), -EBADMSG);
	assert_int_equal(depot_stock_Ticket_verify_prefixed(NULL, 0), -EBADMSG);
}

/* A million in every order that is bad for some way of sorting, counted in comparisons. */
static size_t comparisons;

static int counted(const void *a, const void *b)
{
	comparisons++;
	return depot_stock_Zone_fb_order_args(a, b);
}

static void sorting_is_never_quadratic(void **state)
{
	enum { N = 1000000 };
	depot_stock_Zone *v = malloc(N * sizeof(*v));
	unsigned kind;
	size_t i;

	(void)state;
	assert_non_null(v);
	for (kind = 0; kind < 5; kind++) {
		for (i = 0; i < N; i++) {
			v[i].number = (uint32_t)(kind == 0   ? i
						 : kind == 1 ? N - i
						 : kind == 2 ? 7
						 : kind == 3 ? i % 2 ? i : N - i
							     : i * 2654435761u);
			v[i].width = (float)v[i].number;
		}
		comparisons = 0;
		tela_fb_sort(v, N, sizeof(*v), counted);
		assert_in_range(comparisons, N, (size_t)N * 2 * 21);
		for (i = 1; i < N; i++)
			assert_true(v[i - 1].number <= v[i].number);
		for (i = 0; i < N; i += 997) /* elements move whole */
			assert_true(v[i].width == (float)v[i].number);
	}
	free(v);
}

static void keys_have_an_order(void **state)
{
	const struct tela_str a = {"a", 1}, ab = {"ab", 2}, b = {"b", 1}, high = {"\xff", 1},
			      none = {NULL, 0};
	struct depot_stock_Ratio_args v[4] = {{__builtin_nan("")}, {2}, {-__builtin_inf()}, {1}};

	(void)state;
	assert_true(tela_fb_order_str(a, ab) < 0 && tela_fb_order_str(ab, b) < 0);
	assert_true(tela_fb_order_str(b, high) < 0 && tela_fb_order_str(none, a) < 0);
	assert_true(tela_fb_order_str(ab, ab) == 0 && tela_fb_order_str(none, none) == 0);
	depot_stock_Ratio_sort(v, 4);
	assert_true(
		v[0].value < 0 && v[1].value == 1 && v[2].value == 2 && v[3].value != v[3].value);
	depot_stock_Ratio_sort(NULL, 0);
	depot_stock_Ratio_sort(v, 1);
}

/* Searching what is not sorted finds something or nothing, but it ends and stays inside. */
static void disorder_is_harmless(void **state)
{
	struct depot_stock_Label_args labels[5] = {
		{{"e", 1}}, {{"a", 1}}, {{"d", 1}}, {{"", 0}}, {{"c", 1}}};
	struct depot_stock_Index_args a = depot_stock_Index_ARGS_INIT;
	const depot_stock_Index_t none = {NULL};
	depot_stock_Zone zone;
	int len;
	char c;

	(void)state;
	a.labels = labels;
	a.labels_len = 5;
	len = depot_stock_Index_build(buf, sizeof(buf), &a);
	assert_int_equal(depot_stock_Index_verify(buf, (size_t)len), 0);
	for (c = 'a'; c < 'h'; c++) {
		const struct tela_str key = {&c, 1};

		depot_stock_Index_labels_find(depot_stock_Index_root(buf), key);
	}
	assert_false(depot_stock_Index_zones_find(none, 1, &zone));
	assert_null(depot_stock_Index_counts_find(none, 1).p);
}

/* Parcels in parcels, `levels` of them; the innermost one is `innermost`. */
static struct tela_bytes nest(unsigned levels, struct tela_bytes innermost)
{
	static uint8_t space[2][1 << 17]; /* in turn */
	struct depot_stock_Parcel_args a = depot_stock_Parcel_ARGS_INIT;
	const struct depot_stock_Ticket_args ticket = depot_stock_Ticket_ARGS_INIT;
	uint8_t number[64];
	int len;

	a.ticket.len = (size_t)depot_stock_Ticket_build(number, sizeof(number), &ticket);
	a.ticket.data = number;
	for (; levels; levels--) {
		a.inner = innermost;
		assert_true(depot_stock_Parcel_size(&a) > 0);
		len = depot_stock_Parcel_build(space[levels % 2], sizeof(*space), &a);
		assert_true(len > 0);
		innermost.data = space[levels % 2];
		innermost.len = (size_t)len;
	}
	return innermost;
}

static void nested_buffers_are_verified(void **state)
{
	const uint8_t zeros[12] = {0};
	const struct tela_bytes none = {NULL, 0}, bad = {zeros, sizeof(zeros)}, empty = {zeros, 0};
	struct tela_bytes b = nest(3, none);

	(void)state;
	assert_int_equal(depot_stock_Parcel_verify(b.data, b.len), 0);
	b = nest(3, bad); /* two buffers down */
	assert_int_equal(depot_stock_Parcel_verify(b.data, b.len), -EBADMSG);
	b = nest(1, empty); /* no bytes are no buffer */
	assert_int_equal(depot_stock_Parcel_verify(b.data, b.len), -EBADMSG);
	/* the innermost one has a ticket inside */
	b = nest(TELA_FB_AROUND_MAX, none);
	assert_int_equal(depot_stock_Parcel_verify(b.data, b.len), 0);
	b = nest(TELA_FB_AROUND_MAX + 1, none);
	assert_int_equal(depot_stock_Parcel_verify(b.data, b.len), -EBADMSG);
}

static const uint8_t *vtable_of(const uint8_t *table)
{
	return table - tela_fb_load_i32(table);
}

static void equal_parts_are_written_once(void **state)
{
	struct depot_stock_Tag_args tags[4];
	struct depot_stock_Tags_args a = depot_stock_Tags_ARGS_INIT;
	const struct tela_str here = {"here", 4}, there = {"there", 5};
	depot_stock_Tags_t t;
	size_t i;
	int len;

	(void)state;
	memset(tags, 0, sizeof(tags));
	for (i = 0; i < 4; i++) {
		tags[i].place = here;
		tags[i].owner = i % 2 ? there : here;
		tags[i].note = here; /* not declared to be shared */
	}
	tags[3].big = 1;
	a.tags = tags;
	a.tags_len = 4;
	a.title = there;
	len = depot_stock_Tags_build(buf, sizeof(buf), &a);
	assert_int_equal(len, depot_stock_Tags_size(&a));
	assert_int_equal(depot_stock_Tags_verify(buf, (size_t)len), 0);
	t = depot_stock_Tags_root(buf);
	for (i = 0; i < 4; i++) {
		const depot_stock_Tag_t tag = depot_stock_Tags_tags_at(t, i);
		const char *place = depot_stock_Tag_place(tag).s;

		assert_memory_equal(place, "here", 5);
		assert_ptr_equal(place, depot_stock_Tag_place(depot_stock_Tags_tags_at(t, 0)).s);
		assert_ptr_equal(
			depot_stock_Tag_owner(tag).s, i % 2 ? depot_stock_Tags_title(t).s : place);
		assert_ptr_not_equal(depot_stock_Tag_note(tag).s, place);
	}
	assert_ptr_equal(vtable_of(depot_stock_Tags_tags_at(t, 0).p),
		vtable_of(depot_stock_Tags_tags_at(t, 2).p));
	assert_ptr_not_equal(vtable_of(depot_stock_Tags_tags_at(t, 0).p),
		vtable_of(depot_stock_Tags_tags_at(t, 3).p));
}

/* Of two tables, too; what is more than can be remembered is written where it is. */
static void what_is_shared_has_a_limit(void **state)
{
	enum { N = 3000, DIFFERENT = TELA_FB_SHARED_STRINGS + 20 };
	static uint8_t large[1 << 18];
	static struct depot_stock_Tag_args tags[N];
	static char text[N][8];
	struct depot_stock_Tags_args a = depot_stock_Tags_ARGS_INIT;
	depot_stock_Tags_t t;
	size_t i;
	int len;

	(void)state;
	for (i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), "%zu", i % DIFFERENT);
		tags[i].place.s = text[i];
		tags[i].place.len = strlen(text[i]);
		tags[i].big = i & 1;
		tags[i].owner = i & 2 ? tags[i].place : tags[i].owner;
		tags[i].note = i & 4 ? tags[i].place : tags[i].note;
	}
	a.tags = tags;
	a.tags_len = N;
	len = depot_stock_Tags_build(large, sizeof(large), &a);
	assert_true(len > 0 && (size_t)len == depot_stock_Tags_size(&a));
	assert_int_equal(depot_stock_Tags_verify(large, (size_t)len), 0);
	t = depot_stock_Tags_root(large);
	for (i = DIFFERENT; i < N; i++) {
		const char *place = depot_stock_Tag_place(depot_stock_Tags_tags_at(t, i)).s;
		const char *first =
			depot_stock_Tag_place(depot_stock_Tags_tags_at(t, i % DIFFERENT)).s;

		assert_string_equal(place, text[i]);
		assert_int_equal(place == first, i % DIFFERENT < TELA_FB_SHARED_STRINGS);
	}
	tags[0].place.len = SIZE_MAX;
	assert_int_equal(depot_stock_Tags_size(&a), 0);
}

static void vtables_of_other_tables_are_shared(void **state)
{
	struct depot_stock_Tag_args tag = {0};
	struct depot_stock_Plain_args plain = {{"x", 1}};
	struct depot_stock_Mark_args marks[2] = {{0}};
	struct depot_stock_Tags_args a = depot_stock_Tags_ARGS_INIT;
	depot_stock_Tags_t t;
	int len;

	(void)state;
	tag.place = plain.place;
	tag.small = 3; /* the default: not written */
	marks[0].type = depot_stock_Mark_Tag;
	marks[0].Tag = &tag;
	marks[1].type = depot_stock_Mark_Plain;
	marks[1].Plain = &plain;
	a.marks = marks;
	a.marks_len = 2;
	len = depot_stock_Tags_build_prefixed(buf, sizeof(buf), &a);
	assert_int_equal(depot_stock_Tags_verify_prefixed(buf, (size_t)len), 0);
	t = depot_stock_Tags_root_prefixed(buf);
	assert_ptr_equal(vtable_of(depot_stock_Tags_marks_as_Tag_at(t, 0).p),
		vtable_of(depot_stock_Tags_marks_as_Plain_at(t, 1).p));
}

/* Items that are 8 times the same one, which holds such items as bytes, and so on: 8^levels paths,
 * of which the buffer around pays for all. */
static void nested_buffers_have_no_budget_of_their_own(void **state)
{
	enum { N = 8, LEVELS = 4 };
	static uint8_t space[LEVELS][8192];
	struct tela_bytes inside = {NULL, 0};
	unsigned level, i;
	int len, verdict = 0;

	(void)state;
	for (level = 0; level < LEVELS; level++) {
		struct depot_stock_Item_args items[N], a = depot_stock_Item_ARGS_INIT;
		depot_stock_Item_t t;

		a.name.s = "";
		for (i = 0; i < N; i++)
			items[i] = a;
		items[N - 1].nested = inside;
		a.items = items;
		a.items_len = N;
		len = depot_stock_Item_build(space[level], sizeof(space[level]), &a);
		assert_true(len > 0);
		t = depot_stock_Item_root(space[level]);
		for (i = 0; i < N; i++) {
			const uint8_t *item = depot_stock_Item_items_at(t, N - 1).p;
			uint8_t *entry = (uint8_t *)(uintptr_t)tela_fb_element(t.p, 26, i, 4);

			tela_fb_store_u32(entry, (uint32_t)(item - entry));
		}
		inside.data = space[level];
		inside.len = (size_t)len;
		verdict = depot_stock_Item_verify(inside.data, inside.len);
		if (level == 0)
			assert_int_equal(verdict, 0);
	}
	assert_in_range(inside.len, 500, 4000); /* less than 8^3 visits pay for */
	assert_int_equal(verdict, -EBADMSG);
}

static bool aligned(const void *p, const uint8_t *from, size_t align)
{
	return (size_t)((const uint8_t *)p - from) % align == 0;
}

/* Places count from the start of the buffer, wherever that is, and from the size before it. */
static void alignment_is_kept(void **state)
{
	struct random_args *r = calloc(1, sizeof(*r));
	struct depot_stock_House_args a;
	unsigned turn, met = 0;
	depot_stock_House_t t;
	size_t i;
	int len;

	(void)state;
	assert_non_null(r);
	for (turn = 0; turn < 200; turn++) {
		r->state = turn;
		r->used = 0;
		random_house(r, &a, 1);
		len = turn & 1 ? depot_stock_House_build_prefixed(buf + turn % 8, 4000, &a)
			       : depot_stock_House_build(buf + turn % 8, 4000, &a);
		assert_true(len > 0);
		t = turn & 1 ? depot_stock_House_root_prefixed(buf + turn % 8)
			     : depot_stock_House_root(buf + turn % 8);
		for (i = 0; i < a.walls_len; i++, met++) {
			const uint8_t *wall = tela_fb_element(t.p, 10, i, depot_stock_Wall_SIZE);

			assert_true(aligned(wall, buf + turn % 8, i ? 32 : 64));
		}
		if (a.wall)
			assert_true(aligned(tela_fb_field(t.p, 6), buf + turn % 8, 32));
		if (a.room)
			assert_true(aligned(tela_fb_field(t.p, 8), buf + turn % 8, 32));
		if (a.samples)
			assert_true(aligned(tela_fb_follow(t.p, 12) + 4, buf + turn % 8, 32));
		if (a.bytes.data)
			assert_true(aligned(depot_stock_House_bytes(t).data, buf + turn % 8, 16));
		if (a.names)
			assert_true(aligned(tela_fb_follow(t.p, 16) + 4, buf + turn % 8, 16));
		if (a.annex)
			assert_true(aligned(tela_fb_follow(t.p, 18) + 4, buf + turn % 8, 64));
	}
	assert_true(met > 50);
	assert_int_equal(depot_stock_Wall_SIZE, 32);
	assert_int_equal(depot_stock_Room_SIZE, 128);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unions_need_their_value),
		cmocka_unit_test(an_element_may_be_none),
		cmocka_unit_test(unknown_members_are_not_followed),
		cmocka_unit_test(a_type_is_inside),
		cmocka_unit_test(types_and_values_are_as_many),
		cmocka_unit_test(alignment_is_kept),
		cmocka_unit_test(equal_parts_are_written_once),
		cmocka_unit_test(what_is_shared_has_a_limit),
		cmocka_unit_test(vtables_of_other_tables_are_shared),
		cmocka_unit_test(nested_buffers_are_verified),
		cmocka_unit_test(nested_buffers_have_no_budget_of_their_own),
		cmocka_unit_test(sorting_is_never_quadratic),
		cmocka_unit_test(keys_have_an_order),
		cmocka_unit_test(disorder_is_harmless),
		cmocka_unit_test(identifiers_are_written_and_checked),
		cmocka_unit_test(prefixed_buffers_end_where_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
