/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/agent_link.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"

#define READ_BYTES (32u << 10)

void agent_link_init(struct agent_link *l, int fd)
{
	*l = AGENT_LINK_INIT;
	l->fd = fd;
}

void agent_link_fini(struct agent_link *l)
{
	close_fd(&l->fd);
	buf_fini(&l->in);
	buf_fini(&l->out);
}

/* An empty buffer holds no memory: there may be many links, and most are silent. */
static void release(struct buf *b)
{
	size_t max = b->max;

	buf_fini(b);
	*b = BUF_INIT(max);
}

int agent_link_read(struct agent_link *l)
{
	size_t want = READ_BYTES, len;
	ssize_t n;
	char *p;
	int r;

	buf_drop_front(&l->in, l->used);
	l->used = 0;
	/* No more than belongs to the frame that has begun, if that is long. */
	r = agent_frame(buf_str(&l->in), &len);
	if (r < 0)
		return r;
	if (len > l->in.n && len - l->in.n > want)
		want = len - l->in.n < 8 * READ_BYTES ? len - l->in.n : 8 * READ_BYTES;
	p = buf_room(&l->in, want);
	if (!p)
		return -ENOMEM;
	do
		n = read(l->fd, p, want);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		buf_grew(&l->in, (size_t) n);
		return 1;
	}
	r = n < 0 ? -errno : 0;
	/* The latter is what vsock says after its transport was reset. */
	l->reset = r == -ECONNRESET || r == -ENOTCONN;
	if (!l->in.n)
		release(&l->in);
	return l->reset ? 0 : r;
}

int agent_link_next(struct agent_link *l, struct arena *a, struct agent_msg *ret_m)
{
	struct str bytes = buf_str(&l->in);
	size_t len;
	int r;

	if (l->used == bytes.n)
		return 0; /* there may be no buffer at all */
	bytes = (struct str){ bytes.p + l->used, bytes.n - l->used };
	r = agent_frame(bytes, &len);
	if (r <= 0)
		return r;
	l->used += len;
	bytes.n = len;
	r = agent_decode(a, bytes, ret_m);
	return r < 0 ? r : 1;
}

int agent_link_put(struct agent_link *l, const struct agent_msg *m)
{
	int r = agent_encode(m, &l->out);

	if (r < 0)
		return r;
	r = agent_link_flush(l);
	return r < 0 ? r : 0;
}

int agent_link_flush(struct agent_link *l)
{
	size_t sent = 0;
	int r = 1;

	while (sent < l->out.n) {
		ssize_t n = send(l->fd, l->out.p + sent, l->out.n - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
			break;
		}
		sent += (size_t) n;
	}
	if (sent == l->out.n)
		release(&l->out);
	else
		buf_drop_front(&l->out, sent);
	return r;
}

static int wait_for(int fd, short events, nsec_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int ms = clock_poll_ms(deadline), n = poll(&p, 1, ms);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && clock_poll_ms(deadline) == 0)
			return -ETIMEDOUT;
	}
}

int agent_link_send_all(struct agent_link *l, nsec_t deadline)
{
	for (;;) {
		int r = agent_link_flush(l);

		if (r != 0)
			return r < 0 ? r : 0;
		r = wait_for(l->fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

int agent_link_wait(struct agent_link *l, struct arena *a, nsec_t deadline, struct agent_msg *ret_m)
{
	for (;;) {
		int r = agent_link_next(l, a, ret_m);

		if (r != 0)
			return r < 0 ? r : 0;
		r = agent_link_send_all(l, deadline);
		if (r == 0)
			r = wait_for(l->fd, POLLIN, deadline);
		if (r < 0)
			return r;
		r = agent_link_read(l);
		if (r == 0)
			return -EPIPE;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}
