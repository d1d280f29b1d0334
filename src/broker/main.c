/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-broker: a sandbox's sockets in the network namespace it is started in (proto/broker.h). It
 * serves one asker to its end, over a socket that it inherits, with no other files and no way to
 * any. Status: 0 when the asker has hung up, 1 a failure, told on standard error, 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/num.h"
#include "broker/routes.h"
#include "broker/sockets.h"
#include "sys/enclose.h"
#include "sys/fdpass.h"
#include "sys/filter.h"

enum { EXIT_GOOD, EXIT_FAILED, EXIT_USAGE };

#define TYPE_BITS 0xf /* of socket(2)'s type: without SOCK_NONBLOCK and SOCK_CLOEXEC */

static const char usage[] =
	"Usage: atoll-broker --socket fd:N [--connect RULE]... [--bind RULE]...\n"
	"\n"
	"Serve a sandbox's sockets in this network namespace, to whoever has the other end of\n"
	"the seqpacket socket. The first RULE that fits decides, what none fits is allowed:\n"
	"\n"
	"  allow|deny,PROTOCOL,NETWORK,PORTS\n"
	"\n"
	"--privileged-ports deny: what only CAP_NET_BIND_SERVICE may bind it may not, either.\n"
	"\n"
	"PROTOCOL: tcp, udp, icmp. NETWORK: ADDRESS or ADDRESS/PREFIX. PORTS: N or FIRST-LAST.\n"
	"\"*\" is any. --connect: whom it may reach; --bind: where it may be reached.\n";

static int parse_socket(const char *value, int *ret_fd, struct err *e)
{
	socklen_t n = sizeof(int);
	uint32_t fd;
	int type = 0;

	if (!str_starts(str_of(value), "fd:") ||
	    num_parse_u32(str_of(value + 3), 0, INT32_MAX, &fd) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--socket: '%s' is no descriptor: fd:N",
			       value);
	if (getsockopt((int) fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--socket: descriptor %u is no seqpacket socket", fd);
	*ret_fd = (int) fd;
	return fcntl((int) fd, F_SETFD, FD_CLOEXEC) < 0 ? err_sys(e, errno, "--socket") : 0;
}

static int parse_ports(const char *value, uint64_t *caps, struct err *e)
{
	if (!streq(value, "allow") && !streq(value, "deny"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--privileged-ports: '%s' is neither allow nor deny", value);
	*caps = streq(value, "allow") ? 1ull << CAP_NET_BIND_SERVICE : 0;
	return 0;
}

static int parse(int argc, char **argv, struct sockets *s, int *ret_sock, uint64_t *caps,
		 struct err *e)
{
	for (int i = 1; i < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		int r;

		if (!streq(name, "--socket") && !streq(name, "--connect") &&
		    !streq(name, "--bind") && !streq(name, "--privileged-ports"))
			return err_set(e, ERR_INVALID, EINVAL, "there is no option '%s'", name);
		if (!value)
			return err_set(e, ERR_INVALID, EINVAL, "%s needs a value", name);
		if (streq(name, "--socket"))
			r = parse_socket(value, ret_sock, e);
		else if (streq(name, "--privileged-ports"))
			r = parse_ports(value, caps, e);
		else
			r = policy_add(streq(name, "--bind") ? &s->bind : &s->connect, value, e);
		if (r < 0)
			return r;
	}
	return *ret_sock < 0 ? err_set(e, ERR_INVALID, EINVAL, "--socket is missing") : 0;
}

/* ---- rights ---- */

static int limit(struct err *e)
{
	static const struct rlimit none = { 0, 0 };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "read the limit of open files");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "set limits");
	return 0;
}

#define SOCKET_IS(name, domain_, type_)                                                            \
	static const struct seccomp_condition name[] = {                                           \
		{ .arg = 0, .op = SECCOMP_EQ, .value = (domain_) },                                \
		{ .arg = 1, .op = SECCOMP_MASKED_EQ, .value = TYPE_BITS, .value_two = (type_) },   \
	}

SOCKET_IS(is_stream, AF_INET, SOCK_STREAM);
SOCKET_IS(is_stream6, AF_INET6, SOCK_STREAM);
SOCKET_IS(is_datagram, AF_INET, SOCK_DGRAM);
SOCKET_IS(is_datagram6, AF_INET6, SOCK_DGRAM);

static const struct seccomp_rule calls[] = {
	FILTER_CALL_IF(socket, is_stream),
	FILTER_CALL_IF(socket, is_stream6),
	FILTER_CALL_IF(socket, is_datagram),
	FILTER_CALL_IF(socket, is_datagram6),
	FILTER_CALL(bind),
	FILTER_CALL(connect),
	FILTER_CALL(listen),
	FILTER_CALL(accept4),
	FILTER_CALL(shutdown),
	FILTER_CALL(getsockopt),
	FILTER_CALL(setsockopt),
	FILTER_CALL(getsockname),
	FILTER_CALL(getpeername),
	FILTER_CALL(sendmsg),
	FILTER_CALL(close),
	/* the asker, rtnetlink, and what is to be said of an error */
	FILTER_CALL(sendto),
	FILTER_CALL(recvfrom),
	FILTER_CALL(write),
};

/* It stays in its network namespace, and in no other of the host's. */
static int confine(int sock, int routes, uint64_t caps, struct err *e)
{
	static const struct filter_table own = FILTER_TABLE(calls);
	const struct filter_table tables[] = { filter_common, own };
	const int keep[] = { STDERR_FILENO, sock, routes };
	int death_signal = 0;

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "see what the death of the parent means");
	if (enclose_but_network(e) < 0 || enclose_root(e) < 0)
		return -1;
	enclose_fds(0, keep, ARRAY_SIZE(keep));
	if (limit(e) < 0 || enclose_caps(caps, e) < 0)
		return -1;
	/* A change of credentials may forget the signal. */
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return filter_set(tables, ARRAY_SIZE(tables), e);
}

/* ---- its life ---- */

/* One request and its reply: 1; 0: nobody asks any more. */
static int serve_one(struct sockets *s, int sock, struct err *e)
{
	static unsigned char in[BROKER_REQUEST_BYTES + BROKER_DATA];
	static unsigned char out[BROKER_REPLY_BYTES + BROKER_DATA];
	struct broker_request q;
	struct broker_reply a;
	ssize_t n = recv(sock, in, sizeof(in), MSG_TRUNC);
	size_t more;
	int fd, r;

	if (n < 0 && errno == EINTR)
		return 1;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 0;
	if (n < 0)
		return err_sys(e, errno, "hear of the sandbox");
	if (broker_request_get(in, (size_t) n, &q) < 0)
		return err_set(e, ERR_REMOTE, EBADMSG, "the sandbox asks for nonsense");
	if (!sockets_serve(s, &q, in + BROKER_REQUEST_BYTES, (size_t) n - BROKER_REQUEST_BYTES, &a,
			   out + BROKER_REPLY_BYTES, &more, &fd))
		return 1;
	broker_reply_put(&a, out);
	r = fdpass_send(sock, out, BROKER_REPLY_BYTES + more, &fd, fd >= 0 ? 1 : 0);
	if (r == -EPIPE || r == -ECONNRESET)
		return 0;
	return r < 0 ? err_sys(e, -r, "answer the sandbox") : 1;
}

static int run(int argc, char **argv, struct err *e)
{
	static struct sockets s;
	uint64_t caps = 1ull << CAP_NET_BIND_SERVICE;
	int sock = FD_NONE, r = routes_open();

	if (r < 0)
		return err_sys(e, -r, "make a socket of rtnetlink");
	r = sockets_init(&s, r);
	if (r < 0)
		return err_sys(e, -r, "make the table of sockets");
	if (parse(argc, argv, &s, &sock, &caps, e) < 0 || confine(sock, s.routes, caps, e) < 0)
		return -1;
	do
		r = serve_one(&s, sock, e);
	while (r > 0);
	return r;
}

int main(int argc, char **argv)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct err e = {};

	(void) sigaction(SIGPIPE, &ignore, NULL); /* fails for a bad signal only */
	if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
		(void) fputs(streq(argv[1], "--help") ? usage : "atoll-broker " ATOLL_VERSION "\n",
			     stdout);
		return EXIT_GOOD;
	}
	if (run(argc, argv, &e) == 0)
		return EXIT_GOOD;
	(void) fprintf(stderr, "atoll-broker: %s\n", e.msg);
	return e.kind == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
}
