/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/sandbox/sandbox.h"
#include "sys/unix.h"

#define BACKLOG	    128
#define DIAL_WITHIN (10 * NSEC_PER_SEC)

/* Of a directory, whose own path may be longer than an address. */
static void path_of(int dir_fd, char *ret, size_t max)
{
	(void) snprintf(ret, max, "/proc/self/fd/%d/" SANDBOX_SOCKET, dir_fd);
}

int control_listen(int dir_fd, struct err *e)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (fd < 0)
		return err_sys(e, errno, "make the sandbox's control socket");
	path_of(dir_fd, at.sun_path, sizeof(at.sun_path));
	(void) unlinkat(dir_fd, SANDBOX_SOCKET, 0); /* of the start before */
	if (bind(fd, (const struct sockaddr *) &at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, errno, "make the sandbox's control socket");
	return take_fd(&fd);
}

int control_dial(const struct sandbox *s, struct err *e)
{
	char path[64];
	int fd;

	path_of(s->kernel_fd, path, sizeof(path));
	fd = unix_connect(path, SOCK_SEQPACKET, DIAL_WITHIN);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return err_set(e, ERR_CONFLICT, ESRCH, "the sandbox is not running");
	return fd < 0 ? err_sys(e, -fd, "connect to the sandbox's kernel") : fd;
}

struct sentry_request sandbox_request(const struct sandbox *s, enum sentry_type type)
{
	struct sentry_request q = sentry_request(type);

	q.container = s->container;
	return q;
}

static enum err_kind kind_of(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
		return ERR_DENIED;
	case EBUSY:
	case ESRCH:
		return ERR_CONFLICT;
	case EOPNOTSUPP:
		return ERR_UNSUPPORTED;
	case ENOMEM:
	case EAGAIN:
		return ERR_EXHAUSTED;
	default:
		return ERR_INVALID;
	}
}

int control_ask_on(int sock, const struct sentry_request *q, nsec_t deadline, struct arena *a,
		   struct sentry_reply *ret, struct err *e)
{
	int r = sentry_ask(sock, q, deadline, a, ret);

	if (r == -EPIPE || r == -ECONNRESET)
		return err_set(e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the sandbox's kernel does not answer");
	if (r < 0)
		return err_sys(e, -r, "ask the sandbox's kernel");
	if (ret->error)
		return err_set(e, kind_of((int) ret->error), (int) ret->error, "%s",
			       *ret->reason ? ret->reason : strerror((int) ret->error));
	return 0;
}

int control_ask(const struct sandbox *s, const struct sentry_request *q, nsec_t deadline,
		struct arena *a, struct sentry_reply *ret, struct err *e)
{
	auto_fd int sock = control_dial(s, e);

	return sock < 0 ? sock : control_ask_on(sock, q, deadline, a, ret, e);
}
