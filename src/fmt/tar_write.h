/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of tar entries, pax style where ustar cannot say it. What is written depends on the
 * entry alone, so that the same tree gives the same bytes on every machine.
 */
#pragma once

#include "base/buf.h"
#include "fmt/tar.h"

/* Append the header block(s) of the entry; entry->size bytes and their padding follow it. */
void tar_write_header(struct buf *out, const struct tar_entry *entry);
/*
 * The same of a file with holes (pax, GNU.sparse 1.0): its segments are in order and do not
 * overlap; their bytes follow, and then the padding of all of them. At most TAR_SEGMENTS_MAX.
 */
void tar_write_sparse(struct buf *out, const struct tar_entry *entry,
		      const struct tar_segment *segments, size_t segments_n);
/* Bytes of zeros after `size` bytes of data. */
size_t tar_padding(uint64_t size);
/* The end mark. */
void tar_write_end(struct buf *out);
