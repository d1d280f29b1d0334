/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at which port. All that have one stand in a tree per protocol, those that listen in one
 * more: a connection does not search among those that were accepted before.
 */
#include <asm/socket.h>

#include "kernel/net/inet_sock.h"

static struct tree streams, datagrams, listeners;

static struct tree *tree_of(const struct inet_sock *u)
{
	return inet_is_stream(u) ? &streams : &datagrams;
}

static struct inet_sock *at_node(struct tree_node *n)
{
	return container_of(n, struct inet_sock, by_port);
}

#define each_at(n, tree, at)                                                                       \
	for (struct tree_node *n = tree_from(tree, at); n && n->key == (at); n = tree_next(n))

/* Whether both could get the same. */
static bool overlap(const struct inet_sock *a, const struct inet_ip *at, const struct inet_sock *b)
{
	struct inet_ip none6 = inet_ip_none(AF_INET6), none4 = inet_ip_none(AF_INET);
	bool a4 = inet_ip_is4(at), b4 = inet_ip_is4(&b->local.ip);

	if (inet_ip_equal(at, &none6) && !(a->option[OPT_V6ONLY] && b4))
		return true;
	if (inet_ip_equal(&b->local.ip, &none6) && !(b->option[OPT_V6ONLY] && a4))
		return true;
	if (a4 && b4 && (inet_ip_equal(at, &none4) || inet_ip_equal(&b->local.ip, &none4)))
		return true;
	return inet_ip_equal(at, &b->local.ip);
}

static bool flag(const struct inet_sock *u, int name)
{
	return u->socket.flags >> name & 1;
}

/* socket(7), SO_REUSEADDR and SO_REUSEPORT: who may be there together. */
static bool may_share(const struct inet_sock *a, const struct inet_sock *b)
{
	if (flag(a, SO_REUSEADDR) && flag(b, SO_REUSEADDR) && b->state != INET_LISTEN)
		return true;
	return flag(a, SO_REUSEPORT) && flag(b, SO_REUSEPORT) && a->uid == b->uid;
}

static bool in_use(const struct inet_sock *u, const struct inet_address *at)
{
	each_at(n, tree_of(u), at->port)
	{
		const struct inet_sock *other = at_node(n);

		if (other != u && !may_share(u, other) && overlap(u, &at->ip, other))
			return true;
	}
	return false;
}

static bool anybody_at(struct tree *t, uint32_t port)
{
	struct tree_node *n = tree_from(t, port);

	return n && n->key == port;
}

/* 0: all are taken. */
static uint16_t ephemeral(struct tree *t)
{
	static uint32_t last = INET_PORT_FIRST;

	for (uint32_t tries = INET_PORT_FIRST; tries <= INET_PORT_LAST; tries++) {
		last = last == INET_PORT_LAST ? INET_PORT_FIRST : last + 1;
		if (!anybody_at(t, last))
			return (uint16_t) last;
	}
	return 0;
}

bool inet_port_none_left(const struct inet_sock *u)
{
	return ephemeral(tree_of(u)) == 0;
}

int inet_port_take(struct inet_sock *u, const struct inet_address *at)
{
	struct inet_address a = *at;

	if (a.port == 0) {
		a.port = ephemeral(tree_of(u));
		if (a.port == 0)
			return -EADDRNOTAVAIL;
	} else if (in_use(u, &a)) {
		return -EADDRINUSE;
	}
	inet_port_share(u, &a);
	return 0;
}

void inet_port_share(struct inet_sock *u, const struct inet_address *at)
{
	u->local = *at;
	tree_insert(tree_of(u), &u->by_port, at->port);
}

void inet_port_give(struct inet_sock *u)
{
	inet_port_deafen(u);
	if (tree_has(&u->by_port))
		tree_remove(tree_of(u), &u->by_port);
	u->local.port = 0;
}

int inet_port_listen(struct inet_sock *u)
{
	/* Two may be bound there that cannot both listen. */
	if (in_use(u, &u->local))
		return -EADDRINUSE;
	inet_port_hear(u);
	return 0;
}

void inet_port_hear(struct inet_sock *u)
{
	tree_insert(&listeners, &u->by_listener, u->local.port);
}

void inet_port_deafen(struct inet_sock *u)
{
	if (tree_has(&u->by_listener))
		tree_remove(&listeners, &u->by_listener);
}

bool inet_connected_twice(const struct inet_sock *u, const struct inet_address *remote)
{
	each_at(n, tree_of(u), u->local.port)
	{
		const struct inet_sock *other = at_node(n);

		if (other != u && other->peer && other->state != INET_CLOSED &&
		    other->remote.port == remote->port &&
		    inet_ip_equal(&other->remote.ip, &remote->ip) &&
		    inet_ip_equal(&other->local.ip, &u->local.ip))
			return true;
	}
	return false;
}

/* How well it fits: the address it is bound to, whom it is connected to, its family; 0: not. */
static unsigned int score(const struct inet_sock *u, const struct inet_address *to,
			  const struct inet_address *from)
{
	unsigned int n = 1;

	if (!inet_ip_covers(u, &to->ip))
		return 0;
	if (!inet_ip_any(&u->local.ip))
		n += 4;
	if ((u->socket.domain == AF_INET) == inet_ip_is4(&to->ip))
		n += 1;
	if (inet_is_stream(u) || u->state != INET_ESTABLISHED)
		return n;
	if (u->remote.port != from->port || !inet_ip_equal(&u->remote.ip, &from->ip))
		return 0;
	return n + 8;
}

static struct inet_sock *find(struct tree *t, const struct inet_address *to,
			      const struct inet_address *from)
{
	unsigned int best = 0, equal = 0, wanted;
	struct inet_sock *last = NULL;

#define SOCK_AT(n) (t == &listeners ? container_of((n), struct inet_sock, by_listener) : at_node(n))
	each_at(n, t, to->port)
	{
		unsigned int s = score(SOCK_AT(n), to, from);

		if (s == 0 || s < best)
			continue;
		equal = s > best ? 1 : equal + 1;
		best = s;
		last = SOCK_AT(n);
	}
	/* Without SO_REUSEPORT the latest has it. */
	if (equal < 2 || !flag(last, SO_REUSEPORT))
		return last;
	wanted = (from->port ^ from->ip.b[15]) % equal;
	each_at(n, t, to->port)
	{
		if (score(SOCK_AT(n), to, from) == best && wanted-- == 0)
			return SOCK_AT(n);
	}
#undef SOCK_AT
	return last;
}

struct inet_sock *inet_find_listener(const struct inet_address *to, const struct inet_address *from)
{
	return find(&listeners, to, from);
}

struct inet_sock *inet_find_receiver(const struct inet_address *to, const struct inet_address *from)
{
	return find(&datagrams, to, from);
}
