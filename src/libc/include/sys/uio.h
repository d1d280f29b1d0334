/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include_next <sys/uio.h>

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef RWF_APPEND
#define RWF_APPEND 0x10

static inline ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
	return syscall(SYS_pwritev2, fd, v, n, at, 0L, flags); /* the second half of the offset */
}
#endif
