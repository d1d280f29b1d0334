/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configurations of the host's kernels (/boot/config-VERSION), opened before it is known which
 * of them is asked for.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "fmt/bzimage.h"

struct config {
	char version[KERNEL_VERSION_MAX];
};
struct configs {
	struct config *v; /* owned */
	int *fds;	  /* of each; owned */
	size_t n;
};
#define CONFIGS_INIT ((struct configs){})
void configs_fini(struct configs *c);

/* Those that can be read. 0, also when there are none, or -ENOMEM. */
[[nodiscard]] int configs_open(const char *dir, struct configs *ret);

/* Append its text; the buffer's maximum bounds it. -ENOENT: there is none of this version. */
[[nodiscard]] int configs_read(const struct configs *c, const char *version, struct buf *ret);
