/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/routes.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MOST 32768 /* the kernel's dumps come in datagrams that are no longer */

int routes_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

static bool is_known(int kind)
{
	switch (kind) {
	case RTM_GETLINK:
	case RTM_GETADDR:
	case RTM_GETROUTE:
	case RTM_GETNEIGH:
	case RTM_GETRULE:
		return true;
	default:
		return false;
	}
}

static int ask(int sock, int kind, int family)
{
	/* Each kind's own head begins with the family; a dump looks at nothing else of it. */
	struct {
		struct nlmsghdr h;
		union {
			struct ifinfomsg link;
			struct ifaddrmsg address;
			struct rtmsg route;
		};
	} q = {};
	size_t own = kind == RTM_GETLINK || kind == RTM_GETNEIGH ? sizeof(q.link)
		     : kind == RTM_GETADDR			 ? sizeof(q.address)
								 : sizeof(q.route);

	if (kind == RTM_GETNEIGH)
		own = 12; /* struct ndmsg */
	q.h.nlmsg_len = (uint32_t) NLMSG_LENGTH(own);
	q.h.nlmsg_type = (uint16_t) kind;
	q.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	q.link.ifi_family = (unsigned char) family;
	return send(sock, &q, q.h.nlmsg_len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The messages of one datagram; true: the last one was there. */
static bool take(const unsigned char *from, size_t n, unsigned char *to, size_t *done, int *error)
{
	size_t at = 0;

	while (n - at >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		size_t whole;

		memcpy(&h, from + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n - at) {
			*error = -EBADMSG;
			return true;
		}
		if (h.nlmsg_type == NLMSG_DONE)
			return true;
		if (h.nlmsg_type == NLMSG_ERROR) {
			if (h.nlmsg_len >= NLMSG_LENGTH(sizeof(int)))
				memcpy(error, from + at + NLMSG_HDRLEN, sizeof(*error));
			return true;
		}
		whole = NLMSG_ALIGN((size_t) h.nlmsg_len);
		if (whole > n - at)
			whole = n - at;
		if (whole <= ROUTES_MOST - *done) {
			memcpy(to + *done, from + at, whole);
			*done += whole;
		}
		at += whole;
	}
	return false;
}

int64_t routes_dump(int sock, int kind, int family, unsigned char *to)
{
	static unsigned char bytes[ANSWER_MOST];
	size_t done = 0;
	int error = 0;

	if (!is_known(kind) || family < 0 || family > UINT8_MAX)
		return -EOPNOTSUPP;
	error = ask(sock, kind, family);
	if (error < 0)
		return error;
	for (;;) {
		ssize_t n = recv(sock, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		if (take(bytes, (size_t) n, to, &done, &error))
			return error < 0 ? error : (int64_t) done;
	}
}
