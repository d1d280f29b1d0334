/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI (virtio 1.2, 4.1), modern only, MSI-X only: the transport of one device. Two
 * windows: a page that the guest reads without an exit and writes with one (common configuration,
 * the device's own, MSI-X), and a page where every access exits, but for the doorbells, which are
 * KVM's. The window by which firmware without ECAM reaches the others (4.1.4.9) is left out.
 *
 * Threads: processors come in one at a time per device (`turn`); the thread of the device's loop
 * never waits for them. What the two share (the page, MSI-X) is under `lock`. Status changes that
 * start or reset the device run on that thread, and the processor waits for them.
 *
 * A device that is another process interrupts without us in between (`wire`) while MSI-X lets it:
 * what is masked goes by the loop, where it becomes pending.
 *
 *    registers --DRIVER_OK--> active: queues and features are frozen --0--> registers
 *                             nonsense --> NEEDS_RESET: quiet until 0 is written
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "virtio/device.h"
#include "vmm/errand.h"
#include "vmm/hypervisor.h"
#include "vmm/pci.h"

#define VIRTIO_PCI_VECTORS_MAX (VIRTIO_QUEUES_MAX + 1)
#define VIRTIO_PCI_NO_VECTOR   0xffff

struct virtio_pci_queue {
	uint64_t desc, avail, used;
	uint16_t size, vector;
	bool enabled;
	struct loop_source source;
	int event_fd;  /* owned: the doorbell */
	int direct_fd; /* borrowed: what is rung instead while the device is active; FD_NONE */
	/* Borrowed: the device's own event descriptor that KVM makes interrupts of; FD_NONE. */
	int wired_fd;
	uint64_t wired_address; /* which interrupts */
	uint32_t wired_data;
	unsigned index;
	struct virtio_pci *owner;
};

struct virtio_pci {
	struct virtio_device *device;	     /* owned */
	const struct hypervisor *hypervisor; /* borrowed; NULL: in tests */
	struct errands *errands; /* borrowed: of the device's loop; NULL: run at once, in tests */
	uint8_t *config, *page, *pages; /* borrowed: of struct pci */
	uint64_t offered, taken;
	uint32_t device_select, driver_select;
	uint16_t queue_select, config_vector, vectors_n;
	uint8_t status, interrupt_status;
	struct virtio_pci_queue queues[VIRTIO_QUEUES_MAX];
	pthread_mutex_t turn; /* one processor at a time; taken before `lock`, held over errands */
	pthread_mutex_t lock; /* page, vectors, statuses; a leaf */
	struct errand errand; /* of who has the turn */
	bool failed;	      /* its outcome */
	uint64_t interrupts;  /* sent by us; written under `lock`, read without */
};

/* Put a device into the next slot. Takes it. */
[[nodiscard]] int virtio_pci_add(struct pci *p, struct virtio_device *d, const struct hypervisor *h,
				 struct errands *errands, struct err *e);
void virtio_pci_free(struct virtio_pci *v);

/*
 * Registers, MSI-X and the device as bytes, and back into the same device of a new machine. While
 * no processor runs and the device's thread stands, or has not begun: virtio_pause(), save, resume;
 * or restore, and resume once the processors' interrupt controllers are there.
 */
[[nodiscard]] int virtio_pci_save(struct virtio_pci *v, struct buf *to, struct err *e);
[[nodiscard]] int virtio_pci_restore(struct virtio_pci *v, struct str state, struct err *e);
/* The device goes on, on its own thread; woken: the driver looks at its queues, too. */
void virtio_pci_resume(struct virtio_pci *v, bool woken);

/* Accesses of processors; the range lies within the page. */
void virtio_pci_configure(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n);
void virtio_pci_write(struct virtio_pci *v, uint32_t at, const uint8_t *data, uint32_t n);
void virtio_pci_read(struct virtio_pci *v, uint32_t at, uint8_t *data, uint32_t n);
void virtio_pci_doorbell(struct virtio_pci *v, uint32_t at);
void virtio_pci_read_status(struct virtio_pci *v, uint32_t at, uint8_t *data, uint32_t n);
