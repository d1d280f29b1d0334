/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/zip.h"

#include <errno.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/le.h"
#include "base/test.h"

static void put(struct buf *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_addc(b, (char) (v >> 8 * i));
}

/* An archive of one stored file "a" of "xyz". */
static void make(struct buf *b, unsigned method, bool zip64)
{
	size_t directory;

	buf_clear(b);
	buf_add(b, "PK\3\4", 4);
	put(b, 0, 22);
	put(b, 1, 2);
	put(b, 0, 2);
	buf_adds(b, "axyz");
	directory = b->n;
	buf_add(b, "PK\1\2", 4);
	put(b, 0, 6);
	put(b, method, 2);
	put(b, 0, 4);
	put(b, 0x11223344, 4);
	put(b, 3, 4);
	put(b, 3, 4);
	put(b, 1, 2);
	put(b, 0, 16);
	buf_adds(b, "a");
	if (zip64) {
		size_t end64 = b->n;

		buf_add(b, "PK\6\6", 4);
		put(b, 0, 28);
		put(b, 1, 8);
		put(b, 0, 8);
		put(b, directory, 8);
		buf_add(b, "PK\6\7", 4);
		put(b, 0, 4);
		put(b, end64, 8);
		put(b, 1, 4);
	}
	buf_add(b, "PK\5\6", 4);
	put(b, 0, 6);
	put(b, zip64 ? 0xffff : 1, 2);
	put(b, 0, 4);
	put(b, zip64 ? 0xffffffff : directory, 4);
	put(b, 7, 2);
	buf_adds(b, "comment");
}

int main(void)
{
	auto_buf struct buf b = BUF_INIT(10000);
	struct zip_member m;
	struct zip z;

	for (int zip64 = 0; zip64 < 2; zip64++) {
		make(&b, ZIP_STORED, zip64);
		CHECK(zip_open(&z, buf_str(&b)) == 0);
		CHECK(zip_next(&z, &m) == 1);
		CHECK(str_is(m.name, "a") && str_is(m.data, "xyz") && m.crc == 0x11223344);
		CHECK(zip_next(&z, &m) == 0);
	}
	make(&b, 12, false);
	CHECK(zip_open(&z, buf_str(&b)) == 0 && zip_next(&z, &m) == -EOPNOTSUPP);
	make(&b, ZIP_STORED, false);
	b.p[34 + 20] = 9; /* longer than it is */
	CHECK(zip_open(&z, buf_str(&b)) == 0 && zip_next(&z, &m) == -EINVAL);
	CHECK(zip_open(&z, STR("PK\5\6")) == -EINVAL);
	CHECK(zip_open(&z, STR("nothing of the kind, however long")) == -EINVAL);
	return test_done();
}
