/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/filter.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "sys/filter.h"

FILTER_ARG_IS(is_receive, 1, SECCOMP_IOCTL_NOTIF_RECV);
FILTER_ARG_IS(is_send, 1, SECCOMP_IOCTL_NOTIF_SEND);
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64) /* Linux 6.6 */
#endif
FILTER_ARG_IS(is_set_flags, 1, SECCOMP_IOCTL_NOTIF_SET_FLAGS);
/* Questions to the guest's standard descriptors. */
FILTER_ARG_IS(is_readable, 1, FIONREAD);
FILTER_ARG_IS(is_queued, 1, TIOCOUTQ);
FILTER_ARG_IS(is_termios, 1, TCGETS);
FILTER_ARG_IS(is_winsize, 1, TIOCGWINSZ);
/* The host's end of a terminal carries bytes as they are. */
FILTER_ARG_IS(is_set_termios, 1, TCSETS);
FILTER_ARG_IS(is_get_flags, 1, F_GETFL);
/*
 * A socket that the broker gave leads where the broker has connected it, or nowhere: no address is
 * said here, neither by sendto(2) nor in sendmsg(2)'s memory, where no filter looks, and none of a
 * connection to be made (MSG_FASTOPEN).
 */
static const struct seccomp_condition says_no_address[] = {
	{ .arg = 4, .op = SECCOMP_EQ, .value = 0 },
	{ .arg = 3, .op = SECCOMP_MASKED_EQ, .value = MSG_FASTOPEN, .value_two = 0 },
};
/* fstat(3): of a descriptor, no name. */
FILTER_ARG_IS(is_descriptor, 3, AT_EMPTY_PATH);

/* Beside filter_common. */
static const struct seccomp_rule own[] = {
	/* the guests' calls, threads and ends */
	FILTER_CALL_IF(ioctl, is_receive),
	FILTER_CALL_IF(ioctl, is_send),
	FILTER_CALL_IF(ioctl, is_set_flags),
	FILTER_CALL(poll),
	FILTER_CALL(ppoll),
	FILTER_CALL(epoll_pwait),
	FILTER_CALL(epoll_ctl),
	FILTER_CALL(kill),
	FILTER_CALL(wait4),
	FILTER_CALL(pidfd_open),
	FILTER_CALL(close),
	/* their memory, processors, randomness */
	FILTER_CALL(fallocate),
	FILTER_CALL(getrandom),
	FILTER_CALL(sched_getaffinity),
	FILTER_CALL(sched_setaffinity),
	/* descriptors that were given */
	FILTER_CALL_IF(ioctl, is_readable),
	FILTER_CALL_IF(ioctl, is_queued),
	FILTER_CALL_IF(ioctl, is_termios),
	FILTER_CALL_IF(ioctl, is_winsize),
	FILTER_CALL_IF(ioctl, is_set_termios),
	FILTER_CALL_IF(fcntl, is_get_flags),
	FILTER_CALL_IF(newfstatat, is_descriptor),
	FILTER_CALL(fstat),
	FILTER_CALL(lseek),
	FILTER_CALL(ftruncate),
	FILTER_CALL(fsync),
	FILTER_CALL(fdatasync),
	FILTER_CALL(write),
	FILTER_CALL(readv),
	FILTER_CALL(writev),
	FILTER_CALL(preadv2),
	FILTER_CALL(pwritev2),
	FILTER_CALL(recvmsg),
	FILTER_CALL_IF(sendto, says_no_address),
	FILTER_CALL(accept4),
};

static const struct seccomp_rule waiting[] = {
	FILTER_CALL(waitid),	   FILTER_CALL(rt_sigtimedwait), FILTER_CALL(sendto),
	FILTER_CALL(rt_sigreturn), FILTER_CALL(restart_syscall), FILTER_CALL(exit_group),
};

int filter_enter(struct err *e)
{
	const struct filter_table tables[] = { filter_common, FILTER_TABLE(own) };

	return filter_set(tables, ARRAY_SIZE(tables), e);
}

int filter_enter_waiting(struct err *e)
{
	static const struct filter_table tables[] = { FILTER_TABLE(waiting) };

	return filter_set(tables, ARRAY_SIZE(tables), e);
}
