/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of sections: a magic word and a version, then sections of a tag, a length and a checksum
 * (CRC-32C over all three), then the end. What was cut, changed or continued is told from what was
 * written; what the sections mean is others' business. Not against who wants to deceive: a checksum
 * is no signature.
 *
 *   magic[8] version:u32 0:u32, { tag:u32 crc:u32 length:u64 bytes }*, a section of tag 0 and no
 *   bytes; all little-endian
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SECTIONS_MAGIC_BYTES 8

void sections_begin(struct buf *b, const char magic[SECTIONS_MAGIC_BYTES], uint32_t version);
/* What is added to *b until section_end() is one section of tag > 0: where it begins. */
size_t section_begin(struct buf *b, uint32_t tag);
void section_end(struct buf *b, size_t at);
void sections_end(struct buf *b);

struct sections {
	struct str rest; /* borrowed */
};

/* 0; -EBADMSG: it is no such file; -EPROTO: of a version that is not `version`. */
[[nodiscard]] int sections_open(struct str bytes, const char magic[SECTIONS_MAGIC_BYTES],
				uint32_t version, struct sections *ret_s);
/* The next one: 1; 0: the end, with nothing behind it; -EBADMSG: cut, or changed. */
[[nodiscard]] int sections_next(struct sections *s, uint32_t *ret_tag, struct str *ret_bytes);
