/* random_monster.h - seeded arguments of what monster.fbs declares. */
#pragma once

#include "random_args.h"

#include "monster.h"

static inline void random_bin(
	struct random_args *r, struct depot_stock_Bin_args *a, unsigned depth);

/* NULL, or a place with some value. */
#define RANDOM_OPTION(r, type)                                                                     \
	(random_below(r, 2) ? NULL : (const type *)random_value(r, sizeof(type)))

#define RANDOM_NESTED(r, bytes, table, args)                                                       \
	do {                                                                                       \
		uint8_t *into;                                                                     \
                                                                                                   \
		(bytes).len = table##_size(args);                                                  \
		(bytes).data = into = (uint8_t *)random_alloc(r, (bytes).len);                     \
		table##_build(into, (bytes).len, args);                                            \
	} while (0)

static inline const void *random_value(struct random_args *r, size_t size)
{
	const uint64_t bits = random_bits(r);
	void *p = random_alloc(r, size);

	memcpy(p, &bits, size);
	return p;
}

static inline void random_options(struct random_args *r, struct depot_stock_Options_args *a)
{
	bool *k = (bool *)random_alloc(r, sizeof(*k));

	a->a = RANDOM_OPTION(r, int8_t);
	a->b = RANDOM_OPTION(r, uint8_t);
	a->c = RANDOM_OPTION(r, int16_t);
	a->d = RANDOM_OPTION(r, uint16_t);
	a->e = RANDOM_OPTION(r, int32_t);
	a->f = RANDOM_OPTION(r, uint32_t);
	a->g = RANDOM_OPTION(r, int64_t);
	a->h = RANDOM_OPTION(r, uint64_t);
	a->i = RANDOM_OPTION(r, float);
	a->j = RANDOM_OPTION(r, double);
	*k = random_below(r, 2);
	a->k = random_below(r, 2) ? k : NULL;
	a->l = RANDOM_OPTION(r, depot_stock_Grade);
	a->plain = (int32_t)random_bits(r);
}

static inline void random_shelf(struct random_args *r, depot_stock_Shelf *s)
{
	uint8_t *p = (uint8_t *)s;
	size_t i;

	for (i = 0; i < sizeof(*s); i++) /* padding too, which must not reach the buffer */
		p[i] = (uint8_t)random_next(r);
	for (i = 0; i < 3; i++)
		s->lit[i] = (uint8_t)random_below(r, 2);
	s->loads[0] = (float)random_real(r);
	s->loads[1] = (float)random_real(r);
	s->total = random_real(r);
}

static inline void random_rack(struct random_args *r, struct depot_stock_Rack_args *a)
{
	depot_stock_Shelf *s = (depot_stock_Shelf *)random_alloc(r, 4 * sizeof(*s));
	size_t i;

	for (i = 0; i < 4; i++)
		random_shelf(r, &s[i]);
	a->shelf = random_below(r, 2) ? &s[3] : NULL;
	RANDOM_VECTOR(a, shelves, random_below(r, 3), s, random_below(r, 4));
}

static inline const struct depot_stock_Crate_args *random_crate(
	struct random_args *r, unsigned depth)
{
	struct depot_stock_Crate_args *a =
		(struct depot_stock_Crate_args *)random_alloc(r, sizeof(*a));
	struct depot_stock_Bin_args *inner =
		(struct depot_stock_Bin_args *)random_alloc(r, sizeof(*inner));

	a->id = (uint32_t)random_bits(r);
	a->label = random_str(r, 1);
	a->inner = NULL;
	if (depth && random_below(r, 2)) {
		random_bin(r, inner, depth - 1);
		a->inner = inner;
	}
	return a;
}

static inline struct depot_stock_Load_args random_load(struct random_args *r, unsigned depth)
{
	depot_stock_Spot *spot = (depot_stock_Spot *)random_alloc(r, sizeof(*spot));
	depot_stock_Shelf *shelf = (depot_stock_Shelf *)random_alloc(r, sizeof(*shelf));
	struct depot_stock_Load_args a;

	a.type = (depot_stock_Load)(1 + random_below(r, 6));
	switch (a.type) {
	case depot_stock_Load_Crate:
		a.Crate = random_crate(r, depth);
		break;
	case depot_stock_Load_spot:
		memcpy(spot, random_value(r, 8), sizeof(*spot));
		a.spot = spot;
		break;
	case depot_stock_Load_note:
		a.note = random_str(r, 0);
		break;
	case depot_stock_Load_Shelf:
		random_shelf(r, shelf);
		a.Shelf = shelf;
		break;
	case depot_stock_Load_struct:
		a.struct_ = random_str(r, 0);
		break;
	default:
		a.type_ = random_crate(r, depth);
	}
	return a;
}

static inline void random_content(
	struct random_args *r, struct depot_stock_Content_args *a, unsigned depth)
{
	struct depot_stock_Rack_args *rack =
		(struct depot_stock_Rack_args *)random_alloc(r, sizeof(*rack));

	random_rack(r, rack);
	memset(a, 0, sizeof(*a));
	a->type = (depot_stock_Content)random_below(r, 4);
	if (a->type == depot_stock_Content_Crate)
		a->Crate = random_crate(r, depth);
	else if (a->type == depot_stock_Content_Rack)
		a->Rack = rack;
	else if (a->type == depot_stock_Content_depot_other_Crate)
		a->depot_other_Crate =
			(const struct depot_other_Crate_args *)rack; /* of no fields */
}

static inline void random_bin(struct random_args *r, struct depot_stock_Bin_args *a, unsigned depth)
{
	const struct depot_stock_Bin_args start = depot_stock_Bin_ARGS_INIT;
	struct depot_stock_Load_args *loads =
		(struct depot_stock_Load_args *)random_alloc(r, 4 * sizeof(*loads));
	struct depot_stock_Options_args *options =
		(struct depot_stock_Options_args *)random_alloc(r, sizeof(*options));
	size_t i;

	*a = start;
	random_content(r, &a->content, depth);
	if (random_below(r, 2)) {
		random_options(r, options);
		a->aliases.type = depot_stock_Aliases_o;
		a->aliases.o = options;
	}
	a->ambiguous.type = (depot_stock_Ambiguous)random_below(r, 4);
	if (a->ambiguous.type)
		a->ambiguous.c2 = random_crate(r, depth);
	for (i = 0; i < 4; i++)
		loads[i] = random_load(r, depth);
	RANDOM_VECTOR(a, loads, random_below(r, 3), loads, random_below(r, 4));
	a->needed = loads[3];
}

static inline void random_ticket(struct random_args *r, struct depot_stock_Ticket_args *a)
{
	depot_stock_Spot *seat = (depot_stock_Spot *)random_alloc(r, sizeof(*seat));

	memcpy(seat, random_value(r, 8), sizeof(*seat));
	a->number = random_bits(r);
	a->when = random_real(r);
	a->seat = random_below(r, 3) ? seat : NULL;
	a->note = random_str(r, 1);
}

/* Vectors of up to 20 elements, sorted; keys may be there twice. */
static inline void random_index(struct random_args *r, struct depot_stock_Index_args *a)
{
	const size_t n = random_below(r, 20);
	depot_stock_Zone *zones = (depot_stock_Zone *)random_alloc(r, n * sizeof(*zones));
	depot_stock_Lamp *lamps = (depot_stock_Lamp *)random_alloc(r, n * sizeof(*lamps));
	struct depot_stock_Count_args *counts =
		(struct depot_stock_Count_args *)random_alloc(r, n * sizeof(*counts));
	struct depot_stock_Label_args *labels =
		(struct depot_stock_Label_args *)random_alloc(r, n * sizeof(*labels));
	struct depot_stock_Ratio_args *ratios =
		(struct depot_stock_Ratio_args *)random_alloc(r, n * sizeof(*ratios));
	size_t i;

	for (i = 0; i < n; i++) {
		zones[i].number = (uint32_t)random_bits(r);
		zones[i].width = (float)i;
		lamps[i].on = (uint8_t)random_below(r, 2);
		counts[i].name = random_str(r, 2);
		counts[i].total = (int64_t)i;
		counts[i].times = (uint16_t)random_bits(r);
		labels[i].text = random_str(r, 0);
		ratios[i].value = random_real(r);
	}
	depot_stock_Zone_sort(zones, n);
	depot_stock_Lamp_sort(lamps, n);
	depot_stock_Count_sort(counts, n);
	depot_stock_Label_sort(labels, n);
	depot_stock_Ratio_sort(ratios, n);
	a->zones = zones;
	a->lamps = lamps;
	a->counts = counts;
	a->labels = labels;
	a->ratios = ratios;
	a->zones_len = a->lamps_len = a->counts_len = a->labels_len = a->ratios_len = n;
}

static inline void random_parcel(
	struct random_args *r, struct depot_stock_Parcel_args *a, unsigned depth)
{
	struct depot_stock_Ticket_args ticket;
	struct depot_stock_Bin_args bin;
	struct depot_stock_Parcel_args inner;

	memset(a, 0, sizeof(*a));
	a->weight = random_real(r);
	random_ticket(r, &ticket);
	RANDOM_NESTED(r, a->ticket, depot_stock_Ticket, &ticket);
	if (random_below(r, 2)) {
		random_bin(r, &bin, 1);
		RANDOM_NESTED(r, a->bin, depot_stock_Bin, &bin);
	}
	if (depth && random_below(r, 2)) {
		random_parcel(r, &inner, depth - 1);
		RANDOM_NESTED(r, a->inner, depot_stock_Parcel, &inner);
	}
}

static inline void random_tag(
	struct random_args *r, struct depot_stock_Tag_args *a, unsigned depth);

static inline struct depot_stock_Mark_args random_mark(struct random_args *r, unsigned depth)
{
	struct depot_stock_Tag_args *tag =
		(struct depot_stock_Tag_args *)random_alloc(r, sizeof(*tag));
	struct depot_stock_Plain_args *plain =
		(struct depot_stock_Plain_args *)random_alloc(r, sizeof(*plain));
	struct depot_stock_Mark_args a;

	a.type = (depot_stock_Mark)(1 + random_below(r, 3));
	if (a.type == depot_stock_Mark_text) {
		a.text = random_str(r, 0);
	} else if (a.type == depot_stock_Mark_Tag) {
		random_tag(r, tag, depth);
		a.Tag = tag;
	} else {
		plain->place = random_str(r, 0);
		a.Plain = plain;
	}
	return a;
}

static inline void random_tag(struct random_args *r, struct depot_stock_Tag_args *a, unsigned depth)
{
	static const char names[] = "abcdefghi";

	memset(a, 0, sizeof(*a));
	if (random_below(r, 4)) {
		a->place.s = names + random_below(r, 4);
		a->place.len = random_below(r, 4);
	}
	a->owner = random_below(r, 2) ? a->place : random_str(r, 2);
	a->note = random_below(r, 4) ? a->note : a->place;
	a->big = random_below(r, 4) ? 0 : random_bits(r);
	a->small = (uint8_t)random_below(r, 5);
	if (depth && random_below(r, 3) == 0)
		a->more = random_mark(r, depth - 1);
}

static inline void random_tags(struct random_args *r, struct depot_stock_Tags_args *a)
{
	const size_t n = random_below(r, 30);
	struct depot_stock_Tag_args *tags =
		(struct depot_stock_Tag_args *)random_alloc(r, (n + 1) * sizeof(*tags));
	struct depot_stock_Mark_args *marks =
		(struct depot_stock_Mark_args *)random_alloc(r, n * sizeof(*marks));
	size_t i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < n; i++) {
		random_tag(r, &tags[i], 1);
		marks[i] = random_mark(r, 1);
	}
	random_tag(r, &tags[n], 3);
	a->title = tags[n].place;
	a->last = &tags[n];
	a->tags = tags;
	a->tags_len = n;
	a->marks = marks;
	a->marks_len = n / 2;
}

static inline void random_wall(struct random_args *r, depot_stock_Wall *w)
{
	memset(w, 0xee, sizeof(*w));
	w->height = (uint8_t)random_next(r);
	w->corner.row = (uint8_t)random_next(r);
	w->corner.at = (uint16_t)random_next(r);
	w->corner.bay = (uint8_t)random_next(r);
	w->width = random_real(r);
	w->length = random_real(r);
}

static inline void random_house(
	struct random_args *r, struct depot_stock_House_args *a, unsigned depth)
{
	depot_stock_Wall *walls = (depot_stock_Wall *)random_alloc(r, 3 * sizeof(*walls));
	depot_stock_Room *room = (depot_stock_Room *)random_alloc(r, sizeof(*room));
	float *samples = (float *)random_alloc(r, 3 * sizeof(*samples));
	struct tela_str *names = (struct tela_str *)random_alloc(r, 3 * sizeof(*names));
	struct depot_stock_House_args *annex =
		(struct depot_stock_House_args *)random_alloc(r, 3 * sizeof(*annex));
	struct depot_stock_Part_args *parts =
		(struct depot_stock_Part_args *)random_alloc(r, 3 * sizeof(*parts));
	size_t i;

	memset(a, 0, sizeof(*a));
	a->low = (uint8_t)random_bits(r);
	for (i = 0; i < 3; i++) {
		random_wall(r, &walls[i]);
		samples[i] = (float)random_real(r);
		names[i] = random_str(r, 0);
		parts[i].type = depot_stock_Part_Wall;
		parts[i].Wall = &walls[i];
	}
	memset(room, 0xdd, sizeof(*room));
	room->size[0] = room->size[1] = room->size[2] = random_real(r);
	room->door = (uint8_t)random_next(r);
	room->wall = room->walls[0] = walls[0];
	room->walls[1] = walls[1];
	a->wall = random_below(r, 2) ? &walls[2] : NULL;
	a->room = random_below(r, 2) ? room : NULL;
	RANDOM_VECTOR(a, walls, random_below(r, 2), walls, random_below(r, 4));
	RANDOM_VECTOR(a, samples, random_below(r, 2), samples, 3);
	a->bytes = random_blob(r, 1);
	RANDOM_VECTOR(a, names, random_below(r, 2), names, random_below(r, 4));
	for (i = 0; depth && i < 3; i++)
		random_house(r, &annex[i], depth - 1);
	if (depth && random_below(r, 2)) {
		a->annex = annex;
		a->annex_len = 2;
		parts[1].type = depot_stock_Part_House;
		parts[1].House = &annex[2];
	}
	if (random_below(r, 2))
		a->part = parts[random_below(r, 3)];
	RANDOM_VECTOR(a, parts, random_below(r, 2), parts, random_below(r, 4));
}

static inline void random_aliased(struct random_args *r, struct depot_stock_Aliased_args *a)
{
	int8_t *v8 = (int8_t *)random_alloc(r, 3);
	double *vf64 = (double *)random_alloc(r, 3 * sizeof(*vf64));

	memset(v8, (int)random_below(r, 256), 3);
	vf64[0] = vf64[1] = vf64[2] = random_real(r);
	RANDOM_NUMBERS(r, a);
	RANDOM_VECTOR(a, v8, random_below(r, 2), v8, 3);
	RANDOM_VECTOR(a, vf64, random_below(r, 2), vf64, 3);
}

static inline void random_item_structs(struct random_args *r, struct depot_stock_Item_args *a)
{
	depot_stock_Vec3 *pos = (depot_stock_Vec3 *)random_alloc(r, sizeof(*pos));
	depot_stock_Pair *pairs = (depot_stock_Pair *)random_alloc(r, 3 * sizeof(*pairs));
	depot_stock_Deep *deep = (depot_stock_Deep *)random_alloc(r, sizeof(*deep));
	depot_Place *places = (depot_Place *)random_alloc(r, 2 * sizeof(*places));
	size_t i;

	memset(pos, 0xee, sizeof(*pos));
	memset(deep, 0xee, sizeof(*deep));
	for (i = 0; i < 3; i++) {
		pairs[i].a = (int16_t)random_bits(r);
		pairs[i].b = (int8_t)random_bits(r);
	}
	pos->x = pos->y = pos->z = (float)random_real(r);
	pos->d = random_real(r);
	pos->colour = depot_stock_Colour_green;
	pos->pair = pairs[0];
	deep->a.a.number = deep->a.c.number = (uint32_t)random_bits(r);
	deep->a.a.width = deep->a.c.width = pos->x;
	deep->a.b = pairs[1];
	places[0].x = places[0].y = places[1].x = places[1].y = pos->x;
	a->pos = random_below(r, 2) ? pos : NULL;
	RANDOM_VECTOR(a, pairs, random_below(r, 2), pairs, 3);
	a->inlined = &pairs[2];
	a->deep = random_below(r, 2) ? deep : NULL;
	RANDOM_VECTOR(a, places, random_below(r, 2), places, 2);
}

static inline void random_item_rest(struct random_args *r, struct depot_stock_Item_args *a)
{
	struct depot_Owner_args *owner = (struct depot_Owner_args *)random_alloc(r, sizeof(*owner));
	struct depot_stock_Aliased_args *aliased =
		(struct depot_stock_Aliased_args *)random_alloc(r, sizeof(*aliased));
	struct depot_other_Crate_args *nothing =
		(struct depot_other_Crate_args *)random_alloc(r, sizeof(*nothing));
	depot_Place *home = (depot_Place *)random_alloc(r, sizeof(*home));
	depot_stock_Colour *colours = (depot_stock_Colour *)random_alloc(r, 4);
	int64_t *longs = (int64_t *)random_alloc(r, 2 * sizeof(*longs));

	home->x = home->y = (float)random_real(r);
	owner->name = random_str(r, 1);
	owner->home = random_below(r, 2) ? home : NULL;
	owner->season = random_below(r, 2) ? depot_Season_dry : depot_Season_wet;
	a->owner = random_below(r, 2) ? owner : NULL;
	a->party.type = (depot_Party)random_below(r, 3);
	if (a->party.type == depot_Party_Owner)
		a->party.Owner = owner;
	else
		a->party.firm = random_str(r, 0);
	random_aliased(r, aliased);
	a->aliases = random_below(r, 2) ? aliased : NULL;
	a->nothing = random_below(r, 2) ? nothing : NULL;
	memset(colours, depot_stock_Colour_red | depot_stock_Colour_blue, 4);
	RANDOM_VECTOR(a, colours, random_below(r, 2), colours, 4);
	longs[0] = longs[1] = (int64_t)random_bits(r);
	RANDOM_VECTOR(a, longs, random_below(r, 2), longs, 2);
}

static inline void random_item(
	struct random_args *r, struct depot_stock_Item_args *a, unsigned depth)
{
	const struct depot_stock_Item_args start = depot_stock_Item_ARGS_INIT;
	struct depot_stock_Item_args *items =
		(struct depot_stock_Item_args *)random_alloc(r, 3 * sizeof(*items));
	struct depot_stock_Item_args inner;
	size_t i;

	*a = start;
	a->name = random_str(r, 0);
	a->hp = (int16_t)(random_below(r, 2) ? 100 : random_bits(r));
	a->inventory = random_blob(r, 2);
	a->wide = random_below(r, 2) ? depot_stock_Wide_big : 0;
	if (random_below(r, 2))
		a->nan_default = a->inf_default = (float)random_real(r);
	random_content(r, &a->any, 1);
	random_item_structs(r, a);
	random_item_rest(r, a);
	if (!depth || random_below(r, 2))
		return;
	for (i = 0; i < 3; i++)
		random_item(r, &items[i], depth - 1);
	a->enemy = random_below(r, 2) ? &items[2] : NULL;
	depot_stock_Item_sort(items, 2);
	a->items = items;
	a->items_len = 2;
	random_item(r, &inner, 0);
	RANDOM_NESTED(r, a->nested, depot_stock_Item, &inner);
}
