/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/pci.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/le.h"
#include "base/num.h"
#include "vmm/layout.h"
#include "vmm/virtio_pci.h"

#define FUNCTIONS_PER_SLOT 8
#define PAGES_BYTES	   (PCI_DEVICES_MAX * PCI_PAGE)

static uint8_t *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int pci_init(struct pci *p, struct err *e)
{
	*p = (struct pci){ .ecam = map(LAYOUT_ECAM_BYTES), .pages = map(PAGES_BYTES) };
	if (!p->ecam || !p->pages)
		return err_sys(e, errno, "make the PCI bus");
	store_le16(p->ecam, 0x1b36);	  /* Red Hat, as the generic host bridge has it */
	store_le16(p->ecam + 2, 0x0008);  /* a PCI Express host bridge */
	store_le16(p->ecam + 10, 0x0600); /* its class */
	return 0;
}

void pci_fini(struct pci *p)
{
	for (unsigned i = 0; i < p->devices_n; i++)
		virtio_pci_free(p->devices[i]);
	p->devices_n = 0;
	if (p->ecam)
		(void) munmap(p->ecam, LAYOUT_ECAM_BYTES); /* ours: cannot fail */
	if (p->pages)
		(void) munmap(p->pages, PAGES_BYTES);
	p->ecam = p->pages = NULL;
}

int pci_show(struct pci *p, const struct hypervisor *h, struct err *e)
{
	if (!h->read_only)
		return 0; /* every read exits */
	if (hypervisor_slot(h, SLOT_ECAM, LAYOUT_ECAM, LAYOUT_ECAM_BYTES, p->ecam, true, e) < 0)
		return -1;
	if (p->devices_n == 0)
		return 0;
	return hypervisor_slot(h, SLOT_PCI_READ, LAYOUT_PCI_READ,
			       (uint64_t) p->devices_n * PCI_PAGE, p->pages, true, e);
}

/* The device whose page in a row of pages begins at or before `at`, and *at within it. */
static struct virtio_pci *device_at(const struct pci *p, uint64_t *at, uint32_t n)
{
	uint64_t i = *at / PCI_PAGE;

	*at %= PCI_PAGE;
	return i < p->devices_n && range_in(*at, n, PCI_PAGE) ? p->devices[i] : NULL;
}

static void configuration(struct pci *p, uint64_t at, uint8_t *data, uint32_t n, bool is_write)
{
	uint64_t function = at / PCI_PAGE, slot = function / FUNCTIONS_PER_SLOT;

	if (!range_in(at % PCI_PAGE, n, PCI_PAGE))
		return;
	if (!is_write)
		memcpy(data, p->ecam + at, n);
	else if (function % FUNCTIONS_PER_SLOT == 0 && slot >= 1 && slot <= p->devices_n)
		virtio_pci_configure(p->devices[slot - 1], (uint32_t) (at % PCI_PAGE), data, n);
}

void pci_access(struct pci *p, uint64_t gpa, uint8_t *data, uint32_t n, bool is_write)
{
	uint64_t ecam = gpa - LAYOUT_ECAM, read = gpa - LAYOUT_PCI_READ,
		 write = gpa - LAYOUT_PCI_WRITE;
	struct virtio_pci *d;

	if (n > 8)
		return;
	if (!is_write)
		memset(data, 0xff, n);
	if (ecam < LAYOUT_ECAM_BYTES) {
		configuration(p, ecam, data, n, is_write);
	} else if (read < PAGES_BYTES) {
		d = device_at(p, &read, n);
		if (d && is_write)
			virtio_pci_write(d, (uint32_t) read, data, n);
		else if (d)
			virtio_pci_read(d, (uint32_t) read, data, n);
	} else if (write < PAGES_BYTES) {
		d = device_at(p, &write, n);
		if (d && is_write)
			virtio_pci_doorbell(d, (uint32_t) write);
		else if (d)
			virtio_pci_read_status(d, (uint32_t) write, data, n);
	}
}
