/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/test.h"
#include "fmt/toml.h"

static void is(const char *toml, const char *json)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 4 << 20);
	auto_buf struct buf out = BUF_INIT((size_t) 1 << 20);
	struct json_writer w = JSON_WRITER(&out);
	const struct json *root = NULL;
	struct err e = {};

	if (toml_parse(&a, str_of(toml), &root, &e) < 0) {
		CHECK_STR(e.msg, json);
		return;
	}
	json_w_value(&w, NULL, root);
	CHECK_STR(buf_z(&out), json);
}

static void refused(const char *toml, const char *says)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 4 << 20);
	const struct json *root = NULL;
	struct err e = {};

	CHECK(toml_parse(&a, str_of(toml), &root, &e) < 0 && !root);
	if (!strstr(e.msg, says))
		CHECK_STR(e.msg, says);
}

static void keys_and_tables(void)
{
	is("", "{}");
	is("\xef\xbb\xbf# nothing\r\n\n \t# here\n", "{}");
	is("a = 1 # one\nb-2_=2\n\"c d\" = 3\n'' = 4", "{\"a\":1,\"b-2_\":2,\"c d\":3,\"\":4}");
	is("a.b . \"c.d\" = 1\na.e = 2", "{\"a\":{\"b\":{\"c.d\":1},\"e\":2}}");
	is("[a.b]\nx = 1\n[ a ]\ny = 2\n[c]", "{\"a\":{\"b\":{\"x\":1},\"y\":2},\"c\":{}}");
	is("[[r]]\nn = 1\n[[r.m]]\nl = 1\n[[r.m]]\n[r.t]\n[[r]]\n[[r.m]]",
	   "{\"r\":[{\"n\":1,\"m\":[{\"l\":1},{}],\"t\":{}},{\"m\":[{}]}]}");
	is("[fruit]\napple.color = 1\n[fruit.apple.taste]\nsweet = true",
	   "{\"fruit\":{\"apple\":{\"color\":1,\"taste\":{\"sweet\":true}}}}");
	is("a = {b = 1, c.d = 'x', e = {}}", "{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"},\"e\":{}}}");
	is("a = [1, [ 'x' ,], # one\n\n {b=2}\n]", "{\"a\":[1,[\"x\"],{\"b\":2}]}");
}

static void strings(void)
{
	is("a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"",
	   "{\"a\":\"\\b\\t\\n\\f\\r\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}");
	is("a = 'C:\\dir \"x\"'", "{\"a\":\"C:\\\\dir \\\"x\\\"\"}");
	is("a = \"\"\"\r\none\r\n two\\   \n\n   three\"\"\"", "{\"a\":\"one\\n twothree\"}");
	is("a = \"\"\"\"x\"\"\"\"\"", "{\"a\":\"\\\"x\\\"\\\"\"}");
	is("a = '''\nit's \\n'''", "{\"a\":\"it's \\\\n\"}");
	is("a = \"\"\nb = ''", "{\"a\":\"\",\"b\":\"\"}");
}

static void numbers_and_dates(void)
{
	is("a = [+1, -0, 1_000, 0xDEAD_beef, 0o755, 0b101, 9223372036854775807, "
	   "-9223372036854775808]",
	   "{\"a\":[1,-0,1000,3735928559,493,5,9223372036854775807,-9223372036854775808]}");
	is("a = [1.5, -0.0, 1e6, 6.6_26E-34, +1_0.2_5]", "{\"a\":[1.5,-0.0,1e6,6.626e-34,10.25]}");
	is("a = [inf, -nan, 1979-05-27T07:32:00Z, 1979-05-27 07:32:00.999-07:00, 1979-05-27, "
	   "07:32:00]",
	   "{\"a\":[\"inf\",\"-nan\",\"1979-05-27T07:32:00Z\",\"1979-05-27 "
	   "07:32:00.999-07:00\",\"1979-05-27\",\"07:32:00\"]}");
}

static void what_is_none(void)
{
	refused("a = 1\na = 2", "line 2: a key is there twice");
	refused("[a]\n[a]", "line 2: a table is there twice");
	refused("a.b = 1\n[a]", "line 2: a table is there twice");
	refused("a = {b = 1}\n[a.c]", "line 2: a table that is whole is added to");
	refused("[a.b]\n[a]\nb.c = 1", "line 3: a table that is whole is added to");
	refused("a = {b.c = 1, b = 2}", "twice");
	refused("a = [1]\n[[a]]", "no array of tables");
	refused("[[a]]\n[a]", "twice");
	refused("a = 1\na.b = 2", "a key has a value already");
	refused("a", "'=' is missing");
	refused("= 1", "a key is missing");
	refused("a. = 1", "a key is missing");
	refused("a = ", "a value is missing");
	refused("a = b", "wants quotes");
	refused("a = 1 b = 2", "more on the line");
	refused("[a] b = 1", "more on the line");
	refused("[a", "does not end with ]");
	refused("[[a]", "does not end with ]");
	refused("a = [1 2]", "',' or ']'");
	refused("a = {b = 1,\n}", "a key is missing");
	refused("a = {b = 1", "on one line");
	refused("a = \"x", "does not end");
	refused("a = \"x\ny\"", "line 1: the string does not end on its line");
	refused("a = \"\\x\"", "unknown escape");
	refused("a = \"\\u0000\"", "no character");
	refused("a = \"\\ud800\"", "no character");
	refused("a = \"\\u12g4\"", "4 hex digits");
	refused("a = \"\"\"x", "does not end");
	refused("a = '''x''''''", "too many quotes");
	refused("'''a''' = 1", "several lines");
	refused("a = 'x\x01'", "control character");
	refused("# \x7f", "control character");
	refused("a = '\xff'", "not UTF-8");
	refused("a = 01", "a value that is none");
	refused("a = 1__0", "a value that is none");
	refused("a = 1.", "a value that is none");
	refused("a = 0xg", "other characters");
	refused("a = 9223372036854775808", "beyond 64 bits");
	refused("a = 0xffffffffffffffff", "beyond 64 bits");
	refused("a = 1e12345678901234567890123456789012345678901234567890123456789012345",
		"too many digits");
	refused("a = 1979-13-01", "a value that is none");
	refused("a = 24:00:00", "a value that is none");
	refused("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g = 1",
		"too many parts");
}

static void bounds(void)
{
	auto_buf struct buf deep = BUF_INIT((size_t) 4 << 20), wide = BUF_INIT((size_t) 4 << 20);

	buf_adds(&deep, "a = ");
	for (int i = 0; i < 100; i++)
		buf_addc(&deep, '[');
	refused(buf_z(&deep), "nested too deeply");
	for (int i = 0; i < 5000; i++)
		buf_addf(&wide, "a%d = 1\n", i);
	refused(buf_z(&wide), "too many members");
	buf_clear(&wide);
	while (wide.n <= TOML_TEXT_MAX)
		buf_adds(&wide, "# more\n");
	refused(buf_z(&wide), "too large");
}

int main(void)
{
	keys_and_tables();
	strings();
	numbers_and_dates();
	what_is_none();
	bounds();
	return test_done();
}
