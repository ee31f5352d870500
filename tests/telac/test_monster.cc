// test_monster.cc - what monster.fbs declares, which is every kind of declaration that there is,
// from our builders to C++ and back; oracle.h says how.

#include "oracle.h"
#include "random_monster.h"

#include "monster_generated.h"

namespace
{

template <class T> bool same_option(bool there, T value, const T *wanted)
{
	return there == !!wanted && (!wanted || !std::memcmp(&value, wanted, sizeof(value)));
}

// `value` starts as something else than the reader writes, and is untouched if it writes nothing.
#define CHECK_OPTION(table, t, field, type)                                                        \
	do {                                                                                       \
		type value, old;                                                                   \
		std::memset(&value, 1, sizeof(value));                                             \
		old = value;                                                                       \
		const bool there = table##_##field(t, &value);                                     \
		CHECK(same_option(there, value, a->field));                                        \
		CHECK(a->field || !std::memcmp(&value, &old, sizeof(value)));                      \
		CHECK(table##_has_##field(t) == !!a->field);                                       \
	} while (0)

void compare(depot_stock_Options_t t, const depot_stock_Options_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK_OPTION(depot_stock_Options, t, a, int8_t);
	CHECK_OPTION(depot_stock_Options, t, b, uint8_t);
	CHECK_OPTION(depot_stock_Options, t, c, int16_t);
	CHECK_OPTION(depot_stock_Options, t, d, uint16_t);
	CHECK_OPTION(depot_stock_Options, t, e, int32_t);
	CHECK_OPTION(depot_stock_Options, t, f, uint32_t);
	CHECK_OPTION(depot_stock_Options, t, g, int64_t);
	CHECK_OPTION(depot_stock_Options, t, h, uint64_t);
	CHECK_OPTION(depot_stock_Options, t, i, float);
	CHECK_OPTION(depot_stock_Options, t, j, double);
	CHECK_OPTION(depot_stock_Options, t, k, bool);
	CHECK_OPTION(depot_stock_Options, t, l, depot_stock_Grade);
	CHECK(depot_stock_Options_plain(t) == a->plain);
}

bool same_spot(const depot_stock_Spot &a, const depot_stock_Spot &b)
{
	return a.row == b.row && a.at == b.at && a.bay == b.bay;
}

void compare(const depot_stock_Shelf &a, const depot_stock_Shelf &b)
{
	CHECK(!std::memcmp(a.label, b.label, sizeof(a.label)));
	CHECK(!std::memcmp(a.lit, b.lit, sizeof(a.lit)));
	for (int i = 0; i < 3; i++)
		CHECK(same_spot(a.spots[i], b.spots[i]) && a.grades[i] == b.grades[i]);
	CHECK(!std::memcmp(a.loads, b.loads, sizeof(a.loads)));
	CHECK(same(a.total, b.total) && a.last[0] == b.last[0]);
}

void compare(depot_stock_Rack_t t, const depot_stock_Rack_args *a)
{
	depot_stock_Shelf shelf;

	CHECK(depot_stock_Rack_shelf(t, &shelf) == !!a->shelf);
	if (a->shelf)
		compare(shelf, *a->shelf);
	CHECK(depot_stock_Rack_shelves_len(t) == a->shelves_len);
	for (size_t i = 0; i < a->shelves_len; i++)
		compare(depot_stock_Rack_shelves_at(t, i), a->shelves[i]);
}

// No byte of what a struct was copied from shows where the buffer has padding.
void no_padding_leaks(random_args *r)
{
	depot_stock_Shelf shelf, stored;

	random_shelf(r, &shelf);
	std::memset(&stored, 0xee, sizeof(stored));
	depot_stock_Shelf_store(&stored, &shelf);
	CHECK(sizeof(shelf) == 56 && sizeof(depot_stock_Spot) == 6);
	for (const depot_stock_Spot &s : stored.spots) {
		const uint8_t *p = reinterpret_cast<const uint8_t *>(&s);
		CHECK(!p[1] && !p[5]);
	}
	compare(stored, shelf);
}

int one_turn(random_args *r)
{
	depot_stock_Options_args options;
	depot_stock_Rack_args rack;

	random_options(r, &options);
	BOTH_WAYS(depot::stock::Options, depot_stock_Options, options);
	random_rack(r, &rack);
	BOTH_WAYS(depot::stock::Rack, depot_stock_Rack, rack);
	no_padding_leaks(r);
	return SAME_VERDICT(depot::stock::Options, depot_stock_Options, options) +
	       SAME_VERDICT(depot::stock::Rack, depot_stock_Rack, rack);
}

} // namespace

int main(int argc, char **argv)
{
	return all_turns(argc, argv, 2000, one_turn);
}
