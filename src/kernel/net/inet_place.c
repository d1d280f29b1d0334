/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and ports. Every socket that has a port stands in a tree by it, those that were
 * accepted too: bind(2) asks all of them, and who is sought is found there.
 */
#include <asm/socket.h>

#include "kernel/net/inet_sock.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"

/* struct sockaddr_in: family, port, address, 8 of nothing; sockaddr_in6: family, port, flow,
 * address, scope, which may be missing. */
#define LEN_4	    16
#define LEN_6	    28
#define LEN_6_LEAST 24

static const unsigned char any_4[16] = { [10] = 0xff, [11] = 0xff };
static const unsigned char loopback_4[16] = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 };
static const unsigned char any_6[16], loopback_6[16] = { [15] = 1 };

static struct tree ports[2]; /* of streams, of datagrams */

static struct tree *ports_of(int type)
{
	return &ports[type == SOCK_DGRAM];
}

static bool same(const unsigned char a[static 16], const unsigned char b[static 16])
{
	return memcmp(a, b, 16) == 0;
}

static bool is_4(const unsigned char ip[static 16])
{
	return memcmp(ip, any_4, 12) == 0;
}

static bool is_any(const unsigned char ip[static 16])
{
	return same(ip, any_4) || same(ip, any_6);
}

static bool is_loopback(const unsigned char ip[static 16])
{
	return is_4(ip) ? ip[12] == 127 : same(ip, loopback_6);
}

/* ---- as the guest has them ---- */

int inet_parse(const struct inet_sock *u, const struct sock_address *a, struct inet_place *ret)
{
	bool six = u->socket.domain == AF_INET6;

	if (a->len < (six ? LEN_6_LEAST : LEN_4))
		return -EINVAL;
	ret->port = (uint16_t) (a->bytes[2] << 8 | a->bytes[3]);
	if (six) {
		if (a->family != AF_INET6)
			return -EAFNOSUPPORT;
		memcpy(ret->ip, a->bytes + 8, 16);
		return 0;
	}
	memcpy(ret->ip, any_4, 12);
	memcpy(ret->ip + 12, a->bytes + 4, 4);
	/* Linux: without a family it is the wildcard's alone. */
	if (a->family != AF_INET && (a->family != AF_UNSPEC || !is_any(ret->ip)))
		return -EAFNOSUPPORT;
	return 0;
}

void inet_address(const struct inet_sock *u, const struct inet_place *p, struct sock_address *ret)
{
	bool six = u->socket.domain == AF_INET6;

	*ret = (struct sock_address){ .len = six ? LEN_6 : LEN_4 };
	ret->family = six ? AF_INET6 : AF_INET;
	ret->bytes[2] = (unsigned char) (p->port >> 8);
	ret->bytes[3] = (unsigned char) p->port;
	if (six)
		memcpy(ret->bytes + 8, p->ip, 16);
	else
		memcpy(ret->bytes + 4, p->ip + 12, 4);
}

int inet_destination(const struct inet_sock *u, struct inet_place *p)
{
	if (is_any(p->ip))
		memcpy(p->ip, is_4(p->ip) ? loopback_4 : loopback_6, 16);
	if (!is_loopback(p->ip) || (u->v6_only && is_4(p->ip)))
		return -ENETUNREACH;
	return 0;
}

/* ---- ports ---- */

void inet_port_take(struct inet_sock *u)
{
	tree_insert(ports_of(u->socket.type), &u->by_port, u->local.port);
}

void inet_port_give(struct inet_sock *u)
{
	if (tree_has(&u->by_port))
		tree_remove(ports_of(u->socket.type), &u->by_port);
	u->local.port = 0;
}

void inet_unbind(struct inet_sock *u)
{
	if (!u->picked)
		return;
	inet_port_give(u);
	u->picked = false;
	memcpy(u->local.ip, u->socket.domain == AF_INET ? any_4 : any_6, 16);
}

static struct inet_sock *first_at(int type, uint16_t port)
{
	struct tree_node *n = tree_from(ports_of(type), port);

	return n && n->key == port ? container_of(n, struct inet_sock, by_port) : NULL;
}

static struct inet_sock *next_at(const struct inet_sock *u)
{
	struct tree_node *n = tree_next(&u->by_port);

	return n && n->key == u->by_port.key ? container_of(n, struct inet_sock, by_port) : NULL;
}

/* Whether what is sent to ip is u's, by where it is bound. */
static bool covers(const struct inet_sock *u, const unsigned char ip[static 16])
{
	if (same(u->local.ip, ip))
		return true;
	if (same(u->local.ip, any_4))
		return is_4(ip);
	return same(u->local.ip, any_6) && (!is_4(ip) || !u->v6_only);
}

static bool overlap(const struct inet_sock *a, const struct inet_sock *b)
{
	return covers(a, b->local.ip) || covers(b, a->local.ip);
}

static bool reuses(const struct inet_sock *u)
{
	return u->socket.flags >> SO_REUSEADDR & 1;
}

/* socket(7): SO_REUSEADDR beside what does not listen, SO_REUSEPORT beside the same user's. */
static bool stands_beside(const struct inet_sock *u, const struct inet_sock *other)
{
	if (u->reuse_port && other->reuse_port && u->uid == other->uid)
		return true;
	return reuses(u) && reuses(other) && (!inet_is_stream(u) || other->state != INET_LISTENING);
}

static bool taken(const struct inet_sock *u)
{
	for (const struct inet_sock *o = first_at(u->socket.type, u->local.port); o;
	     o = next_at(o)) {
		if (o != u && overlap(u, o) && !stands_beside(u, o))
			return true;
	}
	return false;
}

bool inet_listened(const struct inet_sock *u)
{
	for (const struct inet_sock *o = first_at(u->socket.type, u->local.port); o;
	     o = next_at(o)) {
		if (o != u && o->state == INET_LISTENING && overlap(u, o) && !stands_beside(u, o))
			return true;
	}
	return false;
}

/* One that nobody has, from a random one on. False: all are somebody's. */
static bool pick(struct inet_sock *u)
{
	uint32_t count = INET_PORT_LAST - INET_PORT_FIRST + 1, from;

	plat_random(&from, sizeof(from));
	for (uint32_t n = 0; n < count; n++) {
		uint16_t port = (uint16_t) (INET_PORT_FIRST + (from % count + n) % count);

		if (!first_at(u->socket.type, port)) {
			u->local.port = port;
			u->picked = true;
			inet_port_take(u);
			return true;
		}
	}
	return false;
}

int inet_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a)
{
	struct inet_sock *u = inet_of(s);
	struct inet_place was = u->local, to;
	int r = inet_parse(u, a, &to);

	if (r < 0)
		return r;
	if (u->v6_only && is_4(to.ip))
		return -EINVAL;
	if (!is_any(to.ip) && !is_loopback(to.ip))
		return -EADDRNOTAVAIL;
	if (to.port && to.port < INET_PORT_FREE && !cred_can(by->walk.who, CAP_NET_BIND_SERVICE))
		return -EACCES;
	if (u->state != INET_NEW || tree_has(&u->by_port))
		return -EINVAL;
	u->local = to;
	u->uid = by->walk.who->euid;
	if (to.port ? taken(u) : !pick(u)) {
		u->local = was;
		return -EADDRINUSE;
	}
	if (to.port)
		inet_port_take(u);
	return 0;
}

int inet_choose(struct inet_sock *u, const struct inet_place *to)
{
	bool four = is_4(to->ip);

	if (!is_any(u->local.ip) && is_4(u->local.ip) != four)
		return -ENETUNREACH;
	if (!tree_has(&u->by_port) && !pick(u))
		return -EADDRNOTAVAIL;
	if (is_any(u->local.ip))
		memcpy(u->local.ip, four ? loopback_4 : loopback_6, 16);
	return 0;
}

/* ---- who is sought ---- */

/* 0: not this one. A remote place counts most, then the address itself, then a wildcard. */
static unsigned int fits(const struct inet_sock *o, const struct inet_place *to,
			 const struct inet_place *from)
{
	unsigned int score = 1;

	if (o->dead || !covers(o, to->ip))
		return 0;
	if (inet_is_stream(o))
		return o->state != INET_LISTENING ? 0 : same(o->local.ip, to->ip) ? 3 : 1;
	if (o->state == INET_CONNECTED) {
		if (o->remote.port != from->port || !same(o->remote.ip, from->ip))
			return 0;
		score += 4;
	}
	return score + (same(o->local.ip, to->ip) ? 2 : 0);
}

struct inet_sock *inet_find(int type, const struct inet_place *to, const struct inet_place *from)
{
	struct inet_sock *best = NULL, *first = to->port ? first_at(type, to->port) : NULL;
	unsigned int score = 0, equals = 0, turn;

	for (struct inet_sock *o = first; o; o = next_at(o)) {
		unsigned int n = fits(o, to, from);

		equals = n > score ? 1 : equals + (n == score);
		if (n > score) {
			score = n;
			best = o;
		}
	}
	if (!best || !best->reuse_port)
		return best;
	/* SO_REUSEPORT: each source has one of them. */
	turn = from->port % equals;
	for (struct inet_sock *o = best; o; o = next_at(o)) {
		if (fits(o, to, from) == score && turn-- == 0)
			return o;
	}
	return best;
}
