/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink(7): lo and its two addresses. */
#include <linux/rtnetlink.h>

#include "kernel/net/interface.h"
#include "kernel/net/netlink.h"

/* A message is begun with put_head, grows, and is closed with put_end: its length. */
static void put(struct netlink_answer *to, const void *bytes, size_t n)
{
	memcpy(to->bytes + to->len, bytes, n);
	to->len += NLMSG_ALIGN(n); /* the rest is zero */
}

static size_t put_head(struct netlink_answer *to, const struct nlmsghdr *of, uint16_t type,
		       uint16_t flags)
{
	struct nlmsghdr h = { .nlmsg_type = type,
			      .nlmsg_flags = flags,
			      .nlmsg_seq = of->nlmsg_seq,
			      .nlmsg_pid = to->port };
	size_t at = to->len;

	put(to, &h, sizeof(h));
	return at;
}

static void put_end(struct netlink_answer *to, size_t at)
{
	uint32_t len = (uint32_t) (to->len - at);

	memcpy(to->bytes + at, &len, sizeof(len));
}

static void put_attribute(struct netlink_answer *to, uint16_t type, const void *value, size_t n)
{
	struct rtattr a = { .rta_len = (uint16_t) (sizeof(a) + n), .rta_type = type };

	put(to, &a, sizeof(a));
	put(to, value, n);
}

static void put_number(struct netlink_answer *to, uint16_t type, uint32_t value)
{
	put_attribute(to, type, &value, sizeof(value));
}

static void put_byte(struct netlink_answer *to, uint16_t type, uint8_t value)
{
	put_attribute(to, type, &value, sizeof(value));
}

static void put_error(struct netlink_answer *to, const struct nlmsghdr *of, int error)
{
	struct nlmsgerr e = { .error = error, .msg = *of };
	size_t at = put_head(to, of, NLMSG_ERROR, 0);

	put(to, &e, sizeof(e));
	put_end(to, at);
}

static void put_done(struct netlink_answer *to, const struct nlmsghdr *of)
{
	size_t at = put_head(to, of, NLMSG_DONE, NLM_F_MULTI);
	int32_t zero = 0;

	put(to, &zero, sizeof(zero));
	put_end(to, at);
}

static void put_link(struct netlink_answer *to, const struct nlmsghdr *of, uint16_t flags)
{
	static const struct ifinfomsg lo = { .ifi_type = INTERFACE_TYPE,
					     .ifi_index = INTERFACE_INDEX,
					     .ifi_flags = INTERFACE_FLAGS | INTERFACE_LOWER };
	static const char name[] = INTERFACE_NAME, queue[] = "noqueue";
	static const unsigned char none[6];
	size_t at = put_head(to, of, RTM_NEWLINK, flags);

	put(to, &lo, sizeof(lo));
	put_attribute(to, IFLA_IFNAME, name, sizeof(name));
	put_number(to, IFLA_TXQLEN, INTERFACE_QUEUE);
	put_byte(to, IFLA_OPERSTATE, 0); /* IF_OPER_UNKNOWN, as Linux says of it */
	put_byte(to, IFLA_LINKMODE, 0);
	put_number(to, IFLA_MTU, INTERFACE_MTU);
	put_number(to, IFLA_GROUP, 0);
	put_attribute(to, IFLA_QDISC, queue, sizeof(queue));
	put_attribute(to, IFLA_ADDRESS, none, sizeof(none));
	put_attribute(to, IFLA_BROADCAST, none, sizeof(none));
	put_end(to, at);
}

static void put_address(struct netlink_answer *to, const struct nlmsghdr *of, uint8_t family)
{
	static const unsigned char four[] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 };
	static const struct ifa_cacheinfo always = { .ifa_prefered = UINT32_MAX,
						     .ifa_valid = UINT32_MAX };
	static const char name[] = INTERFACE_NAME;
	struct ifaddrmsg a = { .ifa_family = family,
			       .ifa_prefixlen = family == AF_INET ? 8 : 128,
			       .ifa_flags = IFA_F_PERMANENT,
			       .ifa_scope = RT_SCOPE_HOST,
			       .ifa_index = INTERFACE_INDEX };
	size_t at = put_head(to, of, RTM_NEWADDR, NLM_F_MULTI);

	put(to, &a, sizeof(a));
	if (family == AF_INET) {
		put_attribute(to, IFA_ADDRESS, four, sizeof(four));
		put_attribute(to, IFA_LOCAL, four, sizeof(four));
		put_attribute(to, IFA_LABEL, name, sizeof(name));
	} else {
		put_attribute(to, IFA_ADDRESS, six, sizeof(six));
	}
	put_number(to, IFA_FLAGS, IFA_F_PERMANENT);
	put_attribute(to, IFA_CACHEINFO, &always, sizeof(always));
	put_end(to, at);
}

/* Whether a request for one link, by its index or its name, means lo. */
static bool means_lo(const unsigned char *request, size_t len)
{
	static const char name[] = INTERFACE_NAME;
	size_t at = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	struct ifinfomsg i;
	struct rtattr a;

	if (len < at)
		return false;
	memcpy(&i, request + sizeof(struct nlmsghdr), sizeof(i));
	if (i.ifi_index)
		return i.ifi_index == INTERFACE_INDEX;
	while (len - at >= sizeof(a)) {
		size_t step;

		memcpy(&a, request + at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > len - at)
			return false;
		if (a.rta_type == IFLA_IFNAME && a.rta_len >= sizeof(a) + sizeof(name) - 1 &&
		    a.rta_len <= sizeof(a) + sizeof(name) &&
		    memcmp(request + at + sizeof(a), name, a.rta_len - sizeof(a)) == 0)
			return true;
		step = RTA_ALIGN((size_t) a.rta_len);
		at += min_of(step, len - at);
	}
	return false;
}

static bool is_dump(const struct nlmsghdr *h)
{
	return (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

/* 0 where it was answered, else what an error message says. */
static int ask(const unsigned char *request, size_t len, const struct nlmsghdr *h,
	       struct netlink_answer *to)
{
	uint8_t family = len > sizeof(*h) ? request[sizeof(*h)] : AF_UNSPEC;

	switch (h->nlmsg_type) {
	case RTM_GETLINK:
		if (is_dump(h))
			put_link(to, h, NLM_F_MULTI);
		else if (means_lo(request, len))
			put_link(to, h, 0);
		else
			return -ENODEV;
		break;
	case RTM_GETADDR:
		if (!is_dump(h))
			return -EOPNOTSUPP;
		if (family == AF_UNSPEC || family == AF_INET)
			put_address(to, h, AF_INET);
		if (family == AF_UNSPEC || family == AF_INET6)
			put_address(to, h, AF_INET6);
		break;
	case RTM_GETROUTE:
	case RTM_GETNEIGH:
		/* Nothing leads anywhere, and nobody is near. */
		if (!is_dump(h))
			return h->nlmsg_type == RTM_GETROUTE ? -ENETUNREACH : -ENOENT;
		break;
	default:
		/* Of each four kinds the third asks: the others change something. */
		return h->nlmsg_type >= RTM_BASE && h->nlmsg_type <= RTM_MAX &&
				       (h->nlmsg_type - RTM_BASE) % 4 != 2
			       ? -EPERM
			       : -EOPNOTSUPP;
	}
	if (is_dump(h))
		put_done(to, h);
	return 0;
}

void netlink_route(const unsigned char *request, size_t len, struct netlink_answer *to)
{
	struct nlmsghdr h;
	int error;

	memcpy(&h, request, sizeof(h));
	if (!(h.nlmsg_flags & NLM_F_REQUEST) || h.nlmsg_type < NLMSG_MIN_TYPE)
		error = 0;
	else
		error = ask(request, len, &h, to);
	if (error < 0 || (h.nlmsg_flags & NLM_F_ACK && !is_dump(&h)))
		put_error(to, &h, error);
}
