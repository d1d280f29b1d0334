/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/num.h"

int pidfd_of(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	return fd < 0 ? -errno : fd;
}

int pidfd_kill(int pidfd, int signo)
{
	return pidfd_send_signal(pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int pidfd_poll(int pidfd, nsec_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int r = poll(&p, 1, clock_poll_ms(deadline));

		if (r > 0)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && clock_mono() >= deadline)
			return 0;
	}
}

int pidfd_reap(int pidfd, siginfo_t *ret_info)
{
	siginfo_t info = {};
	int r;

	do
		r = waitid(P_PIDFD, (id_t) pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (ret_info)
		*ret_info = info;
	return 0;
}

int pidfd_reap_by(int pidfd, nsec_t deadline, siginfo_t *ret_info)
{
	bool late = pidfd_poll(pidfd, deadline) != 1;
	int r;

	if (late)
		(void) pidfd_kill(pidfd, SIGKILL); /* it may have ended just now */
	r = pidfd_reap(pidfd, ret_info);
	return r < 0 ? r : !late;
}

int pidfd_status(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

int pid_start_time(pid_t pid, uint64_t *ret_ticks, bool *ret_zombie)
{
	auto_fd int fd = FD_NONE;
	char path[40], text[1024], *at;
	ssize_t n;

	(void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno; /* ESRCH: it went in between */
	text[n] = '\0';
	at = strrchr(text, ')'); /* the name may hold anything, parentheses too */
	if (!at || at[1] != ' ')
		return -EIO;
	at += 2;
	if (ret_zombie)
		*ret_zombie = at[0] == 'Z' || at[0] == 'X';
	for (int field = 3; field < 22; field++) {
		at = strchr(at, ' ');
		if (!at)
			return -EIO;
		at++;
	}
	return num_parse_u64((struct str){ at, strcspn(at, " \n") }, 0, UINT64_MAX, ret_ticks);
}
