/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/cards.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/interface.h"
#include "sys/ns.h"

#define ADDRESSES_MAX 64

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * The machine takes what it finds: never the host's own interfaces, and not those that others use.
 * Who wants to share a container's network names the namespace by a process.
 */
int cards_check(int netns, const char *path, const char *who, struct err *e)
{
	static const char *const hosts[] = { "/proc/self/ns/net", "/proc/1/ns/net" };
	struct stat st, host;

	if (ns_kind(netns) != CLONE_NEWNET || fstat(netns, &st) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%.200s' is no network namespace", path);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (stat(hosts[i], &host) == 0 && same_file(&st, &host))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "%s cannot share the host's network ('%.200s')", who, path);
	}
	if (strncmp(path, "/proc/", 6) == 0 && path[6] >= '0' && path[6] <= '9')
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "%s cannot share the network of a process ('%.200s')", who, path);
	return 0;
}

struct visit {
	int (*call)(void *arg, int sock, struct err *e);
	void *arg;
	struct err *e;
};

static int with_socket(void *arg)
{
	const struct visit *v = arg;
	auto_fd int sock = netlink_open();

	return sock < 0 ? err_sys(v->e, -sock, "the workload's network namespace")
			: v->call(v->arg, sock, v->e);
}

int cards_visit(int netns, int (*call)(void *arg, int sock, struct err *e), void *arg,
		struct err *e)
{
	struct visit v = { call, arg, e };
	int result = 0, r = ns_network_visit(netns, with_socket, &v, &result);

	return r < 0 ? err_sys(e, -r, "enter the workload's network namespace") : result;
}

/* Whether it was on and is off now, or the other way. No such file: no IPv6 there. */
static bool switch_ipv6(const char *interface, bool off)
{
	auto_buf struct buf text = BUF_INIT(16);
	char path[80];

	(void) snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
	return file_read(AT_FDCWD, path, &text) == 0 &&
	       str_eq(str_trim(buf_str(&text)), off ? STR("0") : STR("1")) &&
	       file_put(AT_FDCWD, path, off ? STR("1") : STR("0")) == 0;
}

bool cards_are(const struct netlink_link *l)
{
	static const uint8_t none[6];

	return l->has_mac && (l->flags & IFF_UP) && !(l->flags & IFF_LOOPBACK) &&
	       !(l->mac[0] & 1) && memcmp(l->mac, none, sizeof(none)) != 0;
}

int cards_packets(int index)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = index };
	auto_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *) (const void *) &at, sizeof(at)) < 0)
		return -errno;
	return take_fd(&fd);
}

int cards_strip(struct cards_taken *t, size_t card, int sock, const struct netlink_link *l,
		struct arena *a)
{
	struct netlink_address *v = arena_array(a, ADDRESSES_MAX, sizeof(*v));
	size_t n = 0;
	int r = v ? netlink_addresses(sock, l->index, v, ADDRESSES_MAX, &n) : -ENOMEM;

	r = r < 0 ? r : netlink_link_alias(sock, l->index, CARDS_ALIAS);
	if (r == 0 && switch_ipv6(l->name, true))
		t->ipv6_off |= 1u << card;
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = netlink_address_remove(sock, l->index, &v[i]);
		if (r == -EADDRNOTAVAIL) /* went with another, or with IPv6 */
			r = 0;
	}
	return r;
}

int cards_note(struct cards_taken *t, int dirfd, int netns, const char *path,
	       struct agent_interface *v, size_t n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	struct agent_msg m = agent_msg_of(AGENT_SETUP);
	struct stat st;
	int r;

	m.setup.version = AGENT_VERSION;
	m.setup.interfaces.v = v;
	m.setup.interfaces.n = n;
	r = agent_encode(&m, &text);
	r = r < 0 ? r : file_replace(dirfd, CARDS_FILE, buf_str(&text), 0600, false);
	if (r < 0)
		return err_sys(e, -r, "write '" CARDS_FILE "'");
	if (!path || n == 0)
		return 0; /* one of its own ends with it */
	t->path = strdup(path);
	if (!t->path || fstat(netns, &st) < 0)
		return err_sys(e, errno, "remember the network namespace");
	t->ino = st.st_ino;
	return 0;
}

/* ---- back ---- */

static int give_one_back(const struct agent_interface *is, int sock, bool ipv6, struct err *e)
{
	struct netlink_link l;
	int r = netlink_link_get(sock, is->name, &l);

	if (r == -ENODEV)
		return 0;
	if (r == 0 && !streq(l.alias, CARDS_ALIAS))
		return 0; /* another one of that name */
	if (ipv6)
		(void) switch_ipv6(is->name, false);
	r = r < 0 ? r : netlink_link_alias(sock, l.index, "");
	return r < 0 ? err_sys(e, -r, "interface '%s'", is->name)
		     : interface_apply(sock, l.index, is, e);
}

struct giving {
	const struct cards_taken *taken;
	struct agent_msg note;
};

static int give_back(void *arg, int sock, struct err *e)
{
	const struct giving *g = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->note.setup.interfaces.n; i++)
		r = give_one_back(&g->note.setup.interfaces.v[i], sock,
				  g->taken->ipv6_off & 1u << i, e);
	return r;
}

/* -1 where there is nothing to be given back to. */
static int open_again(const struct cards_taken *t)
{
	auto_fd int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != t->ino || ns_kind(fd) != CLONE_NEWNET)
		return -1;
	return take_fd(&fd);
}

void cards_return(const struct cards_taken *t, int dirfd, const char *id)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf text = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	auto_fd int netns = t->path ? open_again(t) : FD_NONE;
	struct giving g = { .taken = t };
	struct err e = {};
	int r;

	if (netns < 0 || file_read(dirfd, CARDS_FILE, &text) < 0)
		return;
	r = agent_decode(&a, buf_str(&text), &g.note);
	if (r < 0 || g.note.type != AGENT_SETUP || g.note.setup.version != AGENT_VERSION) {
		log_warn("'" CARDS_FILE "' of another version: interfaces stay without "
			 "addresses");
		return;
	}
	if (cards_visit(netns, give_back, &g, &e) < 0)
		log_warn("the network of '%s' is not as it was before: %s", id, e.msg);
	(void) unlinkat(dirfd, CARDS_FILE, 0);
}
