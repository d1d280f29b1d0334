/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/host_tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"

int host_tty_check(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	struct termios t;

	if (flags < 0 || tcgetattr(fd, &t) < 0)
		return err_set(e, ERR_INVALID, ENOTTY,
			       "process.terminal: the descriptor that was given is no terminal");
	if ((flags & O_ACCMODE) != O_RDWR || !(flags & O_NONBLOCK))
		return err_set(e, ERR_INVALID, EINVAL,
			       "process.terminal: the terminal that was given is not open for "
			       "reading and writing without waiting");
	return 0;
}

int host_tty_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	cfmakeraw(&t);
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

int host_tty_size(int fd, struct host_tty_size *ret)
{
	struct winsize w = {};

	if (ioctl(fd, TIOCGWINSZ, &w) < 0)
		return -errno;
	*ret = (struct host_tty_size){ w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel };
	return 0;
}

int host_tty_claim(int fd)
{
	const struct sigaction ignored = { .sa_handler = SIG_IGN };
	sigset_t told;

	if (setsid() < 0 && getsid(0) != getpid())
		return FD_NONE;
	/* Its end is read, too. */
	(void) sigaction(SIGHUP, &ignored, NULL); /* a valid signal: cannot fail */
	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		return FD_NONE;
	(void) sigemptyset(&told);
	(void) sigaddset(&told, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &told, NULL) < 0)
		return FD_NONE;
	return signalfd(-1, &told, SFD_NONBLOCK | SFD_CLOEXEC);
}

void host_tty_told(int fd)
{
	struct signalfd_siginfo info;
	struct iovec v = { .iov_base = &info, .iov_len = sizeof(info) };

	while (readv(fd, &v, 1) > 0)
		;
}
