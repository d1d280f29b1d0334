/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/auto.h"
#include "base/test.h"
#include "engine/container/options.h"
#include "fmt/spec.h"

static int parse(struct arena *a, const char *type, const char **words, size_t n,
		 struct mount_words *ret_w, struct err *e)
{
	struct spec_mount m = {
		.destination = "/x", .type = type, .options = words, .options_n = n
	};

	return mount_words_parse(a, &m, ret_w, e);
}

static void test_words(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const char *first[] = { "rbind", "ro", "nosuid", "suid", "rslave", "rro", "noatime" };
	const char *second[] = { "size=64k", "mode=1777", "sync",     "strictatime",
				 "relatime", "silent",	  "iversion", "defaults" };
	const char *copy[] = { "bind", "tmpcopyup" };
	struct mount_words w = {};
	struct err e = {};

	CHECK(parse(&a, NULL, first, ARRAY_SIZE(first), &w, &e) == 0);
	CHECK(w.bind && w.rec_bind && w.propagation == MS_SLAVE && w.propagation_rec);
	CHECK(w.set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME));
	CHECK(w.clear == (MOUNT_ATTR_NOSUID | MOUNT_ATTR__ATIME));
	CHECK(w.rec_set == MOUNT_ATTR_RDONLY && !w.rec_clear && !w.data_n);

	CHECK(parse(&a, "tmpfs", second, ARRAY_SIZE(second), &w, &e) == 0);
	CHECK(!w.bind && w.data_n == 3);
	CHECK_STR(w.data[0].key, "size");
	CHECK_STR(w.data[0].value, "64k");
	CHECK_STR(w.data[2].key, "sync");
	CHECK(!w.data[2].value);
	/* The last access time mode wins; relatime is no bit. */
	CHECK(w.set == 0 && w.clear == MOUNT_ATTR__ATIME);

	CHECK(parse(&a, NULL, copy, 2, &w, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(parse(&a, NULL, NULL, 0, &w, &e) < 0 && e.kind == ERR_INVALID);
}

/* Each word of the list must be known to the parser: not end up as data for the kernel. */
static void test_all_known(void)
{
	for (size_t i = 0; mount_words_known[i]; i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const char *one[] = { "bind", mount_words_known[i] };
		struct mount_words w = {};
		struct err e = {};
		bool super = streq(one[1], "async") || streq(one[1], "sync") ||
			     streq(one[1], "dirsync") || streq(one[1], "lazytime") ||
			     streq(one[1], "nolazytime");

		if (streq(one[1], "tmpcopyup"))
			continue;
		CHECK(parse(&a, NULL, one, 2, &w, &e) == 0 && w.data_n == (super ? 1u : 0u));
	}
}

int main(void)
{
	test_words();
	test_all_known();
	return test_done();
}
