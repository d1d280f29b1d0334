/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/interface.h"

#include <linux/in.h>
#include <linux/sockios.h>

#include "kernel/mm/uio.h"
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

static const char name[16] = INTERFACE_NAME;

static void put_address(struct request *q, const unsigned char ip[static 4])
{
	memset(q->bytes, 0, sizeof(q->bytes));
	q->family = AF_INET;
	memcpy(q->bytes + offsetof(struct sockaddr_in, sin_addr), ip, 4);
}

static int address(struct request *q, unsigned int request)
{
	switch (request) {
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
		put_address(q, (const unsigned char[]){ 127, 0, 0, 1 });
		return 0;
	case SIOCGIFBRDADDR:
		put_address(q, (const unsigned char[]){ 0, 0, 0, 0 });
		return 0;
	case SIOCGIFNETMASK:
		put_address(q, (const unsigned char[]){ 255, 0, 0, 0 });
		return 0;
	default:
		return -ENOTTY;
	}
}

static int figure(struct request *q, unsigned int request)
{
	switch (request) {
	case SIOCGIFFLAGS:
		q->flags = INTERFACE_FLAGS;
		return 0;
	case SIOCGIFINDEX:
		q->number = INTERFACE_INDEX;
		return 0;
	case SIOCGIFMTU:
		q->number = INTERFACE_MTU;
		return 0;
	case SIOCGIFTXQLEN:
		q->number = INTERFACE_QUEUE;
		return 0;
	case SIOCGIFMETRIC:
		q->number = 0;
		return 0;
	case SIOCGIFHWADDR:
		memset(q->bytes, 0, sizeof(q->bytes));
		q->family = INTERFACE_TYPE;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int list_all(uva_t at, struct space *s)
{
	struct request q = {};
	struct list_request l;
	int r = copy_in(s, &l, at, sizeof(l));

	if (r < 0)
		return r;
	if (l.len < 0)
		return -EINVAL;
	memcpy(q.name, name, sizeof(name));
	(void) address(&q, SIOCGIFADDR); /* it has one */
	if (!l.at)
		l.len = sizeof(q);
	else if ((size_t) l.len < sizeof(q))
		l.len = 0;
	else
		r = copy_out(s, uva(l.at), &q, sizeof(q));
	if (l.at && l.len)
		l.len = sizeof(q);
	return r < 0 ? r : copy_out(s, at, &l, sizeof(l));
}

/* Of the one it names: whatever there is to ask. */
static int ask(struct request *q, int domain, unsigned int request)
{
	if (request == SIOCGIFNAME) {
		if (q->number != INTERFACE_INDEX)
			return -ENODEV;
		memcpy(q->name, name, sizeof(name));
		return 0;
	}
	q->name[sizeof(q->name) - 1] = 0;
	if (memcmp(q->name, name, sizeof(INTERFACE_NAME)) != 0)
		return -ENODEV;
	return domain == AF_INET && address(q, request) == 0 ? 0 : figure(q, request);
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
