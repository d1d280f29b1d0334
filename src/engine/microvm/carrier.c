/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct carrier {
	int fuse, sock; /* borrowed */
	uint8_t *out;	/* a request: [out_at, out_n) is to be sent */
	size_t out_at, out_n;
	uint8_t *in; /* an answer, of which in_n bytes are there */
	size_t in_n;
	uint64_t open[CARRIER_REQUESTS];
	size_t open_n;
};

static bool has_answer(const struct fuse_in_header *h)
{
	return h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET &&
	       h->opcode != FUSE_INTERRUPT;
}

/* 1; 0: nobody uses the device any more; -errno. */
static int take_request(struct carrier *c)
{
	ssize_t n = read(c->fuse, c->out, CARRIER_MESSAGE_MAX);
	struct fuse_in_header h;

	/* ENOENT: whoever asked was killed meanwhile. */
	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return 1;
	if (n < (ssize_t) sizeof(h))
		return 0;
	memcpy(&h, c->out, sizeof(h));
	if (has_answer(&h))
		c->open[c->open_n++] = h.unique;
	c->out_at = 0;
	c->out_n = (size_t) n;
	return 1;
}

static int send_some(struct carrier *c)
{
	ssize_t n = send(c->sock, c->out + c->out_at, c->out_n - c->out_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	c->out_at += (size_t) n;
	if (c->out_at == c->out_n)
		c->out_at = c->out_n = 0;
	return 0;
}

/* The whole answer, to the kernel: one that it waits for. */
static int give_answer(struct carrier *c, const struct fuse_out_header *h)
{
	size_t i = 0;

	while (i < c->open_n && c->open[i] != h->unique)
		i++;
	if (i == c->open_n)
		return -EBADMSG;
	c->open[i] = c->open[--c->open_n];
	c->in_n = 0;
	/* ENOENT: whoever asked was killed meanwhile. */
	return write(c->fuse, c->in, h->len) == (ssize_t) h->len || errno == ENOENT ? 0 : -EBADMSG;
}

static int receive_some(struct carrier *c)
{
	struct fuse_out_header h = { .len = sizeof(h) };
	ssize_t n;

	if (c->in_n >= sizeof(h))
		memcpy(&h, c->in, sizeof(h)); /* was checked when it came */
	n = recv(c->sock, c->in + c->in_n, h.len - c->in_n, MSG_DONTWAIT);
	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EINTR || errno == EAGAIN ? 0 : -errno;
	c->in_n += (size_t) n;
	if (c->in_n < sizeof(h))
		return 0;
	memcpy(&h, c->in, sizeof(h));
	if (h.len < sizeof(h) || h.len > CARRIER_MESSAGE_MAX)
		return -EBADMSG;
	return c->in_n == h.len ? give_answer(c, &h) : 0;
}

/* As receive_some() and take_request(); each is asked when there is something for it. */
static int step(struct carrier *c)
{
	bool more = c->out_n == 0 && c->open_n < CARRIER_REQUESTS;
	struct pollfd v[] = { { .fd = c->fuse, .events = more ? POLLIN : 0 },
			      { .fd = c->sock,
				.events = (short) (POLLIN | (c->out_n ? POLLOUT : 0)) } };
	int r = 0;

	if (poll(v, 2, -1) < 0)
		return errno == EINTR ? 1 : -errno;
	if (v[1].revents & POLLOUT)
		r = send_some(c);
	if (r == 0 && v[1].revents & (POLLIN | POLLHUP | POLLERR))
		r = receive_some(c);
	if (r < 0)
		return r;
	if (!v[0].revents)
		return 1;
	return more ? take_request(c) : 0; /* it can only have gone */
}

int carrier_run(int fuse, int sock, uint8_t *memory)
{
	struct carrier c = {
		.fuse = fuse, .sock = sock, .out = memory, .in = memory + CARRIER_MESSAGE_MAX
	};
	int r = 1;

	if (fcntl(fuse, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return -errno;
	while (r > 0)
		r = step(&c);
	return r;
}
