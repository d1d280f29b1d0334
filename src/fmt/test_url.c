/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "fmt/url.h"

static void escaped(struct str text, const char *want)
{
	auto_buf struct buf out = BUF_INIT(256);

	url_escape(&out, text);
	CHECK_STR(buf_z(&out), want);
}

int main(void)
{
	escaped(STR(""), "");
	escaped(STR("repository:a/b:pull,push"), "repository:a/b:pull,push");
	escaped(STR("a b&c=d+e%f?g#h\"i"), "a%20b%26c%3Dd%2Be%25f%3Fg%23h%22i");
	escaped(STR("\xc3\xa9\n\0z"), "%C3%A9%0A%00z");
	return test_done();
}
