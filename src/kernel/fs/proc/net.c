/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: interfaces and routes of IPv4, addresses of IPv6, sockets. Without a network outside:
 * lo.
 */
#include <linux/route.h>
#include <linux/rtnetlink.h>

#include "kernel/core/heap.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/net/links.h"
#include "kernel/net/listing.h"
#include "kernel/net/numbers.h"
#include "kernel/net/outside.h"

/* In the order of struct rtnl_link_stats64. */
enum {
	RX_PACKETS,
	TX_PACKETS,
	RX_BYTES,
	TX_BYTES,
	RX_ERRORS,
	TX_ERRORS,
	RX_DROPPED,
	TX_DROPPED,
	MULTICAST,
	COLLISIONS,
	RX_LENGTH,
	RX_OVER,
	RX_CRC,
	RX_FRAME,
	RX_FIFO,
	RX_MISSED,
	TX_ABORTED,
	TX_CARRIER,
	TX_FIFO,
	TX_HEARTBEAT,
	TX_WINDOW,
	RX_COMPRESSED,
	TX_COMPRESSED,
};

/* How long a line of /proc/net/route is. */
#define ROUTE_LINE 127

static int dev(const struct generated_node *n, struct text *to)
{
	struct links_interface *all;
	int count = links_interfaces(&all);

	(void) n;
	if (count < 0)
		return count;
	text_put(to,
		 "Inter-|   Receive                                                |  Transmit\n"
		 " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
		 "packets errs drop fifo colls carrier compressed\n");
	for (int k = 0; k < count; k++) {
		const uint64_t *s = all[k].stats;

		text_put(to, "%6s: %7lu %7lu %4lu %4lu %4lu %5lu %10lu %9lu ", all[k].name,
			 s[RX_BYTES], s[RX_PACKETS], s[RX_ERRORS], s[RX_DROPPED] + s[RX_MISSED],
			 s[RX_FIFO], s[RX_LENGTH] + s[RX_OVER] + s[RX_CRC] + s[RX_FRAME],
			 s[RX_COMPRESSED], s[MULTICAST]);
		text_put(to, "%8lu %7lu %4lu %4lu %4lu %5lu %7lu %10lu\n", s[TX_BYTES],
			 s[TX_PACKETS], s[TX_ERRORS], s[TX_DROPPED], s[TX_FIFO], s[COLLISIONS],
			 s[TX_CARRIER] + s[TX_ABORTED] + s[TX_WINDOW] + s[TX_HEARTBEAT],
			 s[TX_COMPRESSED]);
	}
	heap_free(all);
	return 0;
}

static const char *name_of(const struct links_interface *all, int count, uint32_t index)
{
	for (int k = 0; k < count; k++)
		if (all[k].index == (int32_t) index)
			return all[k].name;
	return "*";
}

/* As Linux prints numbers here: in capitals. */
static void hex(struct text *to, uint32_t v, int digits)
{
	while (digits-- > 0) {
		const char *digit = &"0123456789ABCDEF"[v >> (4 * digits) & 15];

		text_add(to, digit, 1);
	}
}

static void route_line(const struct links_message *m, const struct links_interface *all, int count,
		       struct text *to)
{
	uint32_t destination, gateway, metric, index, flags = RTF_UP;
	unsigned char mask[4] = {};
	size_t from = to->len;
	struct rtmsg r;
	uint32_t bits;

	if (m->head.nlmsg_type != RTM_NEWROUTE || m->len < sizeof(r))
		return;
	memcpy(&r, m->body, sizeof(r));
	if (r.rtm_family != AF_INET || r.rtm_table != RT_TABLE_MAIN || r.rtm_dst_len > 32 ||
	    (r.rtm_type != RTN_UNICAST && r.rtm_type != RTN_UNREACHABLE))
		return;
	links_value(m, sizeof(r), RTA_DST, &destination, sizeof(destination));
	links_value(m, sizeof(r), RTA_GATEWAY, &gateway, sizeof(gateway));
	links_value(m, sizeof(r), RTA_PRIORITY, &metric, sizeof(metric));
	links_value(m, sizeof(r), RTA_OIF, &index, sizeof(index));
	for (unsigned int k = 0; k < r.rtm_dst_len; k++)
		mask[k / 8] |= (unsigned char) (0x80 >> (k % 8));
	memcpy(&bits, mask, sizeof(bits));
	flags |= gateway ? RTF_GATEWAY : 0u;
	flags |= r.rtm_dst_len == 32 ? RTF_HOST : 0u;
	flags |= r.rtm_type == RTN_UNREACHABLE ? RTF_REJECT : 0u;
	text_put(to, "%s\t", name_of(all, count, index));
	hex(to, destination, 8);
	text_put(to, "\t");
	hex(to, gateway, 8);
	text_put(to, "\t");
	hex(to, flags, 4);
	text_put(to, "\t0\t0\t%u\t", metric);
	hex(to, bits, 8);
	text_put(to, "\t0\t0\t0");
	text_pad(to, from, ROUTE_LINE);
	text_put(to, "\n");
}

static int route(const struct generated_node *n, struct text *to)
{
	struct links_interface *all = NULL;
	struct links_dump d = {};
	struct links_message m;
	size_t from = to->len;
	int count = 0, r = 0;

	(void) n;
	text_put(to, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow"
		     "\tIRTT");
	text_pad(to, from, ROUTE_LINE);
	text_put(to, "\n");
	if (outside_ops()) {
		count = links_interfaces(&all);
		r = count < 0 ? count : links_dump(RTM_GETROUTE, AF_INET, &d);
	}
	for (size_t at = 0; r == 0 && links_next(&d, &at, &m);)
		route_line(&m, all, count, to);
	links_dump_fini(&d);
	heap_free(all);
	return r;
}

static void address_line(const struct links_message *m, const struct links_interface *all,
			 int count, struct text *to)
{
	unsigned char ip[16];
	struct ifaddrmsg a;

	if (m->head.nlmsg_type != RTM_NEWADDR || m->len < sizeof(a))
		return;
	memcpy(&a, m->body, sizeof(a));
	if (a.ifa_family != AF_INET6)
		return;
	links_value(m, sizeof(a), IFA_ADDRESS, ip, sizeof(ip));
	for (size_t k = 0; k < sizeof(ip); k++)
		text_put(to, "%02x", (unsigned int) ip[k]);
	text_put(to, " %02x %02x %02x %02x %8s\n", a.ifa_index, (unsigned int) a.ifa_prefixlen,
		 a.ifa_scope == RT_SCOPE_LINK	? 0x20u
		 : a.ifa_scope == RT_SCOPE_HOST ? 0x10u
						: 0u,
		 (unsigned int) a.ifa_flags, name_of(all, count, a.ifa_index));
}

static int if_inet6(const struct generated_node *n, struct text *to)
{
	struct links_interface *all = NULL;
	struct links_dump d = {};
	struct links_message m;
	int count, r;

	(void) n;
	if (!outside_ops()) {
		text_put(to, "00000000000000000000000000000001 01 80 10 80       lo\n");
		return 0;
	}
	count = links_interfaces(&all);
	r = count < 0 ? count : links_dump(RTM_GETADDR, AF_INET6, &d);
	for (size_t at = 0; r == 0 && links_next(&d, &at, &m);)
		address_line(&m, all, count, to);
	links_dump_fini(&d);
	heap_free(all);
	return r;
}

static int tcp(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET, SOCK_STREAM, to);
	return 0;
}

static int tcp6(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET6, SOCK_STREAM, to);
	return 0;
}

static int udp(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET, SOCK_DGRAM, to);
	return 0;
}

static int udp6(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET6, SOCK_DGRAM, to);
	return 0;
}

static int raw(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET, SOCK_RAW, to);
	return 0;
}

static int raw6(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_inet(AF_INET6, SOCK_RAW, to);
	return 0;
}

static int unix_sockets(const struct generated_node *n, struct text *to)
{
	(void) n;
	listing_unix(to);
	return 0;
}

static const struct generated_entry files[] = {
	PROC_FILE("dev", 0444, dev),	 PROC_FILE("if_inet6", 0444, if_inet6),
	PROC_FILE("raw", 0444, raw),	 PROC_FILE("raw6", 0444, raw6),
	PROC_FILE("route", 0444, route), PROC_FILE("tcp", 0444, tcp),
	PROC_FILE("tcp6", 0444, tcp6),	 PROC_FILE("udp", 0444, udp),
	PROC_FILE("udp6", 0444, udp6),	 PROC_FILE("unix", 0444, unix_sockets),
};

const struct generated_entry proc_net = PROC_DIR("net", 0555, files);
