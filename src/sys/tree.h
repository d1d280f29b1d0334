/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole file trees by descriptor, following no link and crossing into nothing by name twice:
 * remove, measure, copy. Results: 0 or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* rm -rf of dirfd/name; a missing one is fine. Goes on past what resists, first errno is told. */
[[nodiscard]] int tree_unlink(int dirfd, const char *name);

/* Bytes on disk below dirfd/name, each inode with several links counted once per link. */
[[nodiscard]] int tree_size(int dirfd, const char *name, uint64_t *ret_bytes);

/*
 * Copy the content of directory from_fd into directory to_fd: types, owners, modes, times, links
 * (hard links within the tree stay one file), xattrs, holes. Sockets are skipped. Of an overlay's
 * own marks those stay that mean the same in a copy on the same lower layers.
 */
[[nodiscard]] int tree_copy(int from_fd, int to_fd);

/*
 * One file, link or node (no directory) to a name that is not there, with the owner, mode and times
 * of *st, whose type and size are the file's own. A socket is skipped.
 */
struct stat;
[[nodiscard]] int tree_copy_node(int from_dir, const char *name, int to_dir, const char *to_name,
				 const struct stat *st);

/* A file's data into an empty one, which gets the size: holes stay holes, blocks are shared where
 * the file system can. Both are open for it; their positions move. */
[[nodiscard]] int tree_copy_data(int from, int to, uint64_t size);
