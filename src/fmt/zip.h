/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a zip archive in memory, by its central directory (APPNOTE.TXT 6.3.10, 4.3), also
 * of more than 65535 members. Not their inflating: image/advise.c.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct zip {
	struct str text;
	uint64_t at, left; /* in the directory; members still to come */
};

struct zip_member {
	struct str name, data; /* data: as it is packed */
	uint64_t size;	       /* unpacked, as the archive says */
	uint32_t crc;
	enum zip_method { ZIP_STORED = 0, ZIP_DEFLATED = 8 } method;
};

/* -EINVAL: no zip archive, or a damaged one. */
[[nodiscard]] int zip_open(struct zip *z, struct str text);
/* 1: one more; 0: no more; -EINVAL damaged; -EOPNOTSUPP packed, or encrypted, in another way. */
[[nodiscard]] int zip_next(struct zip *z, struct zip_member *ret);
