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

int one_turn(random_args *r)
{
	depot_stock_Options_args options;

	random_options(r, &options);
	BOTH_WAYS(depot::stock::Options, depot_stock_Options, options);
	return SAME_VERDICT(depot::stock::Options, depot_stock_Options, options);
}

} // namespace

int main(int argc, char **argv)
{
	return all_turns(argc, argv, 2000, one_turn);
}
