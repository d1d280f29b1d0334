/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_door.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "device/fs_crew.h"

#define SOCKET_BYTES (512 << 10)

/* One request and its answer. */
struct exchange {
	uint8_t in[FS_DOOR_BYTES], out[FS_DOOR_BYTES];
};

struct fs_door {
	struct loop *loop;
	int socket; /* borrowed */
	struct loop_source source;
	struct fs_session *session;
	struct fs_crew crew;
	struct exchange *exchanges[FS_CREW_MAX]; /* owned: of each member, once it needs one */
	unsigned held;				 /* requests that are served */
	bool readable;
	bool nonsense; /* came */
};

static struct exchange *exchange_of(struct fs_door *d, const struct fs_member *m)
{
	size_t n = 0;

	while (d->crew.members[n] != m)
		n++;
	if (!d->exchanges[n])
		d->exchanges[n] = malloc(sizeof(*d->exchanges[n]));
	return d->exchanges[n];
}

/* One message: its bytes, 0: none is there, or the last one was. */
static size_t receive(struct fs_door *d, struct exchange *x)
{
	ssize_t n;

	do
		n = recv(d->socket, x->in, sizeof(x->in), MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		d->readable = false;
		return 0;
	}
	d->nonsense = n > (ssize_t) sizeof(x->in);
	if (n > 0 && !d->nonsense)
		return (size_t) n;
	loop_stop(d->loop);
	return 0;
}

static uint32_t serve_one(struct fs_door *d, struct fs_member *m, struct exchange *x, size_t n)
{
	struct chain *c = m->chain;

	c->out = &c->parts[0];
	c->in = &c->parts[1];
	c->parts[0] = (struct iovec){ x->in, n };
	c->parts[1] = (struct iovec){ x->out, sizeof(x->out) };
	c->out_n = c->in_n = 1;
	c->out_bytes = n;
	c->in_bytes = sizeof(x->out);
	d->held++;
	n = fs_session_serve_as(d->session, m->work, c);
	d->held--;
	return (uint32_t) n;
}

/* The file that was opened, where it is one whose storage answers: borrowed, or FD_NONE. */
static int opened(const struct fs_door *d, const struct exchange *x, uint32_t n)
{
	struct fuse_in_header in;
	struct fuse_out_header out;
	struct fuse_open_out open;
	size_t at = sizeof(out);

	memcpy(&in, x->in, sizeof(in));
	memcpy(&out, x->out, sizeof(out));
	if (in.opcode == FUSE_CREATE || in.opcode == FUSE_TMPFILE)
		at += sizeof(struct fuse_entry_out);
	else if (in.opcode != FUSE_OPEN)
		return FD_NONE;
	if (out.error || n < at + sizeof(open))
		return FD_NONE;
	memcpy(&open, x->out + at, sizeof(open));
	return open.open_flags & FOPEN_NOFLUSH ? fs_handle_fd(&d->session->handles, open.fh)
					       : FD_NONE;
}

static bool wants_answer(const struct exchange *x)
{
	struct fuse_in_header in;

	memcpy(&in, x->in, sizeof(in));
	return in.unique != 0;
}

/* An answer. The client takes it, or keeps nobody waiting but itself. */
static void give(struct fs_door *d, struct exchange *x, uint32_t n)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec v = { x->out, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	int fd = opened(d, x, n);

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(d->socket, &m, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == ETOOMANYREFS && m.msg_control) { /* on their way: without it */
			m.msg_control = NULL;
			m.msg_controllen = 0;
			continue;
		}
		loop_stop(d->loop); /* it has hung up */
		return;
	}
}

static void serve(struct fs_crew *crew, struct fs_member *m)
{
	struct fs_door *d = LOOP_OWNER(crew, struct fs_door, crew);
	struct exchange *x = exchange_of(d, m);

	if (!x) {
		loop_stop(d->loop);
		return;
	}
	while (d->readable && !d->loop->stopped && d->held < FS_CREW_MAX - 1) {
		size_t n = receive(d, x);
		uint32_t answer = n > 0 ? serve_one(d, m, x, n) : 0;

		if (answer > 0 && wants_answer(x))
			give(d, x, answer);
		if (!fs_crew_leads(crew, m)) {
			fs_crew_nudge(crew);
			return;
		}
	}
}

static void readable(struct loop_source *s, uint32_t events)
{
	(void) events;
	LOOP_OWNER(s, struct fs_door, source)->readable = true;
}

struct fs_door *fs_door_new(struct loop *loop, int socket, int proc_fd,
			    const struct fs_share *shares, size_t n, size_t fds_max, struct err *e)
{
	struct fs_session *s = fs_session_new(proc_fd, shares, n, fds_max, e);
	struct fs_door *d = s ? calloc(1, sizeof(*d)) : NULL;
	int type = 0, bytes = SOCKET_BYTES, r;
	socklen_t len = sizeof(type);

	if (!d) {
		if (s)
			(void) err_sys(e, ENOMEM, "serve the shares");
		fs_session_free(s);
		return NULL;
	}
	d->session = s;
	d->loop = loop;
	d->socket = socket;
	d->source.fd = FD_NONE;
	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		(void) err_set(e, ERR_INVALID, EINVAL, "--socket: no seqpacket socket");
		fs_door_free(d);
		return NULL;
	}
	/* As much as the host allows; what it has by itself suffices. */
	(void) setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	r = loop_add(loop, &d->source, socket, EPOLLIN, readable);
	if (r < 0) {
		(void) err_sys(e, -r, "watch --socket");
		fs_door_free(d);
		return NULL;
	}
	return d;
}

void fs_door_free(struct fs_door *d)
{
	if (!d)
		return;
	loop_remove(&d->source);
	for (size_t i = 0; i < FS_CREW_MAX; i++)
		free(d->exchanges[i]);
	fs_session_free(d->session);
	free(d);
}

int fs_door_run(struct fs_door *d, void (*abandon)(void), struct err *e)
{
	int r = fs_session_enter(d->session, e);

	if (r == 0)
		r = fs_crew_run(&d->crew, d->loop, &d->session->inodes, &d->session->work, serve,
				abandon, e);
	if (r == 0 && d->nonsense)
		r = err_set(e, ERR_REMOTE, EPROTO, "the client sent what is no request");
	return r;
}
