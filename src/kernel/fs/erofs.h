/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS, read: the files of an image as Atoll's disks have them (`atoll image disk`, mkfs.erofs).
 * Without compression, of one device, with blocks of 512 bytes to a page. The image is believed in
 * nothing: what is wrong in it is -EUCLEAN or -EIO for who looks there, and a name more or less.
 * Inodes that are in use are unique, so that hard links are one file; contents are paged in.
 */
#pragma once

#include "kernel/vfs/inode.h"

/* The bytes of the image. */
struct erofs_source {
	/* [at, at + n), within `bytes`. May park. 0, -EIO, -ENOMEM. */
	int (*read)(struct erofs_source *s, uint64_t at, void *to, size_t n);
	void (*release)(struct erofs_source *s);
	uint64_t bytes;
};

/*
 * The caller is its user (super_leave); the source is taken, and released after an error as well.
 * -EINVAL: no EROFS; -EOPNOTSUPP: with features that are not read here; -EUCLEAN, -EIO, -ENOMEM.
 * May park.
 */
[[nodiscard]] int erofs_new(struct erofs_source *source, struct super **ret);
