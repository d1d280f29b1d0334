/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent stands in the receiver's inbox as parcels, and is charged to the sender until it is
 * read: SO_SNDBUF bounds that. A datagram is one parcel; a stream's bytes are cut as they come.
 */
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)
#define CHUNK	 (((size_t) 16 << 10) - sizeof(struct parcel)) /* the heap's largest class */

static bool inbox_full(const struct unix_sock *to, const struct unix_sock *from)
{
	return to != from && to->peer != from && to->parcels > DATAGRAMS_MOST;
}

bool unix_writable(const struct unix_sock *u)
{
	if (u->socket.listening || 4 * u->charged > u->socket.send_room)
		return false;
	return u->socket.type != SOCK_DGRAM || !u->peer || !inbox_full(u->peer, u);
}

void unix_parcel_free(struct parcel *p)
{
	struct unix_sock *from = p->from;

	if (p->rights) {
		unix_rights_in(p->rights);
		rights_free(p->rights);
	}
	unix_name_unref(p->name);
	from->charged -= p->cost;
	if (4 * from->charged <= from->socket.send_room)
		(void) waitq_wake(&from->socket.waiters, WRITABLE, 0);
	heap_free(p);
	unix_unref(from);
}

static bool same_cred(const struct parcel *p, const struct control *c)
{
	const struct sock_sender *a = &p->sender, *b = &c->sender;

	return a->cred.pid == b->cred.pid && a->numbers == b->numbers &&
	       a->cred.uid == b->cred.uid && a->cred.gid == b->cred.gid;
}

/* ---- sending ---- */

/* Filled from the guest's memory, charged, and in no inbox yet. May park. */
static int parcel_new(struct unix_sock *u, struct sock_message *m, size_t len, struct parcel **ret)
{
	struct parcel *p = heap_alloc(sizeof(*p) + len);
	int64_t n;

	if (!p)
		return -ENOMEM;
	list_init(&p->link);
	p->from = u;
	p->cost = sizeof(*p) + len;
	u->owners++;
	u->charged += p->cost;
	if (m->control->has_cred)
		p->sender = m->control->sender;
	else if (m->by)
		p->sender = (struct sock_sender){
			{ m->by->pid, m->by->walk.who->uid, m->by->walk.who->gid }, m->by->numbers
		};
	else if (this_task())
		p->sender = (struct sock_sender){ { (int32_t) this_task()->process->pid,
						    this_task()->cred->uid,
						    this_task()->cred->gid },
						  pid_space_serial(pid_space_here()) };
	n = len ? uio_in(m->data, p->bytes, len) : 0;
	if (n < 0 || (n < (int64_t) len && u->socket.type != SOCK_STREAM)) {
		unix_parcel_free(p);
		return -EFAULT;
	}
	p->len = (size_t) n;
	*ret = p;
	return 0;
}

void unix_parcel_put(struct unix_sock *to, struct parcel *p)
{
	to->waiting += p->len;
	to->parcels++;
	list_push(&to->inbox, &p->link);
}

/* With the files that go along; the parcel is the receiver's, or gone. */
static int deliver(struct unix_sock *to, struct sock_message *m, struct parcel *p)
{
	int r = m->control->rights ? unix_rights_out(m->control->rights) : 0;

	if (r < 0) {
		unix_parcel_free(p);
		return r;
	}
	p->rights = m->control->rights;
	m->control->rights = NULL;
	unix_parcel_put(to, p);
	(void) waitq_wake(&to->socket.waiters, READABLE, 0);
	return 0;
}

/* What the sender may have on its way. */
static int wait_for_charge(struct unix_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r = 0;

	if (u->charged >= u->socket.send_room && !(u->closed & CLOSED_WRITE)) {
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		r = waitq_wait(&u->socket.waiters,
			       u->charged < u->socket.send_room || u->closed & CLOSED_WRITE,
			       deadline, fiber_interrupted());
	}
	return r < 0 ? r : u->closed & CLOSED_WRITE ? -EPIPE : 0;
}

static int64_t send_stream(struct unix_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	int64_t done = 0;
	int r = 0;

	if (m->address && m->address->len)
		return u->peer ? -EISCONN : -EOPNOTSUPP;
	if (!u->peer)
		return -ENOTCONN;
	if (u->closed & CLOSED_WRITE)
		return -EPIPE;
	while (m->data->left > 0) {
		struct parcel *p;
		size_t n;

		r = wait_for_charge(u, m, deadline);
		if (r == 0)
			r = socket_take_error(&u->socket);
		if (r == 0)
			r = parcel_new(u, m, min_of((size_t) m->data->left, CHUNK), &p);
		if (r < 0)
			break;
		n = p->len;
		/* Filling it may have parked. */
		if (u->closed & CLOSED_WRITE) {
			unix_parcel_free(p);
			r = -EPIPE;
			break;
		}
		r = deliver(u->peer, m, p);
		if (r < 0)
			break;
		done += (int64_t) n;
	}
	return done ? done : socket_wait_result(r, timeout);
}

/* Whether a datagram may go there now: 0, or 1 when it has to wait. */
static int may_deliver(struct unix_sock *u, struct unix_sock *to)
{
	if (u->closed & CLOSED_WRITE)
		return -EPIPE;
	if (to->dead) {
		if (u->peer == to)
			unix_set_peer(u, NULL);
		return -ECONNREFUSED;
	}
	if (to->closed & CLOSED_READ)
		return -EPIPE;
	if (u->socket.type == SOCK_DGRAM && to->peer && to->peer != u)
		return -EPERM;
	return inbox_full(to, u);
}

static int send_to(struct unix_sock *u, struct unix_sock *to, struct sock_message *m)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	struct parcel *p;
	int r = wait_for_charge(u, m, deadline);

	if (r == 0)
		r = socket_take_error(&u->socket);
	if (r == 0)
		r = parcel_new(u, m, (size_t) m->data->left, &p);
	if (r < 0)
		return socket_wait_result(r, timeout);
	if (u->name) {
		p->name = u->name;
		p->name->owners++;
	}
	while ((r = may_deliver(u, to)) > 0) {
		if (m->flags & MSG_DONTWAIT)
			r = -EAGAIN;
		else
			r = waitq_wait(&to->room, may_deliver(u, to) <= 0, deadline,
				       fiber_interrupted());
		if (r < 0)
			break;
	}
	if (r < 0) {
		unix_parcel_free(p);
		return socket_wait_result(r, timeout);
	}
	return deliver(to, m, p);
}

static int64_t send_datagram(struct unix_sock *u, struct sock_message *m)
{
	int64_t len = (int64_t) m->data->left;
	struct unix_sock *to = u->peer;
	int r = 0;

	/* One that has a peer for good takes no other address, and Linux does not mind one. */
	if (u->socket.type == SOCK_DGRAM && m->address && m->address->len)
		r = unix_find(m->address, SOCK_DGRAM, m->by, &to);
	else if (to)
		to->owners++;
	else
		r = -ENOTCONN;
	if (r < 0)
		return r;
	if (len > (int64_t) u->socket.send_room - 32)
		r = -EMSGSIZE;
	else if (u->socket.pass_cred && !u->name)
		r = unix_autobind(u);
	if (r == 0)
		r = send_to(u, to, m);
	unix_unref(to);
	return r < 0 ? r : len;
}

int64_t unix_send(struct socket *s, struct sock_message *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return s->type == SOCK_STREAM ? send_stream(unix_of(s), m) : send_datagram(unix_of(s), m);
}

/* ---- receiving ---- */

/* What a receiver is told besides the bytes. Peeked files are one more owner's. */
static void tell(struct unix_sock *u, struct sock_message *m, struct parcel *p)
{
	m->control->sender = p->sender;
	m->control->has_cred = u->socket.pass_cred;
	if (!p->rights)
		return;
	if (m->flags & MSG_PEEK) {
		m->control->rights = rights_copy(p->rights);
		if (!m->control->rights)
			m->ret_flags |= MSG_CTRUNC;
		return;
	}
	unix_rights_in(p->rights);
	m->control->rights = p->rights;
	p->rights = NULL;
}

static void take_out(struct unix_sock *u, struct parcel *p)
{
	list_remove(&p->link);
	u->waiting -= p->len - p->at;
	u->parcels--;
	unix_parcel_free(p);
	if (u->socket.type == SOCK_DGRAM)
		unix_room_made(u);
}

/* With `reading`, which is given back meanwhile. 1: nothing comes any more; 0: look again. */
static int wait_for_parcel(struct unix_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r = socket_take_error(&u->socket);

	if (r < 0)
		return r;
	/* Linux: a datagram socket that is shut down has nothing yet, for who does not wait. */
	if (u->closed & CLOSED_READ && !(u->socket.type == SOCK_DGRAM && m->flags & MSG_DONTWAIT))
		return 1;
	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	sleeplock_give(&u->reading);
	r = waitq_wait(&u->socket.waiters,
		       !list_empty(&u->inbox) || u->socket.error || u->closed & CLOSED_READ,
		       deadline, fiber_interrupted());
	sleeplock_take(&u->reading);
	return r;
}

/* Of a stream. The next parcel to look at, or NULL: done with what is there. */
static struct parcel *take_part(struct unix_sock *u, struct sock_message *m, struct parcel *p,
				int64_t *done)
{
	size_t part = min_of(p->len - p->at, (size_t) m->data->left);
	bool files = p->rights != NULL, peek = m->flags & MSG_PEEK;
	int64_t n = part ? uio_out(m->data, p->bytes + p->at, part) : 0;

	if (n < 0) {
		*done = *done ? *done : n;
		return NULL;
	}
	tell(u, m, p);
	*done += n;
	if (peek)
		return files || n < (int64_t) part || p->link.next == &u->inbox || !m->data->left
			       ? NULL
			       : list_entry(p->link.next, struct parcel, link);
	p->at += (size_t) n;
	u->waiting -= (size_t) n;
	if (p->at < p->len)
		return NULL;
	take_out(u, p);
	if (files || !m->data->left || list_empty(&u->inbox))
		return NULL;
	return list_entry(u->inbox.next, struct parcel, link);
}

static int64_t receive_stream(struct unix_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	uint64_t want = m->flags & MSG_WAITALL
				? m->data->left
				: min_of(m->data->left, (uint64_t) u->socket.low_water);
	int64_t done = 0;
	bool first = true;
	int r = 0;

	if (!u->peer)
		return -EINVAL;
	sleeplock_take(&u->reading);
	for (;;) {
		struct parcel *p;

		if (list_empty(&u->inbox)) {
			r = wait_for_parcel(u, m, deadline);
			if (r != 0)
				break;
			continue;
		}
		p = list_entry(u->inbox.next, struct parcel, link);
		while (p) {
			/* What different processes wrote is told apart where they are told. */
			if (!first && u->socket.pass_cred && !same_cred(p, m->control))
				break;
			first = false;
			p = take_part(u, m, p, &done);
		}
		/* Files end it, a look at what is there, and what was left there for a reason. */
		if (done < 0 || (uint64_t) done >= want || m->control->rights ||
		    m->flags & MSG_PEEK || !list_empty(&u->inbox))
			break;
	}
	sleeplock_give(&u->reading);
	if (m->address && !first && u->peer->name)
		unix_address(u->peer->name, m->address);
	return done || !first ? done : r > 0 ? 0 : socket_wait_result(r, timeout);
}

static int64_t receive_datagram(struct unix_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	struct parcel *p;
	int64_t n = 0;
	size_t part, len;
	int r = 0;

	if (u->socket.type == SOCK_SEQPACKET && !u->peer)
		return -ENOTCONN;
	sleeplock_take(&u->reading);
	while (list_empty(&u->inbox) && r == 0)
		r = wait_for_parcel(u, m, deadline);
	if (list_empty(&u->inbox)) {
		sleeplock_give(&u->reading);
		return r > 0 ? 0 : socket_wait_result(r, timeout);
	}
	p = list_entry(u->inbox.next, struct parcel, link);
	len = p->len;
	part = min_of(len, (size_t) m->data->left);
	if (part < len)
		m->ret_flags |= MSG_TRUNC;
	n = part ? uio_out(m->data, p->bytes, part) : 0;
	if (n == (int64_t) part) {
		tell(u, m, p);
		if (m->address && p->name)
			unix_address(p->name, m->address);
	} else {
		n = -EFAULT;
	}
	/* It is gone even where it could not be brought, as on Linux. */
	if (!(m->flags & MSG_PEEK))
		take_out(u, p);
	sleeplock_give(&u->reading);
	return n < 0 ? n : m->flags & MSG_TRUNC ? (int64_t) len : n;
}

int64_t unix_receive(struct socket *s, struct sock_message *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return s->type == SOCK_STREAM ? receive_stream(unix_of(s), m)
				      : receive_datagram(unix_of(s), m);
}
