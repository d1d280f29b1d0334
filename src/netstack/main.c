/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-netstack: a TCP/IP stack of its own for a sandbox (proto/broker.h), over a packet socket
 * that it inherits. It can make no sockets but pairs of unix sockets, and has no files and no
 * network. Status: 0 when the asker has hung up, 1 a failure, told on standard error, 2 usage.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "base/loop.h"
#include "netstack/options.h"
#include "netstack/sockets.h"
#include "netstack/stack.h"
#include "sys/enclose.h"
#include "sys/fdpass.h"
#include "sys/filter.h"

enum { EXIT_GOOD, EXIT_FAILED, EXIT_USAGE };

#define AT_ONCE	  64 /* of frames, of requests, before others have their turn */
#define SWEEP	  NSEC_PER_SEC
#define HEAD	  sizeof(struct virtio_net_hdr)
#define RECEIVING (1 << 20) /* bytes that wait for us */

static struct {
	struct options o;
	struct sockets_table sockets;
	struct loop loop;
	struct loop_source asker, wire;
	struct loop_timer tick, sweep;
	struct err failed; /* why it ends; no kind: nobody asks any more */
} own;

/* ---- rights ---- */

static int limit(struct err *e)
{
	static const struct rlimit none = { 0, 0 };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "read the limit of open files");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "set limits");
	return 0;
}

FILTER_ARG_IS(is_unix, 0, AF_UNIX);

static const struct seccomp_rule calls[] = {
	FILTER_CALL_IF(socketpair, is_unix),
	FILTER_CALL(sendto),
	FILTER_CALL(sendmsg),
	FILTER_CALL(recvfrom),
	FILTER_CALL(shutdown),
	FILTER_CALL(close),
	FILTER_CALL(epoll_ctl),
	FILTER_CALL(epoll_pwait),
	FILTER_CALL(getrandom),
	FILTER_CALL(write),
};

static int confine(struct err *e)
{
	static const struct filter_table mine = FILTER_TABLE(calls);
	const struct filter_table tables[] = { filter_common, mine };
	const int keep[] = { STDERR_FILENO, own.o.socket_fd, own.o.wire_fd, own.loop.epoll_fd };
	int death_signal = 0;

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "see what the death of the parent means");
	if (enclose_namespaces(e) < 0 || enclose_root(e) < 0)
		return -1;
	enclose_fds(0, keep, ARRAY_SIZE(keep));
	if (limit(e) < 0 || enclose_caps(0, e) < 0)
		return -1;
	/* A change of credentials may forget the signal. */
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return filter_set(tables, ARRAY_SIZE(tables), e);
}

static void stop(int r)
{
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		(void) err_sys(&own.failed, -r, "answer the sandbox");
	loop_stop(&own.loop);
}

/* ---- frames ---- */

static int open_wire(int fd, struct err *e)
{
	const int on = 1, bytes = RECEIVING;

	/* Who sends on this machine leaves checksums to the card, and this says which. */
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return err_sys(e, errno, "--wire");
	/* Without them it is slower, or sees what it need not. */
	(void) setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return 0;
}

static void put_frame(const void *frame, size_t n)
{
	struct virtio_net_hdr h = {};
	struct iovec v[] = { { &h, HEAD }, { (void *) (uintptr_t) frame, n } };
	const struct msghdr m = { .msg_iov = v, .msg_iovlen = ARRAY_SIZE(v) };

	/* Without room, or with the interface down, it is lost on the way. */
	(void) sendmsg(own.o.wire_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wire_ready(struct loop_source *s, uint32_t events)
{
	static unsigned char bytes[HEAD + FRAME_MOST];

	(void) events;
	for (int k = 0; k < AT_ONCE; k++) {
		ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
		struct virtio_net_hdr h;

		if (n < 0)
			return; /* nothing now, or the interface is down now */
		if ((size_t) n < HEAD || (size_t) n > sizeof(bytes))
			continue;
		memcpy(&h, bytes, sizeof(h));
		if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
		    !frame_complete(bytes + HEAD, (size_t) n - HEAD, h.csum_start, h.csum_offset))
			continue;
		stack_take(bytes + HEAD, (size_t) n - HEAD);
	}
}

static bool room_at(uint16_t port)
{
	return sockets_room(&own.sockets, port);
}

/* ---- requests ---- */

static void tell(void *to, const unsigned char *message, size_t n)
{
	int r = fdpass_send(own.o.socket_fd, message, n, NULL, 0);

	(void) to;
	if (r < 0)
		stop(r);
}

/* One request and its reply: false: no more now. */
static bool serve_one(int sock)
{
	static unsigned char in[BROKER_REQUEST_BYTES + BROKER_DATA];
	static unsigned char out[BROKER_REPLY_BYTES + BROKER_DATA];
	struct broker_request q;
	struct broker_reply a;
	ssize_t n = recv(sock, in, sizeof(in), MSG_TRUNC | MSG_DONTWAIT);
	size_t more;
	int fd, r;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		stop(n < 0 ? -errno : 0);
		return false;
	}
	if (broker_request_get(in, (size_t) n, &q) < 0) {
		(void) err_set(&own.failed, ERR_REMOTE, EBADMSG, "the sandbox asks for nonsense");
		stop(0);
		return false;
	}
	if (sockets_serve(&own.sockets, &q, in + BROKER_REQUEST_BYTES,
			  (size_t) n - BROKER_REQUEST_BYTES, &a, out + BROKER_REPLY_BYTES, &more,
			  &fd)) {
		broker_reply_put(&a, out);
		r = fdpass_send(sock, out, BROKER_REPLY_BYTES + more, &fd, fd >= 0 ? 1 : 0);
		close_fd(&fd);
		if (r < 0) {
			stop(r);
			return false;
		}
	}
	sockets_flush(&own.sockets);
	return true;
}

static void asker_ready(struct loop_source *s, uint32_t events)
{
	(void) events;
	for (int k = 0; k < AT_ONCE; k++)
		if (!serve_one(s->fd))
			return;
}

/* ---- its life ---- */

static void tick(struct loop_timer *t)
{
	(void) t; /* it is done after everything that happens */
}

static void sweep(struct loop_timer *t)
{
	sockets_sweep(&own.sockets);
	loop_timer_set(&own.loop, t, clock_deadline(SWEEP), sweep);
}

static int prepare(struct err *e)
{
	struct options *o = &own.o;
	int r = loop_init(&own.loop);

	if (r == 0)
		r = sockets_init(&own.sockets, &own.loop);
	if (r < 0)
		return err_sys(e, -r, "prepare");
	own.sockets.connect = o->connect;
	own.sockets.bind = o->bind;
	own.sockets.low_ports = o->low_ports;
	own.sockets.tell = tell;
	if (o->wire_fd >= 0 && open_wire(o->wire_fd, e) < 0)
		return -1;
	r = loop_add(&own.loop, &own.asker, o->socket_fd, EPOLLIN, asker_ready);
	if (r == 0 && o->wire_fd >= 0)
		r = loop_add(&own.loop, &own.wire, o->wire_fd, EPOLLIN, wire_ready);
	if (r < 0)
		return err_sys(e, -r, "wait for the sandbox");
	loop_timer_set(&own.loop, &own.sweep, clock_deadline(SWEEP), sweep);
	return stack_begin(&o->interface, o->wire_fd >= 0 ? put_frame : NULL, room_at, e);
}

static int run(int argc, char **argv, struct err *e)
{
	int r = 0;

	if (options_parse(&own.o, argc, argv, e) < 0 || prepare(e) < 0 || confine(e) < 0)
		return -1;
	while (r >= 0 && !own.loop.stopped) {
		nsec_t next = stack_tick();

		sockets_flush(&own.sockets);
		if (next != NSEC_NEVER)
			loop_timer_set(&own.loop, &own.tick, next, tick);
		if (!own.loop.stopped)
			r = loop_once(&own.loop);
	}
	if (r < 0)
		return err_sys(e, -r, "wait for the sandbox");
	*e = own.failed;
	return e->kind == ERR_NONE ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct err e = {};

	(void) sigaction(SIGPIPE, &ignore, NULL); /* fails for a bad signal only */
	if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
		(void) fputs(streq(argv[1], "--help") ? options_usage
						      : "atoll-netstack " ATOLL_VERSION "\n",
			     stdout);
		return EXIT_GOOD;
	}
	if (run(argc, argv, &e) == 0)
		return EXIT_GOOD;
	(void) fprintf(stderr, "atoll-netstack: %s\n", e.msg);
	return e.kind == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
}
