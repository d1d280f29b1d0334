/* SPDX-License-Identifier: Apache-2.0 */
/* What there is of rtnetlink, as getifaddrs(3) and others ask for it. */
#include <linux/rtnetlink.h>

#include "kernel/net/netlink.h"
#include "kernel/net/test_inet.h"

struct ask {
	struct nlmsghdr h;
	unsigned char family, rest[15];
	struct rtattr a;
	char name[4];
};

static unsigned char heard[1024];

static struct file *route_socket(void)
{
	struct file *f = NULL;

	CHECK(socket_make(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE, &root, &f) == 0);
	return f;
}

static int64_t ask(struct file *f, uint16_t type, uint16_t flags, unsigned char family)
{
	struct ask a = { .h = { .nlmsg_len = sizeof(a.h) + 16,
				.nlmsg_type = type,
				.nlmsg_flags = flags | NLM_F_REQUEST,
				.nlmsg_seq = 77 },
			 .family = family };

	return send_to(f, (const char *) &a, a.h.nlmsg_len, 0, NULL);
}

/* The length of an answer, which is in heard then. */
static int64_t hear(struct file *f)
{
	int64_t n = get(f, sizeof(heard), 0);

	if (n > 0)
		CHECK(copy_in(guest, heard, uva(IN), (size_t) n) == 0);
	return n;
}

/* The n-th message of what was heard. */
static struct nlmsghdr message(int n)
{
	struct nlmsghdr h = {};
	size_t at = 0;

	for (int k = 0; k <= n; k++) {
		memcpy(&h, heard + at, sizeof(h));
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
	return h;
}

static int error_heard(void)
{
	int error;

	CHECK(message(0).nlmsg_type == NLMSG_ERROR);
	memcpy(&error, heard + sizeof(struct nlmsghdr), sizeof(error));
	return error;
}

static void names(void)
{
	struct file *x = route_socket(), *y = route_socket(), *z;
	struct sockaddr_nl a = { .nl_family = AF_NETLINK };
	struct sock_address to = { .len = sizeof(a) }, b;
	unsigned int group = 3;

	CHECK(socket_make(AF_NETLINK, SOCK_RAW, 9, &root, &z) == -EPROTONOSUPPORT);
	CHECK(socket_make(AF_NETLINK, SOCK_STREAM, 0, &root, &z) == -ESOCKTNOSUPPORT);
	memcpy(to.bytes, &a, sizeof(a));
	/* The first of a process has its number. */
	CHECK(socket_bind(x, &root, &to) == 0 && socket_bind(y, &root, &to) == 0);
	b = name_of(x, false);
	memcpy(&a, b.bytes, sizeof(a));
	CHECK(b.len == (int64_t) sizeof(a) && a.nl_pid == 100);
	b = name_of(y, false);
	memcpy(&a, b.bytes, sizeof(a));
	CHECK(a.nl_pid != 100 && a.nl_pid != 0);
	z = route_socket();
	CHECK(socket_bind(z, &root, &b) == -EADDRINUSE &&
	      socket_connect(z, &root, &b) == -ECONNREFUSED);
	CHECK(send_to(z, "a", 1, 0, &b) == -ECONNREFUSED && socket_connect(z, &root, &to) == 0);
	CHECK(socket_set(z, &root, 270, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
	group = 99;
	CHECK(socket_set(z, &root, 270, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == -EINVAL);
	CHECK(socket_set(z, &root, 270, NETLINK_PKTINFO, &group, sizeof(group)) == -ENOPROTOOPT);
	CHECK(socket_listen(z, &root, 1) == -EOPNOTSUPP && get(z, 9, 0) == -EAGAIN);
	file_unref(x);
	file_unref(y);
	file_unref(z);
}

static void dumps(void)
{
	struct file *f = route_socket();
	struct ifinfomsg link;
	struct ifaddrmsg address;
	int64_t n;

	CHECK(ready(f) == (OUT_READY | POLLWRBAND) && ask(f, RTM_GETLINK, NLM_F_DUMP, 0) == 32);
	CHECK(ready(f) == (OUT_READY | POLLWRBAND | IN_READY));
	n = get(f, 8, MSG_PEEK | MSG_TRUNC);
	CHECK(n > 100 && got_flags == MSG_TRUNC && hear(f) == n && got_from.len == 12);
	CHECK(message(0).nlmsg_type == RTM_NEWLINK && message(0).nlmsg_flags == NLM_F_MULTI &&
	      message(0).nlmsg_seq == 77 && message(0).nlmsg_pid == 100);
	CHECK(message(1).nlmsg_type == NLMSG_DONE);
	CHECK(message(0).nlmsg_len + message(1).nlmsg_len == n);
	memcpy(&link, heard + sizeof(struct nlmsghdr), sizeof(link));
	CHECK(link.ifi_index == 1 && link.ifi_type == 772 && link.ifi_flags == 0x10049);
	CHECK(heard[32] == 7 && heard[34] == IFLA_IFNAME && memcmp(heard + 36, "lo", 3) == 0);
	CHECK(ask(f, RTM_GETADDR, NLM_F_DUMP, AF_UNSPEC) == 32 && hear(f) > 100);
	memcpy(&address, heard + sizeof(struct nlmsghdr), sizeof(address));
	CHECK(address.ifa_family == AF_INET && address.ifa_prefixlen == 8 &&
	      address.ifa_index == 1);
	CHECK(message(0).nlmsg_type == RTM_NEWADDR && message(1).nlmsg_type == RTM_NEWADDR &&
	      message(2).nlmsg_type == NLMSG_DONE);
	CHECK(ask(f, RTM_GETADDR, NLM_F_DUMP, AF_INET6) == 32 && hear(f) > 50);
	memcpy(&address, heard + sizeof(struct nlmsghdr), sizeof(address));
	CHECK(address.ifa_family == AF_INET6 && address.ifa_prefixlen == 128 &&
	      message(1).nlmsg_type == NLMSG_DONE);
	CHECK(ask(f, RTM_GETROUTE, NLM_F_DUMP, 0) == 32 && hear(f) == 20);
	CHECK(message(0).nlmsg_type == NLMSG_DONE);
	file_unref(f);
}

static void others(void)
{
	struct ask a = { .h = { .nlmsg_len = sizeof(a) - 1,
				.nlmsg_type = RTM_GETLINK,
				.nlmsg_flags = NLM_F_REQUEST },
			 .a = { 4 + 3, IFLA_IFNAME },
			 .name = "lo" };
	struct file *f = route_socket();

	CHECK(send_to(f, (const char *) &a, sizeof(a), 0, NULL) == (int64_t) sizeof(a) &&
	      hear(f) > 100);
	CHECK(message(0).nlmsg_type == RTM_NEWLINK && message(0).nlmsg_flags == 0);
	strcpy(a.name, "no");
	CHECK(send_to(f, (const char *) &a, sizeof(a), 0, NULL) == (int64_t) sizeof(a) &&
	      hear(f) == 36);
	CHECK(error_heard() == -ENODEV);
	a.a.rta_len = 99;
	CHECK(send_to(f, (const char *) &a, sizeof(a), 0, NULL) == (int64_t) sizeof(a) &&
	      hear(f) == 36);
	CHECK(error_heard() == -ENODEV);
	CHECK(ask(f, RTM_NEWLINK, NLM_F_ACK, 0) == 32 && hear(f) == 36 && error_heard() == -EPERM);
	CHECK(ask(f, RTM_GETRULE, NLM_F_DUMP, 0) == 32 && hear(f) == 36);
	CHECK(error_heard() == -EOPNOTSUPP);
	CHECK(ask(f, NLMSG_NOOP, NLM_F_ACK, 0) == 32 && hear(f) == 36 && error_heard() == 0);
	/* What is no request, or none that is whole, has no answer. */
	CHECK(ask(f, NLMSG_NOOP, 0, 0) == 32 && hear(f) == -EAGAIN);
	CHECK(send_to(f, "short", 5, 0, NULL) == 5 && hear(f) == -EAGAIN);
	a.h.nlmsg_len = 4000;
	CHECK(send_to(f, (const char *) &a, sizeof(a), 0, NULL) == (int64_t) sizeof(a) &&
	      hear(f) == -EAGAIN);
	a.h.nlmsg_len = 3;
	CHECK(send_to(f, (const char *) &a, sizeof(a), 0, NULL) == (int64_t) sizeof(a) &&
	      hear(f) == -EAGAIN);
	CHECK(send_to(f, NULL, 5000, 0, NULL) == -EMSGSIZE &&
	      send_to(f, NULL, 0, 0, NULL) == -ENODATA);
	/* Nobody reads: lost, and told. */
	CHECK(set_option(f, SOL_SOCKET, SO_RCVBUF, 1) == 0);
	for (int n = 0; n < 60; n++)
		CHECK(ask(f, RTM_GETLINK, NLM_F_DUMP, 0) == 32);
	CHECK(ready(f) & POLLERR && hear(f) == -ENOBUFS && hear(f) > 100);
	heap_fail_at(2);
	CHECK(ask(f, RTM_GETLINK, NLM_F_DUMP, 0) == 32);
	heap_fail_at(1);
	CHECK(ask(f, RTM_GETLINK, NLM_F_DUMP, 0) == -ENOBUFS);
	heap_fail_at(0);
	CHECK(hear(f) == -ENOBUFS);
	file_unref(f);
}

static struct fiber *waiting;

static void waits(void)
{
	static unsigned int none;
	struct file *f = NULL;

	CHECK(socket_make(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE, &root, &f) == 0);
	finished = 0;
	start(reader, &none, f, &waiting);
	CHECK(finished == 0 && ask(f, RTM_GETADDR, NLM_F_DUMP, 0) == 32);
	let_run();
	CHECK(finished == 1 && result[0] == 5);
	start(reader, &none, f, &waiting);
	fiber_interrupt(waiting);
	let_run();
	CHECK(finished == 2 && result[0] == -ERESTARTSYS);
	file_unref(f);
}

static void body(void)
{
	names();
	dumps();
	others();
	waits();
	leaves_nothing(others);
}

static void all(void *arg)
{
	(void) arg;
	test_in_space(body);
}

int main(void)
{
	return test_run(8192, all);
}
