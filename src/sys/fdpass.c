/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/fdpass.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int fdpass_send(int sock, const void *p, size_t n, const int *fds, size_t n_fds)
{
	char *text = (char *) (uintptr_t) p; /* sendmsg does not write to it */
	struct iovec iov = { text, n };
	union control c = {};
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (n == 0 || n_fds > FDPASS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *h = &c.align;

		m.msg_control = c.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
	}
	do
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t) r == n ? 0 : -EIO;
}

ssize_t fdpass_recv(int sock, void *p, size_t max, int *fds, size_t max_fds, size_t *ret_n)
{
	struct iovec iov = { p, max };
	union control c = {};
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = c.bytes,
			    .msg_controllen = sizeof(c.bytes) };
	size_t got = 0;
	bool lost;
	ssize_t r;

	do
		r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	lost = (m.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		size_t k;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		k = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < k; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (got < max_fds) {
				fds[got++] = fd;
			} else {
				(void) close(fd);
				lost = true;
			}
		}
	}
	if (lost) {
		for (size_t i = 0; i < got; i++)
			(void) close(fds[i]);
		return -EMSGSIZE;
	}
	if (ret_n)
		*ret_n = got;
	return r;
}
