/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/pack.h"
#include "base/test.h"
#include "fmt/sections.h"

static const char magic[] = "ATTEST\r\n";

static void fill(struct buf *b)
{
	size_t at;

	sections_begin(b, magic, 3);
	at = section_begin(b, 7);
	pack_u16(b, 0x1234);
	pack_bytes(b, "abc", 3);
	section_end(b, at);
	section_end(b, section_begin(b, 9));
	sections_end(b);
}

static void test_read(void)
{
	auto_buf struct buf b = BUF_INIT(1000);
	struct sections s;
	struct unpack u;
	struct str bytes;
	uint32_t tag;

	fill(&b);
	CHECK(buf_ok(&b));
	CHECK(sections_open(buf_str(&b), magic, 3, &s) == 0);
	CHECK(sections_next(&s, &tag, &bytes) == 1 && tag == 7 && bytes.n == 9);
	u = unpack_of(bytes);
	CHECK(unpack_u16(&u) == 0x1234);
	CHECK(str_is(unpack_bytes(&u), "abc") && unpack_done(&u));
	CHECK(unpack_u8(&u) == 0 && unpack_bytes(&u).n == 0 && !unpack_done(&u));
	CHECK(sections_next(&s, &tag, &bytes) == 1 && tag == 9 && bytes.n == 0);
	CHECK(sections_next(&s, &tag, &bytes) == 0);
	CHECK(sections_open(buf_str(&b), magic, 4, &s) == -EPROTO);
	CHECK(sections_open(buf_str(&b), "OTHERS\r\n", 3, &s) == -EBADMSG);
}

/* To the end of the file: 0, or why not. */
static int walk(struct str bytes)
{
	struct sections s;
	struct str section;
	uint32_t tag;
	int r = sections_open(bytes, magic, 3, &s);

	if (r == 0)
		do
			r = sections_next(&s, &tag, &section);
		while (r > 0);
	return r;
}

static void test_damage(void)
{
	auto_buf struct buf b = BUF_INIT(1000);

	fill(&b);
	CHECK(walk(buf_str(&b)) == 0);
	for (size_t n = 0; n < b.n; n++)
		CHECK(walk((struct str){ b.p, n }) < 0);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] = (char) (b.p[i] ^ 4);
		CHECK(walk(buf_str(&b)) < 0);
		b.p[i] = (char) (b.p[i] ^ 4);
	}
	buf_addc(&b, 0);
	CHECK(walk(buf_str(&b)) == -EBADMSG);
}

/* CRC-32C of twelve zeros: so many has the end. */
static void test_checksum(void)
{
	auto_buf struct buf b = BUF_INIT(1000);

	sections_end(&b);
	CHECK(load_le32(b.p + 4) == 0x2b60b55d);
}

int main(void)
{
	test_read();
	test_damage();
	test_checksum();
	return test_done();
}
