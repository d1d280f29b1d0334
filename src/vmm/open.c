/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/auto.h"
#include "sys/unix.h"

#define BACKLOG 64

/* The inherited descriptor, or 0 for a path. */
static int inherited(const struct file_option *f, const char *option, struct err *e)
{
	if (f->fd < 0)
		return 0;
	if (fcntl(f->fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(e, ERR_INVALID, EBADF, "%s: descriptor %d is not open", option,
			       f->fd);
	return f->fd;
}

static char *path_of(const struct file_option *f, struct err *e)
{
	char *path = str_dup(f->path);

	if (!path)
		(void) err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	return path;
}

int open_file(const struct file_option *f, int flags, const char *option, struct err *e)
{
	auto_free char *path = NULL;
	int fd = inherited(f, option, e);

	if (fd != 0 || f->fd == 0)
		return fd;
	path = path_of(f, e);
	if (!path)
		return -1;
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(e, errno, "%s: open '%s'", option, path) : fd;
}

int open_connected(const struct file_option *f, const char *option, struct err *e)
{
	auto_free char *path = NULL;
	int fd = inherited(f, option, e);

	if (fd != 0 || f->fd == 0)
		return fd;
	path = path_of(f, e);
	if (!path)
		return -1;
	fd = unix_connect(path, SOCK_STREAM, 0);
	return fd < 0 ? err_sys(e, -fd, "%s: connect to '%s'", option, path) : fd;
}

int open_listening(const struct file_option *f, const char *option, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_fd int fd = inherited(f, option, e);

	if (fd != 0 || f->fd == 0)
		return take_fd(&fd);
	if (f->path.n >= sizeof(at.sun_path))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "%s: '%.*s' is too long for a socket",
			       option, (int) f->path.n, f->path.p);
	memcpy(at.sun_path, f->path.p, f->path.n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *) &at, sizeof(at)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_sys(e, errno, "%s: listen at '%s'", option, at.sun_path);
	return take_fd(&fd);
}
