/* typed_json.cc - strict JSON with a line and a column for every value. */
#include "typed_parts.h"

#include <cstring>

namespace typed
{

using std::string;

struct reader {
	const char *p, *end;
	unsigned line, column;

	[[noreturn]] void fail(const string &what) const
	{
		throw error(std::to_string(line) + ":" + std::to_string(column) + ": " + what);
	}

	string here() const
	{
		if (p == end)
			return "the end";
		return static_cast<unsigned char>(*p) < 0x20 || *p == 0x7f
			       ? "a control character"
			       : "'" + clean(string(p, next())) + "'";
	}

	/* Behind the character at `p`, whatever its bytes are worth. */
	const char *next() const
	{
		const char *n = p + 1;

		while (n < end && (*n & 0xc0) == 0x80)
			n++;
		return n;
	}

	void step()
	{
		bool newline = *p == '\n';

		p = next();
		line += newline;
		column = newline ? 1 : column + 1;
	}

	void blanks()
	{
		while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
			step();
	}

	bool take(char c)
	{
		blanks();
		if (p == end || *p != c)
			return false;
		step();
		return true;
	}

	unsigned hex4()
	{
		unsigned v = 0;

		for (int i = 0; i < 4; i++) {
			const char *digits = "0123456789abcdef";
			const char *at = p < end && *p ? strchr(digits, *p | 0x20) : nullptr;

			if (!at)
				fail("expected four hexadecimal digits, found " + here());
			v = v << 4 | unsigned(at - digits);
			step();
		}
		return v;
	}

	void escape(string &out)
	{
		static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
		const char *at = p < end && *p ? strchr(from, *p) : nullptr;
		unsigned v;

		if (at) {
			out += to[at - from];
			step();
			return;
		}
		if (p == end || *p != 'u')
			fail("expected an escape such as \\n or \\u0041, found " + here());
		step();
		v = hex4();
		if (v >= 0xd800 && v < 0xdc00) {
			unsigned low;

			if (end - p < 2 || p[0] != '\\' || p[1] != 'u')
				fail("expected the second half of a surrogate pair");
			step();
			step();
			low = hex4();
			if (low < 0xdc00 || low > 0xdfff)
				fail("expected the second half of a surrogate pair");
			v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
		} else if (v >= 0xdc00 && v < 0xe000) {
			fail("the second half of a surrogate pair without the first");
		}
		flatbuffers::ToUTF8(v, &out);
	}

	void string_into(node &n)
	{
		n.kind = node::STRING;
		step();
		for (;;) {
			const char *from = p, *to = p;

			if (p == end)
				fail("a string without its closing '\"'");
			if (*p == '"')
				break;
			if (static_cast<unsigned char>(*p) < 0x20)
				fail("a control character in a string: write it as an escape");
			if (*p == '\\') {
				step();
				escape(n.s);
				continue;
			}
			if (flatbuffers::FromUTF8(&to) < 0 || to > end)
				fail("a string that is not UTF-8");
			step();
			n.s.append(from, p);
		}
		step();
	}

	void digits(node &n)
	{
		if (p == end || *p < '0' || *p > '9')
			fail("expected a digit, found " + here());
		while (p < end && *p >= '0' && *p <= '9') {
			n.s += *p;
			step();
		}
	}

	void number_into(node &n)
	{
		n.kind = node::NUMBER;
		if (*p == '-') {
			n.s += *p;
			step();
		}
		if (p < end && *p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9')
			fail("a number that begins with 0");
		digits(n);
		if (p < end && *p == '.') {
			n.s += *p;
			step();
			digits(n);
		}
		if (p < end && (*p == 'e' || *p == 'E')) {
			n.s += *p;
			step();
			if (p < end && (*p == '+' || *p == '-')) {
				n.s += *p;
				step();
			}
			digits(n);
		}
	}

	void word_into(node &n)
	{
		static const char *const words[] = {"null", "true", "false"};

		for (const char *w : words) {
			size_t len = strlen(w);

			if (size_t(end - p) < len || memcmp(p, w, len))
				continue;
			n.kind = *w == 'n' ? node::NOTHING : node::BOOLEAN;
			n.s = w;
			while (len--)
				step();
			return;
		}
		fail("expected a value, found " + here());
	}

	void list_into(node &n, char close, unsigned depth)
	{
		n.kind = close == '}' ? node::OBJECT : node::ARRAY;
		step();
		if (take(close))
			return;
		do {
			if (close == '}') {
				blanks();
				if (p == end || *p != '"')
					fail("expected the name of a field in '\"', found " +
						here());
				n.keys.push_back(value(depth + 1));
				if (!take(':'))
					fail("expected ':', found " + here());
			}
			n.items.push_back(value(depth + 1));
		} while (take(','));
		if (!take(close))
			fail(string("expected ',' or '") + close + "', found " + here());
	}

	node value(unsigned depth)
	{
		node n;

		blanks();
		n.line = line;
		n.column = column;
		if (depth > DEPTH_MAX)
			fail("more than " + std::to_string(DEPTH_MAX) +
				" levels inside each other");
		if (p == end)
			fail("expected a value, found the end");
		if (*p == '{' || *p == '[')
			list_into(n, *p == '{' ? '}' : ']', depth);
		else if (*p == '"')
			string_into(n);
		else if (*p == '-' || (*p >= '0' && *p <= '9'))
			number_into(n);
		else
			word_into(n);
		return n;
	}
};

node json_parse(const char *json, size_t len)
{
	reader r = {json, json + len, 1, 1};
	node n;

	if (len > BODY_MAX)
		throw error("1:1: more than 1 MiB of JSON");
	n = r.value(0);
	r.blanks();
	if (r.p != r.end)
		r.fail("expected nothing more, found " + r.here());
	return n;
}

string json_quote(const string &s)
{
	string out = "\"";
	char escape[16];

	for (const char *p = s.c_str(), *end = p + s.size(); p < end;) {
		const char *from = p;
		int code = flatbuffers::FromUTF8(&p);

		if (code < 0 || p > end) {
			out += "\\ufffd";
			p = from + 1;
		} else if (code == '"' || code == '\\') {
			out += '\\';
			out += char(code);
		} else if (code == '\n') {
			out += "\\n";
		} else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
			snprintf(escape, sizeof(escape), "\\u%04x", unsigned(code));
			out += escape;
		} else {
			out.append(from, p);
		}
	}
	return out + "\"";
}

} // namespace typed
