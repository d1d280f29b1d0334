/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of netlink: their ports, and the answers that nobody has read. They lead nowhere. */
#include "kernel/net/netlink_sock.h"
#include "kernel/state/state.h"

void save_netlink(struct state_save *s, struct socket *sock)
{
	const struct netlink_sock *n = netlink_of(sock);

	out_number(s->out, n->port);
	out_number(s->out, n->groups);
	list_each(l, &n->inbox)
	{
		const struct netlink_piece *p = list_entry(l, struct netlink_piece, link);

		out_number(s->out, p->len);
		out_bytes(s->out, p->bytes, p->len);
	}
	out_number(s->out, 0);
}

void load_netlink(struct state_load *l, struct socket *sock)
{
	struct netlink_sock *n = netlink_of(sock);
	uint32_t port = (uint32_t) in_number(l->in, UINT32_MAX);
	size_t len;

	n->groups = (uint32_t) in_number(l->in, UINT32_MAX);
	if (port && l->in->error == 0 && netlink_have_port(n, port) < 0)
		in_fail(l->in, -EBADMSG);
	while ((len = (size_t) in_number(l->in, l->in->left)) > 0) {
		struct netlink_piece *p = NULL;

		if (len <= l->in->left)
			p = netlink_piece_new(n, len);
		else
			in_fail(l->in, -EBADMSG);
		if (!p) {
			in_fail(l->in, -ENOMEM);
			return;
		}
		in_bytes(l->in, p->bytes, len);
	}
}
