/* SPDX-License-Identifier: Apache-2.0 */
/* A console under a hostile driver, with somebody at the other end who listens now and then. */
#include <signal.h>
#include <sys/socket.h>

#include "virtio/console.h"
#include "virtio_ops.h"

static struct driver driver;
static int peer;

static void feed(const uint8_t *data, size_t n)
{
	uint8_t heard[4096];

	if (peer < 0)
		return;
	if (n == 0) {
		close_fd(&peer);
		return;
	}
	(void) send(peer, data, n, MSG_DONTWAIT); /* full: then not */
	while (recv(peer, heard, sizeof(heard), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct virtio_device *d;
	struct err e;
	int fds[2];

	driver_init(&driver);
	driver.feed = feed;
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	peer = fds[1];
	d = console_new(&driver.loop, &driver.guest.memory, fds[0], fds[0], &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	close_fd(&peer);
	return 0;
}
