/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/test.h"

static void test_arena(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	size_t n = 0;
	int *array = NULL;

	for (int i = 0; i < 1000; i++) {
		int *e = arena_push(&a, &array, &n, sizeof(*e));

		CHECK(e && *e == 0);
		if (e)
			*e = i;
	}
	CHECK(n == 1000 && array[0] == 0 && array[513] == 513 && array[999] == 999);
	CHECK(arena_alloc(&a, 1 << 20) == NULL);
	CHECK(arena_array(&a, SIZE_MAX / 2, 4) == NULL);
	CHECK_STR(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
}

int main(void)
{
	static const char *const words[] = { "run", "rename", "restart", "rm" };
	auto_buf struct buf b = BUF_INIT(100), full = BUF_INIT(4);
	struct str rest, first;

	for (int i = 0; i < 10; i++)
		buf_addf(&b, "%d,", i);
	CHECK_STR(b.p, "0,1,2,3,4,5,6,7,8,9,");
	buf_drop_front(&b, 18);
	CHECK_STR(b.p, "9,");
	buf_adds(&full, "12345");
	buf_adds(&full, "1");
	CHECK(!buf_ok(&full) && buf_error(&full) == -EFBIG);
	buf_clear(&full);
	buf_adds(&full, "1234");
	CHECK(buf_ok(&full) && full.n == 4);
	first = str_cut(STR("a=b=c"), '=', &rest);
	CHECK(str_is(first, "a") && str_is(rest, "b=c"));
	first = str_cut(STR("a"), '=', &rest);
	CHECK(str_is(first, "a") && !rest.p);
	CHECK_STR(str_nearest("renam", words, ARRAY_SIZE(words)), "rename");
	CHECK(str_nearest("zzzzzz", words, ARRAY_SIZE(words)) == NULL);
	test_arena();
	return test_done();
}
