/* SPDX-License-Identifier: Apache-2.0 */
/* pidfds as glibc declares them. */
#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline int pidfd_open(pid_t pid, unsigned flags)
{
	return (int) syscall(SYS_pidfd_open, pid, flags);
}

static inline int pidfd_getfd(int pidfd, int fd, unsigned flags)
{
	return (int) syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

static inline int pidfd_send_signal(int pidfd, int signo, siginfo_t *info, unsigned flags)
{
	return (int) syscall(SYS_pidfd_send_signal, pidfd, signo, info, flags);
}
