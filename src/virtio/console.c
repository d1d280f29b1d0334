/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "base/pack.h"

#define QUEUE_SIZE 64

enum { RECEIVE, TRANSMIT, QUEUES };

struct console {
	struct virtio_device d;
	int in_fd, out_fd;	    /* owned, FD_NONE: none, or gone */
	struct loop_source in, out; /* in the loop while there is something to wait for */
	size_t sent;		    /* bytes of the first chain of TRANSMIT that are out */
	struct iovec slice[CHAIN_PARTS_MAX];
};

static struct console *console_of(struct virtio_device *d)
{
	return LOOP_OWNER(d, struct console, d);
}

static void lose_input(struct console *c)
{
	loop_remove(&c->in);
	close_fd(&c->in_fd);
}

static void lose_output(struct console *c)
{
	loop_remove(&c->out);
	close_fd(&c->out_fd);
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void out_ready(struct loop_source *s, uint32_t events)
{
	struct console *c = LOOP_OWNER(s, struct console, out);

	(void) events; /* an error shows when it is written to */
	loop_remove(s);
	c->d.ops->kick(&c->d, TRANSMIT);
}

static bool transmit(struct virtio_device *d, unsigned queue, struct chain *chain)
{
	struct console *c = console_of(d);

	while (c->out_fd >= 0 && c->sent < chain->out_bytes) {
		size_t parts = iovec_slice(chain->out, chain->out_n, c->sent,
					   chain->out_bytes - c->sent, c->slice);
		ssize_t n = writev(c->out_fd, c->slice, (int) parts);

		if (n >= 0) {
			c->sent += (size_t) n;
		} else if (would_block() &&
			   loop_add(d->loop, &c->out, c->out_fd, EPOLLOUT, out_ready) == 0) {
			return false;
		} else {
			lose_output(c);
			d->stats.errors++;
		}
	}
	d->stats.writes++;
	d->stats.write_bytes += c->sent;
	c->sent = 0;
	queue_push(&d->queues[queue], chain->head, 0);
	return true;
}

static void in_ready(struct loop_source *s, uint32_t events)
{
	struct console *c = LOOP_OWNER(s, struct console, in);

	(void) events;
	c->d.ops->kick(&c->d, RECEIVE);
}

/* Wait for input as long as the guest has room for it. */
static void want_input(struct console *c, bool want)
{
	if (!want)
		loop_remove(&c->in);
	else if (!c->in.loop && loop_add(c->d.loop, &c->in, c->in_fd, EPOLLIN, in_ready) < 0)
		lose_input(c); /* what cannot be waited for, such as a file, has all been read */
}

static bool receive(struct virtio_device *d, unsigned queue, struct chain *chain)
{
	struct console *c = console_of(d);
	ssize_t n = 0;

	if (c->in_fd < 0)
		return false;
	if (chain->in_n > 0) {
		n = readv(c->in_fd, chain->in, (int) chain->in_n);
		if (n < 0 && would_block()) {
			want_input(c, true);
			return false;
		}
		if (n <= 0) { /* the end, or a hang-up */
			lose_input(c);
			return false;
		}
	}
	d->stats.reads++;
	d->stats.read_bytes += (uint64_t) n;
	queue_push(&d->queues[queue], chain->head, (uint32_t) n);
	return true;
}

static void console_kick(struct virtio_device *d, unsigned queue)
{
	struct console *c = console_of(d);

	if (queue == RECEIVE) {
		want_input(c, false);
		virtio_serve(d, queue, receive);
	} else if (!c->out.loop) { /* else it is waiting, and a kick is not what it waits for */
		virtio_serve(d, queue, transmit);
	}
}

static uint64_t console_features(const struct virtio_device *d)
{
	(void) d;
	return 0;
}

static int console_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	(void) d;
	(void) features;
	(void) e;
	return 0;
}

static int console_save(struct virtio_device *d, struct buf *to, struct err *)
{
	pack_u64(to, VIRTIO_OWNER_CONST(d, struct console)->sent);
	return 0;
}

static int console_restore(struct virtio_device *d, uint64_t features, struct str state,
			   struct err *e)
{
	struct unpack u = unpack_of(state);
	uint64_t sent = unpack_u64(&u);

	if (!unpack_done(&u) || sent > CHAIN_BYTES_MAX)
		return virtio_bad_state(d, e);
	console_of(d)->sent = (size_t) sent;
	return console_activate(d, features, e);
}

static void console_reset(struct virtio_device *d)
{
	struct console *c = console_of(d);

	loop_remove(&c->in);
	loop_remove(&c->out);
	c->sent = 0;
}

static void console_free(struct virtio_device *d)
{
	struct console *c = console_of(d);

	virtio_reset(d);
	lose_input(c);
	lose_output(c);
	free(c);
}

static const struct virtio_ops console_ops = {
	.id = VIRTIO_ID_IS_CONSOLE,
	.name = "console",
	.features = console_features,
	.config_read = virtio_config_none,
	.config_write = virtio_config_ignore,
	.activate = console_activate,
	.kick = console_kick,
	.reset = console_reset,
	.free = console_free,
	.save = console_save,
	.restore = console_restore,
};

static int prepare(int fd)
{
	int flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);

	if (flags < 0 || (fd >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return -errno;
	return 0;
}

struct virtio_device *console_new(struct loop *loop, const struct guest_memory *memory, int in_fd,
				  int out_fd, struct err *e)
{
	struct console *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	/* Two registrations of one descriptor are none for epoll. */
	if (in_fd >= 0 && in_fd == out_fd) {
		out_fd = fcntl(in_fd, F_DUPFD_CLOEXEC, 3);
		if (r == 0 && out_fd < 0)
			r = -errno;
	}
	if (r == 0)
		r = prepare(in_fd);
	if (r == 0)
		r = prepare(out_fd);
	if (r < 0) {
		close_fd(&in_fd);
		close_fd(&out_fd);
		free(c);
		(void) err_sys(e, -r, "console");
		return NULL;
	}
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->in.fd = c->out.fd = FD_NONE;
	virtio_init(&c->d, &console_ops, loop, memory, QUEUES, QUEUE_SIZE);
	return &c->d;
}
