/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/auto.h"
#include "base/le.h"
#include "base/num.h"
#include "base/pack.h"
#include "vmm/layout.h"

/* Within the page that is read without exits, BAR 0. */
#define COMMON_AT    0x000
#define COMMON_BYTES 0x38
#define DEVICE_AT    0x100
#define DEVICE_BYTES 0x200
#define TABLE_AT     0x800
#define ENTRY_BYTES  16
#define PENDING_AT   0xc00
/* Within the other one, BAR 2. */
#define NOTIFY_AT     0x000
#define NOTIFY_STRIDE 4
#define STATUS_AT     0x800

/* Common configuration (4.1.4.3). */
enum {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_VECTOR = 0x10,
	NUM_QUEUES = 0x12,
	DEVICE_STATUS = 0x14,
	CONFIG_GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_AVAIL = 0x28,
	QUEUE_USED = 0x30,
};

/* Device status (2.1). */
enum {
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
	STATUS_KNOWN = 1 | 2 | STATUS_DRIVER_OK | STATUS_FEATURES_OK | 128,
};

/* PCI configuration. */
enum {
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_BAR0 = 0x10,
	PCI_BAR2 = 0x18,
	PCI_SUBSYSTEM = 0x2c,
	PCI_CAPABILITIES = 0x34,
	FIRST_CAPABILITY = 0x40,
	MSIX_CAPABILITY = 0x90,
};
#define COMMAND_WRITABLE (1 << 1 | 1 << 2 | 1 << 10) /* memory, bus master, no INTx */
#define MSIX_ENABLE	 (1 << 15)
#define MSIX_MASK	 (1 << 14)

static void lock(struct virtio_pci *v)
{
	(void) pthread_mutex_lock(&v->lock);
}

static void unlock(struct virtio_pci *v)
{
	(void) pthread_mutex_unlock(&v->lock);
}

/* ---- MSI-X (PCI 3.0, 6.8.2); all under `lock` */

static uint16_t msix_control(const struct virtio_pci *v)
{
	return load_le16(v->config + MSIX_CAPABILITY + 2);
}

static void send(struct virtio_pci *v, uint16_t vector)
{
	uint8_t *entry = v->page + TABLE_AT + vector * ENTRY_BYTES;
	uint8_t *pending = v->page + PENDING_AT + vector / 8, bit = (uint8_t) (1 << vector % 8);

	if ((msix_control(v) & MSIX_MASK) || (load_le32(entry + 12) & 1)) {
		*pending |= bit;
		return;
	}
	*pending &= (uint8_t) ~bit;
	__atomic_store_n(&v->interrupts, v->interrupts + 1, __ATOMIC_RELAXED);
	if (v->hypervisor)
		hypervisor_signal(v->hypervisor, load_le64(entry), load_le32(entry + 8));
}

static void interrupt_vector(struct virtio_pci *v, uint16_t vector, uint8_t reason)
{
	if (!(msix_control(v) & MSIX_ENABLE))
		v->interrupt_status |= reason; /* to be polled: there is no INTx */
	else if (vector < v->vectors_n)
		send(v, vector);
}

static void send_pending(struct virtio_pci *v)
{
	for (uint16_t i = 0; i < v->vectors_n; i++)
		if (v->page[PENDING_AT + i / 8] & 1 << i % 8)
			send(v, i);
}

/* ---- what the device calls, on the loop's thread */

static void interrupt(struct virtio_device *d, unsigned queue)
{
	struct virtio_pci *v = d->transport;

	lock(v);
	interrupt_vector(v, v->queues[queue].vector, 1);
	unlock(v);
}

static void show_device_config(struct virtio_pci *v)
{
	uint8_t now[DEVICE_BYTES];

	v->device->ops->config_read(v->device, 0, now, sizeof(now));
	/* By bytes that differ, so that a reader sees whole numbers of what did not change. */
	for (size_t i = 0; i < sizeof(now); i += 4)
		if (memcmp(v->page + DEVICE_AT + i, now + i, 4) != 0)
			__atomic_store_n((uint32_t *) (void *) (v->page + DEVICE_AT + i),
					 load_le32(now + i), __ATOMIC_RELAXED);
}

static void config_changed(struct virtio_device *d)
{
	struct virtio_pci *v = d->transport;

	lock(v);
	show_device_config(v);
	v->page[CONFIG_GENERATION]++;
	interrupt_vector(v, v->config_vector, 2);
	unlock(v);
}

static void show_status(struct virtio_pci *v)
{
	v->page[DEVICE_STATUS] = v->status;
}

static void needs_reset(struct virtio_device *d, const char *)
{
	struct virtio_pci *v = d->transport;

	lock(v);
	v->status |= STATUS_NEEDS_RESET;
	show_status(v);
	if (v->status & STATUS_DRIVER_OK)
		interrupt_vector(v, v->config_vector, 2);
	unlock(v);
}

/* ---- common configuration; by who has the turn */

/* The registers of the selected queue; of one that is not there: zeros. */
static void show_queue(struct virtio_pci *v)
{
	const struct virtio_pci_queue none = { .vector = VIRTIO_PCI_NO_VECTOR };
	bool there = v->queue_select < v->device->queues_n;
	const struct virtio_pci_queue *q = there ? &v->queues[v->queue_select] : &none;
	uint8_t *p = v->page;

	store_le16(p + QUEUE_SELECT, v->queue_select);
	store_le16(p + QUEUE_SIZE, q->size);
	store_le16(p + QUEUE_VECTOR, q->vector);
	store_le16(p + QUEUE_ENABLE, q->enabled);
	store_le16(p + QUEUE_NOTIFY_OFF, there ? v->queue_select : 0);
	store_le64(p + QUEUE_DESC, q->desc);
	store_le64(p + QUEUE_AVAIL, q->avail);
	store_le64(p + QUEUE_USED, q->used);
}

static void show_features(struct virtio_pci *v)
{
	uint8_t *p = v->page;

	store_le32(p + DEVICE_FEATURE_SELECT, v->device_select);
	store_le32(p + DRIVER_FEATURE_SELECT, v->driver_select);
	store_le32(p + DEVICE_FEATURE,
		   v->device_select < 2 ? (uint32_t) (v->offered >> 32 * v->device_select) : 0);
	store_le32(p + DRIVER_FEATURE,
		   v->driver_select < 2 ? (uint32_t) (v->taken >> 32 * v->driver_select) : 0);
}

static void show_all(struct virtio_pci *v)
{
	show_features(v);
	store_le16(v->page + CONFIG_VECTOR, v->config_vector);
	store_le16(v->page + NUM_QUEUES, (uint16_t) v->device->queues_n);
	show_status(v);
	show_queue(v);
}

/* As after power-on, but for MSI-X's own table (2.4). */
static void clear_registers(struct virtio_pci *v)
{
	v->taken = 0;
	v->device_select = v->driver_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_PCI_NO_VECTOR;
	v->status = v->interrupt_status = 0;
	for (unsigned i = 0; i < v->device->queues_n; i++) {
		struct virtio_pci_queue *q = &v->queues[i];

		q->desc = q->avail = q->used = 0;
		q->size = v->device->queue_size_max;
		q->vector = VIRTIO_PCI_NO_VECTOR;
		q->enabled = false;
	}
	v->page[CONFIG_GENERATION] = 0;
	memset(v->page + PENDING_AT, 0, VIRTIO_PCI_VECTORS_MAX / 8 + 1);
	show_all(v);
}

static uint64_t doorbell_of(const struct virtio_pci *v, unsigned queue)
{
	uint64_t index = (uint64_t) (v->page - v->pages) / PCI_PAGE;

	return LAYOUT_PCI_WRITE + index * PCI_PAGE + NOTIFY_AT + queue * NOTIFY_STRIDE;
}

/*
 * The guest rings a device that is another process without us in between. What cannot be changed
 * stays: then the loop passes it on, or nobody is rung who could be.
 */
static void ring_directly(struct virtio_pci *v)
{
	const struct virtio_device *d = v->device;

	for (unsigned i = 0; i < d->queues_n && d->ops->kick_fd && v->hypervisor; i++) {
		struct virtio_pci_queue *q = &v->queues[i];
		int fd = q->enabled ? d->ops->kick_fd(d, i) : FD_NONE;

		if (fd < 0 ||
		    hypervisor_doorbell(v->hypervisor, doorbell_of(v, i), q->event_fd, false) < 0)
			continue;
		if (hypervisor_doorbell(v->hypervisor, doorbell_of(v, i), fd, true) == 0)
			q->direct_fd =
				fd; /* else every ring exits, and virtio_pci_doorbell() does it */
	}
}

static void ring_loop(struct virtio_pci *v)
{
	for (unsigned i = 0; i < v->device->queues_n; i++) {
		struct virtio_pci_queue *q = &v->queues[i];

		if (q->direct_fd < 0)
			continue;
		/* A doorbell that cannot be put back is one whose every ring exits. */
		if (hypervisor_doorbell(v->hypervisor, doorbell_of(v, i), q->direct_fd, false) == 0)
			(void) hypervisor_doorbell(v->hypervisor, doorbell_of(v, i), q->event_fd,
						   true);
		q->direct_fd = FD_NONE;
	}
}

static unsigned line_of(const struct virtio_pci *v, unsigned queue)
{
	return (unsigned) ((v->page - v->pages) / PCI_PAGE) * VIRTIO_QUEUES_MAX + queue;
}
static_assert(PCI_DEVICES_MAX * VIRTIO_QUEUES_MAX <= HYPERVISOR_LINES_MAX, "a line per queue");

/* Whether the guest takes interrupts of the queue now, and which. */
static bool route_of(struct virtio_pci *v, unsigned queue, uint64_t *ret_address,
		     uint32_t *ret_data)
{
	uint16_t vector = v->queues[queue].vector;
	const uint8_t *entry;
	bool open;

	if (vector >= v->vectors_n)
		return false;
	entry = v->page + TABLE_AT + vector * ENTRY_BYTES;
	lock(v);
	open = (msix_control(v) & (MSIX_ENABLE | MSIX_MASK)) == MSIX_ENABLE &&
	       !(load_le32(entry + 12) & 1);
	*ret_address = load_le64(entry);
	*ret_data = load_le32(entry + 8);
	unlock(v);
	return open;
}

static void unwire(struct virtio_pci *v, unsigned queue)
{
	struct virtio_pci_queue *q = &v->queues[queue];

	if (q->wired_fd < 0)
		return;
	/* Neither can fail: the wire is there, and who listens has done so before. */
	(void) hypervisor_unwire(v->hypervisor, line_of(v, queue), q->wired_fd);
	(void) v->device->ops->listen(v->device, queue, true);
	q->wired_fd = FD_NONE;
}

/* As the guest's table of vectors says now; on the loop's thread. Interrupts go by the loop where
 * KVM does not take them. */
static void wire(struct virtio_pci *v)
{
	struct virtio_device *d = v->device;

	for (unsigned i = 0; i < d->queues_n && d->ops->call_fd && v->hypervisor; i++) {
		struct virtio_pci_queue *q = &v->queues[i];
		int fd = d->active && q->enabled ? d->ops->call_fd(d, i) : FD_NONE;
		uint64_t address = 0;
		uint32_t data = 0;
		bool open = fd >= 0 && route_of(v, i, &address, &data);

		if (open && q->wired_fd == fd && q->wired_address == address &&
		    q->wired_data == data)
			continue;
		unwire(v, i);
		if (!open || d->ops->listen(d, i, false) < 0)
			continue;
		if (hypervisor_wire(v->hypervisor, line_of(v, i), fd, address, data) < 0) {
			(void) d->ops->listen(d, i, true); /* as before */
			continue;
		}
		q->wired_fd = fd;
		q->wired_address = address;
		q->wired_data = data;
	}
}

static void run_wire(struct errand *d)
{
	wire(LOOP_OWNER(d, struct virtio_pci, errand));
}

static void place_queues(struct virtio_pci *v)
{
	for (unsigned i = 0; i < v->device->queues_n; i++) {
		const struct virtio_pci_queue *from = &v->queues[i];
		struct queue *q = &v->device->queues[i];

		q->size = from->size;
		q->desc = from->desc;
		q->avail = from->avail;
		q->used = from->used;
		q->enabled = from->enabled;
	}
}

static void run_activate(struct errand *d)
{
	struct virtio_pci *v = LOOP_OWNER(d, struct virtio_pci, errand);
	struct err e;

	place_queues(v);
	v->failed = virtio_activate(v->device, v->taken, &e) < 0;
	if (v->failed) {
		virtio_reset(v->device);
	} else {
		ring_directly(v);
		wire(v);
	}
}

static void run_reset(struct errand *d)
{
	struct virtio_pci *v = LOOP_OWNER(d, struct virtio_pci, errand);

	ring_loop(v);
	for (unsigned i = 0; i < v->device->queues_n; i++)
		unwire(v, i);
	virtio_reset(v->device);
}

static void run(struct virtio_pci *v, void (*what)(struct errand *d))
{
	v->errand = (struct errand){ .run = what };
	if (v->errands)
		errand_await(v->errands, &v->errand);
	else
		what(&v->errand);
}

/* What decides about interrupts has changed; by who has the turn, without `lock`. */
static void rewire(struct virtio_pci *v)
{
	if (v->device->ops->call_fd && v->device->active)
		run(v, run_wire);
}

static void write_status(struct virtio_pci *v, uint8_t value)
{
	uint8_t fresh;

	if (value == 0) {
		run(v, run_reset);
		lock(v);
		clear_registers(v);
		unlock(v);
		return;
	}
	lock(v);
	fresh = (uint8_t) (value & STATUS_KNOWN & ~v->status); /* a bit is taken back by 0 alone */
	/* 3.1.1: features are agreed upon first, and are what was offered. */
	if (fresh & STATUS_FEATURES_OK &&
	    ((v->taken & ~v->offered) || !(v->taken & VIRTIO_VERSION_1)))
		fresh &= (uint8_t) ~STATUS_FEATURES_OK;
	if (!((v->status | fresh) & STATUS_FEATURES_OK))
		fresh &= (uint8_t) ~STATUS_DRIVER_OK;
	v->status |= fresh;
	unlock(v);
	v->failed = false;
	if (fresh & STATUS_DRIVER_OK)
		run(v, run_activate);
	lock(v);
	if (v->failed)
		v->status |= STATUS_NEEDS_RESET;
	show_status(v);
	show_device_config(v);
	unlock(v);
}

/* One half, or the whole, of a number of 64 bits. */
static void write_half(uint64_t *to, uint32_t at, const uint8_t *data, uint32_t n)
{
	uint8_t bytes[8];

	store_le64(bytes, *to);
	if (n == 8 && at == 0)
		memcpy(bytes, data, 8);
	else if (n == 4 && (at == 0 || at == 4))
		memcpy(bytes + at, data, 4);
	*to = load_le64(bytes);
}

static uint16_t vector_of(const struct virtio_pci *v, uint16_t value)
{
	return value < v->vectors_n ? value : VIRTIO_PCI_NO_VECTOR;
}

static void write_queue(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	struct virtio_pci_queue *q;
	uint16_t value;

	if (v->queue_select >= v->device->queues_n)
		return;
	q = &v->queues[v->queue_select];
	value = n == 2 ? load_le16(data) : 0;
	if (n == 2 && at == QUEUE_VECTOR) {
		q->vector = vector_of(v, value);
	} else if (v->status & STATUS_DRIVER_OK || q->enabled) {
		return; /* frozen (CVE-2026-5747 is what comes of it otherwise) */
	} else if (n == 2 && at == QUEUE_SIZE) {
		if (value && value <= v->device->queue_size_max && !(value & (value - 1)))
			q->size = value;
	} else if (n == 2 && at == QUEUE_ENABLE) {
		q->enabled = value == 1 && v->status & STATUS_FEATURES_OK;
	} else if (at >= QUEUE_USED && at < COMMON_BYTES) {
		write_half(&q->used, at - QUEUE_USED, data, n);
	} else if (at >= QUEUE_AVAIL) {
		write_half(&q->avail, at - QUEUE_AVAIL, data, n);
	} else if (at >= QUEUE_DESC) {
		write_half(&q->desc, at - QUEUE_DESC, data, n);
	}
}

static void write_common(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	if (at == DEVICE_STATUS) {
		if (n == 1)
			write_status(v, data[0]);
		return;
	}
	lock(v);
	if (at == DEVICE_FEATURE_SELECT && n == 4) {
		v->device_select = load_le32(data);
	} else if (at == DRIVER_FEATURE_SELECT && n == 4) {
		v->driver_select = load_le32(data);
	} else if (at == DRIVER_FEATURE && n == 4 && v->driver_select < 2 &&
		   !(v->status & STATUS_FEATURES_OK)) {
		v->taken &= ~(UINT64_C(0xffffffff) << 32 * v->driver_select);
		v->taken |= (uint64_t) load_le32(data) << 32 * v->driver_select;
	} else if (at == CONFIG_VECTOR && n == 2) {
		v->config_vector = vector_of(v, load_le16(data));
		store_le16(v->page + CONFIG_VECTOR, v->config_vector);
	} else if (at == QUEUE_SELECT && n == 2) {
		v->queue_select = load_le16(data);
	} else if (at >= QUEUE_SIZE) {
		write_queue(v, at, data, n);
	}
	show_features(v);
	show_queue(v);
	unlock(v);
	if (at == QUEUE_VECTOR)
		rewire(v);
}

/* ---- the rest of the windows */

struct config_write {
	struct errand errand;
	struct virtio_device *device;
	uint32_t at, n;
	const uint8_t *data;
};

static void run_config_write(struct errand *d)
{
	struct config_write *w = LOOP_OWNER(d, struct config_write, errand);

	w->device->ops->config_write(w->device, w->at, w->data, w->n);
}

static void write_device_config(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	struct config_write w = { .device = v->device, .at = at, .n = n, .data = data };

	w.errand.run = run_config_write;
	if (!v->device->ops->config_write)
		return;
	if (v->errands)
		errand_await(v->errands, &w.errand);
	else
		run_config_write(&w.errand);
	lock(v);
	show_device_config(v);
	unlock(v);
}

static void write_table(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	uint8_t *entry = v->page + TABLE_AT + at / ENTRY_BYTES * ENTRY_BYTES;

	if ((n != 4 && n != 8) || at % n)
		return;
	lock(v);
	memcpy(v->page + TABLE_AT + at, data, n);
	store_le32(entry + 12, load_le32(entry + 12) & 1);
	if (msix_control(v) & MSIX_ENABLE)
		send_pending(v);
	unlock(v);
	rewire(v);
}

void virtio_pci_write(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	(void) pthread_mutex_lock(&v->turn);
	if (range_in(at, n, COMMON_AT + COMMON_BYTES))
		write_common(v, at, data, n);
	else if (at >= DEVICE_AT && range_in(at - DEVICE_AT, n, DEVICE_BYTES))
		write_device_config(v, at - DEVICE_AT, data, n);
	else if (at >= TABLE_AT &&
		 range_in(at - TABLE_AT, n, (uint64_t) v->vectors_n * ENTRY_BYTES))
		write_table(v, at - TABLE_AT, data, n);
	(void) pthread_mutex_unlock(&v->turn);
}

void virtio_pci_read(struct virtio_pci *v, uint32_t at, uint8_t *data, uint32_t n)
{
	lock(v);
	memcpy(data, v->page + at, n);
	unlock(v);
}

void virtio_pci_doorbell(struct virtio_pci *v, uint32_t at)
{
	uint32_t queue = (at - NOTIFY_AT) / NOTIFY_STRIDE;

	if (queue < v->device->queues_n && at % NOTIFY_STRIDE == 0)
		(void) eventfd_write(v->queues[queue].event_fd, 1); /* full: it is rung already */
}

void virtio_pci_read_status(struct virtio_pci *v, uint32_t at, uint8_t *data, uint32_t n)
{
	memset(data, 0, n);
	if (at != STATUS_AT)
		return;
	lock(v);
	data[0] = v->interrupt_status; /* 4.1.4.5: reading takes it back */
	v->interrupt_status = 0;
	unlock(v);
}

/* ---- PCI configuration */

static void write_msix_control(struct virtio_pci *v, uint16_t value)
{
	uint16_t kept = (uint16_t) (msix_control(v) & ~(MSIX_ENABLE | MSIX_MASK));

	store_le16(v->config + MSIX_CAPABILITY + 2,
		   (uint16_t) (kept | (value & (MSIX_ENABLE | MSIX_MASK))));
	if ((value & MSIX_ENABLE) && !(value & MSIX_MASK))
		send_pending(v);
}

void virtio_pci_configure(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n)
{
	uint32_t aligned = at & ~3u, value;
	uint8_t bytes[4];

	if (at - aligned + n > 4)
		return;
	(void) pthread_mutex_lock(&v->turn);
	lock(v);
	memcpy(bytes, v->config + aligned, 4);
	memcpy(bytes + (at - aligned), data, n);
	value = load_le32(bytes);
	if (aligned == PCI_COMMAND) {
		store_le16(v->config + PCI_COMMAND, value & COMMAND_WRITABLE);
	} else if (aligned == PCI_BAR0 || aligned == PCI_BAR2) {
		uint64_t index = (uint64_t) (v->page - v->pages) / PCI_PAGE;
		uint64_t here = (aligned == PCI_BAR0 ? LAYOUT_PCI_READ : LAYOUT_PCI_WRITE) +
				index * PCI_PAGE;

		/* All ones ask for the size; anything else is where it is anyway. */
		store_le32(v->config + aligned,
			   value == UINT32_MAX ? ~(PCI_PAGE - 1) : (uint32_t) here);
	} else if (aligned == MSIX_CAPABILITY) {
		write_msix_control(v, (uint16_t) (value >> 16));
	}
	unlock(v);
	if (aligned == MSIX_CAPABILITY)
		rewire(v);
	(void) pthread_mutex_unlock(&v->turn);
}

/* ---- snapshots */

static bool is_sized(const struct virtio_pci *v, uint32_t bar)
{
	return load_le32(v->config + bar) == ~(PCI_PAGE - 1);
}

static void save_queue(const struct virtio_pci_queue *q, struct buf *to)
{
	pack_u64(to, q->desc);
	pack_u64(to, q->avail);
	pack_u64(to, q->used);
	pack_u16(to, q->size);
	pack_u16(to, q->vector);
	pack_u8(to, q->enabled);
}

int virtio_pci_save(struct virtio_pci *v, struct buf *to, struct err *e)
{
	const uint8_t *p = v->page;
	auto_buf struct buf own = BUF_INIT(to->max);

	lock(v);
	pack_u64(to, v->offered);
	pack_u64(to, v->taken);
	pack_u32(to, v->device_select);
	pack_u32(to, v->driver_select);
	pack_u16(to, v->queue_select);
	pack_u16(to, v->config_vector);
	pack_u8(to, v->status);
	pack_u8(to, v->interrupt_status);
	pack_u8(to, p[CONFIG_GENERATION]);
	pack_u16(to, load_le16(v->config + PCI_COMMAND));
	pack_u8(to, is_sized(v, PCI_BAR0));
	pack_u8(to, is_sized(v, PCI_BAR2));
	pack_u16(to, msix_control(v) & (MSIX_ENABLE | MSIX_MASK));
	pack_bytes(to, p + TABLE_AT, v->vectors_n * (size_t) ENTRY_BYTES);
	pack_bytes(to, p + PENDING_AT, VIRTIO_PCI_VECTORS_MAX / 8 + 1);
	unlock(v);
	for (unsigned i = 0; i < v->device->queues_n; i++)
		save_queue(&v->queues[i], to);
	pack_u8(to, v->device->active);
	if (virtio_save(v->device, &own, e) < 0)
		return -EIO;
	pack_bytes(to, own.p, own.n);
	if (!buf_ok(to) || !buf_ok(&own))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	return 0;
}

/* What a driver cannot write is not in a state either. */
static bool restore_queue(const struct virtio_pci *v, struct virtio_pci_queue *q, struct unpack *u)
{
	q->desc = unpack_u64(u);
	q->avail = unpack_u64(u);
	q->used = unpack_u64(u);
	q->size = unpack_u16(u);
	q->vector = vector_of(v, unpack_u16(u));
	q->enabled = unpack_u8(u) != 0;
	return q->size && q->size <= v->device->queue_size_max && !(q->size & (q->size - 1));
}

static void restore_table(struct virtio_pci *v, struct str table, struct str pending)
{
	memcpy(v->page + TABLE_AT, table.p, table.n);
	for (unsigned i = 0; i < v->vectors_n; i++) {
		uint8_t *control = v->page + TABLE_AT + i * ENTRY_BYTES + 12;

		store_le32(control, load_le32(control) & 1);
	}
	memcpy(v->page + PENDING_AT, pending.p, pending.n);
}

static bool restore_registers(struct virtio_pci *v, struct unpack *u)
{
	struct str table, pending;
	uint16_t msix, command;
	bool ok = true;

	v->taken = unpack_u64(u);
	v->device_select = unpack_u32(u);
	v->driver_select = unpack_u32(u);
	v->queue_select = unpack_u16(u);
	v->config_vector = vector_of(v, unpack_u16(u));
	v->status = unpack_u8(u) & (STATUS_KNOWN | STATUS_NEEDS_RESET);
	v->interrupt_status = unpack_u8(u) & 3;
	v->page[CONFIG_GENERATION] = unpack_u8(u);
	command = unpack_u16(u) & COMMAND_WRITABLE;
	store_le16(v->config + PCI_COMMAND, command);
	if (unpack_u8(u))
		store_le32(v->config + PCI_BAR0, ~(PCI_PAGE - 1));
	if (unpack_u8(u))
		store_le32(v->config + PCI_BAR2, ~(PCI_PAGE - 1));
	msix = unpack_u16(u) & (MSIX_ENABLE | MSIX_MASK);
	store_le16(v->config + MSIX_CAPABILITY + 2, msix_control(v) | msix);
	table = unpack_bytes(u);
	pending = unpack_bytes(u);
	if (table.n != v->vectors_n * (size_t) ENTRY_BYTES ||
	    pending.n != VIRTIO_PCI_VECTORS_MAX / 8 + 1 || (v->taken & ~v->offered))
		return false;
	restore_table(v, table, pending);
	for (unsigned i = 0; i < v->device->queues_n; i++)
		ok = restore_queue(v, &v->queues[i], u) && ok;
	return ok;
}

int virtio_pci_restore(struct virtio_pci *v, struct str state, struct err *e)
{
	struct unpack u = unpack_of(state);
	uint64_t offered = unpack_u64(&u);
	struct str own;
	bool active;

	if (!u.failed && offered != v->offered)
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: it offered features %#llx; this one offers %#llx",
			       v->device->ops->name, (unsigned long long) offered,
			       (unsigned long long) v->offered);
	if (!restore_registers(v, &u))
		return virtio_bad_state(v->device, e);
	active = unpack_u8(&u) != 0;
	own = unpack_bytes(&u);
	if (!unpack_done(&u) || (active && !(v->status & STATUS_DRIVER_OK)))
		return virtio_bad_state(v->device, e);
	if (active) {
		place_queues(v);
		if (virtio_restore(v->device, v->taken, own, e) < 0) {
			virtio_reset(v->device);
			return -EINVAL;
		}
		ring_directly(v);
		wire(v);
	}
	show_all(v);
	show_device_config(v);
	return 0;
}

void virtio_pci_resume(struct virtio_pci *v, bool woken)
{
	struct virtio_device *d = v->device;

	if (!d->active)
		return;
	if (d->ops->resume)
		d->ops->resume(d);
	for (unsigned i = 0; i < d->queues_n; i++) {
		if (!v->queues[i].enabled)
			continue;
		if (!d->ops->resume)
			(void) eventfd_write(v->queues[i].event_fd, 1); /* full: rung already */
		if (woken)
			interrupt(d, i);
	}
}

/* The class that lspci shows: only looks. */
static uint32_t class_of(enum virtio_id id)
{
	switch (id) {
	case VIRTIO_ID_IS_NET:
		return 0x020000;
	case VIRTIO_ID_IS_BLOCK:
	case VIRTIO_ID_IS_FS:
		return 0x018000;
	case VIRTIO_ID_IS_CONSOLE:
		return 0x078000;
	case VIRTIO_ID_IS_ENTROPY:
	case VIRTIO_ID_IS_BALLOON:
	case VIRTIO_ID_IS_VSOCK:
		return 0xff0000;
	}
	return 0xff0000;
}

struct window {
	uint8_t type, bar;
	uint32_t at, n;
};

/* virtio's capabilities (4.1.4), then MSI-X's. */
static void put_capabilities(struct virtio_pci *v)
{
	static const struct window windows[] = {
		{ 1, 0, COMMON_AT, COMMON_BYTES },
		{ 2, 2, NOTIFY_AT, NOTIFY_STRIDE * VIRTIO_QUEUES_MAX },
		{ 3, 2, STATUS_AT, 4 },
		{ 4, 0, DEVICE_AT, DEVICE_BYTES },
	};
	uint8_t at = FIRST_CAPABILITY, *c;

	v->config[PCI_CAPABILITIES] = at;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++, at = (uint8_t) (at + 0x14)) {
		c = v->config + at;
		c[0] = 0x09; /* vendor-specific */
		c[1] = (uint8_t) (at + 0x14);
		c[2] = windows[i].type == 2 ? 20 : 16;
		c[3] = windows[i].type;
		c[4] = windows[i].bar;
		store_le32(c + 8, windows[i].at);
		store_le32(c + 12, windows[i].n);
		if (windows[i].type == 2)
			store_le32(c + 16, NOTIFY_STRIDE);
	}
	c = v->config + MSIX_CAPABILITY;
	c[0] = 0x11;
	store_le16(c + 2, (uint16_t) (v->vectors_n - 1));
	store_le32(c + 4, TABLE_AT); /* both in BAR 0 */
	store_le32(c + 8, PENDING_AT);
}

static void put_config(struct virtio_pci *v, uint64_t index)
{
	enum virtio_id id = v->device->ops->id;
	uint8_t *c = v->config;

	store_le16(c, 0x1af4);
	store_le16(c + 2, (uint16_t) (0x1040 + id));
	store_le16(c + PCI_STATUS, 1 << 4); /* there are capabilities */
	store_le32(c + 8, class_of(id) << 8 | 1);
	store_le32(c + PCI_BAR0, (uint32_t) (LAYOUT_PCI_READ + index * PCI_PAGE));
	store_le32(c + PCI_BAR2, (uint32_t) (LAYOUT_PCI_WRITE + index * PCI_PAGE));
	store_le16(c + PCI_SUBSYSTEM, 0x1af4);
	store_le16(c + PCI_SUBSYSTEM + 2, (uint16_t) (0x40 + id));
	put_capabilities(v);
	for (uint16_t i = 0; i < v->vectors_n; i++) /* masked, as after a reset */
		store_le32(v->page + TABLE_AT + i * ENTRY_BYTES + 12, 1);
}

/* ---- making one */

static void rung(struct loop_source *s, uint32_t)
{
	struct virtio_pci_queue *q = LOOP_OWNER(s, struct virtio_pci_queue, source);
	struct virtio_device *d = q->owner->device;

	if (d->active && d->queues[q->index].enabled)
		d->ops->kick(d, q->index);
}

static int add_queue(struct virtio_pci *v, unsigned i, struct err *e)
{
	struct virtio_pci_queue *q = &v->queues[i];
	int r;

	q->index = i;
	q->owner = v;
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd < 0)
		return err_sys(e, errno, "make a doorbell");
	/* By edges: each ring is one, and nobody has to read the counter. It only wakes: the queue
	 * says what there is. */
	r = loop_add(v->device->loop, &q->source, q->event_fd, EPOLLIN | EPOLLET, rung);
	if (r < 0)
		return err_sys(e, -r, "make a doorbell");
	if (v->hypervisor)
		r = hypervisor_doorbell(v->hypervisor, doorbell_of(v, i), q->event_fd, true);
	return r < 0 ? err_sys(e, -r, "make a doorbell") : 0;
}

void virtio_pci_free(struct virtio_pci *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->device->queues_n; i++) {
		loop_remove(&v->queues[i].source);
		close_fd(&v->queues[i].event_fd);
	}
	v->device->ops->free(v->device);
	free(v);
}
AUTO_DEFINE(struct virtio_pci *, virtio_pci_free)

int virtio_pci_add(struct pci *p, struct virtio_device *d, const struct hypervisor *h,
		   struct errands *errands, struct err *e)
{
	__attribute__((cleanup(virtio_pci_freep))) struct virtio_pci *v = calloc(1, sizeof(*v));
	uint64_t index = p->devices_n;

	if (!v || index == PCI_DEVICES_MAX) {
		d->ops->free(d);
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no room for one more device");
	}
	v->device = d;
	v->hypervisor = h;
	v->errands = errands;
	v->pages = p->pages;
	v->page = p->pages + index * PCI_PAGE;
	v->config = p->ecam + (index + 1) * 8 * PCI_PAGE;
	v->vectors_n = (uint16_t) (d->queues_n + 1);
	v->offered = VIRTIO_RING_FEATURES | d->ops->features(d);
	/* With default attributes these cannot fail. */
	(void) pthread_mutex_init(&v->turn, NULL);
	(void) pthread_mutex_init(&v->lock, NULL);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		v->queues[i].event_fd = v->queues[i].direct_fd = v->queues[i].wired_fd = FD_NONE;
	for (unsigned i = 0; i < d->queues_n; i++)
		if (add_queue(v, i, e) < 0)
			return -1;
	put_config(v, index);
	clear_registers(v);
	show_device_config(v);
	d->transport = v;
	d->interrupt = interrupt;
	d->config_changed = config_changed;
	d->needs_reset = needs_reset;
	p->devices[p->devices_n++] = TAKE(v);
	return 0;
}
