/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/ignorefile.h"

static void test_fits(void)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} v[] = {
		{ "*.c", "main.c", true },
		{ "*.c", "a/main.c", false },
		{ "a/?.c", "a/b.c", true },
		{ "a?b", "a/b", false },
		{ "**/*.c", "main.c", true },
		{ "**/*.c", "a/b/main.c", true },
		{ "a/**", "a/b/c", true },
		{ "a/**/z", "a/z", true },
		{ "a/**/z", "a/b/c/z", true },
		{ "a/**/z", "ab/z", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "[]]", "]", false },
		{ "\\*", "*", true },
		{ "\\*", "x", false },
		{ "", "", true },
		{ "*", "", true },
		{ "**", "a/b", true },
		{ "a*b*c", "aXbYc", true },
		{ "a*b*c", "aXbY", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		CHECK(ignore_fits(v[i].pattern, v[i].name) == v[i].fits);
		if (ignore_fits(v[i].pattern, v[i].name) != v[i].fits)
			(void) fprintf(stderr, "'%s' '%s'\n", v[i].pattern, v[i].name);
	}
	CHECK(ignore_check("[a-") < 0 && ignore_check("a\\") < 0 && ignore_check("[a]*?") == 0);
	/* Of stars without end there is an end. */
	CHECK(!ignore_fits("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
			   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void test_file(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct ignorefile f;
	struct err e;

	CHECK(ignorefile_parse(&a,
			       STR("\xef\xbb\xbf# a comment\n\n  /build/ \r\n*.log\n!keep.log\n"
				   "./x//y\n**/*.o\n!\n../z"),
			       &f, &e) == 0);
	CHECK(f.n == 6 && f.has_exceptions && streq(f.v[0].text, "build") &&
	      streq(f.v[3].text, "x/y") && streq(f.v[5].text, "z"));
	CHECK(ignorefile_has(&f, "build") && ignorefile_has(&f, "build/a/b"));
	CHECK(!ignorefile_has(&f, "builds") && ignorefile_has(&f, "a.log"));
	CHECK(!ignorefile_has(&f, "keep.log") && !ignorefile_has(&f, "sub/a.log"));
	CHECK(ignorefile_has(&f, "x/y/z") && ignorefile_has(&f, "a/b/c.o"));
	CHECK(ignorefile_parse(&a, STR("ok\n[a-"), &f, &e) < 0 && e.kind == ERR_INVALID &&
	      strstr(e.msg, "line 2"));
	CHECK(ignorefile_parse(&a, STR("*\n!a/b"), &f, &e) == 0 && ignorefile_has(&f, "a") &&
	      !ignorefile_has(&f, "a/b") && !ignorefile_has(&f, "a/b/c") &&
	      ignorefile_has(&f, "a/c"));
}

int main(void)
{
	test_fits();
	test_file();
	return test_done();
}
