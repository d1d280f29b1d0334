/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that signal, and sleeps: one task, which is the test's own fiber, and the sim's clock. */
#include <linux/signal.h>
#include <linux/time.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_calls.h"
#include "kernel/task/task.h"
#include "kernel/task/timers.h"
#include "kernel/vfs/file.h"

#define DATA ((uint64_t) 0x40000000)
#define MS   ((nsec_t) 1000000)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct path top;
static struct task *me;

#define call(f, ...) f(me, (const uint64_t[6]){ __VA_ARGS__ })

static void put(uint64_t at, int64_t a, int64_t b, int64_t c, int64_t d)
{
	int64_t v[4] = { a, b, c, d };

	CHECK(copy_out(me->space, uva(DATA + at), v, sizeof(v)) == 0);
}

/* The n-th of the numbers there. */
static int64_t get(uint64_t at, unsigned int n)
{
	int64_t v = -77;

	CHECK(copy_in(me->space, &v, uva(DATA + at + n * 8), sizeof(v)) == 0);
	return v;
}

static void pass(nsec_t n)
{
	nsec_t end = sim_now() + n;

	while (sim_now() < end)
		(void) fiber_park_until(end);
}

static bool came(int nr, struct signal_info *ret)
{
	return signals_take(me, SIGNAL_BIT(nr), ret);
}

static int64_t create(int clock, int notify, int nr, uint64_t value, uint32_t tid)
{
	int64_t r;

	put(0x200, (int64_t) value, (int64_t) ((uint64_t) notify << 32 | (uint32_t) nr), tid, 0);
	put(0x220, 0, 0, 0, 0);
	r = call(sys_timer_create, (uint64_t) clock, DATA + 0x200, DATA + 0x300);
	return r < 0 ? r : (int32_t) get(0x300, 0);
}

static int64_t set(int64_t id, int flags, nsec_t first, nsec_t interval)
{
	put(0x400, interval / NSEC_PER_SEC, interval % NSEC_PER_SEC, first / NSEC_PER_SEC,
	    first % NSEC_PER_SEC);
	return call(sys_timer_settime, (uint64_t) id, (uint64_t) flags, DATA + 0x400, DATA + 0x440);
}

static nsec_t left(int64_t id)
{
	CHECK(call(sys_timer_gettime, (uint64_t) id, DATA + 0x480) == 0);
	return get(0x480, 2) * NSEC_PER_SEC + get(0x480, 3);
}

static void posix_timers(void)
{
	struct signal_info i;
	int64_t a = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 40, 4711, 0), b, c;

	CHECK(a == 0 && left(a) == 0 && !came(40, &i));
	CHECK(create(77, SIGEV_SIGNAL, 40, 0, 0) == -EINVAL &&
	      create(CLOCK_MONOTONIC_RAW, SIGEV_SIGNAL, 40, 0, 0) == -EOPNOTSUPP);
	CHECK(create(CLOCK_REALTIME, SIGEV_SIGNAL, 65, 0, 0) == -EINVAL &&
	      create(CLOCK_REALTIME, 9, 40, 0, 0) == -EINVAL &&
	      create(CLOCK_REALTIME, SIGEV_THREAD_ID, 40, 0, 9999) == -EINVAL);
	CHECK(call(sys_timer_create, CLOCK_MONOTONIC, 0x20000, DATA) == -EFAULT &&
	      call(sys_timer_create, CLOCK_MONOTONIC, 0, 0x20000) == -EFAULT);
	/* Once. */
	CHECK(set(a, 0, 5 * MS, 0) == 0 && left(a) == 5 * MS);
	pass(4 * MS);
	CHECK(!came(40, &i) && left(a) == MS);
	pass(MS);
	CHECK(came(40, &i) && i.code == SI_TIMER && i.timer.id == 0 && i.timer.value == 4711 &&
	      i.timer.overrun == 0 && left(a) == 0);
	pass(20 * MS);
	CHECK(!came(40, &i));
	/* Again and again: one signal, and what went by is counted. */
	CHECK(set(a, 0, 5 * MS, 10 * MS) == 0);
	pass(5 * MS);
	CHECK(came(40, &i) && i.timer.overrun == 0 && left(a) == 10 * MS);
	pass(37 * MS);
	CHECK(left(a) == 3 * MS && came(40, &i) && i.timer.overrun == 2 && !came(40, &i));
	CHECK(call(sys_timer_getoverrun, (uint64_t) a) == 2 && left(a) == 3 * MS);
	/* Set anew: what was on its way is gone; the old one is told. */
	pass(3 * MS);
	CHECK(set(a, 0, 7 * MS, 0) == 0 && !came(40, &i));
	CHECK(get(0x440, 0) == 0 && get(0x440, 1) == 10 * MS && get(0x440, 3) == 10 * MS);
	CHECK(set(a, 0, 0, 0) == 0 && left(a) == 0);
	pass(20 * MS);
	CHECK(!came(40, &i));
	/* By the clocks, and a time that is over. */
	b = create(CLOCK_REALTIME, SIGEV_THREAD_ID, 41, 1, me->tid);
	CHECK(b == 1 && set(b, TIMER_ABSTIME, plat_now(PLAT_REALTIME) + MS, 0) == 0 &&
	      left(b) == MS);
	CHECK(set(a, TIMER_ABSTIME, 1, 0) == 0);
	pass(MS);
	CHECK(me->signals->pending.set == SIGNAL_BIT(41) && came(41, &i) && came(40, &i));
	/* Nobody is told. */
	c = create(CLOCK_BOOTTIME, SIGEV_NONE, 0, 0, 0);
	CHECK(c == 2 && set(c, 0, MS, 0) == 0 && left(c) == MS);
	pass(MS);
	CHECK(left(c) == 0 && set(c, 0, MS, 3 * MS) == 0);
	pass(5 * MS);
	CHECK(left(c) == 2 * MS);
	CHECK(set(c, 0, NSEC_PER_SEC, -1) == -EINVAL && set(99, 0, 1, 0) == -EINVAL);
	/* The shortest interval costs nothing while nobody takes it; ignored, a little. */
	unsigned long kicks = sim_counts()->kicks;

	CHECK(set(a, 0, 1, 1) == 0);
	pass(NSEC_PER_SEC);
	CHECK(came(40, &i) && i.timer.overrun > 900000000 && sim_counts()->kicks - kicks < 10);
	me->signals->blocked &= ~SIGNAL_BIT(40);
	me->handlers->actions[39].handler = 1;
	signals_forget(me->process, 40);
	pass(NSEC_PER_SEC);
	CHECK(sim_counts()->kicks - kicks < 4000);
	me->handlers->actions[39].handler = 0;
	me->signals->blocked = UINT64_MAX;
	/* Gone, with what was on its way. */
	CHECK(set(b, 0, MS, 0) == 0);
	pass(2 * MS);
	CHECK(signals_pending(me) & SIGNAL_BIT(41));
	CHECK(call(sys_timer_delete, (uint64_t) b) == 0 && !(signals_pending(me) & SIGNAL_BIT(41)));
	CHECK(call(sys_timer_delete, (uint64_t) b) == -EINVAL &&
	      call(sys_timer_gettime, (uint64_t) b, DATA) == -EINVAL &&
	      call(sys_timer_getoverrun, (uint64_t) b) == -EINVAL);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 40, 0, 0) == 1);
	me->process->limits[RLIMIT_SIGPENDING].soft = 3;
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 40, 0, 0) == -EAGAIN);
	me->process->limits[RLIMIT_SIGPENDING].soft = 100;
	/* Processor time: as much as is accounted. */
	b = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 42, 0, 0);
	CHECK(set(b, 0, 20 * MS, 0) == 0);
	pass(NSEC_PER_SEC);
	CHECK(!came(42, &i));
	me->process->dead.system += 20 * MS;
	pass(25 * MS);
	CHECK(came(42, &i));
	/* The same clock as a libc asks for it; one's own thread; and the process by its number. */
	c = create(-6, SIGEV_SIGNAL, 43, 0, 0);
	CHECK(c >= 0 && set(c, 0, 20 * MS, 0) == 0 && left(c) == left(b) + 20 * MS);
	c = create((int) (~(uint32_t) me->tid << 3 | 4 | 2), SIGEV_SIGNAL, 43, 0, 0);
	CHECK(c >= 0 && set(c, 0, 20 * MS, 0) == 0 && left(c) == 20 * MS);
	CHECK(create((int) (~me->process->pid << 3 | 1), SIGEV_SIGNAL, 43, 0, 0) >= 0);
	CHECK(create((int) (~4711u << 3 | 2), SIGEV_SIGNAL, 43, 0, 0) == -EINVAL &&
	      create(-5, SIGEV_SIGNAL, 43, 0, 0) == -EINVAL);
	timers_exec(me->process);
	CHECK(call(sys_timer_gettime, (uint64_t) a, DATA) == -EINVAL);
}

static void interval_timers(void)
{
	struct signal_info i;

	CHECK(call(sys_getitimer, 3, DATA) == -EINVAL && call(sys_setitimer, 3, DATA) == -EINVAL);
	CHECK(call(sys_getitimer, ITIMER_REAL, DATA) == 0 && get(0, 3) == 0);
	put(0, 0, 2000, 0, 5000);
	CHECK(call(sys_setitimer, ITIMER_REAL, DATA, DATA + 64) == 0 && get(64, 3) == 0);
	pass(5 * MS);
	CHECK(came(SIGALRM, &i) && i.code == SI_KERNEL);
	CHECK(call(sys_getitimer, ITIMER_REAL, DATA + 64) == 0 && get(64, 1) == 2000 &&
	      get(64, 3) == 2000);
	pass(7 * MS);
	CHECK(came(SIGALRM, &i) && !came(SIGALRM, &i));
	CHECK(call(sys_alarm, 10) == 1);
	CHECK(call(sys_alarm, 3) == 10);
	pass(NSEC_PER_SEC + NSEC_PER_SEC / 4);
	CHECK(call(sys_alarm, 1) == 2);
	pass(NSEC_PER_SEC);
	CHECK(came(SIGALRM, &i) && call(sys_alarm, 0) == 0);
	put(0, 0, 0, 0, 1000000);
	CHECK(call(sys_setitimer, ITIMER_REAL, DATA, 0) == -EINVAL);
	put(0, 0, 0, -1, 0);
	CHECK(call(sys_setitimer, ITIMER_REAL, DATA, 0) == -EINVAL &&
	      call(sys_setitimer, ITIMER_REAL, 0x20000, 0) == -EFAULT);
	put(0, 0, 0, 0, 3000);
	CHECK(call(sys_setitimer, ITIMER_VIRTUAL, DATA, 0) == 0 &&
	      call(sys_setitimer, ITIMER_PROF, DATA, 0) == 0);
	me->process->dead.system += 3 * MS;
	pass(10 * MS);
	CHECK(came(SIGPROF, &i) && !came(SIGVTALRM, &i));
	me->process->dead.user += 3 * MS;
	pass(10 * MS);
	CHECK(came(SIGVTALRM, &i) && i.code == SI_KERNEL);
	/* NULL: off. */
	CHECK(call(sys_alarm, 5) == 0 && call(sys_setitimer, ITIMER_REAL, 0, 0) == 0 &&
	      call(sys_alarm, 0) == 0);
}

static void interrupt(struct ktimer *k)
{
	(void) k;
	fiber_interrupt(me->fiber);
}

static void sleeps(void)
{
	struct ktimer k = { .fire = interrupt };
	nsec_t from = sim_now();

	put(0, 0, 500, 0, 0);
	CHECK(call(sys_nanosleep, DATA, 0) == 0 && sim_now() == from + 500);
	put(0, 0, 1000000000, 0, 0);
	CHECK(call(sys_nanosleep, DATA, 0) == -EINVAL &&
	      call(sys_nanosleep, 0x20000, 0) == -EFAULT);
	from = sim_now();
	put(0, from / NSEC_PER_SEC, from % NSEC_PER_SEC + 700, 0, 0);
	CHECK(call(sys_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, DATA, 0) == 0 &&
	      sim_now() == from + 700);
	CHECK(call(sys_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, DATA, 0) == 0 &&
	      sim_now() == from + 700);
	from = plat_now(PLAT_REALTIME);
	put(0, from / NSEC_PER_SEC, from % NSEC_PER_SEC + 700, 0, 0);
	CHECK(call(sys_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, DATA, 0) == 0 &&
	      plat_now(PLAT_REALTIME) == from + 700);
	CHECK(call(sys_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, DATA, 0) == -EOPNOTSUPP &&
	      call(sys_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, DATA, 0) == -EOPNOTSUPP);

	/* Interrupted: what is left is told, and it goes on to the same end. */
	from = sim_now();
	put(0, 1, 0, 0, 0);
	ktimer_set(&k, from + 300 * MS);
	CHECK(call(sys_nanosleep, DATA, DATA + 64) == -ERESTART_RESTARTBLOCK);
	CHECK(get(64, 0) == 0 && get(64, 1) == 700 * MS);
	fiber_undisturbed(me->fiber);
	CHECK(call(sys_restart_syscall, 0) == 0 && sim_now() == from + NSEC_PER_SEC);
	CHECK(call(sys_restart_syscall, 0) == -EINTR);
	from = sim_now();
	put(0, from / NSEC_PER_SEC + 1, 0, 0, 0);
	ktimer_set(&k, from + MS);
	CHECK(call(sys_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, DATA, 0) ==
	      -ERESTARTNOHAND);
	fiber_undisturbed(me->fiber);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 6; n++) {
		int64_t r;

		heap_fail_at(n);
		r = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 40, 0, 0);
		heap_fail_at(0);
		CHECK(r == -EAGAIN || r == 0);
		timers_end(me->process);
		heap_fail_at(n);
		put(0, 0, 0, 1, 0);
		r = call(sys_setitimer, ITIMER_REAL, DATA, 0);
		heap_fail_at(0);
		CHECK(r == (n == 1 ? -ENOMEM : 0));
		timers_end(me->process);
	}
}

static void limit(uint64_t soft, uint64_t hard)
{
	struct task_limit new = { soft, hard };

	CHECK(task_prlimit(me, 0, RLIMIT_CPU, &new, NULL) == 0);
}

/* By what is accounted of the process, as above. */
static void limit_of_processor_time(void)
{
	struct task_usage *dead = &me->process->dead;
	struct signal_info i;

	timers_end(me->process);
	dead->user = dead->system = 0;
	limit(2, 5);
	pass(3 * NSEC_PER_SEC);
	CHECK(!came(SIGXCPU, &i));
	dead->system = 2 * NSEC_PER_SEC;
	pass(3 * NSEC_PER_SEC);
	CHECK(came(SIGXCPU, &i) && i.code == SI_KERNEL && !came(SIGXCPU, &i));
	/* Again a second later, as Linux has it. */
	CHECK(process_limit(me->process, RLIMIT_CPU) == 3);
	limit(TASK_UNLIMITED, TASK_UNLIMITED);
	dead->user = 3 * NSEC_PER_SEC;
	pass(4 * NSEC_PER_SEC);
	CHECK(!came(SIGXCPU, &i));
	limit(5, 5);
	pass(6 * NSEC_PER_SEC);
	CHECK(came(SIGKILL, &i) && !came(SIGXCPU, &i));
	fiber_undisturbed(fiber_now());
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");
	struct descriptors *files = descriptors_new();
	struct task_first q = { .cred = &root_cred, .root = &top, .files = files, .comm = "me" };
	uint64_t at;

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	CHECK(task_new_first(&q, &me) == 0 && signals_clone(me, NULL, 0) == 0);
	task_attach(me);
	me->signals->blocked = UINT64_MAX;
	me->space = space_new(&wide);
	CHECK(space_map(me->space,
			&(struct space_mapping){ .at = DATA,
						 .len = PAGE_SIZE,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	posix_timers();
	interval_timers();
	sleeps();
	no_memory();
	limit_of_processor_time();
	signals_end(me);
	signals_end_process(me->process);
	me->fiber->owner = NULL;
	process_free(me->process);
	descriptors_unref(files);
	path_unref(&top);
	mount_space_unref(mounts);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(1024, all);
}
