/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/options.h"

#include <asm/socket.h>
#include <linux/time_types.h>

#include "kernel/task/cred.h"

/* Kept and told; on a socket of this host they change nothing, nor do they on Linux. */
#define KEPT                                                                                       \
	(1u << SO_DEBUG | 1u << SO_REUSEADDR | 1u << SO_DONTROUTE | 1u << SO_BROADCAST |           \
	 1u << SO_KEEPALIVE | 1u << SO_OOBINLINE)

struct linger {
	int32_t on, seconds;
};

static bool kept(int name)
{
	return name > 0 && name < 32 && KEPT >> name & 1;
}

static int answer(void *to, size_t *len, const void *value, size_t size)
{
	*len = min_of(*len, size);
	memcpy(to, value, *len);
	return 0;
}

static int answer_time(void *to, size_t *len, nsec_t t)
{
	struct __kernel_old_timeval v = {};

	if (t != NSEC_NEVER) {
		v.tv_sec = t / NSEC_PER_SEC;
		v.tv_usec = t % NSEC_PER_SEC / 1000;
	}
	return answer(to, len, &v, sizeof(v));
}

int option_get(struct socket *s, int level, int name, void *to, size_t *len)
{
	struct linger linger = { s->linger_on, s->linger_seconds };
	int32_t value;

	if (level != SOL_SOCKET)
		return s->ops->get ? s->ops->get(s, level, name, to, len) : -EOPNOTSUPP;
	switch (name) {
	case SO_TYPE:
		value = s->type;
		break;
	case SO_DOMAIN:
		value = s->domain;
		break;
	case SO_PROTOCOL:
		value = s->protocol;
		break;
	case SO_ERROR:
		if (s->ops->look_for_error)
			s->ops->look_for_error(s);
		value = -socket_take_error(s);
		break;
	case SO_ACCEPTCONN:
		value = s->listening;
		break;
	case SO_SNDBUF:
		value = (int32_t) s->send_room;
		break;
	case SO_RCVBUF:
		value = (int32_t) s->receive_room;
		break;
	case SO_RCVLOWAT:
		value = (int32_t) s->low_water;
		break;
	case SO_SNDLOWAT:
		value = 1;
		break;
	case SO_PRIORITY:
		value = s->priority;
		break;
	case SO_PASSCRED:
		value = s->pass_cred;
		break;
	case SO_LINGER:
		return answer(to, len, &linger, sizeof(linger));
	/* The new ones are of 64 bits on each machine, as the old ones are on this. */
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return answer_time(to, len, s->receive_timeout);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return answer_time(to, len, s->send_timeout);
	default:
		if (!kept(name))
			return s->ops->get ? s->ops->get(s, level, name, to, len) : -ENOPROTOOPT;
		value = s->flags >> name & 1;
	}
	return answer(to, len, &value, sizeof(value));
}

static int set_time(nsec_t *t, const void *value, size_t len)
{
	struct __kernel_old_timeval v;
	nsec_t n;

	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, value, sizeof(v));
	if (v.tv_usec < 0 || v.tv_usec >= 1000000)
		return -EDOM;
	/* Linux: a negative time is over before it begins. */
	if (v.tv_sec < 0)
		n = 0;
	else if (v.tv_sec == 0 && v.tv_usec == 0)
		n = NSEC_NEVER;
	else if (__builtin_mul_overflow((nsec_t) v.tv_sec, NSEC_PER_SEC, &n) ||
		 __builtin_add_overflow(n, (nsec_t) v.tv_usec * 1000, &n))
		n = NSEC_NEVER;
	*t = n;
	return 0;
}

/* socket(7): what is set is doubled, for what the kernel needs beside the bytes. */
static uint32_t room_of(int32_t wish, bool force)
{
	int64_t most = force ? INT32_MAX / 2 : SOCKET_ROOM, n = wish < 0 ? most : wish;

	n = 2 * min_of(n, most);
	return (uint32_t) max_of(n, (int64_t) SOCKET_ROOM_MIN);
}

static int set_linger(struct socket *s, const void *value, size_t len)
{
	struct linger l;

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, value, sizeof(l));
	s->linger_on = l.on != 0;
	s->linger_seconds = l.seconds;
	if (s->ops->changed)
		s->ops->changed(s, SO_LINGER);
	return 0;
}

int option_set(struct socket *s, const struct sock_actor *by, int level, int name,
	       const void *value, size_t len)
{
	bool admin = cred_can(by->walk.who, CAP_NET_ADMIN);
	int32_t n;

	if (level != SOL_SOCKET)
		return s->ops->set ? s->ops->set(s, by, level, name, value, len) : -EOPNOTSUPP;
	if (len < sizeof(n))
		return -EINVAL;
	memcpy(&n, value, sizeof(n));
	switch (name) {
	case SO_SNDBUFFORCE:
	case SO_RCVBUFFORCE:
		if (!admin)
			return -EPERM;
		if (name == SO_SNDBUFFORCE)
			s->send_room = room_of(n, true);
		else
			s->receive_room = room_of(n, true);
		break;
	case SO_SNDBUF:
		s->send_room = room_of(n, false);
		break;
	case SO_RCVBUF:
		s->receive_room = room_of(n, false);
		break;
	case SO_RCVLOWAT:
		s->low_water = n > 0 ? (uint32_t) n : n < 0 ? INT32_MAX : 1;
		break;
	case SO_PRIORITY:
		if ((n < 0 || n > 6) && !admin)
			return -EPERM;
		s->priority = n;
		break;
	case SO_PASSCRED:
		s->pass_cred = n != 0;
		break;
	case SO_LINGER:
		return set_linger(s, value, len);
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return set_time(&s->receive_timeout, value, len);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return set_time(&s->send_timeout, value, len);
	case SO_TYPE:
	case SO_DOMAIN:
	case SO_PROTOCOL:
	case SO_ERROR:
	case SO_ACCEPTCONN:
	case SO_SNDLOWAT:
		return -ENOPROTOOPT;
	default:
		if (!kept(name))
			return s->ops->set ? s->ops->set(s, by, level, name, value, len)
					   : -ENOPROTOOPT;
		if (name == SO_DEBUG && n && !admin)
			return -EACCES;
		s->flags = n ? s->flags | 1u << name : s->flags & ~(1u << name);
	}
	if (s->ops->changed)
		s->ops->changed(s, name);
	(void) waitq_wake(&s->waiters, 0, 0); /* there may be room now */
	return 0;
}
