/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/netdevs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "fmt/spec.h"
#include "sys/netlink.h"

#define ADDRESSES_MAX 256 /* of one interface */

/* One network namespace: itself, and a socket that lives in it. */
struct net {
	int fd, sock; /* owned */
};
#define NET_INIT ((struct net){ FD_NONE, FD_NONE })

struct moved {
	struct netlink_link was; /* in the caller's namespace */
	int index;		 /* in the container's; 0: not moved */
	struct netlink_address *addresses;
	size_t addresses_n;
};

static const char *new_name(const struct spec_net_device *d)
{
	return d->name && d->name[0] ? d->name : d->host_name;
}

/* As the kernel has it (dev_valid_name). */
static bool valid_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < IFNAMSIZ && !streq(name, ".") && !streq(name, "..") &&
	       !name[strcspn(name, "/: \t\n\v\f\r")];
}

int netdevs_check(const struct spec_linux *l, struct err *e)
{
	if (l->net_devices_n && !l->ns[SPEC_NS_NETWORK].present)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"linux.netDevices: unable to move network devices without a NET namespace");
	for (size_t i = 0; i < l->net_devices_n; i++) {
		const struct spec_net_device *d = &l->net_devices[i];

		if (!valid_name(d->host_name) || !valid_name(new_name(d)))
			return err_set(
				e, ERR_INVALID, EINVAL,
				"linux.netDevices: '%.40s': invalid network device name '%.40s'",
				d->host_name,
				valid_name(d->host_name) ? new_name(d) : d->host_name);
		for (size_t k = 0; k < i; k++) {
			if (streq(new_name(d), new_name(&l->net_devices[k])) &&
			    !strchr(new_name(d), '%'))
				return err_set(e, ERR_INVALID, EINVAL,
					       "linux.netDevices: '%s' and '%s' would both be '%s' "
					       "in the container",
					       l->net_devices[k].host_name, d->host_name,
					       new_name(d));
		}
	}
	return 0;
}

static void net_close(struct net *n)
{
	close_fd(&n->fd);
	close_fd(&n->sock);
}
#define auto_net __attribute__((cleanup(net_close)))

static int open_own(struct net *n, struct err *e)
{
	n->fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	n->sock = n->fd < 0 ? -errno : netlink_open();
	return n->sock < 0 ? err_sys(e, -n->sock, "linux.netDevices: the own network namespace")
			   : 0;
}

/* We go there for the time of opening two descriptors. */
static int open_theirs(struct net *n, const struct net *own, int pidfd, struct err *e)
{
	struct stat a, b;
	int r = 0;

	if (setns(pidfd, CLONE_NEWNET) < 0)
		return err_sys(e, errno, "linux.netDevices: the container's network namespace");
	n->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	n->sock = n->fd < 0 ? -errno : netlink_open();
	if (n->sock < 0)
		r = err_sys(e, -n->sock, "linux.netDevices: the container's network namespace");
	if (setns(own->fd, CLONE_NEWNET) < 0)
		return err_sys(e, errno,
			       "linux.netDevices: returning to the own network namespace");
	if (r == 0 && (fstat(own->fd, &a) < 0 || fstat(n->fd, &b) < 0 ||
		       (a.st_dev == b.st_dev && a.st_ino == b.st_ino)))
		r = err_set(e, ERR_INVALID, EINVAL,
			    "linux.netDevices: the container's network namespace is the host's: "
			    "there is nowhere to move devices to");
	return r;
}

/* A name that nobody has, until it gets the one it is to have. */
static void passing_name(const struct moved *m, char ret_name[static IFNAMSIZ])
{
	(void) snprintf(ret_name, IFNAMSIZ, "atl%x.%x", (unsigned) getpid() & 0xfffff,
			(unsigned) m->was.index & 0xffff);
}

static int look_up(const struct net *own, const struct spec_net_device *d, struct moved *m,
		   struct err *e)
{
	int r = netlink_link_get(own->sock, d->host_name, &m->was);

	if (r == -ENODEV)
		return err_set(e, ERR_NOT_FOUND, ENODEV,
			       "linux.netDevices: no network device '%s' on the host",
			       d->host_name);
	if (r == 0) {
		m->addresses = calloc(ADDRESSES_MAX, sizeof(*m->addresses));
		r = m->addresses ? netlink_addresses(own->sock, m->was.index, m->addresses,
						     ADDRESSES_MAX, &m->addresses_n)
				 : -ENOMEM;
	}
	return r < 0 ? err_sys(e, -r, "linux.netDevices: '%s'", d->host_name) : 0;
}

/* Those that somebody set, and that mean the same wherever the device is. */
static int add_addresses(int sock, int index, const struct moved *m)
{
	for (size_t i = 0; i < m->addresses_n; i++) {
		const struct netlink_address *a = &m->addresses[i];
		int r;

		if (a->scope != RT_SCOPE_UNIVERSE || !(a->flags & IFA_F_PERMANENT))
			continue;
		r = netlink_address_add(sock, index, a);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

static int move_one(const struct net *own, const struct net *theirs,
		    const struct spec_net_device *d, struct moved *m, struct err *e)
{
	char passing[IFNAMSIZ];
	struct netlink_link now;
	int r;

	passing_name(m, passing);
	r = netlink_link_move(own->sock, m->was.index, theirs->fd, passing);
	if (r < 0)
		return err_sys(e, -r,
			       "linux.netDevices: '%s': cannot be moved to the container's network "
			       "namespace%s",
			       d->host_name, r == -EINVAL ? " (its kind is bound to its own)" : "");
	r = netlink_link_get(theirs->sock, passing, &now);
	if (r < 0)
		return err_sys(e, -r, "linux.netDevices: '%s' after its move", d->host_name);
	m->index = now.index;
	r = netlink_link_rename(theirs->sock, m->index, new_name(d));
	if (r < 0)
		return err_sys(e, -r, "linux.netDevices: '%s': the name '%s' in the container",
			       d->host_name, new_name(d));
	r = add_addresses(theirs->sock, m->index, m);
	if (r < 0)
		return err_sys(e, -r, "linux.netDevices: '%s': its addresses in the container",
			       d->host_name);
	r = netlink_link_up(theirs->sock, m->index);
	return r < 0 ? err_sys(e, -r, "linux.netDevices: '%s': does not come up in the container",
			       d->host_name)
		     : 0;
}

/* What cannot be put back is with the container's namespace; the first failure is told. */
static void move_back(const struct net *own, const struct net *theirs, const struct moved *m)
{
	struct netlink_link now;

	if (!m->index || netlink_link_move(theirs->sock, m->index, own->fd, m->was.name) < 0 ||
	    netlink_link_get(own->sock, m->was.name, &now) < 0)
		return;
	(void) add_addresses(own->sock, now.index, m);
	if (m->was.flags & IFF_UP)
		(void) netlink_link_up(own->sock, now.index);
}

int netdevs_move(const struct spec_linux *l, int pidfd, struct err *e)
{
	auto_net struct net own = NET_INIT, theirs = NET_INIT;
	auto_free struct moved *all = calloc(l->net_devices_n + 1, sizeof(*all));
	int r = all ? open_own(&own, e) : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	r = r < 0 ? r : open_theirs(&theirs, &own, pidfd, e);
	/* All are looked up before the first is moved. */
	for (size_t i = 0; i < l->net_devices_n && r == 0; i++)
		r = look_up(&own, &l->net_devices[i], &all[i], e);
	for (size_t i = 0; i < l->net_devices_n && r == 0; i++)
		r = move_one(&own, &theirs, &l->net_devices[i], &all[i], e);
	for (size_t i = 0; i < l->net_devices_n && all; i++) {
		if (r < 0)
			move_back(&own, &theirs, &all[i]);
		free(all[i].addresses);
	}
	return r;
}
