/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in the guest's tree that have to be there. */
#pragma once

#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"

/* Who sets the sandbox up: root, with all capabilities. */
extern const struct cred place_root;

/*
 * The directory, owned by the caller; what is missing of its absolute path is made, as mkdir -p
 * does. Links lead within the root. -EINVAL, and what walk() and mkdir(2) give. May park.
 */
[[nodiscard]] int place_make(const struct path *root, const char *path, struct path *ret);
