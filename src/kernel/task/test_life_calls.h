/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of tests of tasks' lives: few, and with what the tests ask for in the test's own
 * memory, which is the kernel's, too. In the place of syscall/'s table.
 */
#pragma once

#include <asm/signal.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/syscall.h"
#include "kernel/task/clone.h"
#include "kernel/task/exit.h"
#include "kernel/task/futex.h"
#include "kernel/task/test_life.h"
#include "kernel/task/wait.h"

enum { EXIT, EXIT_GROUP, CLONE, WAIT, EXEC, FUTEX, SEND, SLEEP, PARENT, SELF, LIKE };

/* What the calls above take from the test's own memory: it is the kernel's, too. */
struct fork {
	struct clone_request q;
	void (*main)(void *arg);
	void *arg;
};

struct waited {
	struct wait_request q;
	struct wait_result r;
};

static unsigned long fail_heap,
	fail_plat; /* the allocation of the next fork or execve that fails */

static inline sysret_t do_fork(struct task *t, const struct fork *f)
{
	struct plat_regs home, regs;
	sysret_t r;

	plat_user_regs(t->user, &home);
	regs = home;
	regs.ip = (uint64_t) (uintptr_t) f->main;
	regs.di = (uint64_t) (uintptr_t) f->arg;
	plat_user_set_regs(t->user, &regs);
	heap_fail_at(fail_heap);
	sim_fail_at(fail_plat);
	r = task_clone(t, &f->q);
	heap_fail_at(0);
	sim_fail_at(0);
	plat_user_set_regs(t->user, &home);
	return r;
}

static inline sysret_t do_exec(struct task *t, const char *name)
{
	struct walk w = task_walk(t);
	struct words args, env;
	struct path exe;
	sysret_t r = walk(&w, name, WALK_FOLLOW, &exe);

	if (r < 0)
		return r;
	words_init(&args, 1000);
	words_init(&env, 1000);
	CHECK(words_add(&args, name, strlen(name)) == 0);
	heap_fail_at(fail_heap);
	sim_fail_at(fail_plat);
	r = task_exec(t, &exe, name, &args, &env);
	heap_fail_at(0);
	sim_fail_at(0);
	words_fini(&args);
	words_fini(&env);
	path_unref(&exe);
	return r;
}

sysret_t syscall_do(struct task *t, unsigned int nr, const uint64_t a[6])
{
	void *p = (void *) (uintptr_t) a[0];
	struct futex_again again;
	struct waited *w = p;
	struct waitq nobody;
	struct pid *id;

	switch (nr) {
	case EXIT:
		task_exit(t, (int) a[0] << 8);
	case EXIT_GROUP:
		task_exit_group(t, (int) a[0] << 8);
	case CLONE:
		return do_fork(t, p);
	case WAIT:
		return task_wait(t, &w->q, &w->r);
	case EXEC:
		return do_exec(t, p);
	case FUTEX:
		return futex_call(t->space, a, &again);
	case SEND:
		id = pid_find((int64_t) a[0]);
		if (!id || !id->process)
			return -ESRCH;
		signal_process(id->process, (int) a[1]);
		return 0;
	case SLEEP:
		waitq_init(&nobody);
		return waitq_wait(&nobody, false, sim_now() + (nsec_t) a[0], fiber_interrupted());
	case PARENT:
		return t->process->parent ? (sysret_t) t->process->parent->pid : 0;
	case SELF:
		return t->tid;
	case LIKE: /* what a call of its own does to the task */
		((void (*)(struct task *))(uintptr_t) a[0])(t);
		return 0;
	default:
		return -ENOSYS;
	}
}

static inline sysret_t fork_with(uint64_t flags, int signal, void (*main)(void *arg), void *arg)
{
	struct fork f = { .q = { .flags = flags, .exit_signal = signal },
			  .main = main,
			  .arg = arg };

	return sim_sys(CLONE, (uintptr_t) &f);
}

static inline sysret_t fork_to(void (*main)(void *arg), void *arg)
{
	return fork_with(0, SIGCHLD, main, arg);
}

static inline sysret_t wait_for(int64_t pid, unsigned int options, struct wait_result *ret)
{
	struct waited w = {
		.q = { .kind = pid < 0 ? P_ALL : P_PID, .id = pid, .options = options }
	};
	sysret_t r = sim_sys(WAIT, (uintptr_t) &w);

	*ret = w.r;
	return r;
}

/* Its status when it ended, or what wait gave. */
static inline int end_of(sysret_t pid)
{
	struct wait_result w;
	sysret_t r = wait_for(pid, WEXITED | __WALL, &w);

	return r == pid ? w.status : (int) r;
}

static inline void like(void (*act)(struct task *t))
{
	CHECK(sim_sys(LIKE, (uintptr_t) act) == 0);
}

static inline uint32_t peek(uint64_t at)
{
	uint32_t v = 0xbad;

	CHECK(sim_read(at, &v, sizeof(v)));
	return v;
}

static inline void poke(uint64_t at, uint32_t v)
{
	CHECK(sim_write(at, &v, sizeof(v)));
}

static inline void exits(void *arg)
{
	sim_sys(EXIT, (uintptr_t) arg);
}

static inline void sleeps(void *arg)
{
	(void) arg;
	for (;;)
		sim_sys(SLEEP, NSEC_PER_SEC);
}

#define CODE(n) ((void *) (uintptr_t) (n))
