/* fuzz_tables.c - see fuzz_tables.h. What we accept, C++ accepts; what C++ accepts and we do not
 * was too many visits, and nothing else. What we accept is printed, which reads all of it. */
#include "fuzz_tables.h"

#include "calculator.h"
#include "echo.h"
#include "envelope.h"
#include "fuzz.h"
#include "kv.h"
#include "random_monster.h"
#include "tela_fb_print.h"

/* Of a table, how arguments of it are made, and "" or "_prefixed". */
#define KIND(name, table, random, prefixed)                                                        \
	static int make_##name(struct random_args *r, uint8_t *buf, size_t room)                   \
	{                                                                                          \
		struct table##_args a;                                                             \
                                                                                                   \
		random;                                                                            \
		return table##_build##prefixed(buf, room, &a);                                     \
	}

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
	int (*verify)(const void *, size_t);
	bool (*walk)(struct tela_fb_verifier *, uint32_t);
	const struct tela_fb_desc_type *type;
	int (*make)(struct random_args *, uint8_t *, size_t); /* kinds only */
	uint32_t start;
	const char *identifier;
} tables[TABLES + KINDS] = {
#define TABLE(table) table##_verify, table##_fb_verify, table##_DESC
	{TABLE(frame_Envelope)},
	{TABLE(echo_Message)},
	{TABLE(echo_Delayed)},
	{TABLE(kv_Item)},
	{TABLE(kv_Key)},
	{TABLE(kv_Value)},
	{TABLE(kv_Stats)},
	{TABLE(calculator_Operands)},
	{TABLE(calculator_Series)},
	{TABLE(calculator_Expression)},
	{TABLE(depot_stock_Options), make_options},
	{TABLE(depot_stock_Rack), make_rack},
	{TABLE(depot_stock_Bin), make_bin},
	{TABLE(depot_stock_Ticket), make_ticket, 0, "DEPO"},
	{TABLE(depot_stock_Index), make_index},
	{TABLE(depot_stock_Parcel), make_parcel},
	{TABLE(depot_stock_Tags), make_tags},
	{TABLE(depot_stock_House), make_house},
	{TABLE(depot_stock_Item), make_item},
	{depot_stock_Ticket_verify_prefixed, depot_stock_Ticket_fb_verify, depot_stock_Ticket_DESC,
		make_prefixed, 4, "DEPO"},
};

/* Would it be accepted if leaves, and visits of tables unless `visits` says so, did not count? C++
 * stops at a million tables. */
static bool accepted_at_any_cost(unsigned which, const uint8_t *buf, size_t len, bool visits)
{
	struct tela_fb_verifier v;
	uint32_t root;

	if (!tela_fb_verify_start(
		    &v, buf, len, tables[which].start, tables[which].identifier, &root))
		return false;
	v.leaves = UINT32_MAX;
	v.budget = visits ? v.budget : UINT32_MAX;
	return tables[which].walk(&v, root);
}

/* Both ways to read an envelope agree. */
static void envelope_ways(const uint8_t *p, uint32_t len)
{
	struct envelope fast, general;

	if (envelope_read(p, len, &fast))
		return;
	CHECK(!envelope_read_general(p, len, &general));
	CHECK(fast.budget_us == general.budget_us && fast.bind == general.bind &&
		fast.method == general.method && fast.reply_limit == general.reply_limit);
	envelope_metadata(frame_Envelope_root(p), "key");
}

static void check_printed(unsigned which, const uint8_t *buf, size_t len, bool valid)
{
	const size_t room = 64 + 16 * len;
	char *text = malloc(room);
	size_t n;
	int err;

	CHECK(text);
	err = tela_fb_print(tables[which].type, buf, len,
		tables[which].start ? TELA_FB_PRINT_PREFIXED : TELA_FB_PRINT_TEXT, text, room, &n);
	CHECK(n < room && n == strlen(text));
	CHECK(!err || err == -ENOSPC || (err == -EBADMSG && !valid));
	free(text);
}

static void check(unsigned which, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = aligned_alloc(64, (len | 63) + 1);
	uint8_t *exact = malloc(len + !len); /* its end is watched */
	bool ours, theirs;

	CHECK(copy && exact);
	memcpy(copy, bytes, len);
	memcpy(exact, bytes, len);
	ours = !tables[which].verify(exact, len);
	theirs = tables_cpp_accepts(which, copy, len);
	CHECK(theirs || !ours);
	CHECK(ours || !theirs || accepted_at_any_cost(which, exact, len, false));
	/* no unions and nested buffers in these */
	CHECK(ours || !theirs || which >= TABLES || !accepted_at_any_cost(which, exact, len, true));
	check_printed(which, exact, len, ours);
	if (which == 0)
		envelope_ways(exact, (uint32_t)len);
	free(exact);
	free(copy);
}

void fuzz_tables(const uint8_t *data, size_t size)
{
	const unsigned which = data[0] < TABLES ? data[0] : TABLES + data[0] % KINDS;
	static struct random_args r;
	static uint8_t built[1 << 16];
	size_t i;
	int len;

	if (data[0] < 128 || size < 9) {
		check(which, data + 1, size - 1);
		return;
	}
	r.used = 0;
	memcpy(&r.state, data + 1, sizeof(r.state));
	len = tables[which].make(&r, built, sizeof(built));
	CHECK(len > 0);
	for (i = 9; i + 3 <= size; i += 3)
		built[(data[i] | data[i + 1] << 8) % len] ^= data[i + 2];
	if (size == 9)
		CHECK(!tables[which].verify(built, (size_t)len));
	check(which, built, (size_t)len);
}
