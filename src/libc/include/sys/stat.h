/* SPDX-License-Identifier: Apache-2.0 */
/* statx as glibc declares it. */
#pragma once

#include_next <sys/stat.h>

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *ret)
{
	return (int) syscall(SYS_statx, dirfd, path, flags, mask, ret);
}
