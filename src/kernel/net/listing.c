/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/listing.h"

#include "kernel/net/inet_sock.h"
#include "kernel/net/unix_sock.h"

/* How long lines are, before their end. */
#define STREAM_LINE   149
#define DATAGRAM_LINE 127
/* What Linux tells in the column of flags, and of states. */
#define UNIX_ACCEPTS 0x10000u
enum { UNIX_UNCONNECTED = 1, UNIX_CONNECTED = 3 };

/* As Linux prints numbers of the network here: in capitals. */
static void hex(struct text *to, uint64_t v, int digits)
{
	while (digits-- > 0)
		text_add(to, &"0123456789ABCDEF"[v >> (4 * digits) & 15], 1);
}

/* Words of the network's order as this machine reads them. */
static void address(int domain, const struct inet_address *a, struct text *to)
{
	for (size_t at = domain == AF_INET ? 12 : 0; at < sizeof(a->ip.b); at += 4) {
		uint32_t word;

		memcpy(&word, a->ip.b + at, sizeof(word));
		hex(to, word, 8);
	}
	text_put(to, ":");
	hex(to, a->port, 4);
	text_put(to, " ");
}

/* Of one outside it is told by what connect(2) has said. */
static unsigned int state_of(const struct inet_sock *u)
{
	if (!u->out || u->state != INET_CLOSED || !inet_is_stream(u))
		return u->state;
	return u->phase == INET_CONNECTED    ? (unsigned int) INET_ESTABLISHED
	       : u->phase == INET_CONNECTING ? (unsigned int) INET_SYN_SENT
					     : (unsigned int) INET_CLOSED;
}

static uint64_t queued(struct socket *s, bool sent)
{
	int64_t n = s->ops->queued ? s->ops->queued(s, sent) : 0;

	return n > 0 ? (uint64_t) n : 0;
}

static void inet_line(struct inet_sock *u, unsigned int number, struct text *to)
{
	struct socket *s = &u->socket;
	bool stream = inet_is_stream(u), listens = u->state == INET_LISTEN;
	size_t from = to->len;

	text_put(to, stream ? "%4u: " : "%5u: ", number);
	address(s->domain, &u->local, to);
	address(s->domain, &u->remote, to);
	hex(to, state_of(u), 2);
	text_put(to, " ");
	hex(to, listens ? 0 : queued(s, true), 8);
	text_put(to, ":");
	hex(to, listens ? u->backlog_used : queued(s, false), 8);
	text_put(to, " 00:00000000 00000000 %5u %8d %lu %u 0000000000000000", s->uid, 0, s->ino,
		 u->owners);
	text_put(to, stream ? " 100 0 0 10 0" : " 0");
	text_pad(to, from, stream ? STREAM_LINE : DATAGRAM_LINE);
	text_put(to, "\n");
}

/* Linux lists who listens, is connected, or has a port for datagrams. */
static bool is_listed(struct socket *s, int domain, int type)
{
	const struct inet_sock *u = inet_of(s);

	if (s->domain != domain || s->type != type || inet_is_echo(u))
		return false;
	return inet_is_stream(u) ? state_of(u) != INET_CLOSED : u->local.port != 0;
}

void listing_inet(int domain, int type, struct text *to)
{
	size_t from = to->len;
	unsigned int number = 0;

	text_put(to, type == SOCK_STREAM ? "" : "  ");
	text_put(to, domain == AF_INET
			     ? "  sl  local_address rem_address   st tx_queue rx_queue tr "
			       "tm->when retrnsmt   uid  timeout inode"
			     : "  sl  local_address                         remote_address        "
			       "                st tx_queue rx_queue tr tm->when retrnsmt   uid  "
			       "timeout inode");
	if (type != SOCK_STREAM)
		text_put(to, " ref pointer drops");
	if (domain == AF_INET)
		text_pad(to, from, type == SOCK_STREAM ? STREAM_LINE : DATAGRAM_LINE);
	text_put(to, "\n");
	for (struct socket *s = socket_next(NULL); s; s = socket_next(s))
		if (is_listed(s, domain, type))
			inet_line(inet_of(s), number++, to);
}

/* A path, or an abstract name: '@' for each byte that is 0. */
static void unix_name(const struct unix_name *n, struct text *to)
{
	size_t at = sizeof(__kernel_sa_family_t);
	bool path;

	if (!n || n->len <= at)
		return;
	path = n->bytes[at] != 0;
	text_put(to, " ");
	for (; at < n->len && !(path && n->bytes[at] == 0); at++)
		text_put(to, "%c", n->bytes[at] ? n->bytes[at] : '@');
}

void listing_unix(struct text *to)
{
	text_put(to, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	for (struct socket *s = socket_next(NULL); s; s = socket_next(s)) {
		const struct unix_sock *u;

		if (s->domain != AF_UNIX)
			continue;
		u = unix_of(s);
		text_put(to, "0000000000000000: ");
		hex(to, u->owners + 1, 8);
		text_put(to, " 00000000 ");
		hex(to, s->listening ? UNIX_ACCEPTS : 0, 8);
		text_put(to, " ");
		hex(to, (unsigned int) s->type, 4);
		text_put(to, " ");
		hex(to, u->peer ? UNIX_CONNECTED : UNIX_UNCONNECTED, 2);
		text_put(to, " %5lu", s->ino);
		unix_name(u->name, to);
		text_put(to, "\n");
	}
}
