/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "virtio/balloon.h"
#include "vmm/machine.h"
#include "vmm/virtio_pci.h"

static void hang_up(struct control_client *c)
{
	loop_remove(&c->source);
	close_fd(&c->fd);
	c->n = 0;
	c->waits = false;
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
		c->waits = true;
		if (m->paused) {
			control_paused(c->control);
		} else {
			vcpus_pause(&m->vcpus);
		}
		break;
	case VMM_RESUME:
		/* A pause that is not complete yet is over for who waits for it, too. */
		for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
			if (m->control.clients[i].waits) {
				m->control.clients[i].waits = false;
				answer_error(&m->control.clients[i], VMM_PAUSE, ECANCELED);
			}
		m->paused = false;
		workers_resume(&m->workers);
		vcpus_resume(&m->vcpus);
		answer_error(c, VMM_RESUME, 0);
		break;
	case VMM_BALLOON:
		serve_balloon(c, q->value);
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
	ssize_t got = recv(c->fd, c->request + c->n, sizeof(c->request) - c->n, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		hang_up(c);
		return;
	}
	c->n += (size_t) got;
	if (c->n < sizeof(c->request))
		return;
	c->n = 0;
	if (c->waits || vmm_decode_request(c->request, &q) < 0)
		hang_up(c); /* it is not one that speaks this */
	else
		serve_request(c, &q);
}

static void serve_listener(struct loop_source *s, uint32_t)
{
	struct control *c = LOOP_OWNER(s, struct control, listener);
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

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

void control_paused(struct control *c)
{
	c->machine->paused = true;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].waits) {
			c->clients[i].waits = false;
			answer_error(&c->clients[i], VMM_PAUSE, 0);
		}
}

int control_init(struct control *c, struct machine *m, int fd, struct err *e)
{
	int r;

	c->machine = m;
	c->fd = fd;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i] = (struct control_client){ .control = c, .fd = FD_NONE };
	if (fd < 0)
		return 0;
	r = loop_add(&m->loop, &c->listener, fd, EPOLLIN, serve_listener);
	return r < 0 ? err_sys(e, -r, "--control: serve the socket") : 0;
}
