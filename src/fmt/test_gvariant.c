/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gvariant.h"

#include <errno.h>

#include "base/auto.h"
#include "base/test.h"

#define ARENA_MAX (1u << 20)

/* The value's bytes after its signature, as hexadecimal digits. */
static void check(const char *text, const char *type, const char *hex)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	auto_buf struct buf b = BUF_INIT(4096), got = BUF_INIT(8192);
	const struct gvariant *v;
	const char *why = NULL;

	if (gvariant_parse(&a, str_of(text), &v, &why) < 0) {
		(void) fprintf(stderr, "%s: %s\n", text, why);
		CHECK(!"parsed");
		return;
	}
	CHECK_STR(gvariant_type(v), type);
	gvariant_write(&b, v);
	for (size_t i = strlen(type) + 2; i < b.n; i++)
		buf_addf(&got, "%02x", (unsigned) (unsigned char) b.p[i]);
	CHECK_STR(buf_z(&got), hex);
}

static void test_values(void)
{
	/* After "1 byte, the type, NUL" comes the padding of the value's own alignment. */
	check("true", "b", "0001000000");
	check(" false ", "b", "0000000000");
	check("5", "i", "0005000000");
	check("-1", "i", "00ffffffff");
	check("uint64 0x10", "t", "00000000001000000000000000");
	check("byte 7", "y", "07");
	check("@q 513", "q", "000102");
	check("@t 18446744073709551615", "t", "0000000000ffffffffffffffff");
	check("1.5", "d", "0000000000000000000000f83f");
	check("'a'", "s", "00010000006100");
	check("\"it's\"", "s",
	      "0004000000697427"
	      "7300");
	check("'\\u00e4\\n\\\\'", "s", "0004000000c3a40a5c00");
	check("objectpath '/a'", "o", "00020000002f6100");
	check("signature 'as'", "g", "02617300");
	check("b'a\\001'", "ay", "03000000610100");
	check("@as []", "as", "00000000");
	check("['a', 'b']", "as",
	      "0e000000010000006100"
	      "0000010000006200");
	check("[1, byte 2]", "ay",
	      "02000000"
	      "0102");
	check("('a', true)", "(sb)",
	      "0000"
	      "010000006100"
	      "0000"
	      "01000000");
	check("{'k': <byte 1>}", "a{sv}",
	      "000a00000000000000"
	      "010000006b0001790001");
	check("<'x'>", "v",
	      "017300"
	      "0000"
	      "010000007800");
	check("@a(ss) [('char-pts', 'rw')]", "a(ss)",
	      "00170000000000000008000000636861722d707473000000000200000072"
	      "7700");
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"()",
		"nothing",
		"just 1",
		"1 2",
		"[1,]",
		"[1 2]",
		"('a')",
		"[1,'a']",
		"@i 'a'",
		"byte 256",
		"@y -1",
		"'a",
		"'\\q'",
		"'\\u0000'",
		"'\\ud800'",
		"2147483648",
		"010",
		"0x",
		"1e999",
		"1.2.3",
		"@t @t 5",
		"uint64 byte 1",
		"@ss 1",
		"{1}",
		"{'a': 1",
		"<1",
		"objectpath 'a'",
		"signature 'z'",
		"@h 1",
		"--1",
		"@(ss) ('a',)",
		"{<1>: 2}",
		"@as [1]",
		"true5",
		"b'\\9'",
		"[[], 1]",
		"18446744073709551616",
	};
	static char deep[200];

	memset(deep, '[', sizeof(deep) - 1);
	for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
		auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
		const char *text = i < ARRAY_SIZE(bad) ? bad[i] : deep, *why = NULL;
		const struct gvariant *v;

		if (gvariant_parse(&a, str_of(text), &v, &why) != -EINVAL || !why) {
			(void) fprintf(stderr, "accepted: %s\n", text);
			CHECK(!"refused");
		}
	}
}

static void test_seconds(void)
{
	static const struct {
		const char *text;
		int r;
		uint64_t usec;
	} all[] = {
		{ "5", 0, 5000000 },
		{ "uint64 1", 0, 1000000 },
		{ "1.5", 0, 1500000 },
		{ "-1", -ERANGE, 0 },
		{ "-0.5", -ERANGE, 0 },
		{ "'5'", -EINVAL, 0 },
		{ "@t 18446744073710", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
		const struct gvariant *v;
		const char *why;
		uint64_t usec = 0;

		CHECK(gvariant_parse(&a, str_of(all[i].text), &v, &why) == 0);
		CHECK(gvariant_seconds(v, &usec) == all[i].r && usec == all[i].usec);
	}
}

int main(void)
{
	test_values();
	test_bad();
	test_seconds();
	return test_done();
}
