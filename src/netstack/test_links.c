/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/links.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/test.h"
#include "netstack/stack.h"

/* How many messages of that type there are; whole ones alone. */
static size_t count(const unsigned char *at, int64_t n, int type)
{
	size_t found = 0, left = (size_t) n;

	while (left >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;

		memcpy(&h, at, sizeof(h));
		CHECK(h.nlmsg_len >= sizeof(h) && h.nlmsg_len <= left && h.nlmsg_type == type);
		at += h.nlmsg_len;
		left -= h.nlmsg_len;
		found++;
	}
	CHECK(left == 0);
	return found;
}

int main(void)
{
	static unsigned char to[LINKS_MOST];
	struct stack_interface i = {};

	CHECK(count(to, links_dump_of(&i, RTM_GETLINK, 0, to), RTM_NEWLINK) == 1);
	CHECK(count(to, links_dump_of(&i, RTM_GETADDR, 0, to), RTM_NEWADDR) == 1);
	CHECK(links_dump_of(&i, RTM_GETROUTE, 0, to) == 0);
	memset(i.name, 'x', sizeof(i.name) - 1);
	i.mtu = 1500;
	i.host = (struct frame_host){ .has_ip = true, .ip = 0x0a4d0002, .mask = 0xffffff00 };
	for (; i.routes_n < STACK_ROUTES; i.routes_n++)
		i.routes[i.routes_n] = (struct stack_route){ .to = (uint32_t) i.routes_n << 8,
							     .mask = 0xffffff00,
							     .gateway = 0x0a4d0001 };
	CHECK(count(to, links_dump_of(&i, RTM_GETLINK, 0, to), RTM_NEWLINK) == 2);
	CHECK(count(to, links_dump_of(&i, RTM_GETADDR, AF_INET, to), RTM_NEWADDR) == 2);
	CHECK(links_dump_of(&i, RTM_GETADDR, AF_INET6, to) == 0);
	CHECK(count(to, links_dump_of(&i, RTM_GETROUTE, 0, to), RTM_NEWROUTE) == STACK_ROUTES + 1);
	CHECK(links_dump_of(&i, RTM_GETRULE, 0, to) == 0);
	CHECK(links_dump_of(&i, RTM_GETNEIGH, 0, to) == 0);
	CHECK(links_dump_of(&i, RTM_NEWLINK, 0, to) == -EOPNOTSUPP);
	return test_done();
}
