/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of tasks, by guests whose programs are C functions on the sim platform: they are cloned,
 * load each other, end, and wait. The system calls are those that this test knows of.
 */
#include "kernel/task/clone.h"

#include <linux/futex.h>

#include "kernel/task/pidfd.h"
#include "kernel/task/test_life_calls.h"

static int steps[2]; /* who came by */

/* ---- fork, wait ---- */

static void forked(void *arg)
{
	CHECK(arg == CODE(77) && peek(DATA + 0x1000) == 1 && sim_sys(PARENT) == 1);
	CHECK(sim_fp()[0] == 0x77);
	poke(DATA + 0x1000, 2);
	poke(DATA + 0x20000, 2); /* nobody has it: a fault */
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	CHECK(peek(DATA + 0x1000) == 2);
	sim_sys(EXIT, 5);
}

static void no_rights(struct task *t)
{
	static const struct cred none;

	task_set_cred(t, &none);
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
	like(no_rights);
	CHECK(fork_with(CLONE_NEWNS, 0, exits, NULL) == -EPERM &&
	      fork_with(CLONE_NEWUSER, 0, exits, NULL) == -EINVAL);
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
	CHECK(run(others) == 0);
	CHECK(run(without_memory) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}
