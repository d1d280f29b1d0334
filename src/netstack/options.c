/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"

#define MTU_LEAST 576u /* RFC 791: what every host takes */

const char options_usage[] =
	"Usage: atoll-netstack --socket fd:N [--wire fd:N --name NAME --mac MAC --mtu N\n"
	"                      --address ADDRESS/PREFIX [--route ADDRESS/PREFIX[,GATEWAY]]...]\n"
	"                      [--connect RULE]... [--bind RULE]... [--privileged-ports deny]\n"
	"\n"
	"A TCP/IP stack for the sandbox that has the other end of the seqpacket socket; the "
	"host's\n"
	"kernel has no socket of it. Frames come and go over the wire, a packet socket of an\n"
	"interface that nobody else answers for. Without one it reaches nobody.\n"
	"\n"
	"The first RULE that fits decides, what none fits is allowed:\n"
	"\n"
	"  allow|deny,PROTOCOL,NETWORK,PORTS\n"
	"\n"
	"PROTOCOL: tcp, udp. NETWORK: ADDRESS or ADDRESS/PREFIX. PORTS: N or FIRST-LAST. \"*\" is\n"
	"any. --connect: whom it may reach; --bind: where it may be reached. --privileged-ports\n"
	"deny: ports below 1024 may not be bound.\n";

static int bad(struct err *e, const char *name, const char *value, const char *wanted)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s: '%.80s' is no %s", name, value, wanted);
}

static int parse_fd(const char *name, const char *value, int family, int type, int *ret,
		    struct err *e)
{
	socklen_t n = sizeof(int);
	int is = 0, of = 0;
	uint32_t fd;

	if (!str_starts(str_of(value), "fd:") ||
	    num_parse_u32(str_of(value + 3), 0, INT32_MAX, &fd) < 0)
		return bad(e, name, value, "descriptor: fd:N");
	if (getsockopt((int) fd, SOL_SOCKET, SO_TYPE, &is, &n) < 0 || is != type ||
	    getsockopt((int) fd, SOL_SOCKET, SO_DOMAIN, &of, &n) < 0 || of != family)
		return bad(e, name, value,
			   family == AF_PACKET ? "packet socket" : "seqpacket socket");
	*ret = (int) fd;
	return fcntl((int) fd, F_SETFD, FD_CLOEXEC) < 0 ? err_sys(e, errno, "%s", name) : 0;
}

static bool parse_ip(struct str s, uint32_t *ret)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr a;

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

static bool parse_network(struct str s, uint32_t *ret_ip, uint32_t *ret_mask)
{
	struct str prefix = {}, ip = str_cut(s, '/', &prefix);
	uint32_t bits;

	if (!prefix.p || !parse_ip(ip, ret_ip) || num_parse_u32(prefix, 0, 32, &bits) < 0)
		return false;
	*ret_mask = bits ? UINT32_MAX << (32 - bits) : 0;
	return true;
}

static int parse_route(const char *value, struct stack_interface *i, struct err *e)
{
	struct str gateway = {}, to = str_cut(str_of(value), ',', &gateway);
	struct stack_route r = {};

	if (i->routes_n == STACK_ROUTES)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "--route: there are more than %d",
			       STACK_ROUTES);
	if (!parse_network(to, &r.to, &r.mask) || r.to & ~r.mask ||
	    (gateway.p && (!parse_ip(gateway, &r.gateway) || frame_ip_odd(r.gateway))))
		return bad(e, "--route", value, "ADDRESS/PREFIX[,GATEWAY]");
	i->routes[i->routes_n++] = r;
	return 0;
}

/* "02:00:00:00:00:01". */
static bool parse_mac(const char *value, uint8_t ret[static 6])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(value) != 17)
		return false;
	for (size_t n = 0; n < 6; n++) {
		const char *high = strchr(digits, value[3 * n]);
		const char *low = strchr(digits, value[3 * n + 1]);

		if (!high || !low || (n < 5 && value[3 * n + 2] != ':'))
			return false;
		ret[n] = (uint8_t) ((high - digits) << 4 | (low - digits));
	}
	return !(ret[0] & 1);
}

static int parse_interface(const char *name, const char *value, struct stack_interface *i,
			   struct err *e)
{
	if (streq(name, "--name")) {
		if (!*value || strlen(value) >= sizeof(i->name))
			return bad(e, name, value, "interface's name");
		(void) snprintf(i->name, sizeof(i->name), "%s", value);
		return 0;
	}
	if (streq(name, "--mac"))
		return parse_mac(value, i->host.mac) ? 0 : bad(e, name, value, "hardware address");
	if (streq(name, "--mtu"))
		return num_parse_u32(str_of(value), MTU_LEAST, UINT16_MAX, &i->mtu) == 0
			       ? 0
			       : bad(e, name, value, "length of packets: 576 to 65535");
	if (streq(name, "--route"))
		return parse_route(value, i, e);
	i->host.has_ip = parse_network(str_of(value), &i->host.ip, &i->host.mask) &&
			 !frame_ip_odd(i->host.ip);
	return i->host.has_ip ? 0 : bad(e, name, value, "ADDRESS/PREFIX");
}

static int parse_one(struct options *o, const char *name, const char *value, struct err *e)
{
	static const char *const of_interface[] = { "--name", "--mac", "--mtu", "--address",
						    "--route" };

	if (streq(name, "--socket"))
		return parse_fd(name, value, AF_UNIX, SOCK_SEQPACKET, &o->socket_fd, e);
	if (streq(name, "--wire"))
		return parse_fd(name, value, AF_PACKET, SOCK_RAW, &o->wire_fd, e);
	if (streq(name, "--connect"))
		return policy_add(&o->connect, value, e);
	if (streq(name, "--bind"))
		return policy_add(&o->bind, value, e);
	if (streq(name, "--privileged-ports")) {
		o->low_ports = streq(value, "allow");
		return o->low_ports || streq(value, "deny") ? 0
							    : bad(e, name, value, "allow or deny");
	}
	for (size_t n = 0; n < ARRAY_SIZE(of_interface); n++)
		if (streq(name, of_interface[n]))
			return parse_interface(name, value, &o->interface, e);
	return err_set(e, ERR_INVALID, EINVAL, "there is no option '%s'", name);
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	const struct stack_interface *i = &o->interface;
	static const uint8_t no_mac[6];

	*o = (struct options){ .socket_fd = FD_NONE, .wire_fd = FD_NONE, .low_ports = true };
	for (int n = 1; n < argc; n += 2) {
		if (!argv[n + 1])
			return err_set(e, ERR_INVALID, EINVAL, "%s needs a value", argv[n]);
		if (parse_one(o, argv[n], argv[n + 1], e) < 0)
			return -1;
	}
	if (o->socket_fd < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--socket is missing");
	if (o->wire_fd >= 0 &&
	    (!i->name[0] || !i->mtu || memcmp(i->host.mac, no_mac, sizeof(no_mac)) == 0))
		return err_set(e, ERR_INVALID, EINVAL, "--wire needs --name, --mac and --mtu");
	if (o->wire_fd < 0 && i->name[0])
		return err_set(e, ERR_INVALID, EINVAL, "an interface needs a --wire");
	return 0;
}
