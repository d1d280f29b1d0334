/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"
#include "vhost/wire.h"

#define CHUNK 65536

void vhost_transfer_init(struct vhost_transfer *t,
			 void (*ended)(struct vhost_transfer *t, int error))
{
	*t = (struct vhost_transfer){
		.source = { .fd = FD_NONE },
		.fd = FD_NONE,
		.bytes = BUF_INIT(VHOST_STATE_MAX),
		.ended = ended,
	};
}

static void end(struct vhost_transfer *t, int error)
{
	loop_remove(&t->source);
	t->ended(t, error);
	close_fd(&t->fd);
}

/* A piece. 1: more may go at once, 0: not now; it may have ended. */
static int step(struct vhost_transfer *t)
{
	ssize_t n;

	if (t->writes) {
		n = write(t->fd, t->bytes.p + t->written, t->bytes.n - t->written);
	} else {
		char *room = buf_room(&t->bytes, CHUNK);

		if (!room) {
			end(t, buf_error(&t->bytes));
			return 0;
		}
		n = read(t->fd, room, CHUNK);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n < 0) {
		end(t, -errno);
		return 0;
	}
	if (t->writes)
		t->written += (size_t) n;
	else
		buf_grew(&t->bytes, (size_t) n);
	if (t->writes ? t->written < t->bytes.n : n > 0)
		return 1;
	end(t, 0);
	return 0;
}

static void ready(struct loop_source *s, uint32_t events)
{
	(void) events; /* an end or an error shows in what is done */
	(void) step(LOOP_OWNER(s, struct vhost_transfer, source));
}

int vhost_transfer_begin(struct vhost_transfer *t, struct loop *l, int fd, bool writes)
{
	auto_fd int owned = fd;
	int r, flags = fcntl(fd, F_GETFL);

	/* A pipe's other end, or the socket's, is another file: its flags are its own. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = loop_add(l, &t->source, fd, writes ? EPOLLOUT : EPOLLIN, ready);
	if (r < 0 && r != -EPERM)
		return r;
	t->fd = take_fd(&owned);
	t->writes = writes;
	t->written = 0;
	if (!writes)
		buf_clear(&t->bytes);
	if (writes && t->bytes.n == 0)
		end(t, 0);
	else if (r == -EPERM) /* a file, which is always ready */
		while (step(t) > 0)
			;
	return 0;
}

void vhost_transfer_fini(struct vhost_transfer *t)
{
	loop_remove(&t->source);
	close_fd(&t->fd);
	buf_fini(&t->bytes);
}
