/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/frontend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/fdpass.h"
#include "vhost/log.h"
#include "vhost/wire.h"

/* Bits of a device's own, not of rings or transports (virtio 1.2, 6). */
#define OWN_FEATURES (~(((UINT64_C(1) << 18) - 1) << 24))

struct ring {
	int kick, call; /* owned */
	struct loop_source called;
	struct frontend *frontend;
};

struct frontend {
	struct virtio_device base;
	struct virtio_ops ops;
	int socket; /* owned; FD_NONE: the back end is gone */
	struct loop_source readable;
	uint64_t features, protocol_features; /* the back end's */
	uint64_t taken;			      /* of the features, by the driver */
	uint8_t config[VHOST_CONFIG_MAX];
	size_t config_n;
	bool paused; /* its rings stand still, and go on in resume() */
	struct vhost_log log;
	int log_fd; /* owned; FD_NONE: the back end has it, or keeps none */
	bool logs;  /* the back end does, from when it has it */
	struct ring rings[VIRTIO_QUEUES_MAX];
};

static void kick(struct virtio_device *d, unsigned queue);

static struct frontend *frontend_of(struct virtio_device *d)
{
	assert(d->ops->kick == kick);
	return LOOP_OWNER(d, struct frontend, base);
}

/* --- messages --- */

static int tell(struct frontend *f, const struct vhost_message *m, const int *fds, size_t fds_n,
		struct err *e)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	size_t n = vhost_encode(m, bytes);
	int r = f->socket < 0 ? -EPIPE : fdpass_send(f->socket, bytes, n, fds, fds_n);

	return r < 0 ? err_sys(e, -r, "%s: %s to the back end", f->base.ops->name,
			       vhost_request_name(m->request))
		     : 0;
}

static int tell_number(struct frontend *f, enum vhost_request request, uint64_t number,
		       const int *fd, struct err *e)
{
	const struct vhost_message m = { .request = request, .number = number };

	return tell(f, &m, fd, fd ? 1 : 0, e);
}

static int tell_vring(struct frontend *f, enum vhost_request request, uint32_t index,
		      uint32_t value, struct err *e)
{
	const struct vhost_message m = { .request = request, .vring = { index, value } };

	return tell(f, &m, NULL, 0, e);
}

static int receive(struct frontend *f, uint8_t *to, size_t n, nsec_t deadline, struct err *e)
{
	while (n > 0) {
		struct pollfd p = { .fd = f->socket, .events = POLLIN };
		ssize_t r = recv(f->socket, to, n, MSG_DONTWAIT);

		if (r > 0) {
			to += r;
			n -= (size_t) r;
		} else if (r == 0) {
			return err_set(e, ERR_REMOTE, EPIPE, "%s: the back end has hung up",
				       f->base.ops->name);
		} else if (errno != EAGAIN && errno != EINTR) {
			return err_sys(e, errno, "%s: the back end", f->base.ops->name);
		} else if (clock_poll_ms(deadline) == 0) {
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "%s: the back end does not answer", f->base.ops->name);
		} else {
			(void) poll(&p, 1, clock_poll_ms(deadline)); /* the next recv() tells */
		}
	}
	return 0;
}

/* Ask, with a descriptor (borrowed) where fd is not NULL, and read the answer into *m. */
static int ask_with(struct frontend *f, struct vhost_message *m, const int *fd, struct err *e)
{
	const enum vhost_request request = m->request;
	const nsec_t deadline = clock_deadline(VHOST_ANSWER_WITHIN);
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	uint32_t n = 0;

	if (tell(f, m, fd, fd ? 1 : 0, e) < 0 ||
	    receive(f, bytes, VHOST_HEADER_SIZE, deadline, e) < 0)
		return -EIO;
	if (vhost_decode_header(bytes, m, &n) < 0 || m->request != request || !m->reply)
		return err_set(e, ERR_REMOTE, EPROTO, "%s: the back end's answer to %s is none",
			       f->base.ops->name, vhost_request_name(request));
	if (receive(f, bytes + VHOST_HEADER_SIZE, n, deadline, e) < 0)
		return -EIO;
	if (vhost_decode_payload(bytes + VHOST_HEADER_SIZE, n, m) < 0)
		return err_set(e, ERR_REMOTE, EPROTO, "%s: the back end's answer to %s is broken",
			       f->base.ops->name, vhost_request_name(request));
	return 0;
}

static int ask(struct frontend *f, struct vhost_message *m, struct err *e)
{
	return ask_with(f, m, NULL, e);
}

static int ask_number(struct frontend *f, enum vhost_request request, uint64_t *ret_n,
		      struct err *e)
{
	struct vhost_message m = { .request = request };

	if (ask(f, &m, e) < 0)
		return -EIO;
	*ret_n = m.number;
	return 0;
}

/* --- the back end's side of things --- */

static void lose(struct frontend *f, const char *why)
{
	if (f->socket < 0)
		return;
	loop_remove(&f->readable);
	close_fd(&f->socket);
	if (f->base.active)
		f->base.needs_reset(&f->base, why);
}

/* Nothing is asked from here: what comes is the end, or nonsense. */
static void readable(struct loop_source *s, uint32_t events)
{
	struct frontend *f = LOOP_OWNER(s, struct frontend, readable);

	(void) events;
	lose(f, "its back end has ended");
}

static void pass_interrupt(struct frontend *f, unsigned index)
{
	uint64_t count;

	if (f->rings[index].call >= 0 &&
	    read(f->rings[index].call, &count, sizeof(count)) == sizeof(count))
		f->base.interrupt(&f->base, index);
}

static void called(struct loop_source *s, uint32_t events)
{
	struct ring *ring = LOOP_OWNER(s, struct ring, called);

	(void) events;
	pass_interrupt(ring->frontend, (unsigned) (ring - ring->frontend->rings));
}

static void close_ring(struct ring *ring)
{
	loop_remove(&ring->called);
	close_fd(&ring->kick);
	close_fd(&ring->call);
}

/* New counters for each driver: a late interrupt for the last one goes nowhere. */
static int open_ring(struct frontend *f, unsigned index, struct err *e)
{
	struct ring *ring = &f->rings[index];
	int r;

	close_ring(ring);
	ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->kick < 0 || ring->call < 0)
		return err_sys(e, errno, "%s: make an event counter", f->base.ops->name);
	r = loop_add(f->base.loop, &ring->called, ring->call, EPOLLIN, called);
	return r < 0 ? err_sys(e, -r, "%s: watch an event counter", f->base.ops->name) : 0;
}

static bool logging(const struct frontend *f)
{
	return f->log.bits && f->base.memory->changed;
}

static int tell_features(struct frontend *f, struct err *e)
{
	return tell_number(f, VHOST_SET_FEATURES,
			   f->taken | VHOST_F_PROTOCOL_FEATURES | (f->logs ? VHOST_F_LOG_ALL : 0),
			   NULL, e);
}

/* No ring runs. From the first snapshot on, or the restore. */
static int start_log(struct frontend *f, struct err *e)
{
	struct vhost_message m = { .request = VHOST_SET_LOG_BASE, .log = { .size = f->log.bytes } };

	if (f->logs || !logging(f))
		return 0;
	if (ask_with(f, &m, &f->log_fd, e) < 0)
		return -EIO;
	close_fd(&f->log_fd);
	f->logs = true;
	return tell_features(f, e);
}

/* Its counters are there. */
static int start_ring(struct frontend *f, unsigned index, struct err *e)
{
	const struct queue *q = &f->base.queues[index];
	const struct vhost_message addr = {
		.request = VHOST_SET_VRING_ADDR,
		.addr = { .index = index,
			  .desc = (uintptr_t) q->descs,
			  .used = (uintptr_t) q->used_ring,
			  .avail = (uintptr_t) q->avail_ring,
			  .flags = f->logs ? VHOST_VRING_LOG : 0,
			  .log = q->used },
	};

	if (tell_vring(f, VHOST_SET_VRING_NUM, index, q->size, e) < 0 ||
	    tell_vring(f, VHOST_SET_VRING_BASE, index, q->next_avail, e) < 0 ||
	    tell(f, &addr, NULL, 0, e) < 0 ||
	    tell_number(f, VHOST_SET_VRING_CALL, index, &f->rings[index].call, e) < 0)
		return -EIO;
	return tell_number(f, VHOST_SET_VRING_KICK, index, &f->rings[index].kick, e);
}

static int tell_memory(struct frontend *f, struct err *e)
{
	const struct guest_memory *memory = f->base.memory;
	struct vhost_message m = { .request = VHOST_SET_MEM_TABLE };
	int fds[VHOST_REGIONS_MAX];

	for (size_t i = 0; i < memory->regions_n; i++) {
		const struct guest_region *r = &memory->regions[i];

		if (r->fd < 0 || m.memory.n == VHOST_REGIONS_MAX)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "%s: the guest's memory is not to be shared",
				       f->base.ops->name);
		fds[m.memory.n] = r->fd;
		m.memory.regions[m.memory.n++] =
			(struct vhost_region){ r->gpa, r->size, (uintptr_t) r->hva, r->fd_offset };
	}
	return tell(f, &m, fds, m.memory.n, e);
}

/* All that comes before the rings; and the counters of those, which the transport asks for. */
static int prepare(struct virtio_device *d, uint64_t features, struct err *e)
{
	struct frontend *f = frontend_of(d);

	f->paused = false;
	f->taken = features & f->features;
	if (tell_features(f, e) < 0 || tell_memory(f, e) < 0)
		return -EIO;
	for (unsigned i = 0; i < d->queues_n; i++)
		if (d->queues[i].enabled && open_ring(f, i, e) < 0)
			return -EIO;
	return 0;
}

static int start_rings(struct frontend *f, struct err *e)
{
	struct virtio_device *d = &f->base;

	if (start_log(f, e) < 0)
		return -EIO;
	for (unsigned i = 0; i < d->queues_n; i++)
		if (d->queues[i].enabled && start_ring(f, i, e) < 0)
			return -EIO;
	for (unsigned i = 0; i < d->queues_n; i++)
		if (d->queues[i].enabled && tell_vring(f, VHOST_SET_VRING_ENABLE, i, 1, e) < 0)
			return -EIO;
	return 0;
}

static int activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	return prepare(d, features, e) < 0 ? -EIO : start_rings(frontend_of(d), e);
}

static void kick(struct virtio_device *d, unsigned queue)
{
	struct frontend *f = frontend_of(d);
	const uint64_t one = 1;

	/* A counter that is full has told the back end already. */
	if (f->rings[queue].kick >= 0 && write(f->rings[queue].kick, &one, sizeof(one)) < 0)
		return;
}

static int kick_fd(const struct virtio_device *d, unsigned queue)
{
	const struct frontend *f = (const void *) d; /* its first member */

	return f->rings[queue].kick;
}

static int call_fd(const struct virtio_device *d, unsigned queue)
{
	const struct frontend *f = (const void *) d; /* its first member */

	return f->rings[queue].call;
}

static int listen_for(struct virtio_device *d, unsigned queue, bool on)
{
	struct ring *ring = &frontend_of(d)->rings[queue];

	loop_remove(&ring->called);
	return on ? loop_add(d->loop, &ring->called, ring->call, EPOLLIN, called) : 0;
}

/* The back end says that it has let go of the ring, and where it stands. */
static int stop_ring(struct frontend *f, unsigned index, uint16_t *ret_next, struct err *e)
{
	struct vhost_message m = { .request = VHOST_GET_VRING_BASE, .vring = { index, 0 } };

	if (f->socket < 0)
		return err_set(e, ERR_REMOTE, EPIPE, "%s: its back end has ended",
			       f->base.ops->name);
	if (tell_vring(f, VHOST_SET_VRING_ENABLE, index, 0, e) < 0 || ask(f, &m, e) < 0)
		return -EIO;
	*ret_next = (uint16_t) m.vring.value;
	return 0;
}

/* One that does not stop a ring is left. */
static void reset(struct virtio_device *d)
{
	struct frontend *f = frontend_of(d);
	uint16_t next;
	struct err e;

	for (unsigned i = 0; i < d->queues_n; i++) {
		if (f->rings[i].kick < 0)
			continue;
		if (f->socket >= 0 && !f->paused && stop_ring(f, i, &next, &e) < 0) {
			loop_remove(&f->readable);
			close_fd(&f->socket);
		}
		close_ring(&f->rings[i]);
	}
	f->paused = false;
	if (logging(f)) /* no later pause() comes before the next driver */
		vhost_log_collect(&f->log, d->memory);
}

/* --- snapshots --- */

/* Whether all that the driver has asked for is answered. */
static bool all_answered(const struct virtio_device *d)
{
	for (unsigned i = 0; i < d->queues_n; i++) {
		const struct queue *q = &d->queues[i];

		if (q->descs && __atomic_load_n(&q->avail_ring[1], __ATOMIC_ACQUIRE) !=
					__atomic_load_n(&q->used_ring[1], __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

/*
 * A server of files answers all it is asked, some of it late. Until it has, it is not told to stop:
 * it could not, and would be lost to the machine.
 */
static int await_answers(struct frontend *f, struct err *e)
{
	const nsec_t deadline = clock_deadline(VHOST_QUIET_WITHIN);

	while (!all_answered(&f->base)) {
		struct pollfd p[VIRTIO_QUEUES_MAX + 1] = { { .fd = f->socket, .events = POLLIN } };

		if (clock_poll_ms(deadline) == 0)
			return err_set(e, ERR_TIMEOUT, EBUSY,
				       "%s: the guest waits for files of the host: a file system "
				       "of it may hang",
				       f->base.ops->name);
		/* An answer that the driver wants no interrupt for is seen by and by. */
		for (unsigned i = 0; i < f->base.queues_n; i++)
			p[1 + i] = (struct pollfd){ .fd = f->rings[i].call, .events = POLLIN };
		if (poll(p, 1 + f->base.queues_n, 10) < 0)
			continue;
		if (p[0].revents)
			return err_set(e, ERR_REMOTE, EPIPE, "%s: its back end has ended",
				       f->base.ops->name);
		for (unsigned i = 0; i < f->base.queues_n; i++)
			pass_interrupt(f, i);
	}
	return 0;
}

static int pause_rings(struct virtio_device *d, struct err *e)
{
	struct frontend *f = frontend_of(d);

	if (f->socket < 0)
		return err_set(e, ERR_REMOTE, EPIPE, "%s: its back end has ended", d->ops->name);
	if (!(f->protocol_features & VHOST_PROTOCOL_DEVICE_STATE))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "%s: its back end cannot be saved",
			       d->ops->name);
	if (d->ops->id == VIRTIO_ID_IS_FS && await_answers(f, e) < 0)
		return -EBUSY;
	f->paused = true;
	for (unsigned i = 0; i < d->queues_n; i++) {
		if (!d->queues[i].enabled)
			continue;
		if (stop_ring(f, i, &d->queues[i].next_avail, e) < 0) {
			lose(f, e->msg);
			return -EIO;
		}
		pass_interrupt(f, i); /* the last one, before what is pending is saved */
	}
	if (logging(f))
		vhost_log_collect(&f->log, d->memory);
	return 0;
}

static void resume(struct virtio_device *d)
{
	struct frontend *f = frontend_of(d);
	struct err e = {};

	if (!f->paused)
		return;
	f->paused = false;
	if (f->socket >= 0 && start_rings(f, &e) < 0)
		lose(f, e.msg);
}

/* Tell the back end where the state goes or comes from: a socket, of which this end is given. 1: it
 * has refused. */
static int begin_transfer(struct frontend *f, enum vhost_direction direction, int *ret_fd,
			  struct err *e)
{
	struct vhost_message m = { .request = VHOST_SET_DEVICE_STATE_FD,
				   .transfer = { direction, VHOST_PHASE_STOPPED } };
	auto_fd int ours = FD_NONE, theirs = FD_NONE;
	int pair[2];

	if (!(f->protocol_features & VHOST_PROTOCOL_DEVICE_STATE))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "%s: its back end cannot be saved",
			       f->base.ops->name);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "%s: make a socket for the state", f->base.ops->name);
	ours = pair[0];
	theirs = pair[1];
	if (ask_with(f, &m, &theirs, e) < 0)
		return -EIO;
	*ret_fd = take_fd(&ours);
	if ((m.number & VHOST_STATE_ERROR_MASK) != 0)
		return 1;
	/* One of its own, which it may ask for and none does that we know. */
	return m.number & VHOST_STATE_NO_FD
		       ? 0
		       : err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				 "%s: its back end wants to choose the way of its state",
				 f->base.ops->name);
}

/* What the back end says why, which is not trusted to be text. */
static int refused(struct frontend *f, int fd, const char *what, struct err *e)
{
	char text[sizeof(e->msg) / 2];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		if ((uint8_t) text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	text[n > 0 ? n : 0] = 0;
	return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "%s: its back end %s its state%s%s",
		       f->base.ops->name, what, n > 0 ? ": " : "", text);
}

/* The end of the transfer, as the back end sees it. */
static int check_transfer(struct frontend *f, int fd, const char *what, struct err *e)
{
	uint64_t bad = 0;

	if (ask_number(f, VHOST_CHECK_DEVICE_STATE, &bad, e) < 0)
		return -EIO;
	return bad ? refused(f, fd, what, e) : 0;
}

/* More may be read, or written, before this side has waited for too long. */
static int await(struct frontend *f, int fd, short events, struct err *e)
{
	const nsec_t deadline = clock_deadline(VHOST_ANSWER_WITHIN);
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do
		r = poll(&p, 1, clock_poll_ms(deadline));
	while (r < 0 && errno == EINTR);
	return r > 0 ? 0
		     : err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "%s: its back end does not go on with its state", f->base.ops->name);
}

static int save(struct virtio_device *d, struct buf *to, struct err *e)
{
	struct frontend *f = frontend_of(d);
	auto_fd int fd = FD_NONE;
	int r = begin_transfer(f, VHOST_SAVE, &fd, e);
	size_t room = VHOST_STATE_MAX;
	ssize_t n = 1;

	if (r > 0)
		r = refused(f, fd, "cannot save", e);
	if (r < 0)
		return r;
	while (n > 0) {
		char *at = buf_room(to, 65536);

		if (!at)
			return err_sys(e, -buf_error(to), "%s: its state", d->ops->name);
		if (await(f, fd, POLLIN, e) < 0)
			return -ETIMEDOUT;
		n = recv(fd, at, 65536, MSG_DONTWAIT);
		if (n < 0)
			return err_sys(e, errno, "%s: read its state", d->ops->name);
		if ((size_t) n > room)
			return err_sys(e, EFBIG, "%s: its state", d->ops->name);
		room -= (size_t) n;
		buf_grew(to, (size_t) n);
	}
	return check_transfer(f, fd, "cannot save", e);
}

static int restore(struct virtio_device *d, uint64_t features, struct str state, struct err *e)
{
	struct frontend *f = frontend_of(d);
	auto_fd int fd = FD_NONE;
	int r;

	if (prepare(d, features, e) < 0)
		return -EIO;
	r = begin_transfer(f, VHOST_LOAD, &fd, e);
	if (r > 0)
		r = refused(f, fd, "does not take up", e);
	while (r == 0 && state.n > 0) {
		ssize_t n = -1;

		r = await(f, fd, POLLOUT, e);
		if (r == 0)
			n = send(fd, state.p, state.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r == 0 && n < 0)
			r = err_sys(e, errno, "%s: write its state", d->ops->name);
		if (n > 0)
			state = (struct str){ state.p + n, state.n - (size_t) n };
	}
	if (r == 0 && shutdown(fd, SHUT_WR) < 0)
		r = err_sys(e, errno, "%s: end its state", d->ops->name);
	f->paused = true;
	return r < 0 ? r : check_transfer(f, fd, "does not take up", e);
}

static uint64_t features(const struct virtio_device *d)
{
	const struct frontend *f = (const void *) d; /* its first member */

	return f->features & OWN_FEATURES;
}

static void config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct frontend *f = (const void *) d;

	virtio_config_copy(f->config, f->config_n, at, to, n);
}

static void config_write(struct virtio_device *d, uint32_t at, const void *from, uint32_t n)
{
	struct frontend *f = frontend_of(d);
	struct vhost_message m = { .request = VHOST_SET_CONFIG };
	struct err e;

	if (!(f->protocol_features & VHOST_PROTOCOL_CONFIG) || n > VHOST_CONFIG_MAX ||
	    at > VHOST_CONFIG_MAX - n)
		return;
	m.config.at = at;
	m.config.n = n;
	memcpy(m.config.bytes, from, n);
	if (tell(f, &m, NULL, 0, &e) < 0)
		lose(f, "its back end does not listen");
}

static void frontend_free(struct virtio_device *d)
{
	struct frontend *f = frontend_of(d);

	virtio_reset(d);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		close_ring(&f->rings[i]);
	loop_remove(&f->readable);
	close_fd(&f->socket);
	vhost_log_fini(&f->log);
	close_fd(&f->log_fd);
	free(f);
}

/* --- the beginning --- */

static int ask_config(struct frontend *f, const struct vhost_frontend_config *c, struct err *e)
{
	struct vhost_message m = { .request = VHOST_GET_CONFIG };

	f->config_n = c->config_n;
	if (c->config) {
		memcpy(f->config, c->config, c->config_n);
		return 0;
	}
	if (c->config_n == 0)
		return 0;
	if (!(f->protocol_features & VHOST_PROTOCOL_CONFIG))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "%s: the back end tells no configuration", f->base.ops->name);
	m.config.n = (uint32_t) c->config_n;
	if (ask(f, &m, e) < 0)
		return -EIO;
	if (m.config.n != c->config_n)
		return err_set(e, ERR_REMOTE, EPROTO, "%s: the back end's configuration is short",
			       f->base.ops->name);
	memcpy(f->config, m.config.bytes, c->config_n);
	return 0;
}

/* Now, as its process may make no more files in memory once the machine runs. */
static int make_log(struct frontend *f, struct err *e)
{
	int r;

	f->base.unaccounted = !(f->features & VHOST_F_LOG_ALL) ||
			      !(f->protocol_features & VHOST_PROTOCOL_LOG_SHMFD);
	if (f->base.unaccounted)
		return 0;
	r = vhost_log_make(&f->log, f->base.memory, &f->log_fd);
	return r < 0 ? err_sys(e, -r, "%s: make the log of its changes", f->base.ops->name) : 0;
}

static int begin(struct frontend *f, const struct vhost_frontend_config *c, struct err *e)
{
	const uint64_t needed = VIRTIO_RING_FEATURES | VHOST_F_PROTOCOL_FEATURES;
	uint64_t queues = 0, protocol = 0;
	int flags = fcntl(f->socket, F_GETFL);
	int r;

	if (flags < 0 || fcntl(f->socket, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "%s: the back end's socket", c->name);
	if (ask_number(f, VHOST_GET_FEATURES, &f->features, e) < 0)
		return -EIO;
	if ((f->features & needed) != needed)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "%s: the back end lacks features of virtio 1: it has %#llx", c->name,
			       (unsigned long long) f->features);
	if (ask_number(f, VHOST_GET_PROTOCOL_FEATURES, &protocol, e) < 0)
		return -EIO;
	f->protocol_features = protocol & (VHOST_PROTOCOL_MQ | VHOST_PROTOCOL_LOG_SHMFD |
					   VHOST_PROTOCOL_CONFIG | VHOST_PROTOCOL_DEVICE_STATE);
	if (tell_number(f, VHOST_SET_PROTOCOL_FEATURES, f->protocol_features, NULL, e) < 0)
		return -EIO;
	if (f->protocol_features & VHOST_PROTOCOL_MQ) {
		if (ask_number(f, VHOST_GET_QUEUE_NUM, &queues, e) < 0)
			return -EIO;
		if (queues < c->queues_n)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "%s: the back end has %llu queues, %u are needed", c->name,
				       (unsigned long long) queues, c->queues_n);
	}
	if (make_log(f, e) < 0 || ask_config(f, c, e) < 0 ||
	    tell(f, &(struct vhost_message){ .request = VHOST_SET_OWNER }, NULL, 0, e) < 0)
		return -EIO;
	r = loop_add(f->base.loop, &f->readable, f->socket, EPOLLIN | EPOLLRDHUP, readable);
	return r < 0 ? err_sys(e, -r, "%s: watch the back end's socket", c->name) : 0;
}

struct virtio_device *vhost_frontend_new(struct loop *loop, const struct guest_memory *memory,
					 int socket, const struct vhost_frontend_config *c,
					 struct err *e)
{
	struct frontend *f = calloc(1, sizeof(*f));

	if (!f || c->queues_n > VIRTIO_QUEUES_MAX || c->config_n > VHOST_CONFIG_MAX) {
		close_fd(&socket);
		(void) err_set(e, f ? ERR_INVALID : ERR_EXHAUSTED, f ? EINVAL : ENOMEM,
			       "%s: no such device can be", c->name);
		free(f);
		return NULL;
	}
	f->ops = (struct virtio_ops){
		.id = c->id,
		.name = c->name,
		.features = features,
		.config_read = config_read,
		.config_write = config_write,
		.activate = activate,
		.kick = kick,
		.kick_fd = kick_fd,
		.call_fd = call_fd,
		.listen = listen_for,
		.reset = reset,
		.free = frontend_free,
		.pause = pause_rings,
		.save = save,
		.restore = restore,
		.resume = resume,
	};
	virtio_init(&f->base, &f->ops, loop, memory, c->queues_n, c->queue_size_max);
	f->socket = socket;
	f->log_fd = FD_NONE;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		f->rings[i].frontend = f;
		f->rings[i].kick = f->rings[i].call = FD_NONE;
	}
	if (begin(f, c, e) < 0) {
		frontend_free(&f->base);
		return NULL;
	}
	return &f->base;
}
