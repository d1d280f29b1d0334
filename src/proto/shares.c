/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shares.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "sys/fdpass.h"

int shares_receive(int sock, struct shares_request *ret_q, int *ret_fd)
{
	int fd = FD_NONE;
	size_t fds_n = 0;
	ssize_t n = fdpass_recv(sock, ret_q, sizeof(*ret_q), &fd, 1, &fds_n);
	auto_fd int owned = fds_n ? fd : FD_NONE;

	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n < 0)
		return (int) n;
	if (n != (ssize_t) sizeof(*ret_q) || ret_q->read_only > 1 ||
	    (ret_q->type != SHARES_ADD && ret_q->type != SHARES_REMOVE) ||
	    !memchr(ret_q->name, 0, sizeof(ret_q->name)))
		return -EBADMSG;
	*ret_fd = take_fd(&owned);
	return 1;
}

int shares_ask(int sock, const struct shares_request *q, int fd, nsec_t deadline)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	struct shares_reply a;
	int r = fdpass_send(sock, q, sizeof(*q), &fd, fd >= 0 ? 1 : 0);
	ssize_t n;

	if (r < 0)
		return r;
	do
		r = poll(&pfd, 1, clock_poll_ms(deadline));
	while ((r < 0 && errno == EINTR) || (r == 0 && clock_mono() < deadline));
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	n = recv(sock, &a, sizeof(a), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	return n != (ssize_t) sizeof(a) ? -EPIPE : a.error > 0 ? -EBADMSG : a.error;
}
