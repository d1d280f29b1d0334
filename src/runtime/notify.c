/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "fmt/spec.h"
#include "sys/fdpass.h"
#include "sys/unix.h"

#define DIRECTORY   "notify"
#define SOCKET	    "notify.sock"
#define INSIDE	    "/run/notify"
#define MESSAGE_MAX 4096
#define WITHIN	    (10 * NSEC_PER_SEC) /* a service manager that does not read */
#define BARRIER_MS  30000

void notify_close(struct notify *n)
{
	close_fd(&n->sock);
	close_fd(&n->host);
}

static const char *wanted(void)
{
	const char *to = secure_getenv("NOTIFY_SOCKET");

	return to && to[0] ? to : NULL;
}

int notify_plan(struct runtime *rt, const struct container *c, struct spec *s,
		struct spec_process *p, struct err *e)
{
	static const char *options[] = { "bind", "nosuid", "noexec", "nodev", "ro", NULL };
	struct spec_mount *mounts;
	const char **env;
	char *source;

	if (!wanted())
		return 0;
	if (mkdirat(c->dir_fd, DIRECTORY, 0755) < 0 || fchmodat(c->dir_fd, DIRECTORY, 0755, 0) < 0)
		return err_sys(e, errno, "make the directory for NOTIFY_SOCKET of '%s'", c->id);
	mounts = arena_array(rt->arena, s->mounts_n + 1, sizeof(*mounts));
	env = arena_array(rt->arena, p->env_n + 2, sizeof(*env));
	source = arena_printf(rt->arena, "/proc/self/fd/%d/" DIRECTORY, c->dir_fd);
	if (!mounts || !env || !source)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (s->mounts_n)
		memcpy(mounts, s->mounts, s->mounts_n * sizeof(*mounts));
	mounts[s->mounts_n] = (struct spec_mount){ .destination = INSIDE,
						   .source = source,
						   .options = options,
						   .options_n = ARRAY_SIZE(options) - 1 };
	s->mounts = mounts;
	s->mounts_n++;
	if (p->env_n)
		memcpy(env, p->env, p->env_n * sizeof(*env));
	env[p->env_n] = "NOTIFY_SOCKET=" INSIDE "/" SOCKET;
	p->env = env;
	p->env_n++;
	return 0;
}

/* Any user of the container may send to it. */
static int listen_at(int dir_fd)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void) snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" SOCKET, dir_fd);
	(void) unlinkat(dir_fd, SOCKET, 0); /* of a start that was cut short */
	if (fd < 0 || bind(fd, (const struct sockaddr *) (const void *) &at, sizeof(at)) < 0 ||
	    fchmodat(dir_fd, SOCKET, 0777, 0) < 0)
		return -errno;
	return take_fd(&fd);
}

int notify_open(const struct container *c, struct notify *ret, struct err *e)
{
	auto_fd int dir = FD_NONE, host = FD_NONE;
	int sock;

	if (!wanted())
		return 0;
	dir = openat(c->dir_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) /* it was not in the environment of `create` */
		return errno == ENOENT ? 0 : err_sys(e, errno, "NOTIFY_SOCKET of '%s'", c->id);
	sock = listen_at(dir);
	if (sock < 0)
		return err_sys(e, -sock, "NOTIFY_SOCKET of '%s'", c->id);
	host = unix_connect(wanted(), SOCK_DGRAM, WITHIN);
	if (host < 0) {
		struct err why;

		(void) err_sys(&why, -host, "NOTIFY_SOCKET '%s': nobody is told when '%s' is ready",
			       wanted(), c->id);
		log_warn("%s", why.msg);
		(void) close(sock);
		return 0;
	}
	*ret = (struct notify){ .sock = sock, .host = take_fd(&host) };
	return 0;
}

static void tell(const struct notify *n, struct str text)
{
	if (send(n->host, text.p, text.n, MSG_NOSIGNAL) < 0)
		log_warn("NOTIFY_SOCKET: the service manager does not take '%.*s': errno=%d",
			 (int) text.n, text.p, errno);
}

/* Returns when the service manager has seen all that was sent before (sd_notify_barrier(3)). */
static void barrier(const struct notify *n)
{
	struct pollfd p = { .events = 0 };
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	r = fdpass_send(n->host, "BARRIER=1", 9, &ends[1], 1);
	(void) close(ends[1]);
	p.fd = ends[0];
	if (r == 0 && poll(&p, 1, BARRIER_MS) == 0)
		log_warn("NOTIFY_SOCKET: the service manager does not answer BARRIER=1");
	(void) close(ends[0]);
}

/* Pids and descriptors of the workload's mean nothing to the service manager, or others' ones. */
static bool is_private(struct str line)
{
	static const char *const names[] = { "MAINPID=", "MAINPIDFDID=", "BARRIER=",	 "FDSTORE",
					     "FDNAME=",	 "FDPOLL=",	 "NOTIFYACCESS=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_starts(line, names[i]))
			return true;
	}
	return line.n == 0;
}

bool notify_forward(const struct notify *n, pid_t main_pid)
{
	char message[MESSAGE_MAX], text[MESSAGE_MAX + 32];
	/* Without room for descriptors: what comes with it is closed, and a barrier so answered. */
	ssize_t got = recv(n->sock, message, sizeof(message), MSG_DONTWAIT);
	struct str rest = { message, got < 0 ? 0 : (size_t) got };
	bool ready = false;
	size_t used = 0;

	while (rest.p && rest.n) {
		struct str line = str_cut(rest, '\n', &rest);

		if (is_private(line))
			continue;
		ready = ready || str_is(line, "READY=1");
		memcpy(text + used, line.p, line.n);
		used += line.n;
		text[used++] = '\n';
	}
	if (ready)
		used += (size_t) snprintf(text + used, sizeof(text) - used, "MAINPID=%d\n",
					  (int) main_pid);
	if (used)
		tell(n, (struct str){ text, used });
	if (ready)
		barrier(n);
	return ready;
}

void notify_wait(const struct notify *n, pid_t pid, int pidfd)
{
	struct pollfd p[] = { { .fd = n->sock, .events = POLLIN },
			      { .fd = pidfd, .events = POLLIN } };

	while (n->sock >= 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return;
		/* What was said before the end counts. */
		if ((p[0].revents & POLLIN) && notify_forward(n, pid))
			return;
		if (p[1].revents && !(p[0].revents & POLLIN))
			return;
	}
}
