/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring goes
 *
 *   nothing -> started [SET_VRING_KICK] -> running [run_rings: all started ones are enabled]
 *   running -> nothing [GET_VRING_BASE], running -> started [SET_VRING_ENABLE 0]
 *
 * and the device is activated when its first rings run. That all rings stop says nothing of the
 * driver: a front end stops them to pause the machine and to reset it. The difference shows when
 * they run again: somewhere else than where they stopped means another driver, and the device is
 * reset before. After a state was loaded they run for its driver.
 */
#include "vhost/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/fdpass.h"

static void close_fds(struct vhost_backend *b)
{
	for (size_t i = 0; i < b->fds_n; i++)
		close_fd(&b->fds[i]);
	b->fds_n = 0;
}

static int wrong(struct err *e, const char *what)
{
	return err_set(e, ERR_REMOTE, EPROTO, "%s", what);
}

/* --- memory --- */

static void unmap(struct vhost_mapping *m)
{
	if (m->base)
		(void) munmap(m->base, m->n); /* fails for a bad address only */
	*m = (struct vhost_mapping){};
}

static bool overlaps(const struct guest_memory *m, const struct guest_region *r)
{
	for (size_t i = 0; i < m->regions_n; i++) {
		const struct guest_region *o = &m->regions[i];

		if (r->gpa < o->gpa + o->size && o->gpa < r->gpa + r->size)
			return true;
	}
	return false;
}

/* Map one region, from the file's beginning: the files of huge pages cannot be mapped elsewhere. */
static int map_region(const struct vhost_region *from, int fd, struct guest_region *ret_region,
		      struct vhost_mapping *ret_mapping, struct err *e)
{
	uint64_t end, total;
	struct stat st;
	void *p;

	if (from->size == 0 || !add_u64(from->gpa, from->size, &end) ||
	    !add_u64(from->user, from->size, &end) || !add_u64(from->offset, from->size, &total) ||
	    total > SIZE_MAX / 2)
		return wrong(e, "a region of memory that cannot be");
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "the file of a region of memory");
	if (S_ISREG(st.st_mode) && (uint64_t) st.st_size < total)
		return wrong(e, "a region of memory past the end of its file");
	p = mmap(NULL, (size_t) total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "map %llu bytes of the guest's memory",
			       (unsigned long long) total);
	*ret_mapping = (struct vhost_mapping){ p, (size_t) total, st.st_dev, st.st_ino };
	*ret_region = (struct guest_region){
		.gpa = from->gpa,
		.size = from->size,
		.hva = (uint8_t *) p + from->offset,
		.fd_offset = from->offset,
		.fd = FD_NONE,
		.user = from->user,
	};
	return 0;
}

/* The place of a new region in the order of guest addresses. */
static void insert_region(struct guest_memory *m, struct vhost_mapping *mappings,
			  const struct guest_region *r, const struct vhost_mapping *mapping)
{
	size_t at = m->regions_n++;

	for (; at > 0 && m->regions[at - 1].gpa > r->gpa; at--) {
		m->regions[at] = m->regions[at - 1];
		mappings[at] = mappings[at - 1];
	}
	m->regions[at] = *r;
	mappings[at] = *mapping;
}

static int start_queue(struct vhost_backend *b, unsigned index, struct err *e);

/* The device gives back what chains it holds: they go with the memory, or with the ring. */
static int pause_device(struct vhost_backend *b, struct err *e)
{
	struct virtio_device *d = b->device;

	for (unsigned i = 0; i < d->queues_n; i++)
		if (b->rings[i].running)
			virtio_signal(d, i); /* what it put off telling */
	return d->active && d->ops->pause ? d->ops->pause(d, e) : 0;
}

/* Where changes are noted, now that features, memory or log are others. */
static int choose_log(struct vhost_backend *b, struct err *e)
{
	b->memory.changed = NULL;
	if (!(b->features & VHOST_F_LOG_ALL) || !b->log.bits)
		return 0;
	if (!vhost_log_covers(&b->log, &b->memory))
		return wrong(e, "a log that is shorter than the memory");
	b->memory.changed = b->log.bits;
	return 0;
}

/* The rings that run do so in the new memory. */
static int set_memory(struct vhost_backend *b, const struct vhost_message *m, struct err *e)
{
	struct guest_memory memory = {};
	struct vhost_mapping mappings[GUEST_REGIONS_MAX] = {};
	int r = 0;

	if (m->memory.n != b->fds_n || m->memory.n > GUEST_REGIONS_MAX)
		return wrong(e, "as many descriptors as regions of memory are needed");
	for (uint32_t i = 0; i < m->memory.n && r == 0; i++) {
		struct guest_region region;
		struct vhost_mapping mapping;

		r = map_region(&m->memory.regions[i], b->fds[i], &region, &mapping, e);
		if (r < 0)
			break;
		if (overlaps(&memory, &region)) {
			unmap(&mapping);
			r = wrong(e, "regions of memory overlap");
			break;
		}
		insert_region(&memory, mappings, &region, &mapping);
	}
	if (r == 0)
		r = pause_device(b, e);
	for (size_t i = 0; i < GUEST_REGIONS_MAX; i++)
		unmap(r < 0 ? &mappings[i] : &b->mappings[i]);
	if (r < 0)
		return r;
	b->memory = memory;
	memcpy(b->mappings, mappings, sizeof(mappings));
	r = choose_log(b, e);
	for (unsigned i = 0; i < b->device->queues_n && r == 0; i++)
		if (b->rings[i].running) {
			b->rings[i].base = b->device->queues[i].next_avail;
			r = start_queue(b, i, e);
		}
	return r;
}

/* --- rings --- */

/* Where the front end's address is in the guest; UINT64_MAX: nowhere, which no queue accepts. */
static uint64_t guest_address(const struct vhost_backend *b, uint64_t user)
{
	for (size_t i = 0; i < b->memory.regions_n; i++) {
		const struct guest_region *r = &b->memory.regions[i];

		if (user - r->user < r->size)
			return r->gpa + (user - r->user);
	}
	return UINT64_MAX;
}

/* The used ring of a queue of so many as the log has it, or NULL: not in the guest's memory. */
static const void *logged_ring(const struct vhost_backend *b, const struct vhost_ring *ring,
			       uint16_t size)
{
	return guest_memory_at(&b->memory, ring->log, 6 + 8 * (size_t) size);
}

static int start_queue(struct vhost_backend *b, unsigned index, struct err *e)
{
	struct queue *q = &b->device->queues[index];
	struct vhost_ring *ring = &b->rings[index];

	q->memory = &b->memory;
	q->size = ring->size <= QUEUE_SIZE_MAX ? (uint16_t) ring->size : 0;
	q->desc = guest_address(b, ring->desc);
	q->avail = guest_address(b, ring->avail);
	q->used = guest_address(b, ring->used);
	q->event_idx = b->features & VIRTIO_RING_EVENT_IDX;
	q->indirect = b->features & VIRTIO_RING_INDIRECT;
	q->enabled = true;
	if (!ring->placed || q->size > b->device->queue_size_max || queue_start(q) < 0)
		return err_set(e, ERR_REMOTE, EPROTO, "ring %u is not in the guest's memory",
			       index);
	if (ring->logged && !logged_ring(b, ring, q->size))
		return err_set(e, ERR_REMOTE, EPROTO,
			       "the log of ring %u is not in the guest's memory", index);
	queue_resume(q, ring->base);
	return 0;
}

static void ring_kicked(struct loop_source *s, uint32_t)
{
	struct vhost_ring *ring = LOOP_OWNER(s, struct vhost_ring, kicked);
	struct vhost_backend *b = ring->backend;

	b->device->ops->kick(b->device, (unsigned) (ring - b->rings));
}

static int run_ring(struct vhost_backend *b, unsigned index, struct err *e)
{
	struct vhost_ring *ring = &b->rings[index];
	int r;

	if (start_queue(b, index, e) < 0)
		return -EPROTO;
	/*
	 * By edges: each write to a counter is one, so that none has to be read, which is a system
	 * call less for each kick. And whatever else the descriptor is, being always ready does not
	 * keep us busy.
	 */
	r = loop_add(b->loop, &ring->kicked, ring->kick, EPOLLIN | EPOLLET, ring_kicked);
	if (r < 0)
		return err_sys(e, -r, "watch the kicks of ring %u", index);
	ring->running = true;
	return 0;
}

static void stop_ring(struct vhost_backend *b, unsigned index)
{
	struct vhost_ring *ring = &b->rings[index];
	struct queue *q = &b->device->queues[index];
	uint64_t count;

	if (!ring->running)
		return;
	virtio_signal(b->device, index);
	loop_remove(&ring->kicked);
	/* Who looks at it next finds no kick that was served. Of what is no counter: whatever. */
	(void) !read(ring->kick, &count, sizeof(count));
	/* It is known where to once, when it stops; the memory may have become another since. */
	if (ring->logged && logged_ring(b, ring, q->size))
		guest_memory_mark(&b->memory, ring->log, 6 + 8 * (uint64_t) q->size);
	ring->base = ring->stopped_at = q->next_avail;
	ring->running = false;
	queue_reset(q);
}

/* Whether the rings begin where they stopped. */
static bool same_driver(const struct vhost_backend *b)
{
	for (unsigned i = 0; i < b->device->queues_n; i++)
		if (b->rings[i].started && b->rings[i].base != b->rings[i].stopped_at)
			return false;
	return true;
}

/* What of the taken features is the driver's business. */
static uint64_t driver_features(const struct vhost_backend *b)
{
	return b->features & ~VHOST_F_LOG_ALL;
}

/* Run what may run. */
static int run_rings(struct vhost_backend *b, struct err *e)
{
	struct virtio_device *d = b->device;
	bool first = true, was_active;
	uint32_t began = 0;

	for (unsigned i = 0; i < d->queues_n; i++) {
		if (b->rings[i].started && !b->rings[i].enabled)
			return 0; /* enabled one after the other: wait for the last */
		first = first && !b->rings[i].running;
	}
	if (first && d->active && !b->restored && !same_driver(b))
		virtio_reset(d);
	was_active = d->active;
	for (unsigned i = 0; i < d->queues_n; i++) {
		struct vhost_ring *ring = &b->rings[i];

		if (!ring->started || ring->running)
			continue;
		if (run_ring(b, i, e) < 0)
			return -EPROTO;
		began |= 1u << i;
	}
	b->restored = b->restored && !began;
	if (began && !was_active && virtio_activate(d, driver_features(b), e) < 0)
		return -EPROTO;
	/* There may be chains already, and the kicks for them were another back end's. */
	for (unsigned i = 0; i < d->queues_n; i++)
		if ((began & (1u << i)) && b->rings[i].running)
			d->ops->kick(d, i);
	return 0;
}

/* The device as before its driver came. */
static void stop_all(struct vhost_backend *b)
{
	for (unsigned i = 0; b->device && i < b->device->queues_n; i++) {
		struct vhost_ring *ring = &b->rings[i];

		stop_ring(b, i);
		ring->started = false;
		ring->base = ring->stopped_at = 0;
		close_fd(&ring->kick);
		close_fd(&ring->call);
		close_fd(&ring->err);
	}
	/* What is held is written to yet: it ends with the process. */
	if (b->device && !b->device->held)
		virtio_reset(b->device);
	b->restored = false;
}

/* --- what the device asks of its transport --- */

static void tell(int fd)
{
	const uint64_t one = 1;

	/* A counter that is full tells as well; one that cannot be written is the other side's
	 * loss. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

static void interrupt(struct virtio_device *d, unsigned queue)
{
	struct vhost_backend *b = d->transport;

	tell(b->rings[queue].call);
}

static void config_changed(struct virtio_device *d)
{
	(void) d; /* the channel from back end to front end is not offered: read it again, it may */
}

static void needs_reset(struct virtio_device *d, const char *why)
{
	struct vhost_backend *b = d->transport;

	for (unsigned i = 0; i < d->queues_n; i++)
		if (d->queues[i].broken)
			tell(b->rings[i].err);
	b->broken(b, why);
}

/* --- requests --- */

static uint64_t offered(const struct vhost_backend *b)
{
	return b->device->ops->features(b->device) | VIRTIO_RING_FEATURES | VHOST_F_LOG_ALL |
	       VHOST_F_PROTOCOL_FEATURES;
}

/* The configuration of a network card and of a file system is the front end's: it has the address,
 * the tag. */
static uint64_t protocol_offered(const struct vhost_backend *b)
{
	enum virtio_id id = b->device->ops->id;
	bool config = id != VIRTIO_ID_IS_NET && id != VIRTIO_ID_IS_FS;

	return VHOST_PROTOCOL_MQ | VHOST_PROTOCOL_LOG_SHMFD | VHOST_PROTOCOL_REPLY_ACK |
	       (config ? VHOST_PROTOCOL_CONFIG : 0) |
	       (b->device->ops->save ? VHOST_PROTOCOL_DEVICE_STATE : 0);
}

static int reply(struct vhost_backend *b, const struct vhost_message *m, struct err *e)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	size_t n = vhost_encode(m, bytes);
	ssize_t r = send(b->socket, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r < 0)
		return err_sys(e, errno, "answer %s", vhost_request_name(m->request));
	return (size_t) r == n ? 0 : wrong(e, "answers are not read");
}

/* The one descriptor of SET_VRING_KICK, _CALL, _ERR into its place. */
static int set_ring_fd(struct vhost_backend *b, const struct vhost_message *m, int *ret_fd,
		       struct err *e)
{
	size_t want = m->number & VHOST_VRING_NO_FD ? 0 : 1;

	if (b->fds_n != want)
		return wrong(e, "a descriptor is missing, or one too many");
	close_fd(ret_fd);
	if (want == 0)
		return 0;
	*ret_fd = take_fd(&b->fds[0]);
	b->fds_n = 0;
	/* Nothing that comes through it may hold us up. */
	if (fcntl(*ret_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "a descriptor of a ring");
	return 0;
}

static int set_kick(struct vhost_backend *b, struct vhost_ring *ring, const struct vhost_message *m,
		    struct err *e)
{
	stop_ring(b, (unsigned) (ring - b->rings));
	if (m->number & VHOST_VRING_NO_FD)
		return wrong(e, "a ring to be polled");
	if (set_ring_fd(b, m, &ring->kick, e) < 0)
		return -EPROTO;
	ring->started = true;
	if (!(b->features & VHOST_F_PROTOCOL_FEATURES))
		ring->enabled = true;
	return run_rings(b, e);
}

static int set_enable(struct vhost_backend *b, struct vhost_ring *ring, bool enable, struct err *e)
{
	ring->enabled = enable;
	if (enable)
		return run_rings(b, e);
	stop_ring(b, (unsigned) (ring - b->rings));
	return 0;
}

static int set_features(struct vhost_backend *b, uint64_t features, struct err *e)
{
	if (features & ~offered(b))
		return wrong(e, "features that were not offered");
	for (unsigned i = 0; i < b->device->queues_n; i++)
		if (b->rings[i].running && features != b->features)
			return wrong(e, "other features while a ring runs");
	if (((features ^ b->features) & ~VHOST_F_LOG_ALL) && !b->restored)
		virtio_reset(b->device); /* another driver */
	b->features = features;
	return choose_log(b, e);
}

static int get_base(struct vhost_backend *b, struct vhost_message *m, struct vhost_ring *ring,
		    struct err *e)
{
	if (ring->running && pause_device(b, e) < 0)
		return -EIO;
	stop_ring(b, m->vring.index);
	ring->started = false;
	close_fd(&ring->kick);
	m->vring.value = ring->base;
	return reply(b, m, e);
}

/* The ring that a message is about, or NULL: there is none such. */
static struct vhost_ring *ring_of(struct vhost_backend *b, uint64_t index)
{
	return index < b->device->queues_n ? &b->rings[index] : NULL;
}

static int on_ring(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	bool by_number = vhost_fds_max(m->request) == 1;
	struct vhost_ring *ring = ring_of(b, by_number ? m->number & VHOST_VRING_INDEX_MASK
					     : m->request == VHOST_SET_VRING_ADDR ? m->addr.index
										  : m->vring.index);

	if (!ring)
		return wrong(e, "a ring that the device has not");
	if (m->request == VHOST_SET_VRING_KICK)
		return set_kick(b, ring, m, e);
	if (m->request == VHOST_SET_VRING_CALL)
		return set_ring_fd(b, m, &ring->call, e);
	if (m->request == VHOST_SET_VRING_ERR)
		return set_ring_fd(b, m, &ring->err, e);
	if (m->request == VHOST_SET_VRING_ENABLE)
		return set_enable(b, ring, m->vring.value != 0, e);
	if (m->request == VHOST_GET_VRING_BASE) {
		m->reply = true;
		return get_base(b, m, ring, e);
	}
	if (ring->running)
		return wrong(e, "a ring that runs cannot be changed");
	if (m->request == VHOST_SET_VRING_NUM) {
		ring->size = m->vring.value;
	} else if (m->request == VHOST_SET_VRING_BASE) {
		ring->base = (uint16_t) m->vring.value;
	} else {
		ring->desc = m->addr.desc;
		ring->avail = m->addr.avail;
		ring->logged = m->addr.flags & VHOST_VRING_LOG;
		ring->log = m->addr.log;
		ring->used = m->addr.used;
		ring->placed = true;
	}
	return 0;
}

static int get_config(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	m->reply = true;
	b->device->ops->config_read(b->device, m->config.at, m->config.bytes, m->config.n);
	return reply(b, m, e);
}

static int give_number(struct vhost_backend *b, struct vhost_message *m, uint64_t n, struct err *e)
{
	m->reply = true;
	m->number = n;
	return reply(b, m, e);
}

static int set_log(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	struct vhost_log log;
	int r;

	if (!(b->protocol_features & VHOST_PROTOCOL_LOG_SHMFD) || b->fds_n != 1)
		return wrong(e, "a log that is not shared");
	for (unsigned i = 0; i < b->device->queues_n; i++)
		if (b->rings[i].running)
			return wrong(e, "another log while a ring runs");
	r = vhost_log_map(&log, b->fds[0], m->log.size, m->log.offset);
	if (r == -EINVAL)
		return wrong(e, "a log that is no memory of its size");
	if (r < 0)
		return err_sys(e, -r, "map the log");
	vhost_log_fini(&b->log);
	b->log = log;
	r = choose_log(b, e);
	return r < 0 ? r : give_number(b, m, 0, e);
}

/* --- the device's state --- */

/* Whether it went well; why it did not goes to the log, and to who listens for it. */
static void judge(struct vhost_backend *b, int fd, const struct err *e)
{
	b->good = e->kind == ERR_NONE;
	if (b->good)
		return;
	b->broken(b, e->msg);
	/* No socket, or nobody there: the log has it. */
	(void) !send(fd, e->msg, strlen(e->msg), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int tell_state(struct vhost_backend *b, struct err *e)
{
	struct vhost_message m = { .request = VHOST_CHECK_DEVICE_STATE };

	return give_number(b, &m, b->good ? 0 : 1, e);
}

static void load_state(struct vhost_backend *b, struct err *e)
{
	struct virtio_device *d = b->device;

	virtio_reset(d);
	d->active = true;
	b->restored = d->ops->restore(d, driver_features(b), buf_str(&b->transfer.bytes), e) == 0;
	d->active = b->restored;
}

static void end(struct vhost_backend *b, const struct err *why);

static void moved(struct vhost_transfer *t, int error)
{
	struct vhost_backend *b = LOOP_OWNER(t, struct vhost_backend, transfer);
	struct err e = {};

	if (error < 0)
		(void) err_sys(&e, -error, "%s the state of the device",
			       t->writes ? "write" : "read");
	else if (!t->writes)
		load_state(b, &e);
	judge(b, t->fd, &e);
	buf_fini(&t->bytes);
	b->moving = false;
	if (b->asked && tell_state(b, &e) < 0)
		end(b, &e);
	b->asked = false;
}

/* The state goes where the front end says. What cannot be is told in the answer. */
static int set_state_fd(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	struct virtio_device *d = b->device;
	bool save = m->transfer.direction == VHOST_SAVE;
	struct err why = {};
	int r = 0;

	if (!(protocol_offered(b) & VHOST_PROTOCOL_DEVICE_STATE) || b->fds_n != 1 ||
	    m->transfer.direction > VHOST_LOAD || m->transfer.phase != VHOST_PHASE_STOPPED)
		return wrong(e, "a transfer of state that cannot be");
	for (unsigned i = 0; i < d->queues_n; i++)
		if (b->rings[i].running)
			return wrong(e, "a transfer of state while a ring runs");
	if (b->moving)
		return wrong(e, "two transfers of state at once");
	vhost_transfer_fini(&b->transfer);
	vhost_transfer_init(&b->transfer, moved);
	if (save && d->active && d->ops->save(d, &b->transfer.bytes, &why) == 0 &&
	    !buf_ok(&b->transfer.bytes))
		(void) err_sys(&why, -buf_error(&b->transfer.bytes), "save the state");
	judge(b, b->fds[0], &why);
	if (!b->good)
		return give_number(b, m, VHOST_STATE_NO_FD | 1, e);
	b->moving = true; /* unless it ends at once */
	r = vhost_transfer_begin(&b->transfer, b->loop, take_fd(&b->fds[0]), save);
	if (r < 0)
		return err_sys(e, -r, "the descriptor of the state");
	return give_number(b, m, VHOST_STATE_NO_FD, e);
}

static void stop_state(struct vhost_backend *b)
{
	vhost_transfer_fini(&b->transfer);
	b->moving = b->asked = false;
}

static int check_state(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	(void) m;
	if (!b->moving)
		return tell_state(b, e);
	b->asked = true;
	return 0;
}

static int serve_request(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	switch (m->request) {
	case VHOST_GET_FEATURES:
		return give_number(b, m, offered(b), e);
	case VHOST_SET_FEATURES:
		return set_features(b, m->number, e);
	case VHOST_GET_PROTOCOL_FEATURES:
		return give_number(b, m, protocol_offered(b), e);
	case VHOST_SET_PROTOCOL_FEATURES:
		if (m->number & ~protocol_offered(b))
			return wrong(e, "features of the protocol that were not offered");
		b->protocol_features = m->number;
		return 0;
	case VHOST_GET_QUEUE_NUM:
		return give_number(b, m, b->device->queues_n, e);
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_RESET_OWNER:
		stop_all(b);
		return 0;
	case VHOST_SET_MEM_TABLE:
		return set_memory(b, m, e);
	case VHOST_SET_LOG_BASE:
		return set_log(b, m, e);
	case VHOST_GET_CONFIG:
		return get_config(b, m, e);
	case VHOST_SET_CONFIG:
		b->device->ops->config_write(b->device, m->config.at, m->config.bytes, m->config.n);
		return 0;
	case VHOST_SET_DEVICE_STATE_FD:
		return set_state_fd(b, m, e);
	case VHOST_CHECK_DEVICE_STATE:
		return check_state(b, m, e);
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_ADDR:
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
	case VHOST_SET_VRING_ENABLE:
		return on_ring(b, m, e);
	}
	return wrong(e, "an unknown request");
}

/* One whole message. */
static int serve_message(struct vhost_backend *b, struct vhost_message *m, struct err *e)
{
	const bool acknowledge = m->need_reply && !vhost_has_reply(m->request) &&
				 (b->protocol_features & VHOST_PROTOCOL_REPLY_ACK);
	int r;

	m->need_reply = false;
	if (b->fds_n > vhost_fds_max(m->request))
		return wrong(e, "descriptors that nothing asked for");
	r = serve_request(b, m, e);
	close_fds(b);
	if (acknowledge) {
		struct err ignored;
		struct vhost_message answer = { .request = m->request, .reply = true };

		answer.number = r < 0;
		if (reply(b, &answer, r < 0 ? &ignored : e) < 0 && r == 0)
			r = -EPROTO;
	}
	return r < 0 ? err_ctx(e, "%s", vhost_request_name(m->request)) : 0;
}

/* --- the socket --- */

static void end(struct vhost_backend *b, const struct err *why)
{
	loop_remove(&b->readable);
	close_fd(&b->socket);
	close_fds(b);
	stop_state(b);
	stop_all(b);
	b->ended(b, why);
}

/* What is there of the message's next part. 1: all of `until`, 0: not yet, -EPIPE: the end. */
static int fill(struct vhost_backend *b, size_t until, struct err *e)
{
	while (b->in_n < until) {
		size_t got = 0;
		ssize_t n = fdpass_recv(b->socket, b->in + b->in_n, until - b->in_n,
					b->fds + b->fds_n, VHOST_REGIONS_MAX - b->fds_n, &got);

		if (n == -EAGAIN)
			return 0;
		if (n < 0 && n != -ECONNRESET)
			return err_sys(e, (int) -n, "read a request");
		if (n <= 0)
			return -EPIPE;
		b->fds_n += got;
		b->in_n += (size_t) n;
	}
	return 1;
}

/* Whether it leaves rings, memory and the device as they are. */
static bool only_asks(enum vhost_request r)
{
	return r == VHOST_GET_FEATURES || r == VHOST_GET_PROTOCOL_FEATURES ||
	       r == VHOST_GET_QUEUE_NUM || r == VHOST_GET_CONFIG || r == VHOST_SET_VRING_CALL ||
	       r == VHOST_SET_VRING_ERR;
}

/* 1: a message was served, 0: there is no whole one, negative: the end, e->kind ERR_NONE if good.
 */
static int serve_next(struct vhost_backend *b, struct err *e)
{
	struct vhost_message m = {};
	uint32_t n = 0;
	int r = fill(b, VHOST_HEADER_SIZE, e);

	if (r <= 0)
		return r;
	r = vhost_decode_header(b->in, &m, &n);
	if (r < 0 || m.reply)
		return err_set(e, ERR_REMOTE, EPROTO, "request %u cannot be served",
			       (unsigned) m.request);
	r = fill(b, VHOST_HEADER_SIZE + n, e);
	if (r <= 0)
		return r;
	b->in_n = 0;
	if (vhost_decode_payload(b->in + VHOST_HEADER_SIZE, n, &m) < 0)
		return err_set(e, ERR_REMOTE, EPROTO, "%s: %u bytes are no such message",
			       vhost_request_name(m.request), n);
	if (b->device->held && !only_asks(m.request)) {
		b->waiting = m;
		b->waits = b->device->quiet = true;
		r = loop_change(&b->readable, EPOLLRDHUP);
		return r < 0 ? err_sys(e, -r, "wait for the device") : 0;
	}
	r = serve_message(b, &m, e);
	return r < 0 ? r : 1;
}

/* It holds nothing any more: the message that waited for that. */
static void settled(struct virtio_device *d)
{
	struct vhost_backend *b = d->transport;
	struct err e = {};
	int r;

	d->quiet = false;
	if (!b->waits)
		return;
	b->waits = false;
	r = serve_message(b, &b->waiting, &e);
	if (r == 0)
		r = loop_change(&b->readable, EPOLLIN);
	if (r < 0)
		end(b, e.kind == ERR_NONE ? NULL : &e);
	for (unsigned i = 0; r == 0 && i < d->queues_n; i++)
		if (b->rings[i].running)
			d->ops->kick(d, i); /* what came meanwhile */
}

static void readable(struct loop_source *s, uint32_t events)
{
	struct vhost_backend *b = LOOP_OWNER(s, struct vhost_backend, readable);
	struct err e = {};
	int r;

	/* The end shows in what is read, if anything is. */
	r = !b->waits					  ? serve_next(b, &e)
	    : events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR) ? -EPIPE
							  : 0;
	if (r < 0)
		end(b, e.kind == ERR_NONE ? NULL : &e);
}

void vhost_backend_init(struct vhost_backend *b, struct loop *l, int socket)
{
	*b = (struct vhost_backend){ .loop = l, .socket = socket };
	vhost_transfer_init(&b->transfer, moved);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		b->rings[i].backend = b;
		b->rings[i].kick = b->rings[i].call = b->rings[i].err = FD_NONE;
	}
}

int vhost_backend_serve(struct vhost_backend *b, struct virtio_device *d,
			void (*ended)(struct vhost_backend *b, const struct err *why),
			void (*broken)(struct vhost_backend *b, const char *why), struct err *e)
{
	int flags = fcntl(b->socket, F_GETFL);
	int r;

	if (flags < 0 || fcntl(b->socket, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "the socket of the front end");
	r = loop_add(b->loop, &b->readable, b->socket, EPOLLIN, readable);
	if (r < 0)
		return err_sys(e, -r, "watch the socket of the front end");
	b->device = d;
	b->ended = ended;
	b->broken = broken;
	d->transport = b;
	d->interrupt = interrupt;
	d->config_changed = config_changed;
	d->needs_reset = needs_reset;
	d->settled = settled;
	return 0;
}

void vhost_backend_fini(struct vhost_backend *b)
{
	loop_remove(&b->readable);
	stop_state(b);
	stop_all(b);
	close_fds(b);
	close_fd(&b->socket);
	for (size_t i = 0; i < GUEST_REGIONS_MAX; i++)
		unmap(&b->mappings[i]);
	b->memory = (struct guest_memory){};
	vhost_log_fini(&b->log);
	b->device = NULL;
}
