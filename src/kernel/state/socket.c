/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: those of files, and those without one that others lead to: what waits in a backlog, and
 * whose other end is gone. Where one is met it is a number, with what it takes to make it; all else
 * of it stands behind the processes, so that nothing leads deeper and deeper, whatever a guest
 * has sent through what.
 */
#include <asm/socket.h>

#include "kernel/net/inet_sock.h"
#include "kernel/net/netlink_sock.h"
#include "kernel/net/unix_sock.h"
#include "kernel/state/state.h"

static bool of_unix(struct socket *sock)
{
	return sock->domain == AF_UNIX;
}

static bool of_inet(struct socket *sock)
{
	return sock->domain == AF_INET || sock->domain == AF_INET6;
}

const char *state_socket_why(struct socket *sock)
{
	return of_inet(sock) && inet_is_echo(inet_of(sock)) ? "a socket of ping:" : NULL;
}

bool socket_is_homeless(struct socket *sock)
{
	if (!list_empty(&sock->all))
		return false;
	if (of_unix(sock))
		return list_empty(&unix_of(sock)->in_backlog) && !unix_of(sock)->dead;
	if (of_inet(sock))
		return list_empty(&inet_of(sock)->in_backlog) && !inet_of(sock)->dead;
	return !netlink_of(sock)->dead;
}

static void own(struct socket *sock)
{
	if (of_unix(sock))
		unix_of(sock)->owners++;
	else if (of_inet(sock))
		inet_of(sock)->owners++;
	else
		netlink_of(sock)->owners++;
}

void socket_unref(struct socket *sock)
{
	if (of_unix(sock))
		unix_unref(unix_of(sock));
	else if (of_inet(sock))
		inet_unref(inet_of(sock));
	else
		netlink_unref(netlink_of(sock));
}

static void retire(struct socket *sock)
{
	if (of_unix(sock))
		unix_retire(unix_of(sock));
	else if (of_inet(sock))
		inet_retire(inet_of(sock));
	else
		netlink_retire(netlink_of(sock));
}

/* ---- saving ---- */

void save_socket(struct state_save *s, struct socket *sock)
{
	uint64_t nr = s->counts[STATE_SOCKET];

	if (save_known(s, STATE_SOCKET, sock))
		return;
	if (radix_set(&s->sockets, nr, sock) < 0) {
		s->out->error = -ENOMEM;
		return;
	}
	own(sock);
	out_number(s->out, (uint64_t) sock->domain);
	out_number(s->out, (uint64_t) sock->type);
}

static void save_common(struct state_save *s, struct socket *sock)
{
	/* Where it leads outside to nobody can follow: it is broken, as by a peer that was cut off.
	 */
	bool reset = of_inet(sock) && sock->ops != inet_ops();

	out_number(s->out, reset ? ECONNRESET : (uint64_t) sock->error);
	out_number(s->out, sock->pass_cred);
	out_number(s->out, sock->flags);
	out_number(s->out, sock->send_room);
	out_number(s->out, sock->receive_room);
	out_number(s->out, sock->low_water);
	out_number(s->out, (uint32_t) sock->priority);
	out_number(s->out, (uint32_t) sock->linger_on);
	out_number(s->out, (uint32_t) sock->linger_seconds);
	out_number(s->out, (uint64_t) sock->send_timeout);
	out_number(s->out, (uint64_t) sock->receive_timeout);
}

void save_sockets(struct state_save *s)
{
	for (uint64_t nr = 0; s->out->error == 0 && nr < s->counts[STATE_SOCKET]; nr++) {
		struct socket *sock = radix_get(&s->sockets, nr);

		save_common(s, sock);
		if (of_unix(sock))
			save_unix(s, sock);
		else if (of_inet(sock))
			save_inet(s, sock);
		else
			save_netlink(s, sock);
	}
}

/* ---- loading ---- */

struct socket *load_socket(struct state_load *l)
{
	uint64_t nr;
	struct socket *sock = load_known(l, STATE_SOCKET, &nr);
	int domain, type, r;

	if (sock || l->in->error < 0)
		return sock;
	domain = (int) in_number(l->in, AF_NETLINK);
	type = (int) in_number(l->in, SOCK_SEQPACKET);
	if (l->in->error < 0)
		return NULL;
	r = domain == AF_UNIX	   ? unix_family.make(type, 0, &sock)
	    : domain == AF_INET	   ? inet_family.make(type, 0, &sock)
	    : domain == AF_INET6   ? inet6_family.make(type, 0, &sock)
	    : domain == AF_NETLINK ? netlink_family.make(type, 0, &sock)
				   : -EBADMSG;
	if (r < 0 || sock->type != type) {
		in_fail(l->in, r == -ENOMEM ? r : -EBADMSG);
		if (r == 0)
			sock->ops->release(sock);
		return NULL;
	}
	own(sock);
	load_meet(l, STATE_SOCKET, nr, sock);
	return l->in->error < 0 ? NULL : sock;
}

static void load_common(struct state_load *l, struct socket *sock)
{
	sock->error = (int) in_number(l->in, 4095);
	sock->pass_cred = in_flag(l->in);
	sock->flags = (uint32_t) in_number(l->in, UINT32_MAX);
	sock->send_room = (uint32_t) in_number(l->in, INT32_MAX);
	sock->receive_room = (uint32_t) in_number(l->in, INT32_MAX);
	sock->low_water = (uint32_t) in_number(l->in, INT32_MAX);
	sock->priority = (int32_t) in_number(l->in, UINT32_MAX);
	sock->linger_on = (int32_t) in_number(l->in, UINT32_MAX);
	sock->linger_seconds = (int32_t) in_number(l->in, UINT32_MAX);
	sock->send_timeout = (nsec_t) in_number(l->in, NSEC_NEVER);
	sock->receive_timeout = (nsec_t) in_number(l->in, NSEC_NEVER);
}

/* Out there, where it was, and is not just connected. */
static void again_outside(struct state_load *l, struct socket *sock)
{
	struct inet_sock *u = inet_of(sock);
	char port[8];
	size_t at = sizeof(port) - 1;
	uint16_t n = u->local.port;
	int r;

	if (!u->wants_out)
		return;
	u->wants_out = false;
	r = outside_ops() ? inet_outside_again(u) : 0;
	if (r >= 0)
		return;
	port[at] = '\0';
	do {
		port[--at] = (char) ('0' + n % 10);
		n /= 10;
	} while (n);
	load_fail(l, r, "a socket of the workload cannot have its port again:", port + at);
}

void load_sockets(struct state_load *l)
{
	struct socket *sock;

	for (uint64_t nr = 0; l->in->error == 0 && nr < l->counts[STATE_SOCKET]; nr++) {
		sock = radix_get(&l->objects[STATE_SOCKET], nr);
		load_common(l, sock);
		if (of_unix(sock))
			load_unix(l, sock);
		else if (of_inet(sock))
			load_inet(l, sock);
		else
			load_netlink(l, sock);
	}
	for (uint64_t nr = 0; l->in->error == 0 && nr < l->counts[STATE_SOCKET]; nr++) {
		sock = radix_get(&l->objects[STATE_SOCKET], nr);
		if (socket_is_homeless(sock) || (of_unix(sock) && !load_unix_whole(sock)) ||
		    (of_inet(sock) && !load_inet_whole(sock)))
			in_fail(l->in, -EBADMSG);
	}
	for (uint64_t nr = 0; l->in->error == 0 && nr < l->counts[STATE_SOCKET]; nr++) {
		sock = radix_get(&l->objects[STATE_SOCKET], nr);
		if (of_inet(sock))
			again_outside(l, sock);
		/* Who watched it when it had nothing yet. */
		(void) waitq_wake(&sock->waiters, 0, 0);
	}
}

void drop_sockets(struct state_load *l)
{
	struct socket *sock;
	uint64_t nr;

	/* What does not hold together is not taken apart as what does. */
	for (nr = 0; (sock = radix_next(&l->objects[STATE_SOCKET], &nr)); nr++) {
		if (of_inet(sock) && inet_of(sock)->state != INET_LISTEN)
			inet_of(sock)->state = INET_CLOSED;
	}
	for (nr = 0; (sock = radix_next(&l->objects[STATE_SOCKET], &nr)); nr++) {
		if (socket_is_homeless(sock))
			retire(sock);
	}
}
