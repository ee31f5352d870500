/* fuzz_kinds.c - see fuzz_kinds.h. What we accept, C++ accepts; what C++ accepts and we do not was
 * too many visits, and nothing else. */
#include "fuzz_kinds.h"

#include "fuzz.h"
#include "random_monster.h"
#include "read_monster.h"

static uint64_t sum;

/* A table, how arguments of it are made, and "" or "_prefixed". */
#define KIND(name, table, random, prefixed)                                                        \
	static int make_##name(struct random_args *r, uint8_t *buf, size_t room)                   \
	{                                                                                          \
		struct table##_args a;                                                             \
                                                                                                   \
		random;                                                                            \
		return table##_build##prefixed(buf, room, &a);                                     \
	}                                                                                          \
	static void visit_##name(const uint8_t *p)                                                 \
	{                                                                                          \
		sum += READ_##name(table##_root##prefixed(p));                                     \
	}

#define READ_options  read_options
#define READ_rack     read_rack
#define READ_bin      read_bin
#define READ_ticket   read_ticket
#define READ_index    read_index
#define READ_parcel   read_parcel
#define READ_tags     read_tags
#define READ_house    read_house
#define READ_item     read_item
#define READ_prefixed read_ticket

KIND(options, depot_stock_Options, random_options(r, &a), )
KIND(rack, depot_stock_Rack, random_rack(r, &a), )
KIND(bin, depot_stock_Bin, random_bin(r, &a, 2), )
KIND(ticket, depot_stock_Ticket, random_ticket(r, &a), )
KIND(index, depot_stock_Index, random_index(r, &a), )
KIND(parcel, depot_stock_Parcel, random_parcel(r, &a, 2), )
KIND(tags, depot_stock_Tags, random_tags(r, &a), )
KIND(house, depot_stock_House, random_house(r, &a, 1), )
KIND(item, depot_stock_Item, random_item(r, &a, 1), )
KIND(prefixed, depot_stock_Ticket, random_ticket(r, &a), _prefixed)

static const struct {
	int (*make)(struct random_args *, uint8_t *, size_t);
	void (*visit)(const uint8_t *);
	int (*verify)(const void *, size_t);
	bool (*walk)(struct tela_fb_verifier *, uint32_t);
	uint32_t start;
	const char *identifier;
} kinds[KINDS] = {
	{make_options, visit_options, depot_stock_Options_verify, depot_stock_Options_fb_verify},
	{make_rack, visit_rack, depot_stock_Rack_verify, depot_stock_Rack_fb_verify},
	{make_bin, visit_bin, depot_stock_Bin_verify, depot_stock_Bin_fb_verify},
	{make_ticket, visit_ticket, depot_stock_Ticket_verify, depot_stock_Ticket_fb_verify, 0,
		"DEPO"},
	{make_index, visit_index, depot_stock_Index_verify, depot_stock_Index_fb_verify},
	{make_parcel, visit_parcel, depot_stock_Parcel_verify, depot_stock_Parcel_fb_verify},
	{make_tags, visit_tags, depot_stock_Tags_verify, depot_stock_Tags_fb_verify},
	{make_house, visit_house, depot_stock_House_verify, depot_stock_House_fb_verify},
	{make_item, visit_item, depot_stock_Item_verify, depot_stock_Item_fb_verify},
	{make_prefixed, visit_prefixed, depot_stock_Ticket_verify_prefixed,
		depot_stock_Ticket_fb_verify, 4, "DEPO"},
};

/* Would it be accepted if visits did not count? C++ stops at a million tables. */
static bool accepted_at_any_cost(unsigned which, const uint8_t *buf, size_t len)
{
	struct tela_fb_verifier v;
	uint32_t root;

	if (!tela_fb_verify_start(&v, buf, len, kinds[which].start, kinds[which].identifier, &root))
		return false;
	v.budget = UINT32_MAX;
	return kinds[which].walk(&v, root);
}

static void check(unsigned which, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = aligned_alloc(64, (len | 63) + 1);
	uint8_t *exact = malloc(len + !len); /* its end is watched */
	bool ours, theirs;

	CHECK(copy && exact);
	memcpy(copy, bytes, len);
	memcpy(exact, bytes, len);
	ours = !kinds[which].verify(exact, len);
	theirs = kinds_cpp_accepts ? kinds_cpp_accepts(which, copy, len) : ours;
	CHECK(theirs || !ours);
	CHECK(ours || !theirs || accepted_at_any_cost(which, exact, len));
	if (ours)
		kinds[which].visit(exact);
	free(exact);
	free(copy);
}

void fuzz_kinds(const uint8_t *data, size_t size)
{
	static struct random_args r;
	static uint8_t built[1 << 16];
	const unsigned which = data[0] % KINDS;
	size_t i;
	int len;

	if (data[0] < 128 || size < 9) {
		check(which, data + 1, size - 1);
		return;
	}
	r.used = 0;
	memcpy(&r.state, data + 1, sizeof(r.state));
	len = kinds[which].make(&r, built, sizeof(built));
	CHECK(len > 0);
	for (i = 9; i + 3 <= size; i += 3)
		built[(data[i] | data[i + 1] << 8) % len] ^= data[i + 2];
	if (size == 9)
		CHECK(!kinds[which].verify(built, (size_t)len));
	check(which, built, (size_t)len);
}
