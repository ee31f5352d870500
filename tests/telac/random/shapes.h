// shapes.h - buffers of the schema `dag` (dags.py) of which any bytes are the plan: tables, each
// named once, that name vectors of strings and unions many times over, which overlap or are taken
// in turn, alone or many buffers deep. C++ accepts most of them; some bytes are changed at the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

struct shape {
	shape(const uint8_t *plan, size_t len) : p(plan), end(plan + len)
	{
		for (int i = 0; i < 4; i++)
			state = state << 8 | next(256);
		const unsigned tables = 1 + next(256) * 2;
		const bool overlap = next(4) == 0;

		n_vectors = overlap ? 256 : 1 + next(40);
		n_types = 1 + next(20);
		length = overlap ? 256 : 1 + next(80);
		inner(tables, overlap);
		for (unsigned levels = next(4) == 1 ? next(40) : 0; levels; levels--)
			wrap();
		while (p < end) {
			size_t at = next(256);
			at = at << 8 | next(256);
			out[at % out.size()] ^= char(next(256));
		}
	}

	const std::string &bytes() const
	{
		return out;
	}
	enum { TEXT = 1, UNKNOWN = 9, FIELDS = 9, VTABLE = 24 }; // VTABLE: with padding

	const uint8_t *p, *end;
	std::string out;
	unsigned n_vectors, n_types, length;
	size_t lists, types;
	uint32_t state = 0;

	unsigned next(unsigned n)
	{
		return p < end ? *p++ % n : 0;
	}

	unsigned random(unsigned n)
	{
		state = state * 1664525 + 1013904223;
		return (state >> 16) % n;
	}

	void put(size_t at, uint32_t v)
	{
		std::memcpy(&out[at], &v, 4);
	}

	void add(uint32_t v)
	{
		out.append(4, 0);
		put(out.size() - 4, v);
	}

	void refer(size_t at, size_t to)
	{
		put(at, uint32_t(to - at));
	}

	// Of the fields in `slots` (0: absent), each the next 4 bytes of the table.
	void vtable(std::initializer_list<unsigned> fields)
	{
		const size_t at = out.size();
		uint16_t place = 4;

		out.append(VTABLE, 0);
		for (unsigned f : fields) {
			std::memcpy(&out[at + 4 + 2 * f], &place, 2);
			place += 4;
		}
		const uint16_t head[2] = {4 + 2 * FIELDS, place};
		std::memcpy(&out[at], head, 4);
	}

	size_t table(size_t vtable_at, unsigned fields)
	{
		const size_t at = out.size();

		add(uint32_t(at - vtable_at));
		out.append(4 * fields, 0);
		return at;
	}

	// Words that are lengths and entries, too: 256 leads to a zero 64 words on, which is an
	// empty string, and a zero leads to itself.
	void overlapping()
	{
		for (unsigned i = 0; i < n_vectors + 2 * length; i++)
			add(i < n_vectors + length && i % 16 == 0 && i / 64 % 2 == 0 ? 256 : 0);
	}

	// Each second one of those apart leads to what is no string but a struct all the same.
	size_t list(unsigned i, bool *ret_good) const
	{
		*ret_good = true;
		if (length == 256)
			return lists + 4 * (i % n_vectors / 128 * 128 + i % 64 / 16 * 16);
		*ret_good = i % n_vectors % 2 == 0;
		return lists + (i % n_vectors) * (4 + 4 * length);
	}

	void apart()
	{
		const size_t text = lists + n_vectors * (4 + 4 * length);

		for (unsigned i = 0; i < n_vectors; i++) {
			add(length);
			for (unsigned k = 0; k < length; k++)
				add(uint32_t(text + (i % 2 ? 8 : 0) - out.size()));
		}
		for (uint32_t word : {0u, 0u, UINT32_MAX, 0u})
			add(word);
	}

	// The types of vector `i`, which are those of strings in every second one.
	size_t types_of(unsigned i) const
	{
		return types + (i % n_types) * (4 + (length | 3) + 1);
	}

	void all_types()
	{
		types = out.size();
		for (unsigned i = 0; i < n_types; i++) {
			add(length);
			out.append((length | 3) + 1, char(i % 2 ? UNKNOWN : TEXT));
		}
	}

	void name(size_t at)
	{
		const bool any = random(256) == 255;
		unsigned i = random(256), k = random(256);
		bool good;

		if (!list(i, &good) || (!good && !any))
			i = 0;
		refer(at + 4, list(i, &good));
		i = random(256);
		list(i, &good);
		k |= !good && !any && n_types > 1; // no strings
		if (!good && !any && k % n_types % 2 == 0)
			i = 0;
		refer(at + 8, types_of(k));
		refer(at + 12, list(i, &good));
		refer(at + 16, types_of(random(256)));
		refer(at + 20, list(random(256), &good));
	}

	void inner(unsigned tables, bool overlap)
	{
		add(0);
		vtable({2});
		vtable({3, 4, 5, 7, 8});
		put(0, uint32_t(out.size()));
		const size_t root = table(4, 1), kids = out.size(), first = kids + 4 + 4 * tables;
		refer(root + 4, kids);
		add(tables);
		for (unsigned i = 0; i < tables; i++)
			add(uint32_t(first + 24 * i - out.size()));
		for (unsigned i = 0; i < tables; i++)
			table(4 + VTABLE, 5);
		all_types();
		lists = out.size();
		overlap ? overlapping() : apart();
		for (unsigned i = 0; i < tables; i++)
			name(first + 24 * i);
	}

	// Makes it the field `inner` of a table.
	void wrap()
	{
		const std::string inside = out;

		out.clear();
		add(0);
		vtable({6});
		put(0, uint32_t(out.size()));
		const size_t root = table(4, 1);
		refer(root + 4, out.size());
		add(uint32_t(inside.size()));
		out += inside;
		out.append(-out.size() % 4, 0);
	}
};
