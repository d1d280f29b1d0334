/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of tasks, by guests whose programs are C functions on the sim platform: they are cloned,
 * load each other, end, and wait. The system calls are those that this test knows of.
 */
#include "kernel/task/clone.h"

#include <asm/signal.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "kernel/core/heap.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/space.h"
#include "kernel/syscall/syscall.h"
#include "kernel/task/exit.h"
#include "kernel/task/futex.h"
#include "kernel/task/pidfd.h"
#include "kernel/task/test_life.h"
#include "kernel/task/wait.h"

/* ---- system calls ---- */

enum { EXIT, EXIT_GROUP, FORK, CLONE, WAIT, EXEC, FUTEX, SEND, SLEEP, PARENT, SELF, LIKE, NUMBERS };

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

static sysret_t do_fork(struct task *t, const struct fork *f)
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

static sysret_t do_exec(struct task *t, const char *name)
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

static sysret_t fork_with(uint64_t flags, int signal, void (*main)(void *arg), void *arg)
{
	struct fork f = { .q = { .flags = flags, .exit_signal = signal },
			  .main = main,
			  .arg = arg };

	return sim_sys(CLONE, (uintptr_t) &f);
}

static sysret_t fork_to(void (*main)(void *arg), void *arg)
{
	return fork_with(0, SIGCHLD, main, arg);
}

static sysret_t wait_for(int64_t pid, unsigned int options, struct wait_result *ret)
{
	struct waited w = {
		.q = { .kind = pid < 0 ? P_ALL : P_PID, .id = pid, .options = options }
	};
	sysret_t r = sim_sys(WAIT, (uintptr_t) &w);

	*ret = w.r;
	return r;
}

/* Its status when it ended, or what wait gave. */
static int end_of(sysret_t pid)
{
	struct wait_result w;
	sysret_t r = wait_for(pid, WEXITED | __WALL, &w);

	return r == pid ? w.status : (int) r;
}

static void like(void (*act)(struct task *t))
{
	CHECK(sim_sys(LIKE, (uintptr_t) act) == 0);
}

/* ---- programs ---- */

static uint32_t peek(uint64_t at)
{
	uint32_t v = 0xbad;

	CHECK(sim_read(at, &v, sizeof(v)));
	return v;
}

static void poke(uint64_t at, uint32_t v)
{
	CHECK(sim_write(at, &v, sizeof(v)));
}

static int steps[10]; /* who came by */

static void exits(void *arg)
{
	sim_sys(EXIT, (uintptr_t) arg);
}

static void sleeps(void *arg)
{
	(void) arg;
	for (;;)
		sim_sys(SLEEP, NSEC_PER_SEC);
}

#define CODE(n) ((void *) (uintptr_t) (n))

/* ---- fork, wait ---- */

static void forked(void *arg)
{
	CHECK(arg == CODE(77) && peek(DATA + 0x1000) == 1 && sim_sys(PARENT) == 1);
	CHECK(sim_fp()[0] == 0x77);
	poke(DATA + 0x1000, 2);
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	CHECK(peek(DATA + 0x1000) == 2);
	sim_sys(EXIT, 5);
}

static void forking(void *arg)
{
	struct wait_result w;
	sysret_t pid;

	(void) arg;
	CHECK(wait_for(-1, WEXITED, &w) == -ECHILD);
	poke(DATA + 0x1000, 1);
	sim_fp()[0] = 0x77;
	pid = fork_to(forked, CODE(77));
	CHECK(pid > 1 && wait_for(-1, WEXITED | WNOHANG, &w) == 0);
	poke(DATA + 0x1000, 3);
	CHECK(wait_for(pid, WEXITED, &w) == pid && w.status == 5 << 8 && w.usage.minor_faults > 0);
	CHECK(peek(DATA + 0x1000) == 3 && wait_for(pid, WEXITED, &w) == -ECHILD);
	/* No copy on a page's first write that nobody else has. */
	pid = fork_with(0, 0, exits, CODE(1));
	CHECK(wait_for(-1, WEXITED, &w) == -ECHILD && wait_for(-1, WEXITED | __WCLONE, &w) == pid);
	CHECK(fork_with(CLONE_THREAD, 0, exits, NULL) == -EINVAL &&
	      fork_with(CLONE_SIGHAND, 0, exits, NULL) == -EINVAL &&
	      fork_with(CLONE_PARENT, 0, exits, NULL) == -EINVAL &&
	      fork_with(CLONE_NEWNS, 0, exits, NULL) == -EINVAL &&
	      fork_with(CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND, 0, exits, NULL) ==
		      -EINVAL &&
	      fork_with(0, 65, exits, NULL) == -EINVAL);
	sim_sys(EXIT_GROUP, 3);
}

/* ---- threads ---- */

#define THREAD                                                                                     \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)

static void check_tls(struct task *t)
{
	struct plat_regs regs;

	plat_user_regs(t->user, &regs);
	CHECK(regs.fs_base == 0x1234 && regs.sp == 0x7000 && t->process->pid == 1 && t->tid > 1);
}

static void thread(void *arg)
{
	like(check_tls);
	CHECK((sysret_t) peek(DATA + 0x1000) == sim_sys(SELF) &&
	      (sysret_t) peek(DATA + 0x1004) == sim_sys(SELF));
	poke(DATA + 0x1008, 99);
	sim_sys(EXIT, (uintptr_t) arg);
}

static sysret_t thread_of(void (*main)(void *arg), void *arg)
{
	struct fork f = { .q = { .flags = THREAD,
				 .parent_tid = uva(DATA + 0x1000),
				 .child_tid = uva(DATA + 0x1004),
				 .stack = 0x7000,
				 .tls = 0x1234 },
			  .main = main,
			  .arg = arg };

	return sim_sys(CLONE, (uintptr_t) &f);
}

static void join(sysret_t tid)
{
	while (peek(DATA + 0x1004))
		(void) sim_sys(FUTEX, DATA + 0x1004, FUTEX_WAIT, tid, 0, 0, 0);
}

static void threads(void *arg)
{
	struct wait_result w;
	sysret_t tid = thread_of(thread, CODE(4));

	(void) arg;
	CHECK(tid > 1);
	join(tid);
	CHECK(peek(DATA + 0x1008) == 99 && wait_for(-1, WEXITED | __WALL, &w) == -ECHILD);
	/* One that sleeps, one that is never run: all end with the group. */
	CHECK(thread_of(sleeps, NULL) > 1 && sim_sys(SLEEP, NSEC_PER_SEC / 2) == -ETIMEDOUT);
	CHECK(thread_of(sleeps, NULL) > 1);
	sim_sys(EXIT_GROUP, 4);
}

/* The leader ends first; the process with the last thread, with the leader's code. */
static void last(void *arg)
{
	(void) arg;
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	sim_sys(EXIT, 8);
}

static void leader_first(void *arg)
{
	(void) arg;
	CHECK(thread_of(last, NULL) > 1);
	sim_sys(EXIT, 6);
}

/* ---- vfork, execve ---- */

static void check_fresh(struct task *t)
{
	uint64_t fd = 0;

	CHECK_STR(t->comm, "next");
	CHECK(t->process->has_execed && t->tid == t->process->pid && t->process->leader == t &&
	      t->process->thread_count == 1 && t->clear_child_tid.v == 0);
	CHECK(descriptors_next(t->files, &fd) && fd == 7);
	fd++;
	CHECK(!descriptors_next(t->files, &fd));
}

static void next(void *arg)
{
	(void) arg;
	steps[0]++;
	like(check_fresh);
	CHECK(peek(DATA + 0x1000) == 0 && sim_fp()[0] == 0);
	poke(DATA + 0x1000, 55);
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	sim_sys(EXIT_GROUP, 9);
}

static void two_files(struct task *t)
{
	struct file *f;

	for (uint64_t fd = 6; fd < 8; fd++) {
		CHECK(file_open(&top, O_PATH, &root_cred, &f) == 0);
		CHECK(descriptors_put(t->files, fd, f, fd == 6) == 0);
	}
}

static void vforked(void *arg)
{
	poke(DATA + 0x1000, 7);
	CHECK(steps[1] == 0);
	if (arg) {
		CHECK(sim_sys(EXEC, (uintptr_t) "/none") == -ENOENT);
		CHECK(sim_sys(EXEC, (uintptr_t) "/plain") == -EACCES);
		CHECK(sim_sys(EXEC, (uintptr_t) "/next") == -1);
	}
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT && steps[1] == 0);
	sim_sys(EXIT_GROUP, 2);
}

static void vforking(void *arg)
{
	struct wait_result w;
	sysret_t pid;

	(void) arg;
	like(two_files);
	pid = fork_with(CLONE_VM | CLONE_VFORK, SIGCHLD, vforked, CODE(1));
	steps[1] = 1;
	/* It runs its program, in a space of its own, and has not ended. */
	CHECK(wait_for(pid, WEXITED | WNOHANG, &w) == 0 && peek(DATA + 0x1000) == 7);
	CHECK(end_of(pid) == 9 << 8 && steps[0] == 1);
	steps[1] = 0;
	poke(DATA + 0x1000, 0);
	pid = fork_with(CLONE_VM | CLONE_VFORK, SIGCHLD, vforked, NULL);
	CHECK(wait_for(pid, WEXITED | WNOHANG, &w) == pid && w.status == 2 << 8);
	CHECK(peek(DATA + 0x1000) == 7);
	sim_sys(EXIT, 0);
}

static void execs(void *arg)
{
	(void) arg;
	sim_sys(EXEC, (uintptr_t) "/next");
	CHECK(false);
}

/* A thread's execve: the others end, and it is the process. */
static void thread_execs(void *arg)
{
	(void) arg;
	like(two_files);
	CHECK(thread_of(sleeps, NULL) > 1 && thread_of(execs, NULL) > 1);
	for (;;)
		sim_sys(SLEEP, NSEC_PER_SEC);
}

static void check_set(struct task *t)
{
	CHECK(t->cred->uid == 7 && t->cred->euid == 5 && t->cred->suid == 5 && t->cred->fsuid == 5);
	CHECK(t->image->dumpable == 0 && t->pdeath_signal == 0);
}

static void set_id(void *arg)
{
	(void) arg;
	like(check_set);
	sim_sys(EXIT, 1);
}

static void be_user(struct task *t)
{
	struct cred *c = cred_new();

	c->uid = c->euid = c->suid = c->fsuid = 7;
	task_set_cred(t, c);
	t->pdeath_signal = SIGTERM;
}

static void becomes(void *arg)
{
	(void) arg;
	like(be_user);
	sim_sys(EXEC, (uintptr_t) "/set");
	CHECK(false);
}

/* ---- ends ---- */

static void touches(void *arg)
{
	uint32_t v;

	CHECK(!sim_read((uintptr_t) arg, &v, sizeof(v)));
	CHECK(false);
}

static void own_end(void *arg)
{
	struct wait_result w;
	sysret_t pid = fork_to(touches, CODE(0x10000));

	(void) arg;
	CHECK(wait_for(pid, WEXITED, &w) == pid && (w.status & 0x7f) == SIGSEGV &&
	      w.value == SIGSEGV);
	pid = fork_to(sleeps, NULL);
	CHECK(sim_sys(SEND, pid, SIGTERM) == 0 && end_of(pid) == SIGTERM);
	/* Waiting for a vfork child, it can be killed, and the child goes on. */
	pid = fork_to(sleeps, NULL);
	CHECK(sim_sys(SLEEP, 1) == -ETIMEDOUT && sim_sys(SEND, pid, SIGKILL) == 0);
	CHECK(end_of(pid) == SIGKILL);
	/* All others end with number 1. */
	CHECK(fork_to(sleeps, NULL) > 1);
	sim_sys(EXIT, 0);
}

static void vforks_and_is_killed(void *arg)
{
	(void) arg;
	fork_with(CLONE_VM | CLONE_VFORK, SIGCHLD, sleeps, NULL);
	CHECK(false);
}

static void killed_in_vfork(void *arg)
{
	struct wait_result w;
	sysret_t pid = fork_to(vforks_and_is_killed, NULL);

	(void) arg;
	CHECK(sim_sys(SLEEP, 1) == -ETIMEDOUT && sim_sys(SEND, pid, SIGKILL) == 0);
	CHECK(end_of(pid) == SIGKILL);
	/* Its child is init's now. */
	CHECK(wait_for(-1, WEXITED | WNOHANG, &w) == 0);
	sim_sys(EXIT, 0);
}

/* ---- orphans ---- */

static void orphan(void *arg)
{
	sysret_t parent;

	(void) arg;
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	parent = sim_sys(PARENT);
	sim_sys(EXIT, parent);
}

static void parent_ends(void *arg)
{
	(void) arg;
	CHECK(fork_to(orphan, NULL) > 1);
	sim_sys(EXIT, 0);
}

static void be_subreaper(struct task *t)
{
	t->process->subreaper = true;
}

static void subreaper(void *arg)
{
	struct wait_result w;
	sysret_t pid;

	(void) arg;
	like(be_subreaper);
	pid = fork_to(parent_ends, NULL);
	CHECK(end_of(pid) == 0);
	CHECK(wait_for(-1, WEXITED, &w) > 0 && w.status >> 8 == (int) sim_sys(SELF));
	sim_sys(EXIT, 0);
}

static void ask_for_signal(struct task *t)
{
	t->pdeath_signal = SIGUSR1;
}

static void wants_signal(void *arg)
{
	(void) arg;
	like(ask_for_signal);
	sleeps(NULL);
}

static void parent_of_that(void *arg)
{
	(void) arg;
	CHECK(fork_to(wants_signal, NULL) > 1 && sim_sys(SLEEP, 1) == -ETIMEDOUT);
	sim_sys(EXIT, 0);
}

static void ignore_children(struct task *t)
{
	t->handlers->actions[SIGCHLD - 1].handler = 1;
}

static void orphans(void *arg)
{
	struct wait_result w;
	sysret_t pid = fork_to(parent_ends, NULL);

	(void) arg;
	CHECK(end_of(pid) == 0 && wait_for(-1, WEXITED, &w) > 0 && w.status == 1 << 8);
	CHECK(end_of(fork_to(subreaper, NULL)) == 0);
	CHECK(end_of(fork_to(parent_of_that, NULL)) == 0);
	CHECK(wait_for(-1, WEXITED, &w) > 0 && w.status == SIGUSR1);
	/* Nobody wants to know: no zombies, and wait waits for the last. */
	like(ignore_children);
	CHECK(fork_to(orphan, NULL) > 1 && fork_to(exits, NULL) > 1);
	CHECK(wait_for(-1, WEXITED, &w) == -ECHILD);
	sim_sys(EXIT, 0);
}

/* A stopped job whose shell ends gets SIGHUP and goes on to its end. */
static void new_group(struct task *t)
{
	CHECK(task_setpgid(t, 0, 0) == 0);
}

static void new_session(struct task *t)
{
	CHECK(task_setsid(t) == (sysret_t) t->tid);
}

static void job(void *arg)
{
	(void) arg;
	like(new_group);
	sleeps(NULL);
}

static void shell(void *arg)
{
	struct wait_result w;
	sysret_t pid;

	(void) arg;
	like(new_session);
	pid = fork_to(job, NULL);
	CHECK(sim_sys(SLEEP, 1) == -ETIMEDOUT && sim_sys(SEND, pid, SIGSTOP) == 0);
	CHECK(wait_for(pid, WSTOPPED, &w) == pid && w.status == (SIGSTOP << 8 | 0x7f));
	CHECK(sim_sys(SEND, pid, SIGCONT) == 0);
	CHECK(wait_for(pid, WCONTINUED, &w) == pid && w.status == 0xffff);
	CHECK(sim_sys(SEND, pid, SIGSTOP) == 0 && wait_for(pid, WSTOPPED, &w) == pid);
	sim_sys(EXIT, 0);
}

static void jobs(void *arg)
{
	struct wait_result w;

	(void) arg;
	CHECK(end_of(fork_to(shell, NULL)) == 0);
	CHECK(wait_for(-1, WEXITED, &w) > 0 && w.status == SIGHUP);
	sim_sys(EXIT, 0);
}

/* ---- terminals ---- */

static struct tty tty;

static void take_terminal(struct task *t)
{
	CHECK(task_setsid(t) == (sysret_t) t->tid);
	tty_init(&tty);
	tty.owners = 2;
	tty.session = tty.foreground = t->pid;
	pid_ref(t->pid);
	pid_ref(t->pid);
	t->process->group->session->tty = &tty;
}

static void type_interrupt(struct task *t)
{
	(void) t;
	tty_receive(&tty, 3); /* ^C */
}

static void types(void *arg)
{
	(void) arg;
	like(take_terminal);
	CHECK(fork_to(sleeps, NULL) > 1);
	sleeps(NULL);
}

/* What is typed ends the foreground; the leader's end lets the terminal go. */
static void at_terminal(void *arg)
{
	struct wait_result w;
	sysret_t pid = fork_to(types, NULL);

	(void) arg;
	CHECK(sim_sys(SLEEP, 1) == -ETIMEDOUT && tty.session);
	like(type_interrupt);
	CHECK(end_of(pid) == SIGINT && !tty.session && !tty.foreground && tty.owners == 1);
	CHECK(wait_for(-1, WEXITED, &w) > 0 && w.status == SIGINT);
	sim_sys(EXIT, 0);
}

/* ---- siblings, pidfds ---- */

static struct file *pidfd;

static void take_pidfd(struct task *t)
{
	uint64_t fd = 0;

	CHECK(descriptors_next(t->files, &fd) && descriptors_cloexec(t->files, fd) == 1);
	pidfd = descriptors_get(t->files, fd);
	CHECK(descriptors_close(t->files, fd) == 0);
}

static void sibling(void *arg)
{
	CHECK(fork_with(CLONE_PARENT, 0, exits, CODE(3)) > 1);
	sim_sys(EXIT, (uintptr_t) arg);
}

static void others(void *arg)
{
	struct fork f = {
		.q = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = uva(DATA + 0x1000) },
		.main = sleeps
	};
	struct waited w = { .q = { .kind = P_PID, .options = WEXITED } };
	sysret_t pid;

	(void) arg;
	CHECK(end_of(fork_to(sibling, CODE(2))) == 2 << 8);
	CHECK(wait_for(-1, WEXITED, &w.r) > 0 && w.r.status == 3 << 8);
	poke(DATA + 0x1000, 77);
	pid = sim_sys(CLONE, (uintptr_t) &f);
	CHECK(pid > 1 && peek(DATA + 0x1000) == 0);
	like(take_pidfd);
	w.q.pid = pidfd_pid(pidfd);
	CHECK((sysret_t) w.q.pid->nr == pid && pidfd->ops->poll(pidfd, NULL) == 0);
	CHECK(sim_sys(SEND, pid, SIGKILL) == 0);
	CHECK(sim_sys(WAIT, (uintptr_t) &w) == pid && w.r.status == SIGKILL);
	CHECK(pidfd->ops->poll(pidfd, NULL) != 0 && sim_sys(WAIT, (uintptr_t) &w) == -ECHILD);
	file_unref(pidfd);
	/* Where it cannot be told, there is no child. */
	f.q.pidfd = uva(0x10000);
	CHECK(sim_sys(CLONE, (uintptr_t) &f) == -EFAULT &&
	      sim_sys(WAIT, (uintptr_t) &w) == -ECHILD);
	sim_sys(EXIT, 0);
}

/* ---- without memory ---- */

static void fails(uint64_t flags, unsigned long *which)
{
	unsigned long failed = 0;
	size_t frames = frame_used();

	for (unsigned long n = 1;; n++) {
		sysret_t r;

		*which = n;
		r = flags & CLONE_THREAD ? thread_of(exits, NULL)
					 : fork_with(flags, SIGCHLD, exits, NULL);
		*which = 0;
		if (r > 0) {
			if (flags & CLONE_THREAD)
				join(r);
			else
				CHECK(end_of(r) == 0);
			break;
		}
		CHECK(r == -ENOMEM || r == -EAGAIN);
		CHECK(frame_used() <= frames + 8);
		failed++;
	}
	CHECK(failed >= 1);
}

static void execs_failing(void *arg)
{
	unsigned long *which = arg;
	sysret_t r;

	for (unsigned long n = 1;; n++) {
		*which = n;
		r = sim_sys(EXEC, (uintptr_t) "/next");
		*which = 0;
		/* -E2BIG, -ENOEXEC: what was to be copied to the new space could not be. */
		CHECK(r == -ENOMEM || r == -E2BIG || r == -ENOEXEC);
		if (n > 200)
			break;
	}
	sim_sys(EXIT, 1);
}

static void without_memory(void *arg)
{
	int status;

	(void) arg;
	like(two_files);
	poke(DATA + 0x1000, 1);
	fails(0, &fail_heap);
	fails(0, &fail_plat);
	fails(THREAD, &fail_heap);
	fails(THREAD, &fail_plat);
	steps[0] = 0;
	status = end_of(fork_to(execs_failing, &fail_heap));
	fail_heap = 0;
	CHECK(status == 9 << 8 && steps[0] == 1);
	status = end_of(fork_to(execs_failing, &fail_plat));
	fail_plat = 0;
	CHECK(status == 9 << 8 && steps[0] == 2);
	sim_sys(EXIT, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	program("/next", next, 0755);
	program("/plain", next, 0644);
	program("/set", set_id, 04755);
	{
		struct walk w = { .root = &top, .start = &top, .who = &root_cred };
		struct path p;

		CHECK(walk(&w, "/set", 0, &p) == 0);
		p.dentry->inode->uid = 5;
		path_unref(&p);
	}
	CHECK(run(forking) == 3 << 8);
	CHECK(run(threads) == 4 << 8);
	CHECK(run(leader_first) == 6 << 8);
	CHECK(run(vforking) == 0);
	CHECK(run(thread_execs) == 9 << 8);
	CHECK(run(becomes) == 1 << 8);
	CHECK(run(own_end) == 0);
	CHECK(run(killed_in_vfork) == 0);
	CHECK(run(orphans) == 0);
	CHECK(run(jobs) == 0);
	CHECK(run(at_terminal) == 0);
	CHECK(run(others) == 0);
	CHECK(run(without_memory) == 0);
	mount_space_unref(m);
	fiber_exit();
}

int main(void)
{
	return test_run(4096, body);
}
