/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest does to its PCI bus: accesses of any address and width, writes to its own memory
 * (where the rings may be), and devices that get their turn. On the bus: a source of entropy, a
 * disk and a balloon. Nothing may be touched outside of the guest's memory; that is the
 * sanitizers' to say.
 *
 *   op:u8 (kind and width) at:u16 value:u32, again and again
 */
#include "base/le.h"
#include "fuzz.h"
#include "virtio/balloon.h"
#include "virtio/block.h"
#include "virtio/entropy.h"
#include "virtio/test_guest.h"
#include "vmm/layout.h"
#include "vmm/pci.h"
#include "vmm/virtio_pci.h"

#define STEP_BYTES 7
#define DISK_BYTES 8192
#define DEVICES	   3u

static void nothing(struct loop_timer *)
{
}

static void add(struct pci *p, struct virtio_device *d)
{
	struct err e;

	if (!d || virtio_pci_add(p, d, NULL, NULL, &e) < 0)
		abort();
}

static int make_disk(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0)
		abort();
	return fd;
}

static void step(struct pci *p, struct loop *l, struct guest *g, const uint8_t *at)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	uint32_t width = widths[at[0] >> 6], value = load_le32(at + 3);
	uint64_t off = load_le16(at + 1), device = at[0] >> 3 & 3;
	bool is_write = at[0] & 4;
	uint8_t data[8];

	store_le64(data, (uint64_t) value << 32 | value);
	switch (at[0] & 3) {
	case 0:
		pci_access(p, LAYOUT_ECAM + (device * 8 + (off >> 12)) * PCI_PAGE + off % PCI_PAGE,
			   data, width, is_write);
		break;
	case 1:
		pci_access(p, LAYOUT_PCI_READ + device * PCI_PAGE + off, data, width, is_write);
		break;
	case 2:
		pci_access(p, LAYOUT_PCI_WRITE + device * PCI_PAGE + off % PCI_PAGE, data, width,
			   is_write);
		break;
	default:
		memcpy(g->bytes + off, data, width);
		if (!is_write && loop_once(l) < 0)
			abort();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest g;
	struct loop l;
	struct pci p;
	struct loop_timer wake = { 0 };
	struct err e;

	guest_init(&g);
	if (loop_init(&l) < 0 || pci_init(&p, &e) < 0)
		abort();
	add(&p, entropy_new(&l, &g.memory, &e));
	add(&p, block_new(&l, &g.memory, make_disk(), false, NULL, &e));
	add(&p, balloon_new(&l, &g.memory, &e));
	if (p.devices_n != DEVICES)
		abort();
	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
		/* So that a turn of the loop with nothing to do does not wait. */
		loop_timer_set(&l, &wake, 0, nothing);
		step(&p, &l, &g, data);
	}
	loop_timer_cancel(&wake);
	pci_fini(&p);
	loop_fini(&l);
	guest_fini(&g);
	return 0;
}
