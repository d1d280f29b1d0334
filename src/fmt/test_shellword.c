/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/shellword.h"

static const char *get(void *user, struct str name)
{
	(void) user;
	if (str_is(name, "A"))
		return "one two";
	if (str_is(name, "F"))
		return "dir/sub/file.tar.gz";
	return str_is(name, "E") ? "" : NULL;
}

static void test_one(void)
{
	static const struct {
		const char *text, *wanted; /* NULL: refused */
	} v[] = {
		{ "plain", "plain" },
		{ "$A", "one two" },
		{ "${A}x$", "one twox$" },
		{ "'$A'", "$A" },
		{ "\"<$A>\" b", "<one two> b" },
		{ "\\$A\\\\", "$A\\" },
		{ "\"a\\nb\\\"\"", "a\\nb\"" },
		{ "$N", "" },
		{ "${N:-x$A}", "xone two" },
		{ "${E:-x}${E-y}${N-z}", "xz" },
		{ "${A:+y}${E:+n}${E+y}", "yy" },
		{ "${N:-${N:-deep}}", "deep" },
		{ "${N:-'}'}", "}" },
		{ "${F#*/}", "sub/file.tar.gz" },
		{ "${F##*/}", "file.tar.gz" },
		{ "${F%.*}", "dir/sub/file.tar" },
		{ "${F%%.*}", "dir/sub/file" },
		{ "${F#x}", "dir/sub/file.tar.gz" },
		{ "${F/sub/top}", "dir/top/file.tar.gz" },
		{ "${F//[.]/_}", "dir/sub/file_tar_gz" },
		{ "$1", "$1" },
		{ "\\", "\\" },
		{ "", "" },
		{ "'a", NULL },
		{ "\"a", NULL },
		{ "${A", NULL },
		{ "${}", NULL },
		{ "${A!}", NULL },
		{ "${N:?is missing}", NULL },
		{ "${A:?is missing}", "one two" },
		{ "${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-x}}}}}}}}}}", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct shellword w = { .arena = &a, .escape = '\\', .get = get };
		const char *out = NULL;
		struct err e = {};
		int r = shellword_one(&w, str_of(v[i].text), &out, &e);

		CHECK(v[i].wanted ? r == 0 && out && streq(out, v[i].wanted)
				  : r < 0 && e.kind == ERR_INVALID);
		if (v[i].wanted && out && !streq(out, v[i].wanted))
			(void) fprintf(stderr, "%s: %s\n", v[i].text, out);
	}
}

static void test_list(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct shellword w = { .arena = &a, .escape = '`', .get = get };
	const char **list = NULL;
	struct err e;
	size_t n;

	CHECK(shellword_list(&w, STR(" a=$A  \"\" c:\\d `$A\t'e f'g "), &list, &n, &e) == 0);
	CHECK(n == 5 && streq(list[0], "a=one two") && !*list[1] && streq(list[2], "c:\\d") &&
	      streq(list[3], "$A") && streq(list[4], "e fg") && !list[5]);
	CHECK(shellword_list(&w, STR(" \t "), &list, &n, &e) == 0 && n == 0);
}

int main(void)
{
	test_one();
	test_list();
	return test_done();
}
