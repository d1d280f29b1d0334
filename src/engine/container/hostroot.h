/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container without a mount namespace: its root is mounted at its own path, where the caller
 * sees it, and all its mounts below that; it is entered by chroot. When the container goes, so do
 * they, with that one mount. It is told from what was there before by the number of the mount, so
 * that nothing of the caller's is ever taken away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bundle;
struct spec;

struct hostroot {
	char *path;	 /* owned, absolute; NULL: the container has a mount namespace */
	uint64_t before; /* the mount that the path was on */
};

[[nodiscard]] int hostroot_check(const struct spec *s, struct err *e);
/* Nothing is mounted yet. */
[[nodiscard]] int hostroot_find(const struct bundle *b, struct hostroot *ret, struct err *e);
void hostroot_remove(const struct hostroot *h);
void hostroot_fini(struct hostroot *h);

/* A file of the state directory; none is written, and found, for a container that has its own. */
[[nodiscard]] int hostroot_save(const struct hostroot *h, int state_fd, struct err *e);
[[nodiscard]] int hostroot_load(struct hostroot *ret, int state_fd, struct err *e);
