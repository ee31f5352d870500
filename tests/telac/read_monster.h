/* read_monster.h - touches everything that the readers of monster.fbs can reach, for sanitizers to
 * watch. Each returns some sum; a table that is absent gives 0.
 */
#pragma once

#include "monster.h"

static inline uint64_t read_text(struct tela_str s)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; s.s && i <= s.len; i++) /* the terminator too */
		sum += (uint8_t)s.s[i];
	return sum;
}

static inline uint64_t read_all_bytes(struct tela_bytes b)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < b.len; i++)
		sum += b.data[i];
	return sum;
}

/* One behind the end, too: what is there must read as nothing. */
#define EACH(i, n) for (size_t i = 0, i##_end = (n) + 1; i < i##_end; i++)

static inline uint64_t read_options(depot_stock_Options_t t)
{
	double j = 0;
	int64_t g = 0;
	int8_t a = 0;
	bool k = false;

	depot_stock_Options_a(t, &a);
	depot_stock_Options_g(t, &g);
	depot_stock_Options_j(t, &j);
	depot_stock_Options_k(t, &k);
	return (uint64_t)a + (uint64_t)g + (j > 1) + k + (uint64_t)depot_stock_Options_plain(t);
}

static inline uint64_t read_rack(depot_stock_Rack_t t)
{
	depot_stock_Shelf shelf = {0};
	uint64_t sum = depot_stock_Rack_shelf(t, &shelf);

	sum += shelf.spots[2].at;
	EACH(i, depot_stock_Rack_shelves_len(t))
	sum += depot_stock_Rack_shelves_at(t, i).spots[1].bay;
	return sum;
}

static inline uint64_t read_bin(depot_stock_Bin_t t);

static inline uint64_t read_crate(depot_stock_Crate_t t)
{
	if (!t.p)
		return 0;
	return depot_stock_Crate_id(t) + read_text(depot_stock_Crate_label(t)) +
	       read_bin(depot_stock_Crate_inner(t));
}

static inline uint64_t read_bin(depot_stock_Bin_t t)
{
	depot_stock_Shelf shelf = {0};
	depot_stock_Spot spot = {0};
	uint64_t sum;

	if (!t.p)
		return 0;
	sum = depot_stock_Bin_content_type(t) + depot_stock_Bin_aliases_type(t);
	sum += read_crate(depot_stock_Bin_content_as_Crate(t));
	sum += read_rack(depot_stock_Bin_content_as_Rack(t));
	sum += read_crate(depot_stock_Bin_aliases_as_c(t));
	sum += read_options(depot_stock_Bin_aliases_as_o(t));
	sum += read_crate(depot_stock_Bin_ambiguous_as_c1(t));
	sum += read_crate(depot_stock_Bin_ambiguous_as_c2(t));
	sum += read_crate(depot_stock_Bin_ambiguous_as_c3(t));
	sum += read_crate(depot_stock_Bin_needed_as_Crate(t));
	sum += read_crate(depot_stock_Bin_needed_as_type(t));
	sum += read_text(depot_stock_Bin_needed_as_note(t));
	sum += depot_stock_Bin_needed_as_spot(t, &spot) +
	       depot_stock_Bin_needed_as_Shelf(t, &shelf);
	EACH(i, depot_stock_Bin_loads_len(t))
	{
		sum += depot_stock_Bin_loads_type_at(t, i);
		sum += read_crate(depot_stock_Bin_loads_as_Crate_at(t, i));
		sum += read_crate(depot_stock_Bin_loads_as_type_at(t, i));
		sum += read_text(depot_stock_Bin_loads_as_note_at(t, i));
		sum += read_text(depot_stock_Bin_loads_as_struct_at(t, i));
		sum += depot_stock_Bin_loads_as_spot_at(t, i, &spot);
		sum += depot_stock_Bin_loads_as_Shelf_at(t, i, &shelf);
	}
	return sum + spot.at + shelf.label[4];
}

static inline uint64_t read_ticket(depot_stock_Ticket_t t)
{
	depot_stock_Spot seat = {0};

	depot_stock_Ticket_seat(t, &seat);
	return depot_stock_Ticket_number(t) + seat.at + read_text(depot_stock_Ticket_note(t));
}

static inline uint64_t read_index(depot_stock_Index_t t)
{
	const struct tela_str label = {"abc", 3};
	depot_stock_Zone zone = {0};
	depot_stock_Lamp lamp = {0};
	uint64_t sum = depot_stock_Index_zones_find(t, 3, &zone);

	sum += depot_stock_Index_lamps_find(t, true, &lamp) + zone.number + lamp.on;
	sum += read_text(depot_stock_Count_name(depot_stock_Index_counts_find(t, 2)));
	sum += read_text(depot_stock_Label_text(depot_stock_Index_labels_find(t, label)));
	sum += depot_stock_Ratio_value(depot_stock_Index_ratios_find(t, 0)) > 0;
	EACH(i, depot_stock_Index_labels_len(t))
	sum += read_text(depot_stock_Label_text(depot_stock_Index_labels_at(t, i)));
	EACH(i, depot_stock_Index_counts_len(t))
	sum += depot_stock_Count_times(depot_stock_Index_counts_at(t, i));
	EACH(i, depot_stock_Index_zones_len(t))
	sum += depot_stock_Index_zones_at(t, i).number;
	return sum;
}

static inline uint64_t read_parcel(depot_stock_Parcel_t t)
{
	if (!t.p)
		return 0;
	return read_all_bytes(depot_stock_Parcel_inner(t)) +
	       read_parcel(depot_stock_Parcel_inner_root(t)) +
	       read_bin(depot_stock_Parcel_bin_root(t)) +
	       read_ticket(depot_stock_Parcel_ticket_root(t));
}

static inline uint64_t read_tag(depot_stock_Tag_t t)
{
	if (!t.p)
		return 0;
	return read_text(depot_stock_Tag_place(t)) + read_text(depot_stock_Tag_owner(t)) +
	       read_text(depot_stock_Tag_note(t)) + depot_stock_Tag_big(t) +
	       depot_stock_Tag_small(t) + read_tag(depot_stock_Tag_more_as_Tag(t)) +
	       read_text(depot_stock_Tag_more_as_text(t)) +
	       read_text(depot_stock_Plain_place(depot_stock_Tag_more_as_Plain(t)));
}

static inline uint64_t read_tags(depot_stock_Tags_t t)
{
	uint64_t sum = read_text(depot_stock_Tags_title(t)) + read_tag(depot_stock_Tags_last(t));

	EACH(i, depot_stock_Tags_tags_len(t))
	sum += read_tag(depot_stock_Tags_tags_at(t, i));
	EACH(i, depot_stock_Tags_marks_len(t))
	{
		sum += read_tag(depot_stock_Tags_marks_as_Tag_at(t, i));
		sum += read_text(depot_stock_Tags_marks_as_text_at(t, i));
	}
	return sum;
}

static inline uint64_t read_house(depot_stock_House_t t)
{
	depot_stock_Wall wall = {0};
	depot_stock_Room room = {{0}};
	uint64_t sum;

	if (!t.p)
		return 0;
	sum = depot_stock_House_wall(t, &wall) + depot_stock_House_room(t, &room) + wall.height;
	sum += read_all_bytes(depot_stock_House_bytes(t)) + room.door;
	EACH(i, depot_stock_House_walls_len(t))
	sum += depot_stock_House_walls_at(t, i).height;
	EACH(i, depot_stock_House_samples_len(t))
	sum += depot_stock_House_samples_at(t, i) > 0;
	EACH(i, depot_stock_House_names_len(t))
	sum += read_text(depot_stock_House_names_at(t, i));
	EACH(i, depot_stock_House_annex_len(t))
	sum += read_house(depot_stock_House_annex_at(t, i));
	sum += read_house(depot_stock_House_part_as_House(t));
	EACH(i, depot_stock_House_parts_len(t))
	{
		sum += read_house(depot_stock_House_parts_as_House_at(t, i));
		sum += depot_stock_House_parts_as_Wall_at(t, i, &wall);
	}
	return sum;
}

static inline uint64_t read_item(depot_stock_Item_t t)
{
	depot_stock_Vec3 pos = {0};
	uint64_t sum;

	if (!t.p)
		return 0;
	sum = depot_stock_Item_pos(t, &pos) + pos.pair.b + read_text(depot_stock_Item_name(t));
	sum += read_all_bytes(depot_stock_Item_inventory(t)) + depot_stock_Item_wide(t);
	sum += read_crate(depot_stock_Item_any_as_Crate(t)) + read_item(depot_stock_Item_enemy(t));
	sum += read_rack(depot_stock_Item_any_as_Rack(t));
	sum += read_item(depot_stock_Item_nested_root(t));
	sum += read_text(depot_Owner_name(depot_stock_Item_owner(t)));
	sum += read_text(depot_stock_Item_party_as_firm(t));
	EACH(i, depot_stock_Item_items_len(t))
	sum += read_item(depot_stock_Item_items_at(t, i));
	EACH(i, depot_stock_Item_names_len(t))
	sum += read_text(depot_stock_Item_names_at(t, i));
	EACH(i, depot_stock_Item_longs_len(t))
	sum += (uint64_t)depot_stock_Item_longs_at(t, i);
	return sum;
}
