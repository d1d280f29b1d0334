/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/outside_link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "base/le.h"
#include "kernel/core/list.h"
#include "kernel/core/sched.h"
#include "kernel/platform/host/host.h"

/* One that waits for its reply: on the stack of who asks. */
struct waiting {
	struct list link;
	struct waitq changed;
	struct outside_answer *answer;
	uint32_t tag;
	bool done;
	int result;
};

static struct {
	struct host_watch watch;
	int fd; /* FD_NONE: it has ended */
	outside_told told;
	uint32_t last_tag;
	struct list waiting; /* in the order in which they were sent */
	struct waitq room;   /* who found none in the socket */
	uint64_t happened;
	/* Numbers: those from `made` on were never used, these are free again, these are to be
	 * told of. */
	uint32_t made;
	uint16_t unused[BROKER_SOCKETS], closing[BROKER_SOCKETS];
	uint32_t unused_n, closing_n;
} line = { .fd = FD_NONE, .made = 1 };

static unsigned char received[BROKER_REPLY_BYTES + BROKER_DATA];

static void settle(struct waiting *w, int result)
{
	list_remove(&w->link);
	w->done = true;
	w->result = result;
	(void) waitq_wake(&w->changed, 0, 0);
}

/* Nobody is answered any more. */
static void hang_up(void)
{
	if (line.fd < 0)
		return;
	host_unwatch(line.fd);
	close_fd(&line.fd);
	while (!list_empty(&line.waiting))
		settle(list_entry(line.waiting.next, struct waiting, link), -ENETDOWN);
	line.happened++;
	(void) waitq_wake(&line.room, 0, 0);
}

/* ---- replies ---- */

static int take_fd_of(struct msghdr *m)
{
	int fd = FD_NONE;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && fd < 0 &&
		    h->cmsg_len == CMSG_LEN(sizeof(fd)))
			memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

static bool take_state(const struct broker_reply *reply, size_t n)
{
	const unsigned char *at = received + BROKER_REPLY_BYTES;

	if (!line.told || n != BROKER_REPLY_BYTES + BROKER_STATE_BYTES || reply->result < 0)
		return false;
	line.told((uint32_t) reply->result, load_le32(at), load_le32(at + 4));
	return true;
}

/* False: it was nonsense. */
static bool take_reply(size_t n, int fd)
{
	auto_fd int given = fd;
	struct broker_reply reply;
	struct waiting *w;

	if (broker_reply_get(received, n, &reply) < 0)
		return false;
	if (reply.tag == BROKER_STATE)
		return take_state(&reply, n);
	if (list_empty(&line.waiting))
		return false;
	w = list_entry(line.waiting.next, struct waiting, link);
	n -= BROKER_REPLY_BYTES;
	if (reply.tag != w->tag || n > w->answer->room)
		return false;
	w->answer->reply = reply;
	w->answer->got = n;
	w->answer->fd = take_fd(&given);
	if (n)
		memcpy(w->answer->to, received + BROKER_REPLY_BYTES, n);
	settle(w, reply.result);
	return true;
}

static void receive_all(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c;

	while (line.fd >= 0) {
		struct iovec v = { received, sizeof(received) };
		struct msghdr m = { .msg_iov = &v,
				    .msg_iovlen = 1,
				    .msg_control = c.bytes,
				    .msg_controllen = sizeof(c.bytes) };
		ssize_t n = recvmsg(line.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int fd;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		fd = n > 0 ? take_fd_of(&m) : FD_NONE;
		/* A descriptor that was too many for this process was lost (MSG_CTRUNC): OPEN's
		 * asker sees that. */
		if (n <= 0 || m.msg_flags & MSG_TRUNC || !take_reply((size_t) n, fd))
			hang_up();
	}
}

/* ---- requests ---- */

static int put(const struct broker_request *q, const void *data, size_t n)
{
	unsigned char head[BROKER_REQUEST_BYTES];
	struct iovec v[] = { { head, sizeof(head) },
			     { (void *) (uintptr_t) data, n } }; /* it is not written to */
	ssize_t sent;

	if (line.fd < 0)
		return -ENETDOWN;
	broker_request_put(q, head);
	sent = writev(line.fd, v, n ? 2 : 1);
	if (sent >= 0)
		return 0;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	hang_up();
	return -ENETDOWN;
}

/* What was closed, as far as there is room. */
static void tell_closed(void)
{
	while (line.closing_n > 0) {
		uint16_t number = line.closing[line.closing_n - 1];
		const struct broker_request q = { .type = BROKER_CLOSE, .number = number };

		if (put(&q, NULL, 0) < 0)
			return;
		line.closing_n--;
		line.unused[line.unused_n++] = number;
	}
}

static void ready(struct host_watch *w, uint32_t events)
{
	(void) w;
	receive_all();
	if (line.fd >= 0 && events & EPOLLOUT)
		tell_closed();
	line.happened++;
	(void) waitq_wake(&line.room, 0, 0);
	if (events & (EPOLLHUP | EPOLLERR))
		hang_up();
}

void outside_link_catch_up(void)
{
	receive_all();
}

uint32_t outside_link_next(void)
{
	uint32_t next = line.last_tag + 1;

	return next == BROKER_STATE ? next + 1 : next;
}

int outside_link_begin(int fd, outside_told told)
{
	int r;

	list_init(&line.waiting);
	waitq_init(&line.room);
	line.watch.ready = ready;
	line.fd = fd;
	line.told = told;
	r = host_watch(fd, &line.watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	if (r < 0)
		close_fd(&line.fd);
	return r;
}

int outside_ask(struct broker_request *q, const void *data, size_t n, struct outside_answer *a)
{
	struct waiting w = { .answer = a, .tag = outside_link_next() };
	int r;

	line.last_tag = w.tag;
	a->fd = FD_NONE;
	a->got = 0;
	q->tag = w.tag;
	waitq_init(&w.changed);
	list_init(&w.link);
	for (;;) {
		uint64_t seen = line.happened;

		r = put(q, data, n);
		if (r != -EAGAIN)
			break;
		(void) waitq_wait(&line.room, line.happened != seen, NSEC_NEVER, 0);
	}
	if (r < 0)
		return r;
	list_push(&line.waiting, &w.link);
	(void) waitq_wait(&w.changed, w.done, NSEC_NEVER, 0); /* the broker waits for nothing */
	return w.result;
}

bool outside_tell(struct broker_request *q, const void *data, size_t n)
{
	q->tag = 0;
	return put(q, data, n) == 0;
}

/* ---- numbers ---- */

uint32_t outside_number(void)
{
	if (line.unused_n > 0)
		return line.unused[--line.unused_n];
	return line.made < BROKER_SOCKETS ? line.made++ : BROKER_SOCKETS;
}

void outside_forget(uint32_t number)
{
	line.closing[line.closing_n++] = (uint16_t) number;
	tell_closed();
}
