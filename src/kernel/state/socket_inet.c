/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the sandbox's own loopback, with what is on its way. What leads outside cannot be
 * kept: a connection is reset; who listens there, or sends and gets datagrams, is opened again.
 */
#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"
#include "kernel/state/state.h"

static void save_address(struct state_save *s, const struct inet_address *a)
{
	out_bytes(s->out, a->ip.b, sizeof(a->ip.b));
	out_number(s->out, a->port);
}

static struct inet_address load_address(struct state_load *l)
{
	struct inet_address a;

	in_bytes(l->in, a.ip.b, sizeof(a.ip.b));
	a.port = (uint16_t) in_number(l->in, UINT16_MAX);
	return a;
}

/* ---- what is on its way ---- */

static void save_piece(void *arg, const char *bytes, size_t n)
{
	struct state_save *s = arg;

	out_number(s->out, n);
	out_bytes(s->out, bytes, n);
}

static void load_pieces(struct state_load *l, struct inet_sock *u)
{
	size_t n;

	while ((n = (size_t) in_number(l->in, l->in->left)) > 0) {
		if (n > l->in->left) {
			in_fail(l->in, -EBADMSG);
		} else if (inet_stream_put(u, (const char *) l->in->at, n) < 0) {
			in_fail(l->in, -ENOMEM);
		} else {
			l->in->at += n;
			l->in->left -= n;
		}
	}
}

static void save_datagrams(struct state_save *s, const struct inet_sock *u)
{
	list_each(l, (struct list *) (uintptr_t) &u->inbox)
	{
		const struct inet_datagram *d = list_entry(l, struct inet_datagram, link);

		out_number(s->out, 1);
		save_address(s, &d->from);
		out_bytes(s->out, d->to.b, sizeof(d->to.b));
		out_number(s->out, d->hops);
		out_number(s->out, d->class);
		out_number(s->out, d->len);
		out_bytes(s->out, d->bytes, d->len);
	}
	out_number(s->out, 0);
}

static void load_datagrams(struct state_load *l, struct inet_sock *u)
{
	while (in_flag(l->in)) {
		const struct inet_address from = load_address(l);
		struct inet_datagram *d;
		struct inet_ip to;
		unsigned char hops, class;
		size_t len;

		in_bytes(l->in, to.b, sizeof(to.b));
		hops = (unsigned char) in_number(l->in, UINT8_MAX);
		class = (unsigned char) in_number(l->in, UINT8_MAX);
		len = (size_t) in_number(l->in, l->in->left);
		d = l->in->error == 0 ? heap_alloc(sizeof(*d) + len) : NULL;
		if (!d) {
			in_fail(l->in, -ENOMEM);
			return;
		}
		list_init(&d->link);
		d->from = from;
		d->to = to;
		d->hops = hops;
		d->class = class;
		d->len = len;
		in_bytes(l->in, d->bytes, len);
		inet_datagram_put(u, d);
	}
}

/* ---- backlogs ---- */

static void save_ends(struct state_save *s, const struct list *ends)
{
	list_each(l, (struct list *) (uintptr_t) ends)
	{
		out_number(s->out, 1);
		save_socket(s, &list_entry(l, struct inet_sock, in_backlog)->socket);
	}
	out_number(s->out, 0);
}

static struct inet_sock *load_other(struct state_load *l)
{
	struct socket *sock = load_socket(l);

	if (sock && sock->domain != AF_UNIX && sock->type == SOCK_STREAM)
		return inet_of(sock);
	in_fail(l->in, -EBADMSG);
	return NULL;
}

/* How many. */
static unsigned int load_ends(struct state_load *l, struct list *ends)
{
	unsigned int n = 0;

	for (; in_flag(l->in); n++) {
		struct inet_sock *end = load_other(l);

		if (!end || end->state == INET_LISTEN || !socket_is_homeless(&end->socket)) {
			in_fail(l->in, -EBADMSG);
			return n;
		}
		list_push(ends, &end->in_backlog);
	}
	return n;
}

static void save_listener(struct state_save *s, const struct inet_sock *u)
{
	out_number(s->out, u->backlog_most);
	save_ends(s, &u->backlog);
	save_ends(s, &u->arriving);
}

static void load_listener(struct state_load *l, struct inet_sock *u)
{
	u->backlog_most = (unsigned int) in_number(l->in, INT32_MAX);
	/* It is none that is to be accepted itself. */
	if (!tree_has(&u->by_port) || u->peer || !list_empty(&u->in_backlog))
		in_fail(l->in, -EBADMSG);
	if (l->in->error < 0)
		return;
	u->state = INET_LISTEN;
	u->socket.listening = true;
	inet_port_hear(u);
	u->backlog_used = load_ends(l, &u->backlog);
	(void) load_ends(l, &u->arriving);
}

/* ---- streams ---- */

/* Of a connection to the outside it is the state when that was reset. */
static void save_stream(struct state_save *s, const struct inet_sock *u)
{
	bool reset = u->socket.ops != inet_ops();
	bool peer = u->peer && !reset;

	out_number(s->out, reset ? INET_CLOSED : u->state);
	out_number(s->out, reset ? INET_CONNECTED : u->phase);
	out_number(s->out, reset ? NO_MORE : u->closed);
	out_number(s->out, u->fin);
	out_number(s->out, u->room_wanted);
	out_number(s->out, peer);
	if (peer)
		save_socket(s, &u->peer->socket);
	inet_stream_each(u, save_piece, s);
	out_number(s->out, 0);
	if (u->state == INET_LISTEN)
		save_listener(s, u);
}

static bool may_be(enum inet_state state)
{
	switch (state) {
	case INET_ESTABLISHED:
	case INET_SYN_SENT:
	case INET_SYN_RECV:
	case INET_FIN_WAIT:
	case INET_CLOSED:
	case INET_CLOSE_WAIT:
	case INET_LISTEN:
		return true;
	}
	return false;
}

static void load_stream(struct state_load *l, struct inet_sock *u)
{
	enum inet_state state = (enum inet_state) in_number(l->in, INET_LISTEN);

	if (!may_be(state))
		in_fail(l->in, -EBADMSG);
	u->phase = (enum inet_phase) in_number(l->in, INET_CONNECTED);
	u->closed = (unsigned int) in_number(l->in, NO_MORE);
	u->fin = in_flag(l->in);
	u->room_wanted = in_flag(l->in);
	if (in_flag(l->in)) {
		struct inet_sock *peer = load_other(l);

		if (peer && peer != u) {
			peer->owners++;
			u->peer = peer;
		} else {
			in_fail(l->in, -EBADMSG);
		}
	}
	load_pieces(l, u);
	if (l->in->error < 0)
		return;
	if (state == INET_LISTEN)
		load_listener(l, u);
	else
		u->state = state;
}

/* ---- one ---- */

void save_inet(struct state_save *s, struct socket *sock)
{
	const struct inet_sock *u = inet_of(sock);
	bool has_port = tree_has(&u->by_port);

	out_number(s->out, u->dead);
	if (u->dead)
		return;
	for (size_t n = 0; n < INET_OPTIONS; n++)
		out_number(s->out, (uint32_t) u->option[n]);
	out_number(s->out, u->ip_bound);
	out_number(s->out, u->port_bound);
	out_number(s->out, u->uid);
	save_address(s, &u->local);
	save_address(s, &u->remote);
	out_number(s->out, has_port);
	out_number(s->out, u->sent);
	out_number(s->out, u->received);
	/* What of it is out there, and not a connection. */
	out_number(s->out, u->out && sock->ops == inet_ops());
	out_number(s->out, u->out_peer);
	if (inet_is_stream(u)) {
		save_stream(s, u);
	} else {
		out_number(s->out, u->state == INET_ESTABLISHED);
		out_number(s->out, u->closed);
		save_datagrams(s, u);
	}
}

void load_inet(struct state_load *l, struct socket *sock)
{
	struct inet_sock *u = inet_of(sock);
	struct inet_address local;
	bool dead = in_flag(l->in);

	if (dead && !socket_is_homeless(sock))
		in_fail(l->in, -EBADMSG);
	if (l->in->error < 0)
		return;
	if (dead) {
		inet_retire(u);
		return;
	}
	for (size_t n = 0; n < INET_OPTIONS; n++)
		u->option[n] = (int32_t) in_number(l->in, UINT32_MAX);
	u->ip_bound = in_flag(l->in);
	u->port_bound = in_flag(l->in);
	u->uid = (uint32_t) in_number(l->in, UINT32_MAX);
	local = load_address(l);
	u->remote = load_address(l);
	u->local = local;
	if (in_flag(l->in) && l->in->error == 0)
		inet_port_share(u, &local);
	u->sent = in_number(l->in, UINT64_MAX);
	u->received = in_number(l->in, UINT64_MAX);
	u->wants_out = in_flag(l->in);
	u->out_peer = in_flag(l->in);
	/* Until there is something out there it is connected to nobody. */
	if (inet_is_stream(u)) {
		u->out_peer = false;
		load_stream(l, u);
	} else {
		u->state = in_flag(l->in) ? INET_ESTABLISHED : INET_CLOSED;
		u->closed = (unsigned int) in_number(l->in, NO_MORE);
		load_datagrams(l, u);
	}
	if (!u->wants_out)
		u->out_peer = false;
}

bool load_inet_whole(struct socket *sock)
{
	const struct inet_sock *u = inet_of(sock), *peer = u->peer;
	bool placed = !list_empty(&u->in_backlog);

	if (u->dead || !inet_is_stream(u))
		return !placed;
	list_each(l, (struct list *) (uintptr_t) &u->backlog)
	{
		if (list_entry(l, struct inet_sock, in_backlog)->state == INET_SYN_RECV)
			return false;
	}
	list_each(l, (struct list *) (uintptr_t) &u->arriving)
	{
		if (list_entry(l, struct inet_sock, in_backlog)->state != INET_SYN_RECV)
			return false;
	}
	switch (u->state) {
	case INET_SYN_SENT:
		return !placed && peer && peer->state == INET_SYN_RECV && peer->peer == u;
	case INET_SYN_RECV:
		return placed && peer && peer->state == INET_SYN_SENT && peer->peer == u;
	case INET_ESTABLISHED:
	case INET_FIN_WAIT:
	case INET_CLOSE_WAIT:
		return peer && (peer->dead || peer->peer == u);
	case INET_CLOSED:
		return true;
	case INET_LISTEN:
		return !peer;
	}
	return false;
}
