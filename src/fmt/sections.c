/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/sections.h"

#include <errno.h>
#include <string.h>

#include "base/pack.h"

#define HEAD_BYTES    16 /* of the file */
#define SECTION_BYTES 16 /* of a section, before its bytes */

/* CRC-32C (RFC 3720, appendix B.4), reversed: by half bytes. */
static const uint32_t remainders[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc32c(uint32_t crc, const char *p, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t) p[i];
		crc = crc >> 4 ^ remainders[crc & 15];
		crc = crc >> 4 ^ remainders[crc & 15];
	}
	return ~crc;
}

/* Of a section that begins at p: its tag, its length and n bytes. */
static uint32_t checksum(const char *p, size_t n)
{
	uint32_t crc = crc32c(0, p, 4);

	return crc32c(crc, p + 8, 8 + n);
}

void sections_begin(struct buf *b, const char magic[SECTIONS_MAGIC_BYTES], uint32_t version)
{
	buf_add(b, magic, SECTIONS_MAGIC_BYTES);
	pack_u32(b, version);
	pack_u32(b, 0);
}

size_t section_begin(struct buf *b, uint32_t tag)
{
	size_t at = b->n;

	pack_u32(b, tag);
	pack_u32(b, 0);
	pack_u64(b, 0);
	return at;
}

void section_end(struct buf *b, size_t at)
{
	size_t n;

	if (!buf_ok(b))
		return;
	n = b->n - at - SECTION_BYTES;
	store_le64(b->p + at + 8, n);
	store_le32(b->p + at + 4, checksum(b->p + at, n));
}

void sections_end(struct buf *b)
{
	section_end(b, section_begin(b, 0));
}

int sections_open(struct str bytes, const char magic[SECTIONS_MAGIC_BYTES], uint32_t version,
		  struct sections *ret_s)
{
	if (bytes.n < HEAD_BYTES || memcmp(bytes.p, magic, SECTIONS_MAGIC_BYTES) != 0)
		return -EBADMSG;
	if (load_le32(bytes.p + 8) != version || load_le32(bytes.p + 12))
		return -EPROTO;
	ret_s->rest = (struct str){ bytes.p + HEAD_BYTES, bytes.n - HEAD_BYTES };
	return 0;
}

int sections_next(struct sections *s, uint32_t *ret_tag, struct str *ret_bytes)
{
	uint64_t n;
	uint32_t tag;

	if (s->rest.n < SECTION_BYTES)
		return -EBADMSG;
	n = load_le64(s->rest.p + 8);
	if (n > s->rest.n - SECTION_BYTES ||
	    load_le32(s->rest.p + 4) != checksum(s->rest.p, (size_t) n))
		return -EBADMSG;
	tag = load_le32(s->rest.p);
	if (tag == 0)
		return n == 0 && s->rest.n == SECTION_BYTES ? 0 : -EBADMSG;
	*ret_tag = tag;
	*ret_bytes = (struct str){ s->rest.p + SECTION_BYTES, (size_t) n };
	s->rest.p += SECTION_BYTES + n;
	s->rest.n -= SECTION_BYTES + (size_t) n;
	return 1;
}
