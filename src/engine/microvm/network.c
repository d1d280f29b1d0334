/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/microvm/microvm.h"
#include "engine/microvm/usernet.h"
#include "proto/agent.h"
#include "proto/interface.h"
#include "proto/proxy.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/sk_lookup.h"

#define LINKS_MAX     64
#define PORTS_BACKLOG 64
#define ALIAS	      "atoll microvm" /* whose: what is so named is taken */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * The machine takes what it finds: never the host's own interfaces, and not those that others use.
 * Who wants to share a container's network names the namespace by a process.
 */
static int check_foreign(int netns, const char *path, struct err *e)
{
	static const char *const hosts[] = { "/proc/self/ns/net", "/proc/1/ns/net" };
	struct stat st, host;

	if (ns_kind(netns) != CLONE_NEWNET || fstat(netns, &st) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%.200s' is no network namespace", path);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (stat(hosts[i], &host) == 0 && same_file(&st, &host))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "a microvm cannot share the host's network ('%.200s')",
				       path);
	}
	if (strncmp(path, "/proc/", 6) == 0 && path[6] >= '0' && path[6] <= '9')
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm cannot share the network of a process ('%.200s')", path);
	return 0;
}

int network_open(struct network *n, const struct microvm *m, struct err *e)
{
	const char *path = m->spec->linux_.ns[SPEC_NS_NETWORK].path;
	int r;

	n->user = !m->spec->linux_.ns[SPEC_NS_NETWORK].present;
	if (n->user)
		return 0;
	if (!path) {
		r = n->netns = ns_network_make();
		return r < 0 ? err_sys(e, -r, "a network namespace for the machine") : 0;
	}
	n->netns = open(path, O_RDONLY | O_CLOEXEC);
	return n->netns < 0 ? err_sys(e, errno, "network namespace '%.200s'", path)
			    : check_foreign(n->netns, path, e);
}

void network_fini(struct network *n)
{
	for (size_t i = 0; i < n->cards_n; i++)
		close_fd(&n->cards[i].fd);
	n->cards_n = 0;
	close_fd(&n->ports_fd);
	close_fd(&n->ports_kept_fd);
	close_fd(&n->netns);
}

/* ---- in the namespace -------------------------------------------------------------------- */

struct visit {
	int (*call)(void *arg, int sock, struct err *e);
	void *arg;
	struct err *e;
};

static int with_socket(void *arg)
{
	const struct visit *v = arg;
	auto_fd int sock = netlink_open();

	return sock < 0 ? err_sys(v->e, -sock, "the machine's network namespace")
			: v->call(v->arg, sock, v->e);
}

/* Called in there; sock is a netlink socket of it. */
static int visit(int netns, int (*call)(void *arg, int sock, struct err *e), void *arg,
		 struct err *e)
{
	struct visit v = { call, arg, e };
	int result = 0, r = ns_network_visit(netns, with_socket, &v, &result);

	return r < 0 ? err_sys(e, -r, "enter the machine's network namespace") : result;
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

/* An Ethernet interface in use. Those that every namespace is born with are not up. */
static bool is_card(const struct netlink_link *l)
{
	static const uint8_t none[6];

	return l->has_mac && (l->flags & IFF_UP) && !(l->flags & IFF_LOOPBACK) &&
	       !(l->mac[0] & 1) && memcmp(l->mac, none, sizeof(none)) != 0;
}

static int open_packets(int index)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = index };
	auto_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *) (const void *) &at, sizeof(at)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* This kernel has no part in it any more. */
static int strip(struct microvm *m, size_t card, int sock, const struct netlink_link *l,
		 struct arena *a)
{
	struct netlink_address *v = arena_array(a, LINKS_MAX, sizeof(*v));
	size_t n = 0;
	int r = v ? netlink_addresses(sock, l->index, v, LINKS_MAX, &n) : -ENOMEM;

	if (r == 0 && switch_ipv6(l->name, true))
		m->ipv6_off |= 1u << card;
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = netlink_address_remove(sock, l->index, &v[i]);
		if (r == -EADDRNOTAVAIL) /* went with another, or with IPv6 */
			r = 0;
	}
	return r;
}

struct taking {
	struct microvm *m;
	struct network *n;
	struct arena *a;
	struct netlink_link links[LINKS_MAX];
	size_t links_n;
	const struct netlink_link *cards[NETWORK_CARDS_MAX];
	struct agent_interface interfaces[NETWORK_CARDS_MAX];
	struct agent_msg note;
};

static int find_cards(struct taking *t, struct network *n, int sock, struct err *e)
{
	int r = netlink_links(sock, t->links, LINKS_MAX, &t->links_n);

	if (r < 0)
		return err_sys(e, -r, "interfaces of the machine's network namespace");
	for (size_t i = 0; i < t->links_n; i++) {
		const struct netlink_link *l = &t->links[i];
		struct network_card *card = &n->cards[n->cards_n];
		struct agent_interface *is = &t->interfaces[n->cards_n];

		if (!is_card(l))
			continue;
		if (n->cards_n == NETWORK_CARDS_MAX)
			return err_set(e, ERR_UNSUPPORTED, E2BIG,
				       "a microvm cannot have more than %d network interfaces",
				       NETWORK_CARDS_MAX);
		if (streq(l->alias, ALIAS))
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "the network interface '%s' is another microvm's: machines "
				       "cannot share a network namespace",
				       l->name);
		r = interface_read(t->a, sock, l, is, e);
		if (r < 0)
			return r;
		is->was = n->was[n->cards_n] ? n->was[n->cards_n] : "";
		r = open_packets(l->index);
		if (r < 0)
			return err_sys(e, -r, "packets of '%s'", l->name);
		t->cards[n->cards_n++] = l;
		*card = (struct network_card){ .fd = r, .mac = is->mac, .mtu = l->mtu };
	}
	return 0;
}

/* Before anything is changed: what is noted can be given back. */
static int note(struct taking *t, const struct network *n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	const char *path = t->m->spec->linux_.ns[SPEC_NS_NETWORK].path;
	struct stat st;
	int r;

	t->note = agent_msg_of(AGENT_SETUP);
	t->note.setup.version = AGENT_VERSION;
	t->note.setup.interfaces.v = t->interfaces;
	t->note.setup.interfaces.n = n->cards_n;
	r = agent_encode(&t->note, &text);
	r = r < 0 ? r : file_replace(t->m->machine_fd, PROXY_NETWORK, buf_str(&text), 0600, false);
	if (r < 0)
		return err_sys(e, -r, "write '" PROXY_NETWORK "'");
	if (!path || n->cards_n == 0)
		return 0; /* one of its own ends with it */
	t->m->netns_path = strdup(path);
	if (!t->m->netns_path || fstat(n->netns, &st) < 0)
		return err_sys(e, errno, "remember the network namespace");
	t->m->netns_ino = st.st_ino;
	return 0;
}

static int take(void *arg, int sock, struct err *e)
{
	struct taking *t = arg;
	int r = find_cards(t, t->n, sock, e);

	r = r < 0 ? r : note(t, t->n, e);
	for (size_t i = 0; r == 0 && i < t->n->cards_n; i++) {
		r = netlink_link_alias(sock, t->cards[i]->index, ALIAS);
		r = r < 0 ? r : strip(t->m, i, sock, t->cards[i], t->a);
		if (r < 0)
			r = err_sys(e, -r, "take over the network interface '%s'",
				    t->cards[i]->name);
	}
	return r;
}

static int listen_in(void *)
{
	return sk_lookup_listen(PORTS_BACKLOG);
}

/* As a CRI server forwards ports into a pod. Without it they are refused, as nobody listens. */
static void offer_ports(struct network *n, const struct microvm *m)
{
	int fd = FD_NONE, r = ns_network_visit(n->netns, listen_in, NULL, &fd);

	if (r == 0)
		r = fd;
	n->ports_fd = r < 0 ? FD_NONE : fd;
	if (r >= 0)
		r = n->ports_kept_fd = sk_lookup_attach(n->netns, n->ports_fd);
	if (r >= 0)
		return;
	close_fd(&n->ports_fd);
	n->ports_kept_fd = FD_NONE;
	log_info("no ports are forwarded into the machine of '%s': errno=%d", m->id, -r);
}

int network_take(struct network *n, struct microvm *m, struct arena *a, struct err *e)
{
	auto_free struct taking *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	t->m = m;
	t->n = n;
	t->a = a;
	r = visit(n->netns, take, t, e);
	if (r == 0 && m->pod_path)
		offer_ports(n, m);
	return r;
}

int network_plug(struct network *n, struct microvm *m, struct arena *a, int fd, struct err *e)
{
	static struct agent_address addresses[] = {
		{ .address = USERNET_ADDRESS USERNET_PREFIX, .peer = "", .broadcast = "" },
	};
	static struct agent_route routes[] = {
		{ .to = "", .gateway = USERNET_GATEWAY, .source = "" },
	};
	auto_free struct taking *t = calloc(1, sizeof(*t));
	struct network_card *card = &n->cards[n->cards_n++];
	struct agent_interface *is = t ? &t->interfaces[0] : NULL;
	uint8_t mac[6];

	*card = (struct network_card){ .fd = fd, .stream = true, .mtu = USERNET_MTU };
	if (getrandom(mac, sizeof(mac), 0) != sizeof(mac))
		return err_sys(e, errno, "a hardware address");
	mac[0] = (uint8_t) ((mac[0] & 0xfc) | 2); /* one's own, and of local use */
	card->mac = arena_printf(a, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
				 mac[4], mac[5]);
	if (!t || !card->mac)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	t->m = m;
	t->a = a;
	*is = (struct agent_interface){ .mac = card->mac,
					.name = "eth0",
					.mtu = USERNET_MTU,
					.was = n->was[0] ? n->was[0] : "" };
	is->addresses.v = addresses;
	is->addresses.n = ARRAY_SIZE(addresses);
	is->routes.v = routes;
	is->routes.n = ARRAY_SIZE(routes);
	return note(t, n, e);
}

/* ---- back -------------------------------------------------------------------------------- */

static int give_one_back(const struct agent_interface *is, int sock, bool ipv6, struct err *e)
{
	struct netlink_link l;
	int r = netlink_link_get(sock, is->name, &l);

	if (r == -ENODEV)
		return 0;
	if (r == 0 && !streq(l.alias, ALIAS))
		return 0; /* another one of that name */
	if (ipv6)
		(void) switch_ipv6(is->name, false);
	r = r < 0 ? r : netlink_link_alias(sock, l.index, "");
	return r < 0 ? err_sys(e, -r, "interface '%s'", is->name)
		     : interface_apply(sock, l.index, is, e);
}

struct giving {
	const struct microvm *m;
	struct agent_msg note;
};

static int give_back(void *arg, int sock, struct err *e)
{
	const struct giving *g = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->note.setup.interfaces.n; i++)
		r = give_one_back(&g->note.setup.interfaces.v[i], sock, g->m->ipv6_off & 1u << i,
				  e);
	return r;
}

/* -1 where there is nothing to be given back to. */
static int open_again(const struct microvm *m)
{
	auto_fd int fd = open(m->netns_path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != m->netns_ino ||
	    ns_kind(fd) != CLONE_NEWNET)
		return -1;
	return take_fd(&fd);
}

void network_return(struct microvm *m)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf text = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	auto_fd int netns = m->netns_path ? open_again(m) : FD_NONE;
	struct giving g = { .m = m };
	struct err e = {};
	int r;

	if (netns < 0 || file_read(m->machine_fd, PROXY_NETWORK, &text) < 0)
		return;
	r = agent_decode(&a, buf_str(&text), &g.note);
	if (r < 0 || g.note.type != AGENT_SETUP || g.note.setup.version != AGENT_VERSION) {
		log_warn("'" PROXY_NETWORK "' of another version: interfaces stay without "
			 "addresses");
		return;
	}
	if (visit(netns, give_back, &g, &e) < 0)
		log_warn("the network of '%s' is not as it was before: %s", m->id, e.msg);
	(void) unlinkat(m->machine_fd, PROXY_NETWORK, 0);
}
