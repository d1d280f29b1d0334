/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/resctrl.h"

#include "base/test.h"

static const char *combined(struct buf *b, const char *l3, const char *mb, const char *line)
{
	buf_clear(b);
	resctrl_schemata(l3, mb, &line, line ? 1 : 0, b);
	return buf_z(b);
}

int main(void)
{
	static const char have[] = "    MB:0=100;1= 70\n    L3:0=0ff;1=7f0\nL2:0=1\n";
	auto_buf struct buf b = BUF_INIT(4096);

	CHECK_STR(combined(&b, NULL, NULL, NULL), "");
	CHECK_STR(combined(&b, "L3:0=f;1=f0", "MB:0=20;1=70", NULL), "L3:0=f;1=f0\nMB:0=20;1=70\n");
	CHECK_STR(combined(&b, "MB:0=1\nL3:0=f\n MB:1=2", "", NULL), "L3:0=f\n");
	CHECK_STR(combined(&b, "L3:0=f", "MB:0=20\n", "L2:0=3"), "L3:0=f\nMB:0=20\nL2:0=3\n");

	CHECK(resctrl_same(STR("L3:0=ff;1=7f0\nMB:0=100;1=70\n"), str_of(have)));
	CHECK(resctrl_same(STR("L3:1=7F0"), str_of(have)));
	CHECK(resctrl_same(STR(""), str_of(have)));
	CHECK(!resctrl_same(STR("L3:0=fe"), str_of(have)));
	CHECK(!resctrl_same(STR("L3:2=f"), str_of(have)));
	CHECK(!resctrl_same(STR("L3CODE:0=ff"), str_of(have)));
	CHECK(!resctrl_same(STR("L3"), str_of(have)));
	CHECK(!resctrl_same(STR("L3:0"), str_of(have)));
	return test_done();
}
