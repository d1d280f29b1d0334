/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/interface.h"

#include <linux/in.h>
#include <linux/sockios.h>

#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/net/links.h"
#include "kernel/net/numbers.h"

/* struct ifreq of 64 bits; linux/if.h would bring the C library's headers. */
struct request {
	char name[16];
	union {
		unsigned char bytes[24];
		int32_t number;
		int16_t flags;
		uint16_t family;
	};
};

/* struct ifconf */
struct list_request {
	int32_t len; /* bytes of room, then of what is there */
	uint32_t pad;
	uint64_t at;
};

static void put_address(struct request *q, const unsigned char ip[static 4])
{
	memset(q->bytes, 0, sizeof(q->bytes));
	q->family = AF_INET;
	memcpy(q->bytes + offsetof(struct sockaddr_in, sin_addr), ip, 4);
}

static int address(struct request *q, const struct links_interface *i, unsigned int request)
{
	unsigned char mask[4] = {};

	switch (request) {
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFNETMASK:
		break;
	default:
		return -ENOTTY;
	}
	if (!i->has_ip)
		return -EADDRNOTAVAIL;
	for (unsigned int n = 0; n < i->prefix; n++)
		mask[n / 8] |= (unsigned char) (0x80 >> (n % 8));
	put_address(q, request == SIOCGIFADDR	   ? i->ip
		       : request == SIOCGIFDSTADDR ? i->peer
		       : request == SIOCGIFBRDADDR ? i->broadcast
						   : mask);
	return 0;
}

static int figure(struct request *q, const struct links_interface *i, unsigned int request)
{
	switch (request) {
	case SIOCGIFFLAGS:
		q->flags = (int16_t) i->flags;
		return 0;
	case SIOCGIFINDEX:
		q->number = i->index;
		return 0;
	case SIOCGIFMTU:
		q->number = (int32_t) i->mtu;
		return 0;
	case SIOCGIFTXQLEN:
		q->number = (int32_t) i->queue;
		return 0;
	case SIOCGIFMETRIC:
		q->number = 0;
		return 0;
	case SIOCGIFHWADDR:
		memset(q->bytes, 0, sizeof(q->bytes));
		q->family = i->type;
		memcpy(q->bytes + 2, i->address, sizeof(i->address));
		return 0;
	default:
		return -ENOTTY;
	}
}

/* Those with an address, as many as there is room for; without a place how long they are. */
static int list_all(uva_t at, struct space *s)
{
	struct links_interface *all;
	struct list_request l;
	int32_t done = 0;
	int r = copy_in(s, &l, at, sizeof(l)), count;

	if (r < 0)
		return r;
	if (l.len < 0)
		return -EINVAL;
	count = links_interfaces(&all);
	if (count < 0)
		return count;
	for (int n = 0; n < count && r == 0; n++) {
		struct request q = {};

		memcpy(q.name, all[n].name, sizeof(q.name));
		if (address(&q, &all[n], SIOCGIFADDR) < 0)
			continue;
		if (l.at && l.len - done < (int32_t) sizeof(q))
			break;
		if (l.at)
			r = copy_out(s, uva(l.at + (uint64_t) done), &q, sizeof(q));
		done += (int32_t) sizeof(q);
	}
	heap_free(all);
	l.len = done;
	return r < 0 ? r : copy_out(s, at, &l, sizeof(l));
}

/* Of the one it names: whatever there is to ask. */
static int ask(struct request *q, int domain, unsigned int request)
{
	struct links_interface *all;
	int r = -ENODEV, count = links_interfaces(&all);

	if (count < 0)
		return count;
	q->name[sizeof(q->name) - 1] = 0;
	for (int n = 0; n < count; n++) {
		const struct links_interface *i = &all[n];

		if (request == SIOCGIFNAME) {
			if (q->number != i->index)
				continue;
			memcpy(q->name, i->name, sizeof(q->name));
			r = 0;
			break;
		}
		if (memcmp(q->name, i->name, strlen(i->name) + 1) != 0)
			continue;
		r = domain == AF_INET ? address(q, i, request) : -ENOTTY;
		if (r == -ENOTTY)
			r = figure(q, i, request);
		break;
	}
	heap_free(all);
	return r;
}

static bool changes(unsigned int request)
{
	switch (request) {
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCSIFDSTADDR:
	case SIOCSIFBRDADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFMETRIC:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFNAME:
	case SIOCSIFTXQLEN:
	case SIOCADDRT:
	case SIOCDELRT:
		return true;
	default:
		return false;
	}
}

int interface_ioctl(int domain, unsigned int request, uva_t at, struct space *s)
{
	struct request q;
	int r;

	if (changes(request))
		return -EPERM;
	if (request == SIOCGIFCONF)
		return list_all(at, s);
	if (request < SIOCGIFNAME || request > SIOCGIFTXQLEN)
		return -ENOTTY;
	r = copy_in(s, &q, at, sizeof(q));
	if (r == 0)
		r = ask(&q, domain, request);
	return r < 0 ? r : copy_out(s, at, &q, sizeof(q));
}
