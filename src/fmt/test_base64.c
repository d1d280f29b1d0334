/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/test.h"
#include "fmt/base64.h"

static void both(struct str bytes, const char *text)
{
	struct buf b = BUF_INIT(64);

	base64_write(&b, bytes);
	CHECK(str_is(buf_str(&b), text) || bytes.n == 0);
	buf_clear(&b);
	CHECK(base64_read(str_of(text), &b) == 0 && str_eq(buf_str(&b), bytes));
	buf_fini(&b);
}

static void refused(const char *text)
{
	struct buf b = BUF_INIT(64);

	CHECK(base64_read(str_of(text), &b) == -EINVAL);
	buf_fini(&b);
}

int main(void)
{
	struct buf small = BUF_INIT(2);

	both(STR(""), "");
	both(STR("f"), "Zg==");
	both(STR("fo"), "Zm8=");
	both(STR("foo"), "Zm9v");
	both(STR("foobar"), "Zm9vYmFy");
	both(STR("\0\xff\xfe"), "AP/+");
	both(STR("user:p:w"), "dXNlcjpwOnc=");
	refused("Zg=");
	refused("Zg");
	refused("Z===");
	refused("====");
	refused("Zh==");
	refused("Zg==Zg==");
	refused("Z g=");
	refused("Zm9\n");
	CHECK(base64_read(STR("Zm9v"), &small) == -EFBIG);
	buf_fini(&small);
	return test_done();
}
