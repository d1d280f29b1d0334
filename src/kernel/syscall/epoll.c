/* SPDX-License-Identifier: Apache-2.0 */
/* epoll without a mask of signals. */
#include "kernel/fs/epoll.h"
#include "kernel/core/heap.h"

#include <linux/eventpoll.h>
#include <linux/limits.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/polling.h"

#define AT_ONCE 128 /* events that need no memory */

static sysret_t make(struct task *t, bool cloexec)
{
	struct file *f;
	int r = epoll_make(t->cred, &f);

	return r < 0 ? r : fd_new(t, f, cloexec);
}

sysret_t sys_epoll_create(struct task *t, const uint64_t *a)
{
	return (int) a[0] <= 0 ? -EINVAL : make(t, false);
}

sysret_t sys_epoll_create1(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[0];

	return flags & ~(unsigned int) EPOLL_CLOEXEC ? -EINVAL : make(t, flags);
}

sysret_t sys_epoll_ctl(struct task *t, const uint64_t *a)
{
	auto_file struct file *epoll = NULL, *target = NULL;
	struct epoll_ready event = {};
	int r = 0;

	if ((int) a[1] != EPOLL_CTL_DEL)
		r = copy_in(t->space, &event, uva(a[3]), sizeof(event));
	if (r == 0)
		r = fd_file(t, a[0], &epoll);
	if (r == 0)
		r = fd_file(t, a[2], &target);
	if (r == 0 && !target->ops->poll)
		r = -EPERM;
	if (r < 0)
		return r;
	/* Nothing here ever sleeps with the machine. */
	event.events &= ~(uint32_t) EPOLLWAKEUP;
	return epoll_control(epoll, (int) a[1], (uint32_t) a[2], target, event.events, event.data);
}

sysret_t epoll_call(struct task *t, const uint64_t *a, nsec_t deadline)
{
	struct epoll_ready few[AT_ONCE], *ready = few, *many = NULL;
	auto_file struct file *f = NULL;
	int room = (int) a[2];
	size_t most = 0;
	int64_t n;

	if (room <= 0 || (size_t) room > INT32_MAX / sizeof(*ready))
		return -EINVAL;
	n = fd_file(t, a[0], &f);
	if (n == 0 && room > AT_ONCE)
		most = min_of(epoll_listed(f), (size_t) room);
	/* Without memory for more it is told of some: the rest is ready the next time. */
	if (most > AT_ONCE)
		many = heap_alloc(most * sizeof(*many));
	if (many)
		ready = many;
	else
		most = min_of((size_t) room, (size_t) AT_ONCE);
	if (n == 0)
		n = epoll_collect(f, ready, most, deadline);
	if (n > 0 && copy_out(t->space, uva(a[1]), ready, (size_t) n * sizeof(*ready)) < 0)
		n = -EFAULT;
	heap_free(many);
	/* No handler with SA_RESTART makes it go on: signal(7). */
	return n == -ERESTARTSYS ? -EINTR : n;
}

sysret_t sys_epoll_wait(struct task *t, const uint64_t *a)
{
	return epoll_call(t, a, poll_deadline_ms((int) a[3]));
}
