/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount interface by descriptor (Linux 5.2: fsopen, move_mount; 5.12: mount_setattr): a mount
 * is made detached, given its attributes, and attached to a directory that is open already. A
 * detached mount nobody attached is gone with its descriptor. Results: >= 0 or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* The C library has a header of this name: <sys/mount.h> finds ours first, and gives both. */
#include_next <sys/mount.h>

struct mount_option {
	const char *key;
	const char *value; /* NULL: a flag */
	int fd;		   /* used instead of value when >= 0 and value is NULL and is_fd */
	bool is_fd;	   /* FSCONFIG_SET_FD, as lowerdir+ takes since Linux 6.13 */
};

#define MOUNT_WHY_MAX 200

/*
 * A new, detached mount of a file system: gives its descriptor. attr: MOUNT_ATTR_*. ret_why (may
 * be NULL): what the kernel says about a refusal (MOUNT_WHY_MAX bytes), "" when nothing.
 */
[[nodiscard]] int mount_new(const char *fstype, const struct mount_option *opts, size_t n,
			    uint64_t attr, char *ret_why);

/* The same in two steps: a file system that is mounted nowhere yet, and its one mount. */
[[nodiscard]] int mount_file_system(const char *fstype, const struct mount_option *opts, size_t n,
				    char *ret_why);
[[nodiscard]] int mount_made_of(int fs, uint64_t attr);

/* A detached copy of the mount at (dirfd, path), "" for dirfd itself; of all below when recursive.
 */
[[nodiscard]] int mount_clone(int dirfd, const char *path, bool recursive);

/* Attach to the directory or file (dirfd, path), "" for dirfd itself. */
[[nodiscard]] int mount_attach(int mount_fd, int dirfd, const char *path);

struct mount_change {
	uint64_t set, clear;  /* MOUNT_ATTR_* */
	uint64_t propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0 */
	int userns_fd;	      /* with MOUNT_ATTR_IDMAP in set: borrowed */
};
[[nodiscard]] int mount_change(int dirfd, const char *path, bool recursive,
			       const struct mount_change *c);

/* Take away what is mounted at the path, lazily (MNT_DETACH), following no link. */
[[nodiscard]] int mount_detach(const char *path);
/* Whether mountinfo is in the order in which mounts were made (Linux 6.8). */
bool mount_sorted(int fd);
/* statx: the mount's id, and whether the descriptor is the root of a mount. */
[[nodiscard]] int mount_id(int fd, uint64_t *ret_id, bool *ret_is_root);
