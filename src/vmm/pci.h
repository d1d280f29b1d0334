/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI bus: a host bridge and up to 31 virtio devices, and the one place where the guest's
 * accesses to addresses that are no memory are told apart. What the guest reads lies in pages that
 * KVM shows it directly (or that are copied from, where it cannot); writes exit and come here.
 * Functions and their windows are where they are for good: a guest can size a window, not move it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/hypervisor.h"

#define PCI_DEVICES_MAX 31
#define PCI_PAGE	4096u

struct virtio_pci;

struct pci {
	uint8_t *ecam;	/* what the guest reads of configuration space: a page per function */
	uint8_t *pages; /* what it reads at LAYOUT_PCI_READ: a page per device */
	struct virtio_pci *devices[PCI_DEVICES_MAX]; /* owned; in slots 1, 2, ... */
	unsigned devices_n;
};

[[nodiscard]] int pci_init(struct pci *p, struct err *e);
void pci_fini(struct pci *p);
/* Show the pages to the guest: once all devices are there. */
[[nodiscard]] int pci_show(struct pci *p, const struct hypervisor *h, struct err *e);

/*
 * An access of the guest, of any thread of a processor: n bytes (1 to 8) at gpa. Reads of what is
 * not there are all ones, writes to it nothing.
 */
void pci_access(struct pci *p, uint64_t gpa, uint8_t *data, uint32_t n, bool is_write);
