/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/links.h"

#include <linux/rtnetlink.h>

#include "kernel/core/heap.h"
#include "kernel/net/interface.h"
#include "kernel/net/numbers.h"
#include "kernel/net/outside.h"

#define DUMP_MOST ((size_t) 4 << 20)

/* ---- dumps ---- */

void links_dump_fini(struct links_dump *d)
{
	heap_free(d->bytes);
	*d = (struct links_dump){};
}

/* What comes from `from` on, to bytes that have room for it. The length of all. */
static int64_t fetch(int kind, int family, struct links_dump *d, size_t from)
{
	size_t got = 0;
	int64_t all = outside_ops()->dump(kind, family, from, d->bytes + from, OUTSIDE_DUMP, &got);

	if (all >= 0)
		d->len = from + got;
	return all;
}

int links_dump(int kind, int family, struct links_dump *ret)
{
	struct links_dump d = { .bytes = heap_alloc(OUTSIDE_DUMP) };
	unsigned char *larger;
	int64_t all;

	*ret = d;
	if (!d.bytes)
		return -ENOBUFS;
	all = fetch(kind, family, ret, 0);
	if (all <= (int64_t) ret->len)
		return all < 0 ? (int) all : 0;
	if (all > (int64_t) DUMP_MOST)
		return -ENOBUFS;
	larger = heap_alloc((size_t) all + OUTSIDE_DUMP);
	if (!larger)
		return -ENOBUFS;
	memcpy(larger, ret->bytes, ret->len);
	heap_free(ret->bytes);
	ret->bytes = larger;
	while ((int64_t) ret->len < all) {
		size_t had = ret->len;
		int64_t r = fetch(kind, family, ret, had);

		if (r != all || ret->len == had)
			return r < 0 ? (int) r : -EBUSY; /* another one was made meanwhile */
	}
	return 0;
}

bool links_next(const struct links_dump *d, size_t *at, struct links_message *ret)
{
	struct links_message m;
	size_t left = d->len - *at;

	if (left < sizeof(m.head))
		return false;
	memcpy(&m.head, d->bytes + *at, sizeof(m.head));
	if (m.head.nlmsg_len < sizeof(m.head) || m.head.nlmsg_len > left)
		return false;
	m.body = d->bytes + *at + sizeof(m.head);
	m.len = m.head.nlmsg_len - sizeof(m.head);
	*at += min_of(left, (size_t) NLMSG_ALIGN(m.head.nlmsg_len));
	*ret = m;
	return true;
}

const unsigned char *links_attribute(const struct links_message *m, size_t fixed, uint16_t type,
				     size_t *ret_len)
{
	size_t at = NLMSG_ALIGN(fixed);
	struct rtattr a;

	while (at <= m->len && m->len - at >= sizeof(a)) {
		memcpy(&a, m->body + at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > m->len - at)
			return NULL;
		if (a.rta_type == type) {
			*ret_len = a.rta_len - sizeof(a);
			return m->body + at + sizeof(a);
		}
		at += RTA_ALIGN((size_t) a.rta_len);
	}
	return NULL;
}

void links_value(const struct links_message *m, size_t fixed, uint16_t type, void *to, size_t n)
{
	size_t len = 0;
	const unsigned char *value = links_attribute(m, fixed, type, &len);

	memset(to, 0, n);
	if (value)
		memcpy(to, value, min_of(n, len));
}

/* ---- interfaces ---- */

static void take_link(const struct links_message *m, struct links_interface *to)
{
	struct ifinfomsg i;

	memcpy(&i, m->body, sizeof(i));
	to->index = i.ifi_index;
	to->flags = i.ifi_flags & 0xffff;
	to->type = i.ifi_type;
	links_value(m, sizeof(i), IFLA_IFNAME, to->name, sizeof(to->name) - 1);
	links_value(m, sizeof(i), IFLA_MTU, &to->mtu, sizeof(to->mtu));
	links_value(m, sizeof(i), IFLA_TXQLEN, &to->queue, sizeof(to->queue));
	links_value(m, sizeof(i), IFLA_ADDRESS, to->address, sizeof(to->address));
	links_value(m, sizeof(i), IFLA_BROADCAST, to->hardware_broadcast,
		    sizeof(to->hardware_broadcast));
	links_value(m, sizeof(i), IFLA_OPERSTATE, &to->state, sizeof(to->state));
	links_value(m, sizeof(i), IFLA_CARRIER, &to->carrier, sizeof(to->carrier));
	links_value(m, sizeof(i), IFLA_LINK, &to->lower, sizeof(to->lower));
	links_value(m, sizeof(i), IFLA_STATS64, to->stats, sizeof(to->stats));
}

static void take_address(const struct links_message *m, struct links_interface *all, size_t n)
{
	struct ifaddrmsg a;

	if (m->head.nlmsg_type != RTM_NEWADDR || m->len < sizeof(a))
		return;
	memcpy(&a, m->body, sizeof(a));
	for (size_t k = 0; k < n; k++) {
		struct links_interface *to = &all[k];

		if (to->has_ip || a.ifa_family != AF_INET || to->index != (int32_t) a.ifa_index)
			continue;
		to->has_ip = true;
		to->prefix = a.ifa_prefixlen < 32 ? a.ifa_prefixlen : 32;
		links_value(m, sizeof(a), IFA_LOCAL, to->ip, sizeof(to->ip));
		links_value(m, sizeof(a), IFA_ADDRESS, to->peer, sizeof(to->peer));
		links_value(m, sizeof(a), IFA_BROADCAST, to->broadcast, sizeof(to->broadcast));
	}
}

static bool is_link(const struct links_message *m)
{
	return m->head.nlmsg_type == RTM_NEWLINK && m->len >= sizeof(struct ifinfomsg);
}

/* What there is without one. */
static int loopback_alone(struct links_interface **ret)
{
	static const struct links_interface lo = { .name = INTERFACE_NAME,
						   .index = INTERFACE_INDEX,
						   .flags = INTERFACE_FLAGS,
						   .mtu = INTERFACE_MTU,
						   .queue = INTERFACE_QUEUE,
						   .type = INTERFACE_TYPE,
						   .carrier = 1,
						   .has_ip = true,
						   .ip = { 127, 0, 0, 1 },
						   .peer = { 127, 0, 0, 1 },
						   .prefix = 8 };

	*ret = heap_alloc(sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	**ret = lo;
	return 1;
}

int links_interfaces(struct links_interface **ret)
{
	struct links_dump links = {}, addresses = {};
	struct links_interface *all = NULL;
	struct links_message m;
	size_t n = 0, k = 0, at = 0;
	int r;

	if (!outside_ops())
		return loopback_alone(ret);
	r = links_dump(RTM_GETLINK, 0, &links);
	if (r == 0)
		r = links_dump(RTM_GETADDR, AF_INET, &addresses);
	while (r == 0 && links_next(&links, &at, &m))
		n += is_link(&m);
	if (r == 0) {
		all = heap_alloc((n + 1) * sizeof(*all));
		r = all ? 0 : -ENOMEM;
	}
	for (at = 0; r == 0 && links_next(&links, &at, &m);)
		if (is_link(&m))
			take_link(&m, &all[k++]);
	for (at = 0; r == 0 && links_next(&addresses, &at, &m);)
		take_address(&m, all, n);
	links_dump_fini(&links);
	links_dump_fini(&addresses);
	if (r < 0)
		return r;
	*ret = all;
	return (int) n;
}
