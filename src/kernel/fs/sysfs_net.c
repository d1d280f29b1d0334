/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/sysfs_net.h"

#include "kernel/core/heap.h"
#include "kernel/net/links.h"
#include "kernel/net/numbers.h"

#define IFF_RUNNING 0x40u
#define IFF_UP	    1u

#define FILE_OF(n, s)                                                                              \
	{                                                                                          \
		.name = (n), .mode = S_IFREG | 0444, .show = (s)                                   \
	}

/* A node's number is its interface's. */
static int interface(const struct generated_node *n, struct links_interface *ret)
{
	struct links_interface *all;
	int count = links_interfaces(&all), r = -ENODEV;

	if (count < 0)
		return count;
	for (int k = 0; k < count; k++) {
		if ((uint64_t) all[k].index == n->number) {
			*ret = all[k];
			r = 0;
		}
	}
	heap_free(all);
	return r;
}

static int index_text(const struct generated_node *n, struct text *to)
{
	text_put(to, "%lu\n", n->number);
	return 0;
}

static void hardware(struct text *to, const unsigned char a[static 6])
{
	for (int k = 0; k < 6; k++)
		text_put(to, "%02x%c", (unsigned int) a[k], k < 5 ? ':' : '\n');
}

static int address(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		hardware(to, i.address);
	return r;
}

static int broadcast(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		hardware(to, i.hardware_broadcast);
	return r;
}

static int addr_len(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "6\n");
	return 0;
}

/* Of one that is not up Linux does not tell. */
static int carrier(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0 && !(i.flags & IFF_UP))
		r = -EINVAL;
	if (r == 0)
		text_put(to, "%u\n", (unsigned int) i.carrier);
	return r;
}

/* What netdevice(7) calls running stands in operstate and carrier here. */
static int flags(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "0x%x\n", i.flags & ~IFF_RUNNING);
	return r;
}

static int iflink(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%d\n", i.lower ? i.lower : i.index);
	return r;
}

static int mtu(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%u\n", i.mtu);
	return r;
}

/* RFC 2863, as IF_OPER_* has it. */
static int operstate(const struct generated_node *n, struct text *to)
{
	static const char *const states[] = { "unknown", "notpresent", "down", "lowerlayerdown",
					      "testing", "dormant",    "up" };
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%s\n", states[i.state < countof(states) ? i.state : 0]);
	return r;
}

static int queue(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%u\n", i.queue);
	return r;
}

static int type(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%u\n", (unsigned int) i.type);
	return r;
}

static int uevent(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "INTERFACE=%s\nIFINDEX=%d\n", i.name, i.index);
	return r;
}

static int statistic(const struct generated_node *n, struct text *to);

/* In the order of struct rtnl_link_stats64. */
static const struct generated_entry statistics[] = {
	FILE_OF("rx_packets", statistic),	 FILE_OF("tx_packets", statistic),
	FILE_OF("rx_bytes", statistic),		 FILE_OF("tx_bytes", statistic),
	FILE_OF("rx_errors", statistic),	 FILE_OF("tx_errors", statistic),
	FILE_OF("rx_dropped", statistic),	 FILE_OF("tx_dropped", statistic),
	FILE_OF("multicast", statistic),	 FILE_OF("collisions", statistic),
	FILE_OF("rx_length_errors", statistic),	 FILE_OF("rx_over_errors", statistic),
	FILE_OF("rx_crc_errors", statistic),	 FILE_OF("rx_frame_errors", statistic),
	FILE_OF("rx_fifo_errors", statistic),	 FILE_OF("rx_missed_errors", statistic),
	FILE_OF("tx_aborted_errors", statistic), FILE_OF("tx_carrier_errors", statistic),
	FILE_OF("tx_fifo_errors", statistic),	 FILE_OF("tx_heartbeat_errors", statistic),
	FILE_OF("tx_window_errors", statistic),	 FILE_OF("rx_compressed", statistic),
	FILE_OF("tx_compressed", statistic),	 FILE_OF("rx_nohandler", statistic),
};
_Static_assert(countof(statistics) == LINKS_STATS, "a file for each");

static int statistic(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "%lu\n", i.stats[n->entry - statistics]);
	return r;
}

static const struct generated_entry files[] = {
	FILE_OF("addr_len", addr_len),
	FILE_OF("address", address),
	FILE_OF("broadcast", broadcast),
	FILE_OF("carrier", carrier),
	FILE_OF("flags", flags),
	FILE_OF("ifindex", index_text),
	FILE_OF("iflink", iflink),
	FILE_OF("mtu", mtu),
	FILE_OF("operstate", operstate),
	{ .name = "statistics",
	  .mode = S_IFDIR | 0555,
	  .children = statistics,
	  .count = countof(statistics) },
	FILE_OF("tx_queue_len", queue),
	FILE_OF("type", type),
	FILE_OF("uevent", uevent),
};

static int target(const struct generated_node *n, struct text *to)
{
	struct links_interface i;
	int r = interface(n, &i);

	if (r == 0)
		text_put(to, "../../devices/virtual/net/%s", i.name);
	return r;
}

static const struct generated_entry link = { .name = "", .mode = S_IFLNK | 0777, .link = target };
static const struct generated_entry device = {
	.name = "", .mode = S_IFDIR | 0555, .children = files, .count = countof(files)
};

static int find(const struct generated_entry *what, const char *name, size_t len,
		struct generated_node *ret)
{
	struct links_interface *all;
	int count = links_interfaces(&all), r = -ENOENT;

	if (count < 0)
		return -ENOENT;
	for (int k = 0; k < count; k++) {
		if (strlen(all[k].name) == len && memcmp(all[k].name, name, len) == 0) {
			*ret = (struct generated_node){ .entry = what,
							.number = (uint64_t) all[k].index };
			r = 0;
		}
	}
	heap_free(all);
	return r;
}

int sysfs_net_find_link(const struct generated_node *dir, const char *name, size_t len,
			struct generated_node *ret)
{
	(void) dir;
	return find(&link, name, len, ret);
}

int sysfs_net_find(const struct generated_node *dir, const char *name, size_t len,
		   struct generated_node *ret)
{
	(void) dir;
	return find(&device, name, len, ret);
}

static void list(uint32_t mode, uint64_t at, struct generated_sink *to)
{
	struct links_interface *all;
	int count = links_interfaces(&all);

	for (uint64_t k = at - GENERATED_FIRST; count > 0 && k < (uint64_t) count; k++) {
		if (!generated_tell(to, all[k].name, strlen(all[k].name), mode,
				    GENERATED_FIRST + k + 1))
			break;
	}
	if (count >= 0)
		heap_free(all);
}

void sysfs_net_list_links(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	(void) dir;
	list(S_IFLNK, at, to);
}

void sysfs_net_list(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	(void) dir;
	list(S_IFDIR, at, to);
}
