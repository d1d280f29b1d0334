/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/bus.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/auto.h"

int bus_connect(struct str path, bool abstract, nsec_t deadline)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	nsec_t left = deadline - clock_mono();
	struct timeval t = { .tv_sec = left / NSEC_PER_SEC, .tv_usec = left % NSEC_PER_SEC / 1000 };

	if (path.n + 1 > sizeof(a.sun_path))
		return -ENAMETOOLONG;
	if (left <= 0)
		return -ETIMEDOUT;
	memcpy(a.sun_path + (abstract ? 1 : 0), path.p, path.n);
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* The one thing that bounds a connect to a listener whose queue is full: unix(7) has no
	 * event for it. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return -errno;
	socklen_t n = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + path.n + 1);

	while (connect(fd, (const struct sockaddr *) &a, n) < 0) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	return take_fd(&fd);
}

static int await(int fd, short what, nsec_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = what };
		int r = poll(&p, 1, clock_poll_ms(deadline));

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (clock_mono() >= deadline)
			return -ETIMEDOUT;
	}
}

int bus_send(int fd, struct str bytes, nsec_t deadline)
{
	while (bytes.n > 0) {
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0) {
			int r = await(fd, POLLOUT, deadline);

			if (r < 0)
				return r;
			continue;
		}
		bytes = (struct str){ bytes.p + n, bytes.n - (size_t) n };
	}
	return 0;
}

int bus_receive(int fd, char *p, size_t max, nsec_t deadline)
{
	for (;;) {
		int r = await(fd, POLLIN, deadline);
		ssize_t n = r < 0 ? r : recv(fd, p, max < INT_MAX ? max : INT_MAX, MSG_DONTWAIT);

		if (r < 0)
			return r;
		if (n >= 0)
			return (int) n;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}
