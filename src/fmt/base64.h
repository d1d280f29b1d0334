/* SPDX-License-Identifier: Apache-2.0 */
/* base64 with its standard letters and padding (RFC 4648, section 4). */
#pragma once

#include "base/buf.h"
#include "base/str.h"

void base64_write(struct buf *out, struct str bytes);
/* Appends the bytes. -EINVAL: it is none; blanks and line ends are not part of it. */
[[nodiscard]] int base64_read(struct str text, struct buf *out);
