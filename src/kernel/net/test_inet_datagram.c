/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of AF_INET and AF_INET6, options of both types, interfaces, and without memory. */
#include <linux/sockios.h>

#include "kernel/net/test_inet.h"

static void datagrams(void)
{
	struct sock_address a = v4(LO4, 53), none = { .len = 2 }, b, nobody = v4(LO4, 54);
	struct file *x = new_socket(AF_INET, SOCK_DGRAM), *y = new_socket(AF_INET, SOCK_DGRAM);
	struct file *z;
	int n;

	CHECK(put(x, "a") == -EDESTADDRREQ && !socket_breaks(x) && bind_to(y, v4(ANY4, 53)) == 0);
	CHECK(ready(x) == (OUT_READY | POLLWRBAND) && socket_listen(x, &root, 1) == -EOPNOTSUPP);
	CHECK(socket_accept(x, &root, 0, NULL, &z) == -EOPNOTSUPP);
	CHECK(send_to(x, "abc", 3, 0, &a) == 3 && get(y, 9, 0) == 3 && is("abc"));
	b = name_of(x, false);
	CHECK(port_of(&b) >= 32768 && port_of(&got_from) == port_of(&b) &&
	      got_from.bytes[4] == 127);
	CHECK(send_to(y, "re", 2, 0, &got_from) == 2 && get(x, 9, 0) == 2 && is("re"));
	b = v4(0x0a000001, 5);
	CHECK(send_to(x, "a", 1, 0, &b) == -ENETUNREACH &&
	      send_to(x, "a", 1, MSG_OOB, &a) == -EOPNOTSUPP);
	b = v4(LO4, 0);
	CHECK(send_to(x, "a", 1, 0, &b) == -EINVAL &&
	      send_to(x, "a", 1, MSG_MORE, &a) == -EOPNOTSUPP);
	CHECK(send_to(x, NULL, 65507, 0, &a) == 65507 && get(y, 70000, 0) == 65507);
	CHECK(send_to(x, NULL, 65508, 0, &a) == -EMSGSIZE);
	/* Nobody is there: only who is connected, or asked, is told. */
	CHECK(send_to(x, "a", 1, 0, &nobody) == 1 && ready(x) == (OUT_READY | POLLWRBAND));
	CHECK(set_option(x, IPPROTO_IP, IP_RECVERR, 1) == 0);
	CHECK(send_to(x, "a", 1, 0, &nobody) == 1 && ready(x) & POLLERR &&
	      get(x, 1, 0) == -ECONNREFUSED);
	CHECK(set_option(x, IPPROTO_IP, IP_RECVERR, 0) == 0);
	CHECK(join(x, nobody) == 0 && put(x, "a") == 1 && put(x, "a") == -ECONNREFUSED);
	CHECK(put(x, "a") == 1 && get_option(x, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
	/* Connected: its peer alone is heard. */
	CHECK(join(x, a) == 0 && put(x, "") == 0 && put(x, "de") == 2 && count(y, FIONREAD) == 0);
	b = name_of(x, true);
	CHECK(same(&a, &b) && get(y, 9, 0) == 0 && count(y, FIONREAD) == 2);
	CHECK(get(y, 1, MSG_PEEK | MSG_TRUNC) == 2 && get(y, 1, 0) == 1 && got_flags == MSG_TRUNC);
	z = new_socket(AF_INET6, SOCK_DGRAM);
	b = name_of(x, false);
	b = mapped(LO4, port_of(&b));
	CHECK(send_to(z, "no", 2, 0, &b) == 2 && get(x, 9, 0) == -EAGAIN);
	CHECK(socket_connect(x, &root, &none) == 0 && socket_name(x, true, &b) == -ENOTCONN);
	CHECK(put(x, "a") == -EDESTADDRREQ && socket_shutdown(x, SHUT_RDWR) == -ENOTCONN);
	/* Between families. */
	b = v4(LO4, 53);
	CHECK(send_to(z, "six", 3, 0, &b) == 3 && get(y, 9, 0) == 3 && is("six") &&
	      got_from.len == 16);
	b = v6(1, 53);
	CHECK(join(z, b) == 0 && put(z, "x") == 1 && put(z, "x") == -ECONNREFUSED);
	CHECK(join(z, mapped(LO4, 53)) == 0 && put(z, "x") == 1 && get(y, 9, 0) == 1);
	CHECK(send_to(z, NULL, 65508, 0, NULL) == -EMSGSIZE);
	/* Who does not read loses what comes. */
	CHECK(set_option(y, SOL_SOCKET, SO_RCVBUF, 4000) == 0);
	for (n = 0; n < 100; n++)
		CHECK(put(z, "x") == 1);
	for (n = 0; get(y, 9, 0) == 1; n++)
		;
	CHECK(n > 5 && n < 20);
	CHECK(socket_shutdown(z, SHUT_WR) == 0 && put(z, "x") == -EPIPE);
	CHECK(socket_shutdown(z, SHUT_RD) == 0 && ready(z) & POLLHUP && get(z, 1, 0) == -EAGAIN);
	CHECK(send_to(x, "left", 4, 0, &a) == -EPIPE && send_to(y, "left", 4, 0, &a) == 4);
	file_unref(x);
	file_unref(y);
	file_unref(z);
}

static void datagram_waits(void)
{
	static unsigned int none;
	struct file *x = waiting_socket(AF_INET6, SOCK_DGRAM),
		    *y = new_socket(AF_INET6, SOCK_DGRAM);
	struct sock_address a = v6(1, 600);
	struct fiber *f;

	CHECK(bind_to(x, a) == 0);
	finished = 0;
	start(reader, &none, x, &f);
	CHECK(finished == 0 && send_to(y, "abc", 3, 0, &a) == 3);
	let_run();
	CHECK(finished == 1 && result[0] == 3);
	start(reader, &none, x, &f);
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 2 && result[0] == -ERESTARTSYS);
	CHECK(join(x, v6(1, 601)) == 0);
	start(reader, &none, x, &f);
	CHECK(finished == 2 && socket_shutdown(x, SHUT_RD) == 0);
	let_run();
	CHECK(finished == 3 && result[0] == 0);
	file_unref(x);
	file_unref(y);
}

/* The latest bound has what comes, but where a connected one is meant. */
static void receivers(void)
{
	struct file *x[3], *c = new_socket(AF_INET, SOCK_DGRAM);
	struct sock_address a = v4(LO4, 610);

	for (int n = 0; n < 3; n++) {
		x[n] = new_socket(AF_INET, SOCK_DGRAM);
		CHECK(set_option(x[n], SOL_SOCKET, SO_REUSEADDR, 1) == 0);
		CHECK(bind_to(x[n], n ? v4(ANY4, 610) : a) == 0);
	}
	CHECK(send_to(c, "a", 1, 0, &a) == 1 && get(x[0], 1, 0) == 1);
	CHECK(join(x[0], v4(LO4, 9)) == 0);
	CHECK(send_to(c, "a", 1, 0, &a) == 1 && get(x[0], 1, 0) == -EAGAIN && get(x[2], 1, 0) == 1);
	CHECK(join(x[1], got_from) == 0);
	CHECK(send_to(c, "a", 1, 0, &a) == 1 && get(x[1], 1, 0) == 1);
	for (int n = 0; n < 3; n++)
		file_unref(x[n]);
	file_unref(c);
}

struct note {
	uint64_t len;
	int32_t level, type;
	unsigned char bytes[24];
};

static void notes(void)
{
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = __builtin_bswap32(0x7f000009) };
	struct file *x = new_socket(AF_INET, SOCK_DGRAM), *y = new_socket(AF_INET6, SOCK_DGRAM);
	struct note c[3] = { { 16 + sizeof(info), IPPROTO_IP, IP_PKTINFO, {} } };
	struct sock_address a = v4(0x7f000003, 620);
	struct in6_pktinfo info6;
	unsigned int flags = 0;
	int32_t value = -1;

	CHECK(bind_to(y, v6(0, 620)) == 0);
	CHECK(set_option(y, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == 0);
	CHECK(set_option(y, IPPROTO_IP, IP_RECVTTL, 1) == 0 &&
	      set_option(x, IPPROTO_IP, IP_TTL, 9) == 0);
	/* From an address of the sender's choice, to one of several. */
	memcpy(c[0].bytes, &info, sizeof(info));
	CHECK(control_parse(&sent, c, (size_t) c[0].len, NULL, &root) == 0 && sent.notes == 1);
	CHECK(send_to(x, "a", 1, 0, &a) == 1 && get(y, 1, 0) == 1);
	control_fini(&sent);
	CHECK(got_from.bytes[8 + 15] == 9 && got.notes == 2);
	memset(c, 0, sizeof(c));
	CHECK(control_write(&got, c, sizeof(c), NULL, 0, false, &flags) == 40 + 24 && !flags);
	CHECK(c[0].len == 16 + sizeof(info6) && c[0].level == IPPROTO_IPV6 &&
	      c[0].type == IPV6_PKTINFO);
	memcpy(&info6, c[0].bytes, sizeof(info6));
	CHECK(info6.ipi6_ifindex == 1 && info6.ipi6_addr.s6_addr[12] == 127 &&
	      info6.ipi6_addr.s6_addr[15] == 3);
	CHECK(c[1].len == 20 && c[1].type == IP_TTL && c[1].bytes[0] == 9);
	/* Without room for it that is said; what is not an address of this host is refused. */
	CHECK(send_to(x, "a", 1, 0, &a) == 1 && get(y, 1, 0) == 1);
	CHECK(control_write(&got, c, 30, NULL, 0, false, &flags) == 24 && flags == MSG_CTRUNC);
	control_add(&sent, IPPROTO_IP, 77, &info, sizeof(info));
	CHECK(send_to(x, "a", 1, 0, &a) == -EINVAL);
	control_fini(&sent);
	info.ipi_spec_dst.s_addr = 1;
	control_add(&sent, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	CHECK(send_to(x, "a", 1, 0, &a) == -EINVAL);
	control_fini(&sent);
	file_unref(x);
	/* -1 of IPv6: as the socket has it. */
	x = new_socket(AF_INET6, SOCK_DGRAM);
	a = v6(1, 620);
	control_add(&sent, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
	control_add(&sent, IPPROTO_IPV6, IPV6_HOPLIMIT, &value, sizeof(value));
	CHECK(send_to(x, "a", 1, 0, &a) == 1 && get(y, 1, 0) == 1);
	control_fini(&sent);
	value = -2;
	control_add(&sent, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
	CHECK(send_to(x, "a", 1, 0, &a) == -EINVAL);
	control_fini(&sent);
	file_unref(x);
	file_unref(y);
}

static void options(void)
{
	struct file *t = new_socket(AF_INET, SOCK_STREAM), *u = new_socket(AF_INET6, SOCK_DGRAM);
	char text[16] = "", byte = 7;
	size_t len = sizeof(text);

	CHECK(get_option(t, SOL_SOCKET, SO_SNDBUF) == 16384);
	CHECK(get_option(t, SOL_SOCKET, SO_RCVBUF) == 131072);
	CHECK(get_option(u, SOL_SOCKET, SO_RCVBUF) == 212992);
	CHECK(get_option(t, IPPROTO_TCP, TCP_NODELAY) == 0);
	CHECK(set_option(t, IPPROTO_TCP, TCP_NODELAY, 4) == 0);
	CHECK(get_option(t, IPPROTO_TCP, TCP_NODELAY) == 1);
	CHECK(set_option(t, IPPROTO_TCP, TCP_KEEPIDLE, 0) == -EINVAL);
	CHECK(set_option(t, IPPROTO_TCP, TCP_KEEPIDLE, 60) == 0);
	CHECK(get_option(t, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
	CHECK(get_option(t, IPPROTO_TCP, TCP_MAXSEG) == 536);
	CHECK(set_option(u, IPPROTO_TCP, TCP_NODELAY, 1) == -ENOPROTOOPT);
	CHECK(set_option(t, IPPROTO_TCP, TCP_MD5SIG, 1) == -ENOPROTOOPT);
	CHECK(set_option(t, IPPROTO_TCP, TCP_ULP, 1) == -ENOENT);
	CHECK(socket_get(t, IPPROTO_TCP, TCP_CONGESTION, text, &len) == 0 && len == 16 &&
	      memcmp(text, "cubic", 6) == 0);
	CHECK(socket_set(t, &root, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0);
	CHECK(socket_set(t, &root, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == -ENOENT);
	CHECK(set_option(t, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -ENOPROTOOPT);
	CHECK(get_option(u, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
	CHECK(set_option(u, IPPROTO_IP, IP_TTL, 0) == -EINVAL);
	CHECK(socket_set(u, &root, IPPROTO_IP, IP_TTL, &byte, 1) == 0);
	CHECK(get_option(u, IPPROTO_IP, IP_TTL) == 7 && set_option(u, IPPROTO_IP, IP_TTL, -1) == 0);
	len = 1;
	CHECK(socket_get(u, IPPROTO_IP, IP_TTL, text, &len) == 0 && len == 1 && text[0] == 64);
	CHECK(set_option(u, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1) == 0);
	CHECK(get_option(u, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 64);
	CHECK(set_option(u, IPPROTO_IP, IP_ADD_MEMBERSHIP, 0) == -ENODEV);
	CHECK(set_option(u, IPPROTO_IP, IP_HDRINCL, 1) == -ENOPROTOOPT);
	CHECK(set_option(u, IPPROTO_UDP, 103, 1) == -ENOPROTOOPT);
	len = 4;
	CHECK(socket_get(u, IPPROTO_IP, IP_MTU, text, &len) == -ENOTCONN);
	CHECK(join(u, v6(1, 1)) == 0 && get_option(u, IPPROTO_IPV6, IPV6_MTU) == 65536);
	CHECK(set_option(t, SOL_SOCKET, SO_ATTACH_BPF, 1) == -ENOPROTOOPT);
	file_unref(t);
	file_unref(u);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 24; n++) {
		struct file *l = new_socket(AF_INET, SOCK_STREAM), *s;
		struct file *c = new_socket(AF_INET, SOCK_STREAM), *made;
		struct file *d = new_socket(AF_INET, SOCK_DGRAM);
		struct sock_address a = v4(LO4, 950), b = v4(LO4, 951);

		CHECK(bind_to(l, a) == 0 && socket_listen(l, &root, 5) == 0 && bind_to(d, b) == 0);
		heap_fail_at(n);
		bool fresh = socket_make(AF_INET6, SOCK_STREAM, 0, &root, &made) == 0;
		bool joined = join(c, a) == -EINPROGRESS;
		bool said = joined && put(c, "abc") == 3;
		bool accepted_it = joined && socket_accept(l, &root, 0, NULL, &s) == 0;
		bool told = send_to(d, "abc", 3, 0, &b) == 3;

		heap_fail_at(0);
		CHECK(fresh + joined + said + accepted_it + told >= (joined ? 4 : 2));
		if (!joined)
			CHECK(join(c, a) == -EINPROGRESS);
		if (fresh)
			file_unref(made);
		if (accepted_it)
			file_unref(s);
		file_unref(l);
		file_unref(c);
		file_unref(d);
	}
}

struct request {
	char name[16];
	union {
		unsigned char bytes[24];
		int32_t number;
		int16_t flags;
		uint16_t family;
	};
};

static struct request asked;

static int ask(struct file *f, unsigned int request)
{
	sysret_t r;

	CHECK(copy_out(guest, uva(BASE), &asked, sizeof(asked)) == 0);
	r = f->ops->ioctl(f, request, BASE, guest);
	CHECK(copy_in(guest, &asked, uva(BASE), sizeof(asked)) == 0);
	return (int) r;
}

static void interfaces(void)
{
	struct file *x = new_socket(AF_INET, SOCK_DGRAM), *y = new_socket(AF_INET6, SOCK_DGRAM);
	struct {
		int32_t len, pad;
		uint64_t at;
	} list = { 100, 0, BASE + 64 };
	struct request entry;

	asked = (struct request){ .number = 1 };
	CHECK(ask(x, SIOCGIFNAME) == 0 && strcmp(asked.name, "lo") == 0);
	CHECK(ask(y, SIOCGIFINDEX) == 0 && asked.number == 1);
	CHECK(ask(x, SIOCGIFFLAGS) == 0 && asked.flags == 0x49);
	CHECK(ask(x, SIOCGIFMTU) == 0 && asked.number == 65536);
	CHECK(ask(x, SIOCGIFHWADDR) == 0 && asked.family == 772);
	CHECK(ask(x, SIOCGIFADDR) == 0 && asked.family == AF_INET && asked.bytes[4] == 127 &&
	      asked.bytes[7] == 1);
	CHECK(ask(x, SIOCGIFNETMASK) == 0 && asked.bytes[4] == 255 && asked.bytes[5] == 0);
	CHECK(ask(y, SIOCGIFADDR) == -ENOTTY && ask(x, SIOCSIFFLAGS) == -EPERM);
	CHECK(ask(x, 0x5401) == -ENOTTY);
	strcpy(asked.name, "eth0");
	CHECK(ask(x, SIOCGIFINDEX) == -ENODEV);
	asked.number = 2;
	CHECK(ask(x, SIOCGIFNAME) == -ENODEV);
	CHECK(copy_out(guest, uva(BASE), &list, sizeof(list)) == 0);
	CHECK(x->ops->ioctl(x, SIOCGIFCONF, BASE, guest) == 0);
	CHECK(copy_in(guest, &list, uva(BASE), sizeof(list)) == 0 && list.len == 40);
	CHECK(copy_in(guest, &entry, uva(BASE + 64), sizeof(entry)) == 0);
	CHECK(strcmp(entry.name, "lo") == 0 && entry.bytes[4] == 127);
	list.at = 0;
	list.len = 0;
	CHECK(copy_out(guest, uva(BASE), &list, sizeof(list)) == 0);
	CHECK(x->ops->ioctl(x, SIOCGIFCONF, BASE, guest) == 0);
	CHECK(copy_in(guest, &list, uva(BASE), sizeof(list)) == 0 && list.len == 40);
	file_unref(x);
	file_unref(y);
}

static void again(void)
{
	datagrams();
	receivers();
	notes();
	no_memory();
}

static void body(void)
{
	datagrams();
	datagram_waits();
	receivers();
	notes();
	options();
	no_memory();
	interfaces();
	leaves_nothing(again);
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
