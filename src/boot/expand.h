/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of kernels and of modules: gzip, xz, zstd, lz4, lzma, bzip2, by libarchive. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Append what the bytes expand to; the buffer's maximum bounds it. UNSUPPORTED: a format that
 * nothing here reads; INVALID: damaged or cut short.
 */
[[nodiscard]] int expand(struct str packed, struct buf *ret, struct err *e);
