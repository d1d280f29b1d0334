/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"

#define REQUEST_MAX 512
#define ANSWER_MAX  12288 /* the kernel fills datagrams of a dump with 8 KiB */

struct request {
	union {
		struct nlmsghdr h;
		char bytes[REQUEST_MAX];
	};
};

/* <linux/netlink.h>'s macros take constness away. */
static const void *message_data(const struct nlmsghdr *h)
{
	return (const char *) h + NLMSG_HDRLEN;
}

static const void *attribute_data(const struct rtattr *a)
{
	return (const char *) a + RTA_LENGTH(0);
}

/* The header of a request and the fixed struct that follows it. */
static void *begin(struct request *q, uint16_t type, uint16_t flags, size_t fixed)
{
	*q = (struct request){};
	q->h.nlmsg_type = type;
	q->h.nlmsg_flags = NLM_F_REQUEST | flags;
	q->h.nlmsg_len = (uint32_t) NLMSG_SPACE(fixed);
	return NLMSG_DATA(&q->h);
}

/* All that is put into a request is bounded and fits. */
static void put(struct request *q, unsigned short type, const void *p, size_t n)
{
	struct rtattr *a = (struct rtattr *) (void *) (q->bytes + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short) RTA_LENGTH(n);
	memcpy(RTA_DATA(a), p, n);
	q->h.nlmsg_len = (uint32_t) (NLMSG_ALIGN(q->h.nlmsg_len) + RTA_SPACE(n));
}

static int put_name(struct request *q, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= IFNAMSIZ)
		return -EINVAL;
	put(q, IFLA_IFNAME, name, n + 1);
	return 0;
}

/* One answer; 1 to go on, 0 at the end, or -errno. `to` is the caller's. */
typedef int (*take_fn)(const struct nlmsghdr *h, void *to);

static int take_error(const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = message_data(h);

	return h->nlmsg_len < NLMSG_LENGTH(sizeof(*err)) ? -EBADMSG : err->error;
}

/*
 * Send, and take what comes until the acknowledgement or, with a NULL-ended dump, its end. The
 * socket is used by one caller at a time, so the answers are its own.
 */
static int talk(int sock, struct request *q, take_fn take, void *to)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_MAX];

	if (send(sock, q, q->h.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, answer, sizeof(answer), MSG_TRUNC);
		const struct nlmsghdr *h = (const void *) answer;
		size_t left = n < 0 ? 0 : (size_t) n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (left > sizeof(answer))
			return -EMSGSIZE;
		while (left >= sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= left) {
			size_t whole = NLMSG_ALIGN(h->nlmsg_len);
			int r;

			if (h->nlmsg_type == NLMSG_ERROR)
				return take_error(h);
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			r = take ? take(h, to) : 1;
			if (r < 0)
				return r;
			left -= whole < left ? whole : left;
			h = (const void *) ((const char *) h + whole);
		}
		if (left)
			return -EBADMSG;
	}
}

static int act(int sock, struct request *q)
{
	q->h.nlmsg_flags |= NLM_F_ACK;
	return talk(sock, q, NULL, NULL);
}

int netlink_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int one = 1;

	/* With its answer the kernel sends our own request back, unless told not to. */
	if (fd >= 0)
		(void) setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return fd < 0 ? -errno : fd;
}

/* Walks the attributes after a fixed struct of `fixed` bytes; NULL at the end. */
static const struct rtattr *attribute(const struct nlmsghdr *h, size_t fixed,
				      const struct rtattr *last)
{
	const char *end = (const char *) h + h->nlmsg_len;
	const char *at = last ? (const char *) last + RTA_ALIGN(last->rta_len)
			      : (const char *) h + NLMSG_SPACE(fixed);
	const struct rtattr *a = (const void *) at;

	if (at > end || (size_t) (end - at) < sizeof(*a) || a->rta_len < sizeof(*a) ||
	    a->rta_len > (size_t) (end - at))
		return NULL;
	return a;
}

static int take_link(const struct nlmsghdr *h, void *to)
{
	const struct ifinfomsg *info = message_data(h);
	struct netlink_link *l = to;

	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	l->index = info->ifi_index;
	l->flags = info->ifi_flags;
	for (const struct rtattr *a = attribute(h, sizeof(*info), NULL); a;
	     a = attribute(h, sizeof(*info), a)) {
		size_t n = RTA_PAYLOAD(a);

		if (a->rta_type == IFLA_IFNAME && n > 0 && n <= sizeof(l->name)) {
			memcpy(l->name, attribute_data(a), n);
			l->name[n - 1] = '\0';
		}
		if (a->rta_type == IFLA_MTU && n == sizeof(l->mtu))
			memcpy(&l->mtu, attribute_data(a), n);
		if (a->rta_type == IFLA_ADDRESS && n == sizeof(l->mac)) {
			memcpy(l->mac, attribute_data(a), n);
			l->has_mac = true;
		}
		if (a->rta_type == IFLA_IFALIAS) {
			size_t kept = n < sizeof(l->alias) ? n : sizeof(l->alias) - 1;

			memcpy(l->alias, attribute_data(a), kept);
			l->alias[kept] = '\0';
		}
	}
	return 1;
}

struct links {
	struct netlink_link *v;
	size_t n, max;
};

static int take_links(const struct nlmsghdr *h, void *to)
{
	struct links *all = to;

	if (all->n == all->max)
		return -E2BIG;
	all->v[all->n] = (struct netlink_link){};
	return take_link(h, &all->v[all->n++]);
}

int netlink_links(int sock, struct netlink_link *ret, size_t max, size_t *ret_n)
{
	struct links all = { .v = ret, .max = max };
	struct request q;
	int r;

	(void) begin(&q, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	r = talk(sock, &q, take_links, &all);
	if (r < 0)
		return r;
	*ret_n = all.n;
	return 0;
}

struct finding {
	const uint8_t *mac;
	struct netlink_link found;
};

static int take_if_found(const struct nlmsghdr *h, void *to)
{
	struct finding *f = to;
	struct netlink_link l = {};
	int r = take_link(h, &l);

	if (r > 0 && !f->found.index && l.has_mac && !(l.flags & IFF_LOOPBACK) &&
	    memcmp(l.mac, f->mac, sizeof(l.mac)) == 0)
		f->found = l;
	return r;
}

int netlink_link_find(int sock, const uint8_t mac[static 6], struct netlink_link *ret)
{
	struct finding f = { .mac = mac };
	struct request q;
	int r;

	(void) begin(&q, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	r = talk(sock, &q, take_if_found, &f);
	if (r < 0)
		return r;
	if (!f.found.index)
		return -ENODEV;
	*ret = f.found;
	return 0;
}

int netlink_link_get(int sock, const char *name, struct netlink_link *ret)
{
	struct netlink_link l = {};
	struct request q;
	int r;

	(void) begin(&q, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	r = put_name(&q, name);
	r = r < 0 ? r : talk(sock, &q, take_link, &l);
	if (r < 0)
		return r;
	if (!l.index)
		return -ENODEV;
	*ret = l;
	return 0;
}

static struct ifinfomsg *begin_link(struct request *q, int index)
{
	struct ifinfomsg *info = begin(q, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = index;
	return info;
}

int netlink_link_move(int sock, int index, int netns_fd, const char *name)
{
	struct request q;
	int r;

	(void) begin_link(&q, index);
	put(&q, IFLA_NET_NS_FD, &netns_fd, sizeof(netns_fd));
	r = put_name(&q, name);
	return r < 0 ? r : act(sock, &q);
}

int netlink_link_rename(int sock, int index, const char *name)
{
	struct request q;
	int r;

	(void) begin_link(&q, index);
	r = put_name(&q, name);
	return r < 0 ? r : act(sock, &q);
}

int netlink_link_up(int sock, int index)
{
	struct request q;
	struct ifinfomsg *info = begin_link(&q, index);

	info->ifi_flags = info->ifi_change = IFF_UP;
	return act(sock, &q);
}

int netlink_link_down(int sock, int index)
{
	struct request q;
	struct ifinfomsg *info = begin_link(&q, index);

	info->ifi_change = IFF_UP;
	return act(sock, &q);
}

int netlink_link_mac(int sock, int index, const uint8_t mac[static 6])
{
	struct request q;

	(void) begin_link(&q, index);
	put(&q, IFLA_ADDRESS, mac, 6);
	return act(sock, &q);
}

int netlink_link_alias(int sock, int index, const char *alias)
{
	size_t n = strlen(alias);
	struct request q;

	if (n >= sizeof(((struct netlink_link *) NULL)->alias))
		return -EINVAL;
	(void) begin_link(&q, index);
	put(&q, IFLA_IFALIAS, alias, n);
	return act(sock, &q);
}

int netlink_link_mtu(int sock, int index, uint32_t mtu)
{
	struct request q;

	(void) begin_link(&q, index);
	put(&q, IFLA_MTU, &mtu, sizeof(mtu));
	return act(sock, &q);
}

struct addresses {
	struct netlink_address *v;
	size_t n, max;
	int index;
};

static int take_address(const struct nlmsghdr *h, void *to)
{
	const struct ifaddrmsg *info = message_data(h);
	struct addresses *all = to;
	struct netlink_address *one;

	if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	if ((int) info->ifa_index != all->index ||
	    (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return 1;
	if (all->n == all->max)
		return -E2BIG;
	one = &all->v[all->n++];
	*one = (struct netlink_address){ .family = info->ifa_family,
					 .prefix = info->ifa_prefixlen,
					 .scope = info->ifa_scope,
					 .flags = info->ifa_flags,
					 .n = info->ifa_family == AF_INET ? 4 : 16 };
	for (const struct rtattr *a = attribute(h, sizeof(*info), NULL); a;
	     a = attribute(h, sizeof(*info), a)) {
		size_t n = RTA_PAYLOAD(a);
		void *at = a->rta_type == IFA_LOCAL	  ? one->local
			   : a->rta_type == IFA_ADDRESS	  ? one->address
			   : a->rta_type == IFA_BROADCAST ? one->broadcast
							  : NULL;

		if (at && n == one->n) {
			memcpy(at, attribute_data(a), n);
			one->present |= 1u << a->rta_type;
		}
		if (a->rta_type == IFA_FLAGS && n == sizeof(one->flags))
			memcpy(&one->flags, attribute_data(a), n);
		if (a->rta_type == IFA_RT_PRIORITY && n == sizeof(one->priority))
			memcpy(&one->priority, attribute_data(a), n);
	}
	return 1;
}

int netlink_addresses(int sock, int index, struct netlink_address *ret, size_t max, size_t *ret_n)
{
	struct addresses all = { .v = ret, .max = max, .index = index };
	struct request q;
	int r;

	(void) begin(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	r = talk(sock, &q, take_address, &all);
	if (r < 0)
		return r;
	*ret_n = all.n;
	return 0;
}

static struct ifaddrmsg *begin_address(struct request *q, uint16_t type, uint16_t flags, int index,
				       const struct netlink_address *a)
{
	struct ifaddrmsg *info = begin(q, type, flags, sizeof(*info));

	info->ifa_family = a->family;
	info->ifa_prefixlen = a->prefix;
	info->ifa_index = (unsigned) index;
	if (a->present & 1u << IFA_LOCAL)
		put(q, IFA_LOCAL, a->local, a->n);
	if (a->present & 1u << IFA_ADDRESS)
		put(q, IFA_ADDRESS, a->address, a->n);
	return info;
}

int netlink_address_remove(int sock, int index, const struct netlink_address *a)
{
	struct request q;

	(void) begin_address(&q, RTM_DELADDR, 0, index, a);
	return act(sock, &q);
}

int netlink_address_add(int sock, int index, const struct netlink_address *a)
{
	uint32_t flags = a->flags & (IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR |
				     IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN);
	struct request q;
	struct ifaddrmsg *info = begin_address(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index,
					       a);

	info->ifa_scope = a->scope;
	if (a->present & 1u << IFA_BROADCAST)
		put(&q, IFA_BROADCAST, a->broadcast, a->n);
	put(&q, IFA_FLAGS, &flags, sizeof(flags));
	if (a->priority)
		put(&q, IFA_RT_PRIORITY, &a->priority, sizeof(a->priority));
	return act(sock, &q);
}

struct routes {
	struct netlink_route *v;
	size_t n, max;
	int index;
};

static int take_route(const struct nlmsghdr *h, void *to)
{
	const struct rtmsg *info = message_data(h);
	struct routes *all = to;
	struct netlink_route t = {};
	int index = 0;

	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	if ((info->rtm_family != AF_INET && info->rtm_family != AF_INET6) ||
	    info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
	    info->rtm_protocol == RTPROT_KERNEL || (info->rtm_flags & RTM_F_CLONED))
		return 1;
	t.family = info->rtm_family;
	t.prefix = info->rtm_dst_len;
	t.scope = info->rtm_scope;
	t.on_link = (info->rtm_flags & RTNH_F_ONLINK) != 0;
	t.n = t.family == AF_INET ? 4 : 16;
	for (const struct rtattr *a = attribute(h, sizeof(*info), NULL); a;
	     a = attribute(h, sizeof(*info), a)) {
		size_t n = RTA_PAYLOAD(a);
		void *at = a->rta_type == RTA_DST	? t.to
			   : a->rta_type == RTA_GATEWAY ? t.gateway
			   : a->rta_type == RTA_PREFSRC ? t.source
							: NULL;

		if (at && n == t.n) {
			memcpy(at, attribute_data(a), n);
			t.present |= 1u << a->rta_type;
		}
		if (a->rta_type == RTA_OIF && n == sizeof(index))
			memcpy(&index, attribute_data(a), n);
		if (a->rta_type == RTA_PRIORITY && n == sizeof(t.metric))
			memcpy(&t.metric, attribute_data(a), n);
	}
	if (index != all->index)
		return 1;
	if (all->n == all->max)
		return -E2BIG;
	all->v[all->n++] = t;
	return 1;
}

int netlink_routes(int sock, int index, struct netlink_route *ret, size_t max, size_t *ret_n)
{
	struct routes all = { .v = ret, .max = max, .index = index };
	struct request q;
	int r;

	(void) begin(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(struct rtmsg));
	r = talk(sock, &q, take_route, &all);
	if (r < 0)
		return r;
	*ret_n = all.n;
	return 0;
}

int netlink_route_add(int sock, int index, const struct netlink_route *t)
{
	struct request q;
	struct rtmsg *info = begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));

	info->rtm_family = t->family;
	info->rtm_dst_len = t->prefix;
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_BOOT;
	info->rtm_scope = t->scope;
	info->rtm_type = RTN_UNICAST;
	info->rtm_flags = t->on_link ? RTNH_F_ONLINK : 0;
	put(&q, RTA_OIF, &index, sizeof(index));
	if (t->present & 1u << RTA_DST)
		put(&q, RTA_DST, t->to, t->n);
	if (t->present & 1u << RTA_GATEWAY)
		put(&q, RTA_GATEWAY, t->gateway, t->n);
	if (t->present & 1u << RTA_PREFSRC)
		put(&q, RTA_PREFSRC, t->source, t->n);
	if (t->metric)
		put(&q, RTA_PRIORITY, &t->metric, sizeof(t->metric));
	return act(sock, &q);
}
