/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/cpio.h"

static void test_archive(void)
{
	static const char want[] = "before"
				   "070701"
				   "00000001"
				   "000041ED"
				   "00000000"
				   "00000000"
				   "00000002"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000004"
				   "00000000"
				   "dir\0\0\0"
				   "070701"
				   "00000002"
				   "000081A4"
				   "00000000"
				   "00000000"
				   "00000001"
				   "00000000"
				   "00000005"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000006"
				   "00000000"
				   "dir/a\0"
				   "hello\0\0\0"
				   "070701"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000001"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "00000000"
				   "0000000B"
				   "00000000"
				   "TRAILER!!!\0\0\0\0";
	auto_buf struct buf b = BUF_INIT(4096);
	struct cpio c;

	buf_adds(&b, "before");
	cpio_init(&c, &b);
	cpio_add(&c, "dir", 040755, (struct str){ 0 });
	cpio_add(&c, "dir/a", 0100644, STR("hello"));
	cpio_end(&c);
	CHECK(buf_ok(&b) && b.n == sizeof(want) - 1);
	CHECK(memcmp(buf_z(&b), want, b.n < sizeof(want) ? b.n : sizeof(want)) == 0);
}

static void test_full(void)
{
	auto_buf struct buf b = BUF_INIT(200);
	struct cpio c;

	cpio_init(&c, &b);
	cpio_add(&c, "a", 0100644, STR("hello"));
	cpio_end(&c);
	CHECK(!buf_ok(&b));
}

int main(void)
{
	test_archive();
	test_full();
	return test_done();
}
