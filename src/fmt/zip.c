/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/zip.h"

#include <errno.h>

#include "base/le.h"
#include "base/num.h"

#define END_SIZE     22u /* of the end record, without its comment */
#define LOCATOR_SIZE 20u
#define END64_SIZE   56u
#define ENTRY_SIZE   46u
#define LOCAL_SIZE   30u
#define COMMENT_MAX  65535u

static bool has(const struct zip *z, uint64_t at, uint64_t n, const char *magic)
{
	return range_in(at, n, z->text.n) && memcmp(z->text.p + at, magic, 4) == 0;
}

static uint64_t number(const struct zip *z, uint64_t at, unsigned bytes)
{
	const char *p = z->text.p + at;

	return bytes == 2 ? load_le16(p) : bytes == 4 ? load_le32(p) : load_le64(p);
}

int zip_open(struct zip *z, struct str text)
{
	uint64_t end, least;

	*z = (struct zip){ .text = text };
	if (text.n < END_SIZE)
		return -EINVAL;
	end = text.n - END_SIZE;
	least = end > COMMENT_MAX ? end - COMMENT_MAX : 0;
	while (!has(z, end, END_SIZE, "PK\5\6"))
		if (end-- == least)
			return -EINVAL;
	z->left = number(z, end + 10, 2);
	z->at = number(z, end + 16, 4);
	if (end >= LOCATOR_SIZE && has(z, end - LOCATOR_SIZE, LOCATOR_SIZE, "PK\6\7")) {
		uint64_t end64 = number(z, end - LOCATOR_SIZE + 8, 8);

		if (!has(z, end64, END64_SIZE, "PK\6\6"))
			return -EINVAL;
		z->left = number(z, end64 + 32, 8);
		z->at = number(z, end64 + 48, 8);
	}
	return 0;
}

int zip_next(struct zip *z, struct zip_member *ret)
{
	uint64_t name_n, more_n, packed, local, at = z->at;
	struct zip_member m;

	if (!z->left)
		return 0;
	if (!has(z, at, ENTRY_SIZE, "PK\1\2"))
		return -EINVAL;
	name_n = number(z, at + 28, 2);
	more_n = number(z, at + 30, 2) + number(z, at + 32, 2);
	packed = number(z, at + 20, 4);
	local = number(z, at + 42, 4);
	m = (struct zip_member){ .crc = (uint32_t) number(z, at + 16, 4),
				 .size = number(z, at + 24, 4),
				 .method = (enum zip_method) number(z, at + 10, 2) };
	if (!range_in(at, ENTRY_SIZE + name_n + more_n, z->text.n))
		return -EINVAL;
	m.name = (struct str){ z->text.p + at + ENTRY_SIZE, (size_t) name_n };
	if (number(z, at + 8, 2) & 1 || (m.method != ZIP_STORED && m.method != ZIP_DEFLATED))
		return -EOPNOTSUPP;
	if (!has(z, local, LOCAL_SIZE, "PK\3\4"))
		return -EINVAL;
	local += LOCAL_SIZE + number(z, local + 26, 2) + number(z, local + 28, 2);
	if (!range_in(local, packed, z->text.n) || (m.method == ZIP_STORED && m.size != packed))
		return -EINVAL;
	m.data = (struct str){ z->text.p + local, (size_t) packed };
	z->at += ENTRY_SIZE + name_n + more_n;
	z->left--;
	*ret = m;
	return 1;
}
