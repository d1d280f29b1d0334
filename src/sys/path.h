/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a tree that somebody hostile wrote. Every lookup starts at the tree's root
 * descriptor and stays in it, whatever the links say (openat2 RESOLVE_IN_ROOT, Linux 5.6), never
 * through a magic link; what is found is used by descriptor, never by name again
 * (CVE-2021-30465). Results: >= 0 or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* openat2 with RESOLVE_IN_ROOT | NO_MAGICLINKS; retries -EAGAIN a bounded number of times. */
[[nodiscard]] int path_open_in(int root, const char *path, int flags, mode_t mode);
/* The same with more RESOLVE_* bits. */
[[nodiscard]] int path_open_how(int root, const char *path, int flags, mode_t mode,
				uint64_t resolve);

/*
 * The directory `path`, made with its parents where missing (mode for what is made; a link on the
 * way is followed inside the root, a dangling one's target is made). Gives an O_PATH descriptor.
 */
[[nodiscard]] int path_make_dir(int root, const char *path, mode_t mode);
/* The same for a file: an existing one of any type but a directory, or a new, empty, regular one.*/
[[nodiscard]] int path_make_file(int root, const char *path, mode_t mode);
/*
 * The parent directory of `path` (made when `make`), O_PATH, and the last component's place in
 * the caller's string. "/" and paths ending in ".." are -EINVAL.
 */
[[nodiscard]] int path_parent(int root, const char *path, bool make, mode_t mode,
			      const char **ret_name);
