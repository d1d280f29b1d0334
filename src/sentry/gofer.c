/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/platform/host/host.h"

#define BYTES_MOST   ((size_t) 128 << 10) /* below what a socket holds where nobody has set it */
#define SOCKET_BYTES (512 << 10)
#define PARTS_MOST   8
#define EVENTS	     (EPOLLIN | EPOLLRDHUP)

static int gofer_send(struct fuse_transport *t, const struct fuse_part *parts, size_t n);
static int64_t data_read(struct fuse_transport *t, int fd, void *to, size_t n, uint64_t at);
static int64_t data_write(struct fuse_transport *t, int fd, const void *from, size_t n,
			  uint64_t at);
static int data_look(struct fuse_transport *t, int fd, struct fuse_look *ret);
static void data_close(struct fuse_transport *t, int fd);
static void gofer_gone(struct fuse_transport *t);
static void ready(struct host_watch *w, uint32_t events);

struct gofer {
	struct fuse_transport transport;
	struct host_watch watch;
	struct fuse_conn *conn;
	int fd;
	bool full; /* room to send is watched for */
};

static struct heap_cache gofers = HEAP_CACHE_INIT(struct gofer);
/* Of whichever has something: nothing is kept in it. */
static char message[BYTES_MOST + FUSE_HEADS];

/* Room to send is watched for by who has none alone: else each message that the gofer takes would
 * be an event. */
static int until_sendable(struct gofer *g)
{
	int r = 0;

	if (!g->full)
		r = host_watch_again(g->fd, &g->watch, EVENTS | EPOLLOUT);
	g->full = g->full || r == 0;
	return r < 0 ? r : -EAGAIN;
}

static int gofer_send(struct fuse_transport *t, const struct fuse_part *parts, size_t n)
{
	struct gofer *g = container_of(t, struct gofer, transport);
	struct iovec v[PARTS_MOST];

	if (n > PARTS_MOST)
		return -E2BIG;
	for (size_t i = 0; i < n; i++)
		v[i] = (struct iovec){ (void *) (uintptr_t) parts[i].at, parts[i].n };
	while (writev(g->fd, v, (int) n) < 0) { /* SIGPIPE is ignored */
		if (errno == EWOULDBLOCK)
			return until_sendable(g);
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* ---- files that came with answers: regular ones, of file systems of this host ---- */

static int64_t data_read(struct fuse_transport *t, int fd, void *to, size_t n, uint64_t at)
{
	struct iovec v = { to, n };
	ssize_t r = preadv2(fd, &v, 1, (off_t) at, RWF_NOWAIT);

	(void) t;
	if (r < 0)
		return errno == EOPNOTSUPP || errno == EINTR ? -EAGAIN : -errno;
	return r;
}

static nsec_t nsec_of(const struct timespec *t)
{
	return t->tv_sec > INT64_MAX / NSEC_PER_SEC - 1	  ? INT64_MAX
	       : t->tv_sec < INT64_MIN / NSEC_PER_SEC + 1 ? INT64_MIN
							  : t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}

/* It waits for room among the host's dirty pages alone. */
static int64_t data_write(struct fuse_transport *t, int fd, const void *from, size_t n, uint64_t at)
{
	struct iovec v = { (void *) (uintptr_t) from, n };
	ssize_t r = pwritev2(fd, &v, 1, (off_t) at, 0);

	(void) t;
	if (r < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return r;
}

static int data_look(struct fuse_transport *t, int fd, struct fuse_look *ret)
{
	struct stat st;

	(void) t;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct fuse_look){
		.mode = st.st_mode,
		.links = (uint32_t) min_of(st.st_nlink, (nlink_t) UINT32_MAX),
		.size = (uint64_t) st.st_size,
		.access = nsec_of(&st.st_atim),
		.modify = nsec_of(&st.st_mtim),
		.change = nsec_of(&st.st_ctim),
	};
	return 0;
}

static void data_close(struct fuse_transport *t, int fd)
{
	(void) t;
	(void) close(fd);
}

/* ---- messages ---- */

/* A descriptor that came with a message, if there was room for it in this process. */
static int descriptor_of(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return FUSE_NO_DATA;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void end(struct gofer *g, const char *why)
{
	plat_log("atoll-sentry: the gofer is lost, and its files: %s", why);
	fuse_lost(g->conn);
}

/* All that is waited for: what comes after it is another event, and is not looked for now. */
static void receive(struct gofer *g)
{
	do {
		struct iovec v = { message, sizeof(message) };
		alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		struct msghdr m = { .msg_iov = &v,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(g->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			end(g, n == 0 ? "it has ended" : "the socket failed");
			return;
		}
		if (m.msg_flags & MSG_TRUNC ||
		    fuse_received(g->conn, message, (size_t) n, descriptor_of(&m)) < 0) {
			end(g, "it sent what is no answer");
			return;
		}
	} while (fuse_waits(g->conn));
}

static void ready(struct host_watch *w, uint32_t events)
{
	struct gofer *g = container_of(w, struct gofer, watch);

	if (!g->conn)
		return;
	if (events & EPOLLOUT && g->full) {
		g->full = host_watch_again(g->fd, &g->watch, EVENTS) < 0;
		fuse_sendable(g->conn);
	}
	if (events & ~(uint32_t) EPOLLOUT)
		receive(g);
}

int gofer_check(int fd, struct err *e)
{
	int type = 0, bytes = SOCKET_BYTES;
	socklen_t n = sizeof(type);
	struct sockaddr_storage peer;
	socklen_t peer_n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET ||
	    getpeername(fd, (struct sockaddr *) &peer, &peer_n) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--gofer: descriptor %d is no seqpacket socket that is connected",
			       fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "--gofer");
	/* As much as the host allows; what it has by itself suffices. */
	(void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? err_sys(e, errno, "--gofer") : 0;
}

static void gofer_gone(struct fuse_transport *t)
{
	heap_cache_free(&gofers, container_of(t, struct gofer, transport));
}

int gofer_begin(int fd, struct fuse_conn **ret, struct gofer **ret_gofer, struct err *e)
{
	struct gofer *g = heap_cache_alloc(&gofers);
	int r = -ENOMEM;

	if (g) {
		*g = (struct gofer){ .transport = { .send = gofer_send,
						    .most = BYTES_MOST,
						    .read = data_read,
						    .write = data_write,
						    .look = data_look,
						    .close = data_close,
						    .gone = gofer_gone },
				     .watch = { .ready = ready },
				     .fd = fd };
		r = host_watch(fd, &g->watch, EVENTS);
		if (r == 0) {
			r = fuse_connect(&g->transport, &g->conn);
			if (r < 0)
				host_unwatch(fd);
		}
	}
	if (r < 0) {
		heap_cache_free(&gofers, g);
		close_fd(&fd);
		return err_sys(e, -r, "--gofer: begin to speak FUSE");
	}
	*ret = g->conn;
	*ret_gofer = g;
	return 0;
}

void gofer_end(struct gofer *g)
{
	struct fuse_conn *c = TAKE(g->conn);

	host_unwatch(g->fd);
	close_fd(&g->fd);
	fuse_disconnect(c);
}
