// test_monster.cc - what monster.fbs declares, which is every kind of declaration that there is,
// from our builders to C++ and back; oracle.h says how.

#include "oracle.h"
#include "random_monster.h"

#include "monster_generated.h"

#include <algorithm>

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

void compare(depot_stock_Bin_t t, const depot_stock_Bin_args *a);

void compare(depot_stock_Crate_t t, const depot_stock_Crate_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(depot_stock_Crate_id(t) == a->id && same(depot_stock_Crate_label(t), a->label));
	compare(depot_stock_Crate_inner(t), a->inner);
}

// What Bin reads of a Load: alone, or at a place in a vector.
struct load {
	depot_stock_Load type;
	depot_stock_Crate_t crate, type_;
	bool has_spot, has_shelf;
	depot_stock_Spot spot;
	depot_stock_Shelf shelf;
	tela_str note, struct_;
};

void compare(const load &l, const depot_stock_Load_args &a)
{
	CHECK(l.type == a.type);
	compare(l.crate, a.type == depot_stock_Load_Crate ? a.Crate : nullptr);
	compare(l.type_, a.type == depot_stock_Load_type ? a.type_ : nullptr);
	CHECK(l.has_spot == (a.type == depot_stock_Load_spot));
	CHECK(!l.has_spot || same_spot(l.spot, *a.spot));
	CHECK(l.has_shelf == (a.type == depot_stock_Load_Shelf));
	if (l.has_shelf)
		compare(l.shelf, *a.Shelf);
	CHECK(!l.note.s == (a.type != depot_stock_Load_note));
	CHECK(!l.note.s || same(l.note, a.note));
	CHECK(!l.struct_.s == (a.type != depot_stock_Load_struct));
	CHECK(!l.struct_.s || same(l.struct_, a.struct_));
}

load needed(depot_stock_Bin_t t)
{
	load l = {depot_stock_Bin_needed_type(t), depot_stock_Bin_needed_as_Crate(t),
		depot_stock_Bin_needed_as_type(t), false, false, {}, {},
		depot_stock_Bin_needed_as_note(t), depot_stock_Bin_needed_as_struct(t)};

	l.has_spot = depot_stock_Bin_needed_as_spot(t, &l.spot);
	l.has_shelf = depot_stock_Bin_needed_as_Shelf(t, &l.shelf);
	return l;
}

load load_at(depot_stock_Bin_t t, size_t i)
{
	load l = {depot_stock_Bin_loads_type_at(t, i), depot_stock_Bin_loads_as_Crate_at(t, i),
		depot_stock_Bin_loads_as_type_at(t, i), false, false, {}, {},
		depot_stock_Bin_loads_as_note_at(t, i), depot_stock_Bin_loads_as_struct_at(t, i)};

	l.has_spot = depot_stock_Bin_loads_as_spot_at(t, i, &l.spot);
	l.has_shelf = depot_stock_Bin_loads_as_Shelf_at(t, i, &l.shelf);
	return l;
}

void compare_content(depot_stock_Bin_t t, const depot_stock_Content_args &a)
{
	const depot_stock_Rack_t rack = depot_stock_Bin_content_as_Rack(t);

	CHECK(depot_stock_Bin_content_type(t) == a.type);
	CHECK(depot_stock_Bin_has_content(t) == (a.type != 0));
	compare(depot_stock_Bin_content_as_Crate(t),
		a.type == depot_stock_Content_Crate ? a.Crate : nullptr);
	CHECK(!rack.p == (a.type != depot_stock_Content_Rack));
	if (rack.p)
		compare(rack, a.Rack);
	CHECK(!depot_stock_Bin_content_as_depot_other_Crate(t).p ==
		(a.type != depot_stock_Content_depot_other_Crate));
}

void compare(depot_stock_Bin_t t, const depot_stock_Bin_args *a)
{
	const load none = load_at(t, a ? a->loads_len : 0);

	CHECK(!t.p == !a);
	if (!a)
		return;
	compare_content(t, a->content);
	CHECK(depot_stock_Bin_aliases_type(t) == a->aliases.type);
	compare(depot_stock_Bin_aliases_as_o(t),
		a->aliases.type == depot_stock_Aliases_o ? a->aliases.o : nullptr);
	CHECK(!depot_stock_Bin_aliases_as_c(t).p && !depot_stock_Bin_aliases_as_c2(t).p);
	CHECK(depot_stock_Bin_ambiguous_type(t) == a->ambiguous.type);
	for (int i = 1; i < 4; i++) {
		const depot_stock_Crate_t c = i == 1   ? depot_stock_Bin_ambiguous_as_c1(t)
					      : i == 2 ? depot_stock_Bin_ambiguous_as_c2(t)
						       : depot_stock_Bin_ambiguous_as_c3(t);
		compare(c, a->ambiguous.type == i ? a->ambiguous.c2 : nullptr);
	}
	CHECK(depot_stock_Bin_loads_len(t) == a->loads_len);
	for (size_t i = 0; i < a->loads_len; i++)
		compare(load_at(t, i), a->loads[i]);
	CHECK(!none.type && !none.crate.p && !none.has_spot && !none.has_shelf && !none.note.s);
	compare(needed(t), a->needed);
}

void compare(depot_stock_Ticket_t t, const depot_stock_Ticket_args *a)
{
	depot_stock_Spot seat;

	CHECK(depot_stock_Ticket_number(t) == a->number &&
		same(depot_stock_Ticket_when(t), a->when));
	CHECK(depot_stock_Ticket_seat(t, &seat) == !!a->seat);
	CHECK(!a->seat || same_spot(seat, *a->seat));
	CHECK(same(depot_stock_Ticket_note(t), a->note));
}

// Each element is found, and it has the key that was asked for: keys may be there twice.
void compare(depot_stock_Index_t t, const depot_stock_Index_args *a)
{
	depot_stock_Zone zone = {77, 0};
	depot_stock_Lamp lamp = {};

	CHECK(depot_stock_Index_zones_len(t) == a->zones_len);
	for (size_t i = 0; i < a->zones_len; i++) {
		CHECK(depot_stock_Index_zones_find(t, a->zones[i].number, &zone));
		CHECK(zone.number == a->zones[i].number);
		CHECK(depot_stock_Index_zones_at(t, i).number == zone.number);
		CHECK(depot_stock_Index_lamps_find(t, a->lamps[i].on != 0, &lamp));
		CHECK(lamp.on == a->lamps[i].on);
		CHECK(depot_stock_Count_times(depot_stock_Index_counts_find(
			      t, a->counts[i].times)) == a->counts[i].times);
		CHECK(same(
			depot_stock_Label_text(depot_stock_Index_labels_find(t, a->labels[i].text)),
			a->labels[i].text));
		CHECK(depot_stock_Ratio_value(depot_stock_Index_ratios_find(
			      t, a->ratios[i].value)) == a->ratios[i].value);
		CHECK(!i || a->zones[i - 1].number <= a->zones[i].number);
		CHECK(!i || a->lamps[i - 1].on <= a->lamps[i].on);
		CHECK(!i || a->counts[i - 1].times <= a->counts[i].times);
		CHECK(!i || text(a->labels[i - 1].text) <= text(a->labels[i].text));
		CHECK(!i || a->ratios[i - 1].value <= a->ratios[i].value);
	}
	zone.number = 77;
	CHECK(!depot_stock_Index_zones_find(t, 123456, &zone) && zone.number == 77);
	CHECK(!depot_stock_Index_counts_find(t, 4321).p);
	CHECK(!depot_stock_Index_labels_find(t, {"not there", 9}).p);
	CHECK(!depot_stock_Index_ratios_find(t, 0.3).p);
}

// C++ finds in a vector that we sorted, and we in one that C++ sorted.
void same_order(const depot_stock_Index_args *a)
{
	std::vector<uint64_t> aligned(depot_stock_Index_size(a) / 8 + 1);
	uint8_t *ours = reinterpret_cast<uint8_t *>(aligned.data());
	flatbuffers::FlatBufferBuilder b;
	std::vector<depot::stock::Zone> zones;
	std::vector<flatbuffers::Offset<depot::stock::Label>> labels;

	depot_stock_Index_build(ours, aligned.size() * 8, a);
	const auto *index = flatbuffers::GetRoot<depot::stock::Index>(ours);
	for (size_t i = 0; i < a->zones_len; i++) {
		const std::string label = text(a->labels[i].text);
		const auto *found = index->labels()->LookupByKey(label.c_str());

		CHECK(index->zones()->LookupByKey(a->zones[i].number));
		CHECK(index->counts()->LookupByKey(a->counts[i].times));
		CHECK(index->ratios()->LookupByKey(a->ratios[i].value));
		// C++ looks for what ends at the first zero byte
		CHECK(found || label.find('\0') != std::string::npos);
		zones.emplace_back(a->zones[i].number, a->zones[i].width);
		labels.push_back(depot::stock::CreateLabel(b, b.CreateString(label)));
	}
	std::reverse(zones.begin(), zones.end());
	std::reverse(labels.begin(), labels.end());
	const auto sorted_labels = b.CreateVectorOfSortedTables(&labels);
	const auto sorted_zones = b.CreateVectorOfSortedStructs(&zones);
	b.Finish(depot::stock::CreateIndex(b, sorted_zones, 0, sorted_labels));
	const depot_stock_Index_t t = depot_stock_Index_root(b.GetBufferPointer());
	depot_stock_Zone zone;
	for (size_t i = 0; i < a->zones_len; i++) {
		CHECK(depot_stock_Index_zones_find(t, a->zones[i].number, &zone));
		CHECK(depot_stock_Index_labels_find(t, a->labels[i].text).p);
	}
}

// The bytes are compared, and what is read of them by way of the buffer around them is the same as
// what their own verifier and root say.
void compare(depot_stock_Parcel_t t, const depot_stock_Parcel_args *a)
{
	const tela_bytes inner = depot_stock_Parcel_inner(t), ticket = depot_stock_Parcel_ticket(t);

	CHECK(same(depot_stock_Parcel_weight(t), a->weight));
	CHECK(same(inner, a->inner) && same(depot_stock_Parcel_bin(t), a->bin));
	CHECK(same(ticket, a->ticket) && !depot_stock_Ticket_verify(ticket.data, ticket.len));
	CHECK(depot_stock_Ticket_number(depot_stock_Parcel_ticket_root(t)) ==
		depot_stock_Ticket_number(depot_stock_Ticket_root(a->ticket.data)));
	CHECK(!depot_stock_Parcel_inner_root(t).p == !a->inner.len);
	CHECK(!depot_stock_Parcel_bin_root(t).p == !a->bin.len);
	if (!a->inner.len)
		return;
	CHECK(!depot_stock_Parcel_verify(inner.data, inner.len));
	CHECK(depot_stock_Parcel_inner_root(t).p == depot_stock_Parcel_root(inner.data).p);
	CHECK(same(depot_stock_Parcel_weight(depot_stock_Parcel_inner_root(t)),
		depot_stock_Parcel_weight(depot_stock_Parcel_root(a->inner.data))));
}

void compare(depot_stock_Tag_t t, const depot_stock_Tag_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	const depot_stock_Mark mark = depot_stock_Tag_more_type(t);

	CHECK(same(depot_stock_Tag_place(t), a->place) && same(depot_stock_Tag_owner(t), a->owner));
	CHECK(same(depot_stock_Tag_note(t), a->note) && depot_stock_Tag_big(t) == a->big);
	CHECK(depot_stock_Tag_small(t) == a->small && mark == a->more.type);
	compare(depot_stock_Tag_more_as_Tag(t),
		mark == depot_stock_Mark_Tag ? a->more.Tag : nullptr);
	if (mark == depot_stock_Mark_Plain)
		CHECK(same(depot_stock_Plain_place(depot_stock_Tag_more_as_Plain(t)),
			a->more.Plain->place));
	if (mark == depot_stock_Mark_text)
		CHECK(same(depot_stock_Tag_more_as_text(t), a->more.text));
}

void compare(depot_stock_Tags_t t, const depot_stock_Tags_args *a)
{
	CHECK(same(depot_stock_Tags_title(t), a->title));
	compare(depot_stock_Tags_last(t), a->last);
	CHECK(depot_stock_Tags_tags_len(t) == a->tags_len);
	CHECK(depot_stock_Tags_marks_len(t) == a->marks_len);
	for (size_t i = 0; i < a->tags_len; i++)
		compare(depot_stock_Tags_tags_at(t, i), &a->tags[i]);
	for (size_t i = 0; i < a->marks_len; i++) {
		const depot_stock_Mark_args &m = a->marks[i];

		CHECK(depot_stock_Tags_marks_type_at(t, i) == m.type);
		compare(depot_stock_Tags_marks_as_Tag_at(t, i),
			m.type == depot_stock_Mark_Tag ? m.Tag : nullptr);
		if (m.type == depot_stock_Mark_text)
			CHECK(same(depot_stock_Tags_marks_as_text_at(t, i), m.text));
	}
}

bool same_wall(const depot_stock_Wall &a, const depot_stock_Wall &b)
{
	return a.height == b.height && same_spot(a.corner, b.corner) && same(a.width, b.width) &&
	       same(a.length, b.length);
}

void compare(depot_stock_House_t t, const depot_stock_House_args *a);

void compare_part(bool has_wall, depot_stock_Wall wall, depot_stock_House_t house,
	depot_stock_Part type, const depot_stock_Part_args &a)
{
	CHECK(type == a.type && has_wall == (type == depot_stock_Part_Wall));
	CHECK(!has_wall || same_wall(wall, *a.Wall));
	compare(house, type == depot_stock_Part_House ? a.House : nullptr);
}

void compare(depot_stock_House_t t, const depot_stock_House_args *a)
{
	depot_stock_Wall wall = {};
	depot_stock_Room room;
	bool there;

	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(depot_stock_House_low(t) == a->low && same(depot_stock_House_bytes(t), a->bytes));
	CHECK(depot_stock_House_wall(t, &wall) == !!a->wall);
	CHECK(!a->wall || same_wall(wall, *a->wall));
	CHECK(depot_stock_House_room(t, &room) == !!a->room);
	CHECK(!a->room || (room.door == a->room->door && same_wall(room.wall, a->room->wall) &&
				  same_wall(room.walls[1], a->room->walls[1])));
	CHECK(depot_stock_House_walls_len(t) == a->walls_len);
	for (size_t i = 0; i < a->walls_len; i++)
		CHECK(same_wall(depot_stock_House_walls_at(t, i), a->walls[i]));
	CHECK(depot_stock_House_samples_len(t) == a->samples_len);
	for (size_t i = 0; i < a->samples_len; i++)
		CHECK(depot_stock_House_samples_at(t, i) == a->samples[i]);
	CHECK(depot_stock_House_names_len(t) == a->names_len);
	for (size_t i = 0; i < a->names_len; i++)
		CHECK(same(depot_stock_House_names_at(t, i), a->names[i]));
	CHECK(depot_stock_House_annex_len(t) == a->annex_len);
	for (size_t i = 0; i < a->annex_len; i++)
		compare(depot_stock_House_annex_at(t, i), &a->annex[i]);
	there = depot_stock_House_part_as_Wall(t, &wall);
	compare_part(there, wall, depot_stock_House_part_as_House(t),
		depot_stock_House_part_type(t), a->part);
	CHECK(depot_stock_House_parts_len(t) == a->parts_len);
	for (size_t i = 0; i < a->parts_len; i++) {
		there = depot_stock_House_parts_as_Wall_at(t, i, &wall);
		compare_part(there, wall, depot_stock_House_parts_as_House_at(t, i),
			depot_stock_House_parts_type_at(t, i), a->parts[i]);
	}
}

void compare(depot_Owner_t t, const depot_Owner_args *a)
{
	depot_Place home = {};

	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(same(depot_Owner_name(t), a->name) && depot_Owner_season(t) == a->season);
	CHECK(depot_Owner_home(t, &home) == !!a->home);
	CHECK(!a->home || !std::memcmp(&home, a->home, sizeof(home)));
}

void compare(depot_stock_Aliased_t t, const depot_stock_Aliased_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(depot_stock_Aliased_i8(t) == a->i8 && depot_stock_Aliased_u8(t) == a->u8);
	CHECK(depot_stock_Aliased_i16(t) == a->i16 && depot_stock_Aliased_u16(t) == a->u16);
	CHECK(depot_stock_Aliased_i32(t) == a->i32 && depot_stock_Aliased_u32(t) == a->u32);
	CHECK(depot_stock_Aliased_i64(t) == a->i64 && depot_stock_Aliased_u64(t) == a->u64);
	CHECK(depot_stock_Aliased_f32(t) == a->f32 && depot_stock_Aliased_f64(t) == a->f64);
	CHECK(depot_stock_Aliased_v8_len(t) == a->v8_len);
	CHECK(depot_stock_Aliased_vf64_len(t) == a->vf64_len);
	CHECK(!a->v8 || depot_stock_Aliased_v8_at(t, 2) == a->v8[2]);
	CHECK(!a->vf64 || depot_stock_Aliased_vf64_at(t, 2) == a->vf64[2]);
}

bool same_pair(const depot_stock_Pair &a, const depot_stock_Pair &b)
{
	return a.a == b.a && a.b == b.b;
}

void compare_structs(depot_stock_Item_t t, const depot_stock_Item_args *a)
{
	depot_stock_Vec3 pos = {};
	depot_stock_Pair pair = {};
	depot_stock_Deep deep = {};

	CHECK(depot_stock_Item_pos(t, &pos) == !!a->pos);
	CHECK(!a->pos ||
		(same(pos.x, a->pos->x) && same(pos.d, a->pos->d) && pos.colour == a->pos->colour &&
			same_pair(pos.pair, a->pos->pair)));
	CHECK(depot_stock_Item_inlined(t, &pair) && same_pair(pair, *a->inlined));
	CHECK(depot_stock_Item_deep(t, &deep) == !!a->deep);
	CHECK(!a->deep ||
		(deep.a.c.number == a->deep->a.c.number && same_pair(deep.a.b, a->deep->a.b)));
	CHECK(depot_stock_Item_pairs_len(t) == a->pairs_len);
	for (size_t i = 0; i < a->pairs_len; i++)
		CHECK(same_pair(depot_stock_Item_pairs_at(t, i), a->pairs[i]));
	CHECK(depot_stock_Item_places_len(t) == a->places_len);
	CHECK(!a->places || depot_stock_Item_places_at(t, 1).x == a->places[1].x);
}

void compare(depot_stock_Item_t t, const depot_stock_Item_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(same(depot_stock_Item_name(t), a->name) && depot_stock_Item_hp(t) == a->hp);
	CHECK(depot_stock_Item_mana(t) == 150 && same(depot_stock_Item_inventory(t), a->inventory));
	CHECK(depot_stock_Item_colour(t) == depot_stock_Colour_blue);
	CHECK(depot_stock_Item_any_type(t) == a->any.type);
	compare(depot_stock_Item_any_as_Crate(t),
		a->any.type == depot_stock_Content_Crate ? a->any.Crate : nullptr);
	CHECK(!depot_stock_Item_nothing(t).p == !a->nothing);
	CHECK(depot_stock_Item_third(t) == 3.14159f &&
		depot_stock_Item_season(t) == depot_Season_dry);
	CHECK(depot_stock_Item_wide(t) == a->wide && depot_stock_Item_wide_one(t) == 2);
	CHECK(same(depot_stock_Item_nan_default(t), a->nan_default));
	CHECK(same(depot_stock_Item_inf_default(t), a->inf_default));
	CHECK(same(depot_stock_Item_minus_inf_default(t), -__builtin_inf()));
	CHECK(depot_stock_Item_colours_len(t) == a->colours_len);
	CHECK(!a->colours || depot_stock_Item_colours_at(t, 3) == a->colours[3]);
	CHECK(depot_stock_Item_longs_len(t) == a->longs_len);
	CHECK(!a->longs || depot_stock_Item_longs_at(t, 1) == a->longs[1]);
	compare_structs(t, a);
	compare(depot_stock_Item_owner(t), a->owner);
	CHECK(depot_stock_Item_party_type(t) == a->party.type);
	compare(depot_stock_Item_party_as_Owner(t),
		a->party.type == depot_Party_Owner ? a->party.Owner : nullptr);
	if (a->party.type == depot_Party_firm)
		CHECK(same(depot_stock_Item_party_as_firm(t), a->party.firm));
	compare(depot_stock_Item_aliases(t), a->aliases);
	compare(depot_stock_Item_enemy(t), a->enemy);
	CHECK(depot_stock_Item_items_len(t) == a->items_len);
	for (size_t i = 0; i < a->items_len; i++) {
		compare(depot_stock_Item_items_at(t, i), &a->items[i]);
		CHECK(depot_stock_Item_items_find(t, a->items[i].name).p);
	}
	CHECK(same(depot_stock_Item_nested(t), a->nested));
	CHECK(!depot_stock_Item_nested_root(t).p == !a->nested.len);
}

// Bins of 8 loads, the last of which is a crate that holds the next bin; then all 8 are made to be
// that one.
void crafted_unions()
{
	enum { LEVELS = 5, N = 8 };
	depot_stock_Bin_args bins[LEVELS + 1];
	depot_stock_Crate_args crates[LEVELS] = {};
	depot_stock_Load_args loads[LEVELS][N];
	std::vector<uint64_t> words(1024);
	uint8_t *buf = reinterpret_cast<uint8_t *>(words.data());
	tela_fb_verifier v;
	uint32_t root;

	for (int i = 0; i <= LEVELS; i++) {
		bins[i] = depot_stock_Bin_ARGS_INIT;
		bins[i].needed.type = depot_stock_Load_note;
		bins[i].needed.note = {"", 0};
		if (i == LEVELS)
			break;
		crates[i].inner = &bins[i + 1];
		for (auto &load : loads[i]) {
			load.type = depot_stock_Load_struct;
			load.struct_ = {"", 0};
		}
		loads[i][N - 1].type = depot_stock_Load_Crate;
		loads[i][N - 1].Crate = &crates[i];
		bins[i].loads = loads[i];
		bins[i].loads_len = N;
	}
	const int len = depot_stock_Bin_build(buf, words.size() * 8, &bins[0]);
	CHECK(len > 0 && len < 1200 && depot_stock_Bin_verify(buf, size_t(len)) == 0);
	for (depot_stock_Bin_t t = depot_stock_Bin_root(buf); depot_stock_Bin_loads_len(t);
		t = depot_stock_Crate_inner(depot_stock_Bin_loads_as_Crate_at(t, 0))) {
		const uint8_t *crate = depot_stock_Bin_loads_as_Crate_at(t, N - 1).p;
		for (size_t i = 0; i < N; i++) {
			auto *entry = const_cast<uint8_t *>(tela_fb_element(t.p, 22, i, 4));
			tela_fb_store_u32(entry, uint32_t(crate - entry));
			*const_cast<uint8_t *>(tela_fb_element(t.p, 20, i, 1)) =
				depot_stock_Load_Crate;
		}
	}
	CHECK(cpp_accepts<depot::stock::Bin>(buf, size_t(len), nullptr, false));
	flatbuffers::Verifier limited(buf, size_t(len), 64, 60000); // tables
	CHECK(!limited.VerifyBuffer<depot::stock::Bin>(nullptr));
	CHECK(tela_fb_verify_start(&v, buf, size_t(len), 0, nullptr, &root));
	CHECK(v.budget == 16 + unsigned(len) / 2 && !depot_stock_Bin_fb_verify(&v, root));
}

int one_turn(random_args *r)
{
	depot_stock_Item_args item;
	depot_stock_House_args house;
	depot_stock_Tags_args tags;
	depot_stock_Parcel_args parcel;
	depot_stock_Index_args index;
	depot_stock_Ticket_args ticket;
	depot_stock_Bin_args bin;
	depot_stock_Options_args options;
	depot_stock_Rack_args rack;

	random_options(r, &options);
	BOTH_WAYS(depot::stock::Options, depot_stock_Options, options);
	random_rack(r, &rack);
	BOTH_WAYS(depot::stock::Rack, depot_stock_Rack, rack);
	random_bin(r, &bin, 3);
	BOTH_WAYS(depot::stock::Bin, depot_stock_Bin, bin);
	random_ticket(r, &ticket);
	BOTH_WAYS(depot::stock::Ticket, depot_stock_Ticket, ticket, "DEPO");
	random_index(r, &index);
	BOTH_WAYS(depot::stock::Index, depot_stock_Index, index);
	same_order(&index);
	random_parcel(r, &parcel, 3);
	BOTH_WAYS(depot::stock::Parcel, depot_stock_Parcel, parcel);
	random_tags(r, &tags);
	BOTH_WAYS(depot::stock::Tags, depot_stock_Tags, tags);
	random_house(r, &house, 2);
	BOTH_WAYS(depot::stock::House, depot_stock_House, house);
	random_item(r, &item, 2);
	BOTH_WAYS(depot::stock::Item, depot_stock_Item, item);
	no_padding_leaks(r);
	return SAME_VERDICT(depot::stock::Options, depot_stock_Options, options) +
	       SAME_VERDICT(depot::stock::Rack, depot_stock_Rack, rack) +
	       SAME_VERDICT(depot::stock::Bin, depot_stock_Bin, bin) +
	       SAME_VERDICT(depot::stock::Item, depot_stock_Item, item) +
	       SAME_VERDICT(depot::stock::House, depot_stock_House, house) +
	       SAME_VERDICT(depot::stock::Tags, depot_stock_Tags, tags) +
	       SAME_VERDICT(depot::stock::Parcel, depot_stock_Parcel, parcel) +
	       SAME_VERDICT(depot::stock::Index, depot_stock_Index, index) +
	       SAME_VERDICT(depot::stock::Ticket, depot_stock_Ticket, ticket, "DEPO");
}

} // namespace

int main(int argc, char **argv)
{
	crafted_unions();
	return all_turns(argc, argv, 600, one_turn);
}
