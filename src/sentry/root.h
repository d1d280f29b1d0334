/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree of files: the image with a tmpfs over it, or a directory of the host that the
 * gofer shares; what config.json mounts (tmpfs, proc, sysfs, devpts, cgroup, mqueue, shares that
 * are bound), /dev and further devices, masked and read-only paths; before that, what config.json
 * sets of the kernel (settings.h). In a fiber.
 */
#pragma once

#include "base/err.h"
#include "fmt/spec.h"
#include "kernel/fs/erofs.h"
#include "kernel/fs/fuse.h"
#include "kernel/vfs/dentry.h"
#include "sentry/options.h"

/* What the files are of. */
struct root_files {
	struct erofs_source *image; /* NULL: */
	const char *share;
	struct fuse_conn *gofer; /* NULL: there is none */
	const struct bind_option *binds;
	size_t binds_n;
	const struct path *shm; /* what a mount of type SENTRY_POD_SHM shows; NULL: there is none */
};

/*
 * The space owns all; *ret_root is owned, too. The image is taken. INVALID: what is wrong with the
 * image, or a mount; UNSUPPORTED: a type or option that is not served, by name.
 */
[[nodiscard]] int root_make(const struct spec *s, const struct root_files *files,
			    struct mount_space **ret_space, struct path *ret_root, struct err *e);
