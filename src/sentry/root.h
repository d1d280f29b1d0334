/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree of files: the image with a tmpfs over it, what config.json mounts (tmpfs, proc,
 * sysfs, devpts, cgroup), /dev, masked and read-only paths. In a fiber.
 */
#pragma once

#include "base/err.h"
#include "fmt/spec.h"
#include "kernel/fs/erofs.h"
#include "kernel/vfs/dentry.h"

/*
 * The space owns all; *ret_root is owned, too. The source is taken. INVALID: what is wrong with the
 * image, or a mount; UNSUPPORTED: a type or option that is not served, by name.
 */
[[nodiscard]] int root_make(const struct spec *s, struct erofs_source *image,
			    struct mount_space **ret_space, struct path *ret_root, struct err *e);
