/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One archive into one directory, in the confined half of atoll-image. Every name in the archive is
 * hostile: ".." is refused, a leading "/" means the tree's root, links are data and are followed
 * only inside the root, nothing is ever written through one. The forms of OCI's layers become
 * overlayfs's: ".wh.NAME" a character device 0:0, ".wh..wh..opq" an attribute.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "image/worker.h"

struct feed;

/* help_sock: see image/help.h. Borrows the feed. Fails as worker_unpack does. */
[[nodiscard]] int unpack_run(const struct unpack_request *r, struct feed *feed, int help_sock,
			     struct unpack_result *ret_result, struct err *e);
/* The same without a tree: inflate r->in_fd to r->copy_fd. */
[[nodiscard]] int unpack_expand(const struct unpack_request *r, int out_fd,
				struct unpack_result *ret_result, struct err *e);
/* Tell of every member of a plain tar in a regular file, skipping over the data. */
struct wire_member;
[[nodiscard]] int unpack_index(int in_fd, uint64_t entries_max,
			       int (*told)(void *user, const struct wire_member *m,
					   const char *name, const char *link, struct err *e),
			       void *user, struct err *e);
