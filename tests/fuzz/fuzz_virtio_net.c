/* SPDX-License-Identifier: Apache-2.0 */
/* A network card on a stream under a hostile driver and a peer that may send anything. */
#include <sys/socket.h>

#include "virtio/net.h"
#include "virtio_ops.h"

static struct driver driver;
static int peer;

static void feed(const uint8_t *data, size_t n)
{
	static uint8_t long_frame[4 + LINK_FRAME_MAX], heard[65536];
	uint32_t length;

	if (peer < 0)
		return;
	if (n == 0) {
		close_fd(&peer);
	} else if (n == 2) { /* a frame of that length, which is more than a step can say */
		length = (uint32_t) (data[0] | data[1] << 8);
		long_frame[2] = (uint8_t) (length >> 8);
		long_frame[3] = (uint8_t) length;
		(void) send(peer, long_frame, 4 + length, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (n == 1) { /* listens */
		while (recv(peer, heard, sizeof(heard), MSG_DONTWAIT) > 0)
			;
	} else {
		(void) send(peer, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_config config = { .kind = LINK_STREAM, .mac = { 2, 0, 0, 0, 0, 1 } };
	struct virtio_device *d;
	struct err e;
	int fds[2];

	driver_init(&driver);
	driver.feed = feed;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	peer = fds[1];
	config.fd = fds[0];
	d = net_new(&driver.loop, &driver.guest.memory, &config, &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	close_fd(&peer);
	return 0;
}
