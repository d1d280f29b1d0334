/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/fdpass.h"
#include "virtio/balloon.h"
#include "vmm/machine.h"
#include "vmm/snapshot.h"
#include "vmm/virtio_pci.h"

static void close_files(struct control_client *c)
{
	while (c->files_n)
		close_fd(&c->files[--c->files_n]);
}

static void hang_up(struct control_client *c)
{
	close_files(c);
	loop_remove(&c->source);
	close_fd(&c->fd);
	c->n = 0;
	c->waits = 0;
}

static void answer(struct control_client *c, const struct vmm_reply *r)
{
	uint8_t bytes[VMM_REPLY_MAX];
	size_t n = vmm_encode_reply(r, bytes);

	/* Who does not read its answers has gone. */
	if (send(c->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t) n)
		hang_up(c);
}

static void answer_error(struct control_client *c, enum vmm_type type, int error)
{
	const struct vmm_reply r = { .type = type, .error = error };

	answer(c, &r);
}

static void answer_info(struct control_client *c)
{
	const struct machine *m = c->control->machine;
	const struct vmm_reply r = {
		.type = VMM_INFO,
		.info = { .pid = (uint64_t) getpid(),
			  .cpus = m->vcpus.n,
			  .memory_bytes = m->ram.bytes,
			  .paused = m->paused },
	};

	answer(c, &r);
}

static void answer_stats(struct control_client *c)
{
	const struct machine *m = c->control->machine;
	struct vmm_reply r = { .type = VMM_STATS };

	/* Counters of other threads: a moment old, but whole. */
	for (unsigned i = 0; i < m->vcpus.n; i++)
		r.stats.exits += __atomic_load_n(&m->vcpus.v[i].exits, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < m->pci.devices_n; i++) {
		const struct virtio_pci *p = m->pci.devices[i];
		const struct virtio_stats *s = &p->device->stats;

		r.stats.devices[r.stats.devices_n++] = (struct vmm_device_stats){
			.virtio_id = p->device->ops->id,
			.read_bytes = __atomic_load_n(&s->read_bytes, __ATOMIC_RELAXED),
			.write_bytes = __atomic_load_n(&s->write_bytes, __ATOMIC_RELAXED),
			.reads = __atomic_load_n(&s->reads, __ATOMIC_RELAXED),
			.writes = __atomic_load_n(&s->writes, __ATOMIC_RELAXED),
			.errors = __atomic_load_n(&s->errors, __ATOMIC_RELAXED),
			.interrupts = __atomic_load_n(&p->interrupts, __ATOMIC_RELAXED),
		};
	}
	if (m->balloon)
		r.stats.balloon_bytes = balloon_actual(m->balloon);
	answer(c, &r);
}

static void serve_balloon(struct control_client *c, uint64_t bytes)
{
	struct machine *m = c->control->machine;

	if (!m->balloon) {
		answer_error(c, VMM_BALLOON, ENODEV);
		return;
	}
	balloon_set_target(m->balloon, bytes);
	answer_error(c, VMM_BALLOON, 0);
}

static bool balloon_reached(const struct machine *m)
{
	return balloon_actual(m->balloon) == balloon_target(m->balloon);
}

static void serve_balloon_wait(struct control_client *c)
{
	const struct machine *m = c->control->machine;

	if (!m->balloon)
		answer_error(c, VMM_BALLOON_WAIT, ENODEV);
	else if (balloon_reached(m))
		answer_error(c, VMM_BALLOON_WAIT, 0);
	else
		c->waits = VMM_BALLOON_WAIT;
}

/* On the thread of the device's loop. */
static void set_limit(struct errand *d)
{
	struct control_limit *l = LOOP_OWNER(d, struct control_limit, errand);
	struct rate_limit wanted[2];

	(void) pthread_mutex_lock(&l->lock);
	memcpy(wanted, l->wanted, sizeof(wanted));
	(void) pthread_mutex_unlock(&l->lock);
	l->device->ops->limit(l->device, wanted[0], wanted[1]);
}

void control_limits(struct control *c, size_t device, const struct rate_limit limits[2])
{
	memcpy(c->limits[device].wanted, limits, sizeof(c->limits[device].wanted));
}

/* Not waited for: a disk's thread may be waiting for its storage, or stand at the gate. */
static void serve_limit(struct control_client *c, const struct vmm_request *q)
{
	const struct machine *m = c->control->machine;
	size_t i = vmm_limit_device(q->which);
	enum vmm_limit what = vmm_limit_what(q->which);
	struct control_limit *l = &c->control->limits[i];
	struct rate_limit *wanted = &l->wanted[what == VMM_WRITE_BYTES || what == VMM_WRITE_OPS];
	struct virtio_pci *p = i < m->pci.devices_n ? m->pci.devices[i] : NULL;

	if (!p || !p->device->ops->limit) {
		answer_error(c, VMM_LIMIT, p ? ENOTSUP : ENODEV);
		return;
	}
	(void) pthread_mutex_lock(&l->lock);
	if (what == VMM_READ_BYTES || what == VMM_WRITE_BYTES)
		wanted->bytes = q->value;
	else
		wanted->ops = q->value;
	(void) pthread_mutex_unlock(&l->lock);
	l->device = p->device;
	errand_post(p->errands, &l->errand);
	answer_error(c, VMM_LIMIT, 0);
}

static void refuse_snapshot(struct control_client *c, int error, const char *reason)
{
	struct vmm_reply r = { .type = VMM_SNAPSHOT, .error = error };

	memcpy(r.reason, reason, strnlen(reason, sizeof(r.reason) - 1));
	answer(c, &r);
}

/* All else waits meanwhile: the machine stands, and who asks it for something knows that. */
static void serve_snapshot(struct control_client *c, uint64_t flags)
{
	struct machine *m = c->control->machine;
	struct vmm_reply r = { .type = VMM_SNAPSHOT };
	struct err e;

	if (c->files_n != VMM_SNAPSHOT_FDS || flags & ~(uint64_t) VMM_SNAPSHOT_DIFF)
		refuse_snapshot(c, EINVAL, "a snapshot needs two files, and flags that are known");
	else if (!m->paused || m->vcpus.end != VCPUS_RUN)
		refuse_snapshot(c, EBUSY,
				"only a machine that is paused has a snapshot made of it");
	else if (snapshot_save(m, c->files[0], c->files[1], flags & VMM_SNAPSHOT_DIFF, &r.written,
			       &e) < 0)
		refuse_snapshot(c, e.sys ? e.sys : EIO, e.msg);
	else
		answer(c, &r);
}

static void serve_request(struct control_client *c, const struct vmm_request *q)
{
	struct machine *m = c->control->machine;

	switch (q->type) {
	case VMM_INFO:
		answer_info(c);
		break;
	case VMM_STATS:
		answer_stats(c);
		break;
	case VMM_PAUSE:
		c->waits = VMM_PAUSE;
		if (m->paused) {
			control_paused(c->control);
		} else {
			vcpus_pause(&m->vcpus);
		}
		break;
	case VMM_RESUME:
		/* A pause that is not complete yet is over for who waits for it, too. */
		for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
			if (m->control.clients[i].waits == VMM_PAUSE) {
				m->control.clients[i].waits = 0;
				answer_error(&m->control.clients[i], VMM_PAUSE, ECANCELED);
			}
		machine_resume(m);
		answer_error(c, VMM_RESUME, 0);
		break;
	case VMM_BALLOON:
		serve_balloon(c, q->value);
		break;
	case VMM_BALLOON_WAIT:
		serve_balloon_wait(c);
		break;
	case VMM_LIMIT:
		serve_limit(c, q);
		break;
	case VMM_SNAPSHOT:
		serve_snapshot(c, q->value);
		break;
	case VMM_QUIT:
		answer_error(c, VMM_QUIT, 0);
		loop_stop(&m->loop);
		break;
	}
}

static void serve_client(struct loop_source *s, uint32_t)
{
	struct control_client *c = LOOP_OWNER(s, struct control_client, source);
	struct vmm_request q;
	size_t files = 0;
	ssize_t got = fdpass_recv(c->fd, c->request + c->n, sizeof(c->request) - c->n,
				  c->files + c->files_n, VMM_SNAPSHOT_FDS - c->files_n, &files);

	if (got == -EAGAIN)
		return;
	if (got <= 0) {
		hang_up(c);
		return;
	}
	c->files_n += files;
	c->n += (size_t) got;
	if (c->n < sizeof(c->request))
		return;
	c->n = 0;
	if (c->waits || vmm_decode_request(c->request, &q) < 0)
		hang_up(c); /* it is not one that speaks this */
	else
		serve_request(c, &q);
	close_files(c);
}

static void serve_listener(struct loop_source *s, uint32_t)
{
	struct control *c = LOOP_OWNER(s, struct control, listener);
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return; /* it has gone again */
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *k = &c->clients[i];

		if (k->fd >= 0)
			continue;
		if (loop_add(&c->machine->loop, &k->source, fd, EPOLLIN, serve_client) < 0)
			break;
		k->fd = fd;
		return;
	}
	(void) close(fd); /* too many: it sees the end at once */
}

/* To all who wait for it. */
static void answer_waiting(struct control *c, enum vmm_type what)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].waits == what) {
			c->clients[i].waits = 0;
			answer_error(&c->clients[i], what, 0);
		}
}

void control_paused(struct control *c)
{
	c->machine->paused = true;
	answer_waiting(c, VMM_PAUSE);
}

void control_balloon_changed(struct control *c)
{
	if (balloon_reached(c->machine))
		answer_waiting(c, VMM_BALLOON_WAIT);
}

int control_init(struct control *c, struct machine *m, int fd, struct err *e)
{
	int r;

	c->machine = m;
	c->fd = fd;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i] = (struct control_client){ .control = c, .fd = FD_NONE };
	for (size_t i = 0; i < VMM_DEVICES_MAX; i++) {
		(void) pthread_mutex_init(&c->limits[i].lock, NULL); /* cannot fail */
		c->limits[i].errand.run = set_limit;
	}
	if (fd < 0)
		return 0;
	r = loop_add(&m->loop, &c->listener, fd, EPOLLIN, serve_listener);
	return r < 0 ? err_sys(e, -r, "--control: serve the socket") : 0;
}
