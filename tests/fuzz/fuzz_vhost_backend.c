/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end under a hostile front end, with a source of entropy as the device: its rings and its
 * memory are what the front end says they are. The input is a list of messages; a byte before each
 * says what descriptors come with it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "fuzz.h"
#include "sys/fdpass.h"
#include "vhost/backend.h"
#include "virtio/entropy.h"

#define MEMORY (64u << 10)

static struct loop loop;
static struct loop_timer wake;
static bool over;
static int memory, counter, other[2]; /* for all inputs */

static void woken(struct loop_timer *t)
{
	(void) t;
}

static void turn(void)
{
	loop_timer_set(&loop, &wake, clock_mono(), woken);
	if (loop_once(&loop) < 0)
		abort();
}

static void ended(struct vhost_backend *b, const struct err *why)
{
	if (over || (why && why->kind == ERR_NONE) || b->socket >= 0)
		abort();
	over = true;
}

static void broken(struct vhost_backend *b, const char *why)
{
	(void) b;
	if (!why[0])
		abort();
}

/* One message, with what comes with it. How many bytes of the input it was. */
static size_t say(int socket, const uint8_t *data, size_t size)
{
	const int choices[] = { memory, counter, other[0] };
	size_t fds_n = data[0] % 10, n;
	int fds[10];

	for (size_t i = 0; i < fds_n; i++)
		fds[i] = choices[(data[0] / 10 + i) % ARRAY_SIZE(choices) * (data[0] >= 100)];
	if (fds_n == 1)
		fds[0] = choices[data[0] / 10 % ARRAY_SIZE(choices)];
	data++;
	size--;
	n = size < VHOST_HEADER_SIZE ? size : (size_t) VHOST_HEADER_SIZE + data[8];
	n = n < size ? n : size;
	if (n)
		(void) fdpass_send(socket, data, n, fds, fds_n); /* it may have hung up */
	return n + 1;
}

static void prepare(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	if (loop.epoll_fd > 0)
		return;
	memory = memfd_create("guest", MFD_CLOEXEC);
	counter = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop_init(&loop) < 0 || memory < 0 || counter < 0 || ftruncate(memory, MEMORY) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_backend b;
	struct virtio_device *d;
	uint8_t answers[4096];
	struct err e;
	int pair[2];

	prepare();
	over = false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	vhost_backend_init(&b, &loop, pair[1]);
	d = entropy_new(&loop, &b.memory, &e);
	if (!d || vhost_backend_serve(&b, d, ended, broken, &e) < 0)
		abort();
	for (unsigned left = 64; left && size && !over; left--) {
		size_t n = say(pair[0], data, size);

		data += n;
		size -= n;
		turn();
		turn();
		(void) recv(pair[0], answers, sizeof(answers),
			    MSG_DONTWAIT); /* there may be none */
	}
	close_fd(&pair[0]);
	for (unsigned left = 4; left && !over; left--)
		turn();
	vhost_backend_fini(&b);
	d->ops->free(d);
	loop_timer_cancel(&wake);
	if (!over || loop.timers)
		abort();
	return 0;
}
