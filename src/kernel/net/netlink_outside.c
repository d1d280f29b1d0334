/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink(7) where there is a network outside: its links, addresses, routes, neighbours, rules.
 */
#include <linux/rtnetlink.h>

#include "kernel/core/heap.h"
#include "kernel/net/links.h"
#include "kernel/net/netlink.h"
#include "kernel/net/outside.h"

/* Answers are of about this size: programs read them into a page. */
#define PIECE	   3584
#define PIECE_MOST 12288 /* one message may be longer than that */

struct pieces {
	const struct nlmsghdr *of;
	uint32_t port;
	netlink_give give;
	void *to;
	size_t len;
	unsigned char *bytes;
};

static void give(struct pieces *p)
{
	if (p->len)
		p->give(p->to, p->bytes, p->len);
	p->len = 0;
}

/* A message of that type; what is too long for any program is left out. */
static void put(struct pieces *p, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	struct nlmsghdr h = { .nlmsg_len = (uint32_t) (sizeof(h) + len),
			      .nlmsg_type = type,
			      .nlmsg_flags = flags,
			      .nlmsg_seq = p->of->nlmsg_seq,
			      .nlmsg_pid = p->port };
	size_t whole = NLMSG_ALIGN((size_t) h.nlmsg_len);

	if (whole > PIECE_MOST)
		return;
	if (p->len + whole > PIECE)
		give(p);
	memset(p->bytes + p->len, 0, whole);
	memcpy(p->bytes + p->len, &h, sizeof(h));
	memcpy(p->bytes + p->len + sizeof(h), body, len);
	p->len += whole;
}

static void put_error(struct pieces *p, int error)
{
	const struct nlmsgerr e = { .error = error, .msg = *p->of };

	put(p, NLMSG_ERROR, 0, &e, sizeof(e));
}

static int put_all(struct pieces *p, int family)
{
	struct links_dump d = {};
	struct links_message m;
	const int32_t zero = 0;
	int r = links_dump(p->of->nlmsg_type, family, &d);

	for (size_t at = 0; r == 0 && links_next(&d, &at, &m);)
		put(p, m.head.nlmsg_type, m.head.nlmsg_flags | NLM_F_MULTI, m.body, m.len);
	links_dump_fini(&d);
	if (r == 0)
		put(p, NLMSG_DONE, NLM_F_MULTI, &zero, sizeof(zero));
	return r;
}

/* Whether it is the link that a request names, by its number or by its name. */
static bool is_wanted(const struct links_message *m, const struct links_message *request)
{
	struct ifinfomsg wanted, i;
	const unsigned char *name, *own;
	size_t len, own_len;

	if (m->head.nlmsg_type != RTM_NEWLINK || m->len < sizeof(i))
		return false;
	memcpy(&i, m->body, sizeof(i));
	memcpy(&wanted, request->body, sizeof(wanted));
	if (wanted.ifi_index)
		return wanted.ifi_index == i.ifi_index;
	name = links_attribute(request, sizeof(wanted), IFLA_IFNAME, &len);
	own = links_attribute(m, sizeof(i), IFLA_IFNAME, &own_len);
	if (!name || !own)
		return false;
	/* With its end, or without. */
	while (len > 0 && !name[len - 1])
		len--;
	return own_len == len + 1 && memcmp(name, own, len) == 0;
}

static int put_link(struct pieces *p, const struct links_message *request)
{
	struct links_dump d = {};
	struct links_message m;
	int r = request->len < sizeof(struct ifinfomsg) ? -EINVAL : links_dump(RTM_GETLINK, 0, &d);
	bool found = false;

	for (size_t at = 0; r == 0 && !found && links_next(&d, &at, &m);) {
		found = is_wanted(&m, request);
		if (found)
			put(p, RTM_NEWLINK, 0, m.body, m.len);
	}
	links_dump_fini(&d);
	return r < 0 ? r : found ? 0 : -ENODEV;
}

bool netlink_outside(const unsigned char *request, size_t len, uint32_t port, netlink_give to_give,
		     void *to)
{
	struct links_message q = { .body = request + sizeof(q.head), .len = len - sizeof(q.head) };
	struct pieces p = { .of = &q.head, .port = port, .give = to_give, .to = to };
	bool dump;
	int r;

	memcpy(&q.head, request, sizeof(q.head));
	dump = (q.head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (!outside_ops() || !(q.head.nlmsg_flags & NLM_F_REQUEST))
		return false;
	switch (q.head.nlmsg_type) {
	case RTM_GETLINK:
	case RTM_GETADDR:
	case RTM_GETROUTE:
	case RTM_GETNEIGH:
	case RTM_GETRULE:
		break;
	default:
		return false;
	}
	p.bytes = heap_alloc(PIECE_MOST);
	if (!p.bytes)
		return false;
	if (dump)
		r = put_all(&p, q.len ? q.body[0] : 0);
	else
		r = q.head.nlmsg_type == RTM_GETLINK ? put_link(&p, &q) : -EOPNOTSUPP;
	if (r < 0 || (q.head.nlmsg_flags & NLM_F_ACK && !dump))
		put_error(&p, r);
	give(&p);
	heap_free(p.bytes);
	return true;
}
