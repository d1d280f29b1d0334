/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include "base/auto.h"
#include "base/test.h"

static struct detach_keys keys;
static char passed[64];

static bool type(const char *typed, size_t n)
{
	char to[64 + DETACH_KEYS_MAX];
	size_t got = 0;
	bool done = detach_keys_filter(&keys, typed, n, to, &got);

	memcpy(passed, to, got);
	passed[got] = 0;
	return done;
}

static void test_parse(void)
{
	struct err e;

	CHECK(detach_keys_parse(&keys, "ctrl-p,ctrl-q", &e) == 0);
	CHECK(keys.n == 2 && keys.keys[0] == 16 && keys.keys[1] == 17);
	CHECK(detach_keys_parse(&keys, "a,ctrl-@,ctrl-_", &e) == 0);
	CHECK(keys.n == 3 && keys.keys[0] == 'a' && keys.keys[1] == 0 && keys.keys[2] == 31);
	CHECK(detach_keys_parse(&keys, "", &e) == 0 && keys.n == 0);
	CHECK(detach_keys_parse(&keys, "ctrl-1", &e) < 0);
	CHECK(detach_keys_parse(&keys, "abc", &e) < 0);
	CHECK(detach_keys_parse(&keys, "a,,b", &e) < 0);
}

static void test_filter(void)
{
	struct err e;

	CHECK(detach_keys_parse(&keys, "ctrl-p,ctrl-q", &e) == 0);
	CHECK(!type("abc", 3));
	CHECK_STR(passed, "abc");
	CHECK(!type("a\x10", 2)); /* held back */
	CHECK_STR(passed, "a");
	CHECK(!type("b", 1)); /* it was no beginning */
	CHECK_STR(passed, "\x10"
			  "b");
	CHECK(!type("\x10\x10", 2)); /* the second may begin it again */
	CHECK_STR(passed, "\x10");
	CHECK(type("\x11rest", 5));
	CHECK_STR(passed, "");
	CHECK(detach_keys_parse(&keys, "", &e) == 0);
	CHECK(!type("\x10\x11", 2));
	CHECK_STR(passed, "\x10\x11");
}

int main(void)
{
	test_parse();
	test_filter();
	return test_done();
}
