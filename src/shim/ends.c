/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "shim/shim.h"
#include "sys/pty.h"

void ends_fini(struct ends p[static 3])
{
	for (size_t i = 0; i < 3; i++) {
		close_fd(&p[i].theirs);
		close_fd(&p[i].ours);
	}
}

bool ends_is_pipe(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

int ends_straight(int *sink, struct ends *ret)
{
	int flags = fcntl(*sink, F_GETFL);

	/* A sink is a description of its own: the caller's flags stay as they are. */
	if (flags < 0 || fcntl(*sink, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	ret->theirs = take_fd(sink);
	return 0;
}

int ends_pipe(struct ends *ret, bool to_process)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	ret->theirs = p[to_process ? 0 : 1];
	ret->ours = p[to_process ? 1 : 0];
	return fcntl(ret->ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int ends_null(struct ends *ret)
{
	ret->theirs = open("/dev/null", O_RDWR | O_CLOEXEC);
	return ret->theirs < 0 ? -errno : 0;
}

int ends_take(struct ends p[static 3], struct streams *io, bool once)
{
	int r = 0;

	if (p[0].ours >= 0)
		streams_stdin(io, take_fd(&p[0].ours), once, false);
	for (int i = 1; r >= 0 && i < 3; i++)
		if (p[i].ours >= 0)
			r = streams_source(io, (enum shim_stream) i, take_fd(&p[i].ours));
	return r;
}

int ends_take_console(int master, struct streams *io, bool once, unsigned rows, unsigned cols)
{
	auto_fd int fd = master, copy = FD_NONE;
	int r;

	if (fd < 0)
		return -EBADF;
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return -errno;
	r = rows ? pty_resize(fd, rows, cols) : 0;
	if (r < 0)
		return r;
	/* Read and written through descriptors of their own: the loop has one source for each. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	streams_stdin(io, take_fd(&copy), once, true);
	return streams_source(io, SHIM_STREAM_STDOUT, take_fd(&fd));
}

int ends_exit_code(const struct err *e)
{
	/* A missing mount source is "not found" too: of the engine's messages only those about the
	 * program name it as runc does. */
	if (!strstr(e->msg, "exec: \""))
		return 125;
	return e->kind == ERR_NOT_FOUND ? 127 : 126;
}
