/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a machine from who knows whom: the first byte chooses. 0: the file as a whole, all
 * that is looked at before anything is made of it. Else the state of one device, which goes on with
 * whatever registers and queues that says, in memory that is what follows it; and can be saved
 * again. What a state can say, a guest could have done: nothing outside of its memory is touched.
 *
 *   kind:u8 length:u16 state[length] memory[]
 */
#include <sys/socket.h>

#include "base/le.h"
#include "fuzz.h"
#include "virtio/balloon.h"
#include "virtio/block.h"
#include "virtio/console.h"
#include "virtio/entropy.h"
#include "virtio/net.h"
#include "virtio/test_guest.h"
#include "virtio/vsock.h"
#include "vmm/pci.h"
#include "vmm/snapshot.h"
#include "vmm/virtio_pci.h"

#define HEAD_BYTES 3
#define DISK_BYTES 8192
#define TURNS	   8

static void nothing(struct loop_timer *)
{
}

static int make_disk(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0)
		abort();
	return fd;
}

/* One end of a connection whose other end has said something and listens no more. */
static int make_peer(int *ret_other)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    send(fds[1], "\0\0\0\x10 sixteen bytes..", 20, MSG_NOSIGNAL) != 20)
		abort();
	*ret_other = fds[1];
	return fds[0];
}

static struct virtio_device *make(uint8_t kind, struct loop *l, struct guest *g, int *ret_other)
{
	struct net_config card = { .kind = LINK_STREAM, .mac = { 2 } };
	struct err e;
	int fd;

	switch (kind % 6) {
	case 0:
		return entropy_new(l, &g->memory, &e);
	case 1:
		return block_new(l, &g->memory, make_disk(), false, NULL, &e);
	case 2:
		return balloon_new(l, &g->memory, &e);
	case 3:
		fd = make_peer(ret_other);
		return console_new(l, &g->memory, fd, fd, &e);
	case 4:
		card.fd = make_peer(ret_other);
		return net_new(l, &g->memory, &card, &e);
	default:
		return vsock_new(l, &g->memory, 3, FD_NONE, NULL, 0, &e);
	}
}

static void drive(struct virtio_pci *v, struct loop *l)
{
	auto_buf struct buf again = BUF_INIT(1 << 20);
	struct loop_timer wake = { 0 };
	struct err e;

	virtio_pci_resume(v, true);
	for (unsigned i = 0; i < TURNS; i++) {
		loop_timer_set(l, &wake, 0, nothing);
		if (loop_once(l) < 0)
			abort();
	}
	loop_timer_cancel(&wake);
	if (virtio_pause(v->device, &e) < 0 || virtio_pci_save(v, &again, &e) < 0)
		abort();
	virtio_pci_resume(v, false);
}

static void device_state(uint8_t kind, struct str state, const uint8_t *memory, size_t n)
{
	int other = FD_NONE;
	struct guest g;
	struct loop l;
	struct pci p;
	struct err e;

	guest_init(&g);
	memcpy(g.bytes, memory, n < GUEST_SIZE ? n : GUEST_SIZE);
	if (loop_init(&l) < 0 || pci_init(&p, &e) < 0 ||
	    virtio_pci_add(&p, make(kind, &l, &g, &other), NULL, NULL, &e) < 0)
		abort();
	if (virtio_pci_restore(p.devices[0], state, &e) == 0)
		drive(p.devices[0], &l);
	pci_fini(&p);
	loop_fini(&l);
	guest_fini(&g);
	close_fd(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot s = { 0 };
	struct err e;
	size_t n;

	if (size < HEAD_BYTES)
		return 0;
	if (data[0] == 0) {
		(void) !snapshot_parse(&s, (struct str){ (const char *) data + 1, size - 1 }, &e);
		return 0;
	}
	n = load_le16(data + 1);
	if (n > size - HEAD_BYTES)
		n = size - HEAD_BYTES;
	device_state((uint8_t) (data[0] - 1), (struct str){ (const char *) data + HEAD_BYTES, n },
		     data + HEAD_BYTES + n, size - HEAD_BYTES - n);
	return 0;
}
