/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629), a character at a time. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* The length of the sequence at s, which is not empty; 0 when there is none. */
size_t utf8_length(struct str s);
/* c: at most 0x10ffff. */
void utf8_put(struct buf *b, uint32_t c);
