/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seals of files in memory: what may never be done to one again (memfd_create(2), fcntl(2)'s
 * F_ADD_SEALS, as of Linux 6.12). Files of tmpfs have F_SEAL_SEAL from the start, memfds are begun
 * as their flags say; others know none. Who changes a file asks here first, with the file's lock.
 */
#pragma once

#include "kernel/core/types.h"

struct file;
struct inode;
struct vfs_change;

/* In inode.seals of files that know seals. */
#define SEALS_KEPT (1u << 31)
#define SEAL_EXEC  0x20u /* F_SEAL_EXEC of Linux 6.3 */

/* -EINVAL: unknown ones, or a file that knows none; -EPERM: sealed against that, or not open for
 * writing; -EBUSY: F_SEAL_WRITE, and mappings could still be written to. May park. */
[[nodiscard]] int seal_add(struct file *f, unsigned int seals);
/* -EINVAL. */
[[nodiscard]] int64_t seal_get(const struct file *f);

/* 0 or -EPERM. A new size, or mode: */
[[nodiscard]] int seal_change(const struct inode *i, const struct vfs_change *c);
/* Bytes up to `end` are written, or room is made for them: */
[[nodiscard]] int seal_write(const struct inode *i, uint64_t end);
[[nodiscard]] int seal_grow(const struct inode *i, uint64_t end);
/* A hole, or zeros in the place of bytes: */
[[nodiscard]] int seal_punch(const struct inode *i);
/* Whether no shared mapping may ever be written to. */
bool seal_readonly(const struct inode *i);
