/* SPDX-License-Identifier: Apache-2.0 */
/* What glibc's declares and musl's of 1.2.3 does not. */
#pragma once

#include_next <unistd.h>

#include <linux/close_range.h>
#include <sys/syscall.h>

static inline int close_range(unsigned first, unsigned last, int flags)
{
	return (int) syscall(SYS_close_range, first, last, flags);
}
