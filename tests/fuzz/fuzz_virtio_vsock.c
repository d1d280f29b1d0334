/* SPDX-License-Identifier: Apache-2.0 */
/* A vsock under a hostile driver; on the host somebody connects, talks, listens and goes away. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sys/fdpass.h"
#include "virtio/vsock.h"
#include "virtio_ops.h"

enum { CLIENTS = 4 };

static struct driver driver;
static struct sockaddr_un address;
static socklen_t address_n;
static int forward;
static int clients[CLIENTS];

static void connect_client(int *fd)
{
	close_fd(fd);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || connect(*fd, (struct sockaddr *) &address, address_n) < 0)
		close_fd(fd); /* the queue of the listener is full */
}

static void take_forwarded(int *fd)
{
	size_t n = 0;
	char byte;

	close_fd(fd);
	if (fdpass_recv(forward, &byte, 1, fd, 1, &n) <= 0 || n == 0)
		*fd = FD_NONE;
}

static void feed(const uint8_t *data, size_t n)
{
	int *fd = &clients[n ? data[0] % CLIENTS : 0];
	uint8_t heard[4096];

	switch (n ? data[0] / CLIENTS % 6 : 0) {
	case 0:
		connect_client(fd);
		break;
	case 1:
		take_forwarded(fd);
		break;
	case 2:
		(void) recv(*fd, heard, sizeof(heard), MSG_DONTWAIT);
		break;
	case 3:
		(void) shutdown(*fd, SHUT_WR); /* it may be closed */
		break;
	case 4:
		close_fd(fd);
		break;
	}
	if (n > 1)
		(void) send(*fd, data + 1, n - 1, MSG_DONTWAIT); /* full, or closed: then not */
}

static int listener(void)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address_n = sizeof(address);
	/* An abstract name that the kernel chooses. */
	if (fd < 0 || bind(fd, (struct sockaddr *) &any, sizeof(any.sun_family)) < 0 ||
	    listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr *) &address, &address_n) < 0)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct vsock_forward f = { .port = 1025 };
	struct virtio_device *d;
	struct err e;
	int pair[2];

	driver_init(&driver);
	driver.feed = feed;
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	forward = pair[0];
	f.fd = pair[1];
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = FD_NONE;
	d = vsock_new(&driver.loop, &driver.guest.memory, 3, listener(), &f, 1, &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	for (int i = 0; i < CLIENTS; i++)
		close_fd(&clients[i]);
	close_fd(&forward);
	return 0;
}
