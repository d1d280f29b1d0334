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
#include "engine/sandbox/cards.h"
#include "proto/agent.h"
#include "proto/interface.h"
#include "proto/proxy.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/sk_lookup.h"

#define LINKS_MAX     64
#define PORTS_BACKLOG 64

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
			    : cards_check(n->netns, path, "a microvm", e);
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

struct taking {
	struct microvm *m;
	struct network *n;
	struct arena *a;
	struct netlink_link links[LINKS_MAX];
	size_t links_n;
	const struct netlink_link *cards[NETWORK_CARDS_MAX];
	struct agent_interface interfaces[NETWORK_CARDS_MAX];
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

		if (!cards_are(l))
			continue;
		if (n->cards_n == NETWORK_CARDS_MAX)
			return err_set(e, ERR_UNSUPPORTED, E2BIG,
				       "a microvm cannot have more than %d network interfaces",
				       NETWORK_CARDS_MAX);
		if (streq(l->alias, CARDS_ALIAS))
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "the network interface '%s' is another microvm's: machines "
				       "cannot share a network namespace",
				       l->name);
		r = interface_read(t->a, sock, l, is, e);
		if (r < 0)
			return r;
		is->was = n->was[n->cards_n] ? n->was[n->cards_n] : "";
		r = cards_packets(l->index);
		if (r < 0)
			return err_sys(e, -r, "packets of '%s'", l->name);
		t->cards[n->cards_n++] = l;
		*card = (struct network_card){ .fd = r, .mac = is->mac, .mtu = l->mtu };
	}
	return 0;
}

static int note(struct taking *t, const struct network *n, struct err *e)
{
	return cards_note(&t->m->taken, t->m->machine_fd, n->netns,
			  t->m->spec->linux_.ns[SPEC_NS_NETWORK].path, t->interfaces, n->cards_n,
			  e);
}

static int take(void *arg, int sock, struct err *e)
{
	struct taking *t = arg;
	int r = find_cards(t, t->n, sock, e);

	r = r < 0 ? r : note(t, t->n, e);
	for (size_t i = 0; r == 0 && i < t->n->cards_n; i++) {
		r = cards_strip(&t->m->taken, i, sock, t->cards[i], t->a);
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
	r = cards_visit(n->netns, take, t, e);
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

void network_return(struct microvm *m)
{
	cards_return(&m->taken, m->machine_fd, m->id);
}
