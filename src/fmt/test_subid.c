/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/subid.h"

static void test_ranges(void)
{
	static const char text[] = "root:1:2\nme:100000:65536\n\n# me:5:6\nme:x:1\nme:7\n1000:5:9\n"
				   "me:4294967290:100\nme:200000:1";
	struct subid r[8];

	CHECK(subid_ranges(str_of(text), "me", 1000, r, 8) == 3);
	CHECK(r[0].first == 100000 && r[0].count == 65536);
	CHECK(r[1].first == 5 && r[1].count == 9);
	CHECK(r[2].first == 200000 && r[2].count == 1);
	CHECK(subid_ranges(str_of(text), NULL, 1000, r, 8) == 1);
	CHECK(subid_ranges(str_of(text), "", 7, r, 8) == 0);
	CHECK(subid_ranges(str_of(text), "me", 1000, r, 1) == 1);
	CHECK(subid_ranges(STR(""), "me", 1000, r, 8) == 0);
}

int main(void)
{
	test_ranges();
	return test_done();
}
