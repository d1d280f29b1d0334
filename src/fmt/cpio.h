/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives in cpio's "newc" format, as Linux unpacks an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Writing alone; everything belongs
 * to root and has no time, so that the same content is the same bytes.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct cpio {
	struct buf *out; /* borrowed; failure sticks to it */
	uint32_t entries;
	size_t from; /* where the archive starts in it */
};

void cpio_init(struct cpio *c, struct buf *out);
/* name: without a leading slash, parents before what is in them. mode: with its type (S_IF*). */
void cpio_add(struct cpio *c, const char *name, uint32_t mode, struct str content);
void cpio_end(struct cpio *c);
