/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/socket.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/net/control.h"
#include "kernel/net/inet.h"
#include "kernel/net/interface.h"
#include "kernel/net/netlink.h"
#include "kernel/net/options.h"
#include "kernel/net/unix.h"
#include "kernel/platform/platform.h"

#define DOMAINS 46 /* NPROTO, SOCK_MAX */
#define TYPES	11

static struct socket_limits limits = { .backlog = SOMAXCONN };

struct socket_limits *socket_limits(void)
{
	return &limits;
}

static const struct socket_family *const families[] = {
	&unix_family,
	&inet_family,
	&inet6_family,
	&netlink_family,
};

void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type, int protocol)
{
	s->ops = ops;
	s->domain = domain;
	s->type = type;
	s->protocol = protocol;
	s->send_room = s->receive_room = SOCKET_ROOM;
	s->low_water = 1;
	s->send_timeout = s->receive_timeout = NSEC_NEVER;
	waitq_init(&s->waiters);
	list_init(&s->all);
}

static struct list all = LIST_INIT(all);

struct socket *socket_next(const struct socket *s)
{
	struct list *next = s ? s->all.next : all.next;

	return next == &all ? NULL : list_entry(next, struct socket, all);
}

int socket_take_error(struct socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

nsec_t socket_deadline(nsec_t timeout)
{
	nsec_t at;

	if (timeout == NSEC_NEVER || __builtin_add_overflow(plat_now(PLAT_MONOTONIC), timeout, &at))
		return NSEC_NEVER;
	return at;
}

int socket_wait_result(int r, nsec_t timeout)
{
	if (r == -ETIMEDOUT)
		return -EAGAIN;
	return r == -ERESTARTSYS && timeout != NSEC_NEVER ? -EINTR : r;
}

/* ---- as files ---- */

static int64_t file_move(struct file *f, struct uio *u, bool out)
{
	struct control none = {};
	struct sock_message m = { .data = u, .control = &none };
	int64_t n = out ? socket_send(f, &m) : socket_receive(f, &m);

	control_fini(&none); /* read(2) drops what came along */
	return n;
}

static int64_t sock_read(struct file *f, struct uio *to, uint64_t *pos)
{
	(void) pos;
	return to->left ? file_move(f, to, false) : 0;
}

static int64_t sock_write(struct file *f, struct uio *from, uint64_t *pos)
{
	(void) pos;
	return file_move(f, from, true);
}

static unsigned int sock_poll(struct file *f, struct waiter *w)
{
	struct socket *s = f->own;

	return s->ops->poll(s, w);
}

static sysret_t sock_ioctl(struct file *f, unsigned int request, uint64_t arg, struct space *space)
{
	struct socket *s = f->own;
	int64_t n;
	int32_t bytes;

	if (request != FIONREAD && request != TIOCOUTQ)
		return interface_ioctl(s->domain, request, uva(arg), space);
	if (!s->ops->queued)
		return -ENOTTY;
	n = s->ops->queued(s, request == TIOCOUTQ);
	if (n < 0)
		return n;
	bytes = (int32_t) min_of(n, (int64_t) INT32_MAX);
	return copy_out(space, uva(arg), &bytes, sizeof(bytes));
}

static void sock_flush(struct file *f, const void *owner)
{
	struct socket *s = f->own;

	(void) owner;
	if (s->ops->flush)
		s->ops->flush(s);
}

static void sock_release(struct file *f)
{
	struct socket *s = f->own;

	list_remove(&s->all);
	list_init(&s->all);
	s->ops->release(s);
}

static const struct file_ops file_ops = {
	.read = sock_read,
	.write = sock_write,
	.poll = sock_poll,
	.ioctl = sock_ioctl,
	.flush = sock_flush,
	.release = sock_release,
};

struct socket *file_socket(const struct file *f)
{
	return f->ops == &file_ops ? f->own : NULL;
}

bool socket_breaks(const struct file *f)
{
	const struct socket *s = file_socket(f);

	return s && s->type == SOCK_STREAM;
}

int socket_file(struct socket *s, int flags, const struct cred *who, struct file **ret)
{
	struct inode *i = anon_inode(S_IFSOCK | 0777, who);
	int r = i ? anon_file(i, "socket", &file_ops,
			      O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0u), s, ret)
		  : -ENOMEM;

	inode_unref(i);
	if (r < 0)
		return r;
	s->ino = (*ret)->inode->ino;
	s->uid = (*ret)->inode->uid;
	list_push(&all, &s->all);
	if (s->ops->has_file)
		s->ops->has_file(s, *ret);
	return 0;
}

/* Takes s, also on failure. */
static int file_of(struct socket *s, int flags, const struct sock_actor *by, struct file **ret)
{
	int r = socket_file(s, flags, by->walk.who, ret);

	if (r < 0)
		s->ops->release(s);
	return r;
}

/* ---- system calls ---- */

static int make(int domain, int type, int protocol, struct socket **ret)
{
	int flags = type & ~0xf;

	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (domain < 0 || domain >= DOMAINS)
		return -EAFNOSUPPORT;
	/* Before domains that Linux knows and may not have, as there. */
	if ((type & 0xf) >= TYPES)
		return -EINVAL;
	for (size_t n = 0; n < countof(families); n++) {
		if (families[n]->domain == domain)
			return families[n]->make(type & 0xf, protocol, ret);
	}
	return -EAFNOSUPPORT;
}

int socket_make(int domain, int type, int protocol, const struct sock_actor *by, struct file **ret)
{
	struct socket *s;
	int r = make(domain, type, protocol, &s);

	return r < 0 ? r : file_of(s, type, by, ret);
}

int socket_make_pair(int domain, int type, int protocol, const struct sock_actor *by,
		     struct file *ret[static 2])
{
	struct socket *a, *b;
	struct file *first;
	int r = make(domain, type, protocol, &a);

	if (r < 0)
		return r;
	r = make(domain, type, protocol, &b);
	if (r == 0) {
		r = a->ops->pair ? a->ops->pair(a, b, by) : -EOPNOTSUPP;
		if (r < 0)
			b->ops->release(b);
	}
	if (r < 0) {
		a->ops->release(a);
		return r;
	}
	r = file_of(a, type, by, &first);
	if (r < 0) {
		b->ops->release(b);
		return r;
	}
	r = file_of(b, type, by, &ret[1]);
	if (r < 0) {
		file_unref(first);
		return r;
	}
	ret[0] = first;
	return 0;
}

int socket_bind(struct file *f, const struct sock_actor *by, const struct sock_address *a)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	if (a->len < sizeof(a->family))
		return -EINVAL;
	return s->ops->bind ? s->ops->bind(s, by, a) : -EOPNOTSUPP;
}

int socket_listen(struct file *f, const struct sock_actor *by, int backlog)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	/* listen(2): more than net.core.somaxconn is that; Linux takes negative ones for it, too.
	 */
	if (backlog < 0 || (uint64_t) backlog > limits.backlog)
		backlog = (int) limits.backlog;
	return s->ops->listen ? s->ops->listen(s, by, backlog) : -EOPNOTSUPP;
}

int socket_connect(struct file *f, const struct sock_actor *by, const struct sock_address *a)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	if (a->len < sizeof(a->family))
		return -EINVAL;
	return s->ops->connect ? s->ops->connect(s, by, a, f->flags & O_NONBLOCK) : -EOPNOTSUPP;
}

int socket_accept(struct file *f, const struct sock_actor *by, int flags,
		  struct sock_address *ret_peer, struct file **ret)
{
	struct socket *s = file_socket(f), *made;
	int r;

	if (!s)
		return -ENOTSOCK;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (!s->ops->accept)
		return -EOPNOTSUPP;
	r = s->ops->accept(s, f->flags & O_NONBLOCK, &made);
	if (r < 0)
		return r;
	if (ret_peer && made->ops->name(made, true, ret_peer) < 0)
		ret_peer->len = 0; /* it went already */
	return file_of(made, flags, by, ret);
}

int64_t socket_send(struct file *f, struct sock_message *m)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	if (f->flags & O_NONBLOCK)
		m->flags |= MSG_DONTWAIT;
	return s->ops->send(s, m);
}

int64_t socket_receive(struct file *f, struct sock_message *m)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	if (f->flags & O_NONBLOCK)
		m->flags |= MSG_DONTWAIT;
	m->ret_flags = 0;
	if (m->address)
		m->address->len = 0;
	return s->ops->receive(s, m);
}

int socket_shutdown(struct file *f, int how)
{
	struct socket *s = file_socket(f);

	if (!s)
		return -ENOTSOCK;
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP;
}

int socket_name(struct file *f, bool of_peer, struct sock_address *ret)
{
	struct socket *s = file_socket(f);

	return s ? s->ops->name(s, of_peer, ret) : -ENOTSOCK;
}

int socket_get(struct file *f, int level, int name, void *to, size_t *len)
{
	struct socket *s = file_socket(f);

	return s ? option_get(s, level, name, to, len) : -ENOTSOCK;
}

int socket_set(struct file *f, const struct sock_actor *by, int level, int name, const void *value,
	       size_t len)
{
	struct socket *s = file_socket(f);

	return s ? option_set(s, by, level, name, value, len) : -ENOTSOCK;
}
