/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's way to a device through PCI, with the source of random bytes as the device. */
#include "base/le.h"
#include "base/test.h"
#include "virtio/entropy.h"
#include "virtio/test_guest.h"
#include "vmm/layout.h"
#include "vmm/pci.h"
#include "vmm/virtio_pci.h"

#define CONFIG (LAYOUT_ECAM + 8 * PCI_PAGE) /* of the first slot */
#define COMMON LAYOUT_PCI_READ
#define TABLE  (LAYOUT_PCI_READ + 0x800)

static struct guest guest;
static struct loop loop;
static struct pci pci;

static uint64_t in(uint64_t at, uint32_t n)
{
	uint8_t bytes[8] = { 0 };

	pci_access(&pci, at, bytes, n, false);
	return load_le64(bytes);
}

static void out(uint64_t at, uint32_t n, uint64_t v)
{
	uint8_t bytes[8];

	store_le64(bytes, v);
	pci_access(&pci, at, bytes, n, true);
}

static void setup(void)
{
	struct err e;
	struct virtio_device *d;

	guest_init(&guest);
	CHECK(loop_init(&loop) == 0);
	CHECK(pci_init(&pci, &e) == 0);
	d = entropy_new(&loop, &guest.memory, &e);
	CHECK(d && virtio_pci_add(&pci, d, NULL, NULL, &e) == 0);
}

static void teardown(void)
{
	pci_fini(&pci);
	loop_fini(&loop);
	guest_fini(&guest);
}

static void test_configuration(void)
{
	uint8_t at;
	unsigned seen = 0;

	CHECK(in(CONFIG, 4) == (0x1af4 | (0x1040 + VIRTIO_ID_IS_ENTROPY) << 16));
	CHECK(in(LAYOUT_ECAM + 16 * PCI_PAGE, 4) == 0); /* nobody */
	/* A window can be sized, and stays where it is. */
	CHECK(in(CONFIG + 0x10, 4) == LAYOUT_PCI_READ);
	out(CONFIG + 0x10, 4, UINT32_MAX);
	CHECK(in(CONFIG + 0x10, 4) == (uint32_t) -PCI_PAGE);
	out(CONFIG + 0x10, 4, 0xd0000000);
	CHECK(in(CONFIG + 0x10, 4) == LAYOUT_PCI_READ);
	out(CONFIG + 4, 2, 0xffff);
	CHECK(in(CONFIG + 4, 2) == 0x406);
	out(CONFIG, 4, 0);
	CHECK(in(CONFIG, 2) == 0x1af4);
	for (at = (uint8_t) in(CONFIG + 0x34, 1); at && seen < 9; seen++)
		at = (uint8_t) in(CONFIG + at + 1u, 1);
	CHECK(seen == 5 && at == 0);
}

static void test_accesses(void)
{
	CHECK(in(LAYOUT_PCI_READ + 0x20000, 4) == UINT32_MAX);
	CHECK(in(UINT64_MAX, 1) == 0xff);
	CHECK(in(LAYOUT_ECAM + LAYOUT_ECAM_BYTES - 2, 4) == UINT32_MAX);
	CHECK((uint32_t) in(COMMON + PCI_PAGE - 2, 4) == UINT32_MAX);
	out(COMMON + PCI_PAGE - 2, 8, 0);
	out(LAYOUT_ECAM + LAYOUT_ECAM_BYTES - 2, 4, 0);
	out(COMMON + 0x16, 2, 0xffff); /* no such queue */
	CHECK(in(COMMON + 0x18, 2) == 0);
	out(COMMON + 0x1c, 2, 1);
	out(COMMON + 0x20, 4, 0x1000);
	CHECK(in(COMMON + 0x20, 8) == 0);
	out(COMMON + 0x1a, 2, 0);
	CHECK(in(COMMON + 0x1a, 2) == VIRTIO_PCI_NO_VECTOR);
	out(COMMON + 0x16, 2, 0);
	out(COMMON + 0x1a, 2, 99); /* no such vector */
	CHECK(in(COMMON + 0x1a, 2) == VIRTIO_PCI_NO_VECTOR);
	out(COMMON + 0x00, 4, 7);
	CHECK(in(COMMON + 0x04, 4) == 0);
}

static void negotiate(void)
{
	out(COMMON + 0x14, 1, 0);
	out(COMMON + 0x14, 1, 1);
	out(COMMON + 0x14, 1, 3);
	out(COMMON + 0x08, 4, 1);
	out(COMMON + 0x0c, 4, VIRTIO_VERSION_1 >> 32);
	out(COMMON + 0x14, 1, 11);
	CHECK(in(COMMON + 0x14, 1) == 11);
}

static void test_features(void)
{
	out(COMMON + 0x14, 1, 3);
	out(COMMON + 0x14, 1, 15); /* without VERSION_1 it cannot be */
	CHECK(in(COMMON + 0x14, 1) == 3);
	out(COMMON + 0x08, 4, 0);
	out(COMMON + 0x0c, 4, 1); /* never offered */
	out(COMMON + 0x08, 4, 1);
	out(COMMON + 0x0c, 4, 1);
	out(COMMON + 0x14, 1, 11);
	CHECK(in(COMMON + 0x14, 1) == 3);
	negotiate();
	out(COMMON + 0x0c, 4, 0); /* agreed upon: no change */
	CHECK(in(COMMON + 0x0c, 4) == 1);
	out(COMMON + 0x14, 1, 0);
	CHECK(in(COMMON + 0x14, 1) == 0 && in(COMMON + 0x0c, 4) == 0);
}

static void place_queue(const struct queue *q)
{
	out(COMMON + 0x16, 2, 0);
	out(COMMON + 0x18, 2, 8);
	out(COMMON + 0x1a, 2, 1);
	out(COMMON + 0x20, 8, q->desc);
	out(COMMON + 0x28, 4, (uint32_t) q->avail);
	out(COMMON + 0x2c, 4, q->avail >> 32);
	out(COMMON + 0x30, 8, q->used);
	out(COMMON + 0x1c, 2, 1);
}

static void test_request(void)
{
	struct virtio_pci *v = pci.devices[0];
	struct queue mine = { 0 };
	struct guest_queue q = guest_queue(&guest, &mine, 0, 8);
	uint16_t head;
	uint32_t len;

	negotiate();
	place_queue(&mine);
	out(COMMON + 0x14, 1, 15);
	CHECK(in(COMMON + 0x14, 1) == 15 && v->device->active);
	out(COMMON + 0x18, 2, 4); /* frozen */
	out(COMMON + 0x20, 8, 0x1000);
	CHECK(in(COMMON + 0x18, 2) == 8 && in(COMMON + 0x20, 8) == mine.desc);

	/* Vector 1 is masked: the interrupt is pending until it is not. */
	out(CONFIG + 0x92, 2, 0x8000);
	(void) guest_request(&q, 0, 0, guest_gpa(&guest, 0), 64);
	out(LAYOUT_PCI_WRITE, 2, 0);
	CHECK(loop_once(&loop) == 0);
	CHECK(guest_reap(&q, &head, &len) == 1 && len == 64);
	CHECK(in(COMMON + 0xc00, 8) == 2 && v->interrupts == 0);
	out(TABLE + 16 + 12, 4, 0);
	CHECK(in(COMMON + 0xc00, 8) == 0 && v->interrupts == 1);

	/* A ring that is nonsense: the device says so and goes quiet. */
	q.avail[1] = 77;
	out(LAYOUT_PCI_WRITE, 2, 0);
	CHECK(loop_once(&loop) == 0);
	CHECK(in(COMMON + 0x14, 1) == (15 | 64));
	out(COMMON + 0x14, 1, 0);
	CHECK(in(COMMON + 0x14, 1) == 0 && !v->device->active);
	CHECK(in(COMMON + 0x1c, 2) == 0 && in(COMMON + 0x1a, 2) == VIRTIO_PCI_NO_VECTOR);
}

/* A queue outside of memory: the device needs a reset, and gets it. */
static void test_bad_queue(void)
{
	const struct queue nowhere = { .desc = 0x10, .avail = 0x20, .used = 0x30 };

	negotiate();
	place_queue(&nowhere);
	out(COMMON + 0x14, 1, 15);
	CHECK(in(COMMON + 0x14, 1) == (15 | 64) && !pci.devices[0]->device->active);
	out(LAYOUT_PCI_WRITE, 2, 0);
	CHECK(loop_once(&loop) == 0);
	out(COMMON + 0x14, 1, 0);
	CHECK(in(COMMON + 0x14, 1) == 0);
}

/* A device with a request that nobody has kicked yet goes on behind another bus. */
static void test_move(void)
{
	auto_buf struct buf state = BUF_INIT(1 << 20), same = BUF_INIT(1 << 20);
	struct queue mine = { 0 };
	struct guest_queue q = guest_queue(&guest, &mine, 0, 8);
	struct virtio_device *d;
	struct err e = {};
	uint16_t head;
	uint32_t len;

	negotiate();
	place_queue(&mine);
	out(COMMON + 0x10, 2, 0);
	out(COMMON + 0x14, 1, 15);
	out(CONFIG + 0x92, 2, 0x8000);
	out(CONFIG + 4, 2, 6);
	out(TABLE + 16, 8, 0xfee01000);
	out(TABLE + 16 + 8, 8, 0x31);
	(void) guest_request(&q, 0, 0, guest_gpa(&guest, 0), 64);
	CHECK(virtio_pci_save(pci.devices[0], &state, &e) == 0);
	pci_fini(&pci);

	CHECK(pci_init(&pci, &e) == 0);
	d = entropy_new(&loop, &guest.memory, &e);
	CHECK(d && virtio_pci_add(&pci, d, NULL, NULL, &e) == 0);
	for (size_t n = 0; n < state.n; n++)
		CHECK(virtio_pci_restore(pci.devices[0], (struct str){ state.p, n }, &e) < 0 &&
		      !d->active);
	CHECK(virtio_pci_restore(pci.devices[0], buf_str(&state), &e) == 0 && d->active);
	CHECK(in(COMMON + 0x14, 1) == 15 && in(COMMON + 0x20, 8) == mine.desc);
	CHECK(in(COMMON + 0x10, 2) == 0 && in(COMMON + 0x1a, 2) == 1);
	CHECK(in(CONFIG + 0x92, 2) == 0x8001 && in(CONFIG + 4, 2) == 6);
	CHECK(in(TABLE + 16, 8) == 0xfee01000 && in(TABLE + 16 + 8, 8) == 0x31);
	CHECK(virtio_pci_save(pci.devices[0], &same, &e) == 0);
	CHECK(str_eq(buf_str(&state), buf_str(&same)));
	CHECK(!guest_reap(&q, &head, &len) && pci.devices[0]->interrupts == 0);
	virtio_pci_resume(pci.devices[0], true);
	CHECK(pci.devices[0]->interrupts == 1);
	CHECK(loop_once(&loop) == 0);
	CHECK(guest_reap(&q, &head, &len) == 1 && len == 64 && pci.devices[0]->interrupts == 2);

	/* One that offers something else is not the same device. */
	state.p[0] = (char) (state.p[0] ^ 1);
	CHECK(virtio_pci_restore(pci.devices[0], buf_str(&state), &e) < 0);
	CHECK(e.kind == ERR_INVALID && strstr(e.msg, "it offered features"));
	out(COMMON + 0x14, 1, 0);
}

int main(void)
{
	setup();
	test_configuration();
	test_accesses();
	test_features();
	test_request();
	test_bad_queue();
	test_move();
	teardown();
	return test_done();
}
