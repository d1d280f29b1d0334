/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of timers that signal: timer_create(2), setitimer(2), alarm(2). */
#include "kernel/task/timers.h"

#include <linux/signal.h>
#include <linux/time.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/task/cpu_clock.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/timer.h"

static struct heap_cache posix = HEAP_CACHE_INIT(struct timer);

/* struct sigevent of x86-64. */
struct guest_event {
	uint64_t value;
	int32_t nr, notify, tid;
	uint32_t rest[11];
};
_Static_assert(sizeof(struct guest_event) == 64, "the guest's");

static void drop(struct timers *s, uint64_t id)
{
	struct timer *t = radix_take(&s->posix, id);

	if (!t)
		return;
	timer_fini(t);
	heap_cache_free(&posix, t);
	s->count--;
}

void timers_exec(struct process *p)
{
	struct timers *s = p->signals->timers;
	uint64_t id = 0;

	if (!s)
		return;
	for (; radix_next(&s->posix, &id); id++)
		drop(s, id);
	radix_fini(&s->posix);
}

static struct timer *find(const struct task *t, uint64_t id)
{
	const struct timers *s = timers_of(t->process, false);

	return s ? radix_get(&s->posix, (uint32_t) id) : NULL;
}

/* ---- POSIX timers ---- */

/* *ret_thread: borrowed, whose time TIMER_THREAD is. */
static int clock_of(struct task *t, int clock, enum timer_clock *ret, struct task **ret_thread)
{
	struct cpu_clock cpu;
	int r;

	*ret_thread = NULL;
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		*ret = TIMER_WALL;
		return 0;
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return -EOPNOTSUPP;
	default:
		break;
	}
	if (clock >= 0 && clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	r = cpu_clock_find(t, clock, false, &cpu);
	if (r < 0 || cpu.process != t->process || (cpu.task && cpu.user))
		return -EINVAL;
	*ret_thread = cpu.task;
	*ret = cpu.task ? TIMER_THREAD : cpu.user ? TIMER_PROCESS_USER : TIMER_PROCESS;
	return 0;
}

/* Who is told what. */
static int notice(struct task *t, struct timer *one, const struct guest_event *e)
{
	struct pid *pid = NULL;

	switch (e->notify) {
	case SIGEV_NONE:
		return 0;
	case SIGEV_THREAD_ID:
		pid = pid_find(e->tid);
		if (!pid || !pid->task || pid->task->process != t->process)
			return -EINVAL;
		break;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		break;
	default:
		return -EINVAL;
	}
	if (e->nr < 1 || e->nr > SIGNALS)
		return -EINVAL;
	if (pid) {
		pid_ref(pid);
		one->told = pid;
	}
	one->entry.info = (struct signal_info){ .nr = e->nr,
						.code = SI_TIMER,
						.timer = { .value = e->value } };
	return 0;
}

static uint32_t thread_of(const struct timer *one, const struct pid *pid)
{
	return pid && pid->task && pid->task->process == one->process ? pid->nr : 0;
}

bool timer_tell(const struct process *p, uint64_t *id, struct timer_state *ret)
{
	const struct timers *s = p->signals->timers;
	const struct timer *one = s ? radix_next(&s->posix, id) : NULL;

	if (!one)
		return false;
	*ret = (struct timer_state){ .clock = one->clock,
				     .realtime = one->realtime,
				     .told = thread_of(one, one->told),
				     .measured = thread_of(one, one->measured),
				     .nr = one->entry.info.nr,
				     .value = one->entry.info.timer.value,
				     .left = timer_left(one),
				     .interval = one->interval,
				     .overrun = one->overrun };
	/* Whose thread has ended says and measures nothing any more. */
	if (one->told && !ret->told)
		ret->nr = 0;
	if (one->clock == TIMER_THREAD && !ret->measured) {
		ret->clock = TIMER_PROCESS;
		ret->left = 0;
	}
	return true;
}

/* Of a thread of p's, owned. */
static struct pid *thread_at(const struct process *p, uint32_t nr)
{
	struct pid *pid = pid_find(nr);

	if (!pid || !pid->task || pid->task->process != p)
		return NULL;
	pid_ref(pid);
	return pid;
}

int timer_load(struct process *p, uint64_t id, const struct timer_state *from)
{
	struct timers *s = timers_of(p, true);
	struct timer *one = s ? heap_cache_alloc(&posix) : NULL;
	int r = 0;

	if (!one)
		return -ENOMEM;
	timer_init(one, p, from->clock);
	one->realtime = from->realtime;
	one->told = from->told ? thread_at(p, from->told) : NULL;
	one->measured = from->measured ? thread_at(p, from->measured) : NULL;
	if ((from->told && !one->told) || radix_get(&s->posix, id) ||
	    (from->clock == TIMER_THREAD) != (one->measured != NULL))
		r = -EBADMSG;
	if (r == 0 && radix_set(&s->posix, id, one) < 0)
		r = -ENOMEM;
	if (r < 0) {
		timer_fini(one);
		heap_cache_free(&posix, one);
		return r;
	}
	s->count++;
	if (from->nr)
		one->entry.info = (struct signal_info){ .nr = from->nr,
							.code = SI_TIMER,
							.timer = { .id = (int32_t) id,
								   .value = from->value } };
	timer_set(one, from->left, from->interval, false);
	one->overrun = from->overrun;
	return 0;
}

sysret_t sys_timer_create(struct task *t, const uint64_t *a)
{
	struct guest_event e = { .nr = SIGALRM, .notify = SIGEV_SIGNAL };
	enum timer_clock clock;
	struct task *thread;
	struct timers *s;
	struct timer *one;
	uint64_t id;
	int32_t told;
	int r;

	if (a[1] && copy_in(t->space, &e, uva(a[1]), sizeof(e)) < 0)
		return -EFAULT;
	r = clock_of(t, (int) a[0], &clock, &thread);
	if (r < 0)
		return r;
	s = timers_of(t->process, true);
	if (!s || s->count >= process_limit(t->process, RLIMIT_SIGPENDING) ||
	    !radix_gap(&s->posix, 0, INT32_MAX, &id))
		return -EAGAIN;
	one = heap_cache_alloc(&posix);
	if (!one)
		return -EAGAIN;
	if (!a[1])
		e.value = id;
	timer_init(one, t->process, clock);
	one->realtime = a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI;
	r = notice(t, one, &e);
	if (thread) {
		pid_ref(thread->pid);
		one->measured = thread->pid;
	}
	one->entry.info.timer.id = (int32_t) id;
	if (r == 0 && radix_set(&s->posix, id, one) < 0)
		r = -EAGAIN;
	if (r < 0) {
		timer_fini(one);
		heap_cache_free(&posix, one);
		return r;
	}
	s->count++;
	told = (int32_t) id;
	if (copy_out(t->space, uva(a[2]), &told, sizeof(told)) == 0)
		return 0;
	drop(s, id);
	return -EFAULT;
}

static int spec_out(struct task *t, uint64_t to, const struct timer *one)
{
	struct __kernel_itimerspec spec = {
		.it_value = clock_spec(timer_left(one)),
		.it_interval = clock_spec(one->interval),
	};

	return copy_out(t->space, uva(to), &spec, sizeof(spec));
}

sysret_t sys_timer_settime(struct task *t, const uint64_t *a)
{
	struct __kernel_itimerspec spec, was = {};
	bool absolute = a[1] & TIMER_ABSTIME;
	nsec_t first, interval;
	struct timer *one;

	if (!a[2])
		return -EINVAL;
	if (copy_in(t->space, &spec, uva(a[2]), sizeof(spec)) < 0)
		return -EFAULT;
	one = find(t, a[0]);
	if (!one || !clock_nsec(&spec.it_value, &first) ||
	    !clock_nsec(&spec.it_interval, &interval))
		return -EINVAL;
	was.it_value = clock_spec(timer_left(one));
	was.it_interval = clock_spec(one->interval);
	/* A time of the day is one since the start, too: no clock is ever set. */
	if (first && absolute && one->realtime)
		first = max_of(first - (plat_now(PLAT_REALTIME) - plat_now(PLAT_MONOTONIC)),
			       (nsec_t) 1);
	timer_set(one, first, interval, absolute);
	return a[3] ? copy_out(t->space, uva(a[3]), &was, sizeof(was)) : 0;
}

sysret_t sys_timer_gettime(struct task *t, const uint64_t *a)
{
	const struct timer *one = find(t, a[0]);

	return one ? spec_out(t, a[1], one) : -EINVAL;
}

sysret_t sys_timer_getoverrun(struct task *t, const uint64_t *a)
{
	const struct timer *one = find(t, a[0]);

	return one ? one->overrun : -EINVAL;
}

sysret_t sys_timer_delete(struct task *t, const uint64_t *a)
{
	if (!find(t, a[0]))
		return -EINVAL;
	drop(timers_of(t->process, false), (uint32_t) a[0]);
	return 0;
}

/* ---- interval timers ---- */

static int64_t micro(nsec_t n)
{
	return n % NSEC_PER_SEC / 1000;
}

static int interval_out(struct task *t, uint64_t to, int which)
{
	const struct timers *s = timers_of(t->process, false);
	const struct timer *one = s ? &s->interval[which] : NULL;
	/* What is left is never told to be nothing. */
	nsec_t left = one ? timer_left(one) : 0, each = one ? one->interval : 0;
	int64_t v[4];

	if (left > 0)
		left = max_of(left, (nsec_t) 1000);
	v[0] = each / NSEC_PER_SEC;
	v[1] = micro(each);
	v[2] = left / NSEC_PER_SEC;
	v[3] = micro(left);
	return copy_out(t->space, uva(to), v, sizeof(v));
}

sysret_t sys_getitimer(struct task *t, const uint64_t *a)
{
	if ((uint32_t) a[0] > ITIMER_PROF)
		return -EINVAL;
	return interval_out(t, a[1], (int) a[0]);
}

static bool span(int64_t sec, int64_t usec, nsec_t *ret)
{
	struct __kernel_timespec s = { .tv_sec = sec };

	if (usec < 0 || usec >= 1000000)
		return false;
	s.tv_nsec = usec * 1000;
	return clock_nsec(&s, ret);
}

sysret_t sys_setitimer(struct task *t, const uint64_t *a)
{
	int64_t v[4] = {}; /* interval, then value */
	nsec_t first, interval;
	struct timers *s;
	int r = 0;

	if (a[1] && copy_in(t->space, v, uva(a[1]), sizeof(v)) < 0)
		return -EFAULT;
	if ((uint32_t) a[0] > ITIMER_PROF || !span(v[0], v[1], &interval) ||
	    !span(v[2], v[3], &first))
		return -EINVAL;
	s = timers_of(t->process, first != 0);
	if (!s && first)
		return -ENOMEM;
	if (a[2])
		r = interval_out(t, a[2], (int) a[0]);
	/* Linux sets it although the old one could not be told. */
	if (s)
		timer_set(&s->interval[a[0] & 3], first, interval, false);
	return r;
}

sysret_t sys_alarm(struct task *t, const uint64_t *a)
{
	nsec_t first = (nsec_t) (uint32_t) a[0] * NSEC_PER_SEC, left, sec;
	struct timers *s = timers_of(t->process, first != 0);

	if (!s)
		return 0; /* as if nothing was set: it has no errors */
	left = timer_left(&s->interval[ITIMER_REAL]);
	sec = left / NSEC_PER_SEC;
	if ((sec == 0 && left > 0) || left % NSEC_PER_SEC >= NSEC_PER_SEC / 2)
		sec++;
	timer_set(&s->interval[ITIMER_REAL], first, 0, false);
	return sec;
}
