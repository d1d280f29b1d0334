/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/eventfd.h"

#include <asm/fcntl.h>
#include <linux/poll.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/core/sched.h"
#include "kernel/fs/anon.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/file.h"

#define READABLE  (POLLIN | POLLRDNORM)
#define WRITABLE  (POLLOUT | POLLWRNORM)
#define COUNT_MAX (UINT64_MAX - 1)

/* ---- eventfd ---- */

struct eventfd {
	uint64_t count;
	bool semaphore;
	struct waitq waiters;
};

static struct heap_cache eventfds = HEAP_CACHE_INIT(struct eventfd);

static int64_t event_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct eventfd *e = f->own;
	uint64_t value;
	int64_t n;

	(void) pos;
	if (to->left < sizeof(value))
		return -EINVAL;
	if (e->count == 0 && f->flags & O_NONBLOCK)
		return -EAGAIN;
	n = waitq_wait(&e->waiters, e->count > 0, NSEC_NEVER, fiber_interrupted());
	if (n < 0)
		return n;
	value = e->semaphore ? 1 : e->count;
	e->count -= value;
	(void) waitq_wake(&e->waiters, WRITABLE, 1);
	n = uio_out(to, &value, sizeof(value));
	return n == sizeof(value) ? n : -EFAULT;
}

static int64_t event_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct eventfd *e = f->own;
	uint64_t value;
	int64_t n;

	(void) pos;
	if (from->left < sizeof(value))
		return -EINVAL;
	if (uio_in(from, &value, sizeof(value)) != sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	if (COUNT_MAX - e->count < value && f->flags & O_NONBLOCK)
		return -EAGAIN;
	n = waitq_wait(&e->waiters, COUNT_MAX - e->count >= value, NSEC_NEVER, fiber_interrupted());
	if (n < 0)
		return n;
	e->count += value;
	if (value)
		(void) waitq_wake(&e->waiters, READABLE, 1);
	return sizeof(value);
}

static unsigned int event_poll(struct file *f, struct waiter *w)
{
	struct eventfd *e = f->own;

	if (w)
		waitq_add(&e->waiters, w);
	return (e->count > 0 ? READABLE : 0u) | (e->count < COUNT_MAX ? WRITABLE : 0u);
}

static void event_release(struct file *f)
{
	heap_cache_free(&eventfds, f->own);
}

static const struct file_ops event_ops = {
	.read = event_read,
	.write = event_write,
	.poll = event_poll,
	.release = event_release,
};

int eventfd_make(uint64_t count, unsigned int flags, bool semaphore, const struct cred *who,
		 struct file **ret)
{
	struct eventfd *e = heap_cache_alloc(&eventfds);
	struct inode *i = e ? anon_inode(0600, who) : NULL;
	int r = -ENOMEM;

	if (i) {
		e->count = count;
		e->semaphore = semaphore;
		waitq_init(&e->waiters);
		r = anon_file(i, "[eventfd]", &event_ops, O_RDWR | flags, e, ret);
	}
	inode_unref(i);
	if (r < 0)
		heap_cache_free(&eventfds, e);
	return r;
}

bool file_is_eventfd(const struct file *f)
{
	return f->ops == &event_ops;
}

uint64_t eventfd_count(const struct file *f)
{
	return ((const struct eventfd *) f->own)->count;
}

bool eventfd_counts_down(const struct file *f)
{
	return ((const struct eventfd *) f->own)->semaphore;
}

/* ---- timerfd ---- */

struct timerfd {
	struct ktimer timer;
	int clock;
	nsec_t at, interval; /* at: PLAT_MONOTONIC of the next time; 0: disarmed */
	uint64_t expired;
	struct waitq waiters;
};

static struct heap_cache timerfds = HEAP_CACHE_INIT(struct timerfd);

static void fire(struct ktimer *k)
{
	struct timerfd *t = container_of(k, struct timerfd, timer);

	t->expired++;
	if (!t->interval)
		t->at = 0;
	(void) waitq_wake(&t->waiters, READABLE, 1);
}

/* The times after the first are counted when somebody looks: a timer that nobody reads costs
 * nothing, however short it is. */
static void catch_up(struct timerfd *t)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);
	uint64_t missed;

	if (!t->expired || !t->interval || ktimer_pending(&t->timer))
		return;
	missed = (uint64_t) (max_of(now - t->at, (nsec_t) 0) / t->interval);
	t->expired += missed;
	t->at += (nsec_t) (missed + 1) * t->interval;
	ktimer_set(&t->timer, t->at);
}

static int64_t timer_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct timerfd *t = f->own;
	uint64_t value;
	int64_t n;

	(void) pos;
	if (to->left < sizeof(value))
		return -EINVAL;
	if (t->expired == 0 && f->flags & O_NONBLOCK)
		return -EAGAIN;
	n = waitq_wait(&t->waiters, t->expired > 0, NSEC_NEVER, fiber_interrupted());
	if (n < 0)
		return n;
	catch_up(t);
	value = t->expired;
	t->expired = 0;
	n = uio_out(to, &value, sizeof(value));
	return n == sizeof(value) ? n : -EFAULT;
}

static unsigned int timer_poll(struct file *f, struct waiter *w)
{
	struct timerfd *t = f->own;

	if (w)
		waitq_add(&t->waiters, w);
	return t->expired > 0 ? READABLE : 0;
}

static void timer_release(struct file *f)
{
	struct timerfd *t = f->own;

	ktimer_cancel(&t->timer);
	heap_cache_free(&timerfds, t);
}

static const struct file_ops timer_ops = {
	.read = timer_read,
	.poll = timer_poll,
	.release = timer_release,
};

int timerfd_make(int clock, unsigned int flags, const struct cred *who, struct file **ret)
{
	struct timerfd *t;
	struct inode *i;
	int r = -ENOMEM;

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return -EINVAL;
	t = heap_cache_alloc(&timerfds);
	i = t ? anon_inode(0600, who) : NULL;
	if (i) {
		t->timer.fire = fire;
		t->clock = clock;
		waitq_init(&t->waiters);
		r = anon_file(i, "[timerfd]", &timer_ops, O_RDWR | flags, t, ret);
	}
	inode_unref(i);
	if (r < 0)
		heap_cache_free(&timerfds, t);
	return r;
}

int timerfd_get(struct file *f, struct __kernel_itimerspec *ret)
{
	struct timerfd *t = f->own;
	nsec_t now = plat_now(PLAT_MONOTONIC);

	if (f->ops != &timer_ops)
		return -EINVAL;
	catch_up(t);
	/* A timer that is due, and not told yet, has a moment left: zero means disarmed. */
	ret->it_value = clock_spec(t->at ? max_of(t->at - now, (nsec_t) 1) : 0);
	ret->it_interval = clock_spec(t->interval);
	return 0;
}

int timerfd_set(struct file *f, int flags, const struct __kernel_itimerspec *new,
		struct __kernel_itimerspec *ret_old)
{
	struct timerfd *t = f->own;
	nsec_t now = plat_now(PLAT_MONOTONIC), first, interval;

	if (f->ops != &timer_ops || flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
	    !clock_nsec(&new->it_value, &first) || !clock_nsec(&new->it_interval, &interval))
		return -EINVAL;
	(void) timerfd_get(f, ret_old); /* it is one */
	ktimer_cancel(&t->timer);
	t->expired = 0;
	t->interval = interval;
	t->at = 0;
	if (first == 0)
		return 0;
	if (flags & TFD_TIMER_ABSTIME && t->clock == CLOCK_REALTIME)
		first = max_of(first - (plat_now(PLAT_REALTIME) - now), (nsec_t) 1);
	else if (!(flags & TFD_TIMER_ABSTIME))
		first = clock_add(first, now);
	t->at = first;
	ktimer_set(&t->timer, t->at);
	return 0;
}

bool file_is_timerfd(const struct file *f)
{
	return f->ops == &timer_ops;
}

void timerfd_tell(struct file *f, struct timerfd_state *ret)
{
	struct timerfd *t = f->own;

	catch_up(t);
	*ret = (struct timerfd_state){
		.clock = t->clock,
		.left = t->at ? max_of(t->at - plat_now(PLAT_MONOTONIC), (nsec_t) 1) : 0,
		.interval = t->interval,
		.expired = t->expired
	};
}

void timerfd_load(struct file *f, const struct timerfd_state *from)
{
	struct timerfd *t = f->own;

	t->interval = from->interval;
	t->expired = from->expired;
	t->at = from->left ? clock_add(plat_now(PLAT_MONOTONIC), from->left) : 0;
	if (t->at)
		ktimer_set(&t->timer, t->at);
}
