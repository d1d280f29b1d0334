/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/pty.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"

int pty_open(int dirfd, const char *ptmx, int *ret_master, int *ret_slave)
{
	auto_fd int master = openat(dirfd, ptmx, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int slave, unlock = 0;

	if (master < 0)
		return -errno;
	/* Not the multiplexer of a devpts: somebody put another file in its place. */
	if (fstat(master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return -ENOTTY;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	*ret_master = take_fd(&master);
	*ret_slave = slave;
	return 0;
}

int pty_resize(int fd, unsigned rows, unsigned columns)
{
	struct winsize w = { .ws_row = (unsigned short) rows, .ws_col = (unsigned short) columns };

	return ioctl(fd, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

int pty_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize w = {};

	if (ioctl(fd, TIOCGWINSZ, &w) < 0)
		return -errno;
	*ret_rows = w.ws_row;
	*ret_columns = w.ws_col;
	return 0;
}

int pty_no_onlcr(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	t.c_oflag &= ~(tcflag_t) ONLCR;
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

int pty_take(int slave)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(slave, fd) < 0)
			return -errno;
	}
	return 0;
}
