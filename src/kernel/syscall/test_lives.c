/* SPDX-License-Identifier: Apache-2.0 */
/* fork, execve and exit as guests call them, through the table of calls. */
#include <asm/unistd.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/task/limit.h"
#include "kernel/task/test_life.h"

#define AT_FDCWD ((uint64_t) -100)
#define TEXTS	 (DATA + 0x1000)
#define POINTERS (DATA + 0x2000)
#define ARG_LONG (128 << 10)

static int step;
static char what_was[64]; /* arguments and environment of the program that ran, joined */

static uint64_t text(size_t within, const char *t)
{
	CHECK(sim_write(TEXTS + within, t, strlen(t) + 1));
	return TEXTS + within;
}

/* Three pointers and their end. */
static uint64_t pointers(size_t within, uint64_t a, uint64_t b, uint64_t c)
{
	CHECK(sim_write(POINTERS + within, (uint64_t[]){ a, b, c, 0 }, 4 * sizeof(uint64_t)));
	return POINTERS + within;
}

static int reap(sysret_t pid)
{
	int status = -1;

	CHECK(sim_sys(__NR_wait4, pid, TEXTS + 0x800, 0, 0) == pid);
	CHECK(sim_read(TEXTS + 0x800, &status, sizeof(status)));
	return status;
}

/* What its memory says it was called with. */
static void called(void *arg)
{
	struct task *t = pid_find(sim_sys(__NR_getpid))->task;
	const struct program *p = &t->image->program;
	size_t n = (size_t) (p->environment_end - p->arguments_start);

	(void) arg;
	n = min_of(n, sizeof(what_was) - 1);
	CHECK(sim_read(p->arguments_start, what_was, n));
	for (size_t k = 0; k < n; k++)
		what_was[k] = what_was[k] ? what_was[k] : ' ';
	what_was[n] = 0;
	sim_sys(__NR_exit_group, 7);
}

static void execs(void)
{
	uint64_t argv = pointers(0, text(0, "zero"), text(16, "one"), 0),
		 envp = pointers(64, text(32, "A=b"), 0, 0), name = text(64, "/called");

	CHECK(sim_sys(__NR_execve, 8, argv, envp) == -EFAULT);
	CHECK(sim_sys(__NR_execve, text(96, ""), argv, envp) == -ENOENT);
	CHECK(sim_sys(__NR_execve, text(96, "/none"), argv, envp) == -ENOENT);
	CHECK(sim_sys(__NR_execve, text(96, "/called/x"), argv, envp) == -ENOTDIR);
	CHECK(sim_sys(__NR_execve, text(96, "/"), argv, envp) == -EACCES);
	CHECK(sim_sys(__NR_execve, text(96, "/plain"), argv, envp) == -EACCES);
	CHECK(sim_sys(__NR_execve, text(96, "/text"), argv, envp) == -ENOEXEC);
	CHECK(sim_sys(__NR_execve, name, 8, envp) == -EFAULT);
	CHECK(sim_sys(__NR_execve, name, pointers(128, 8, 0, 0), envp) == -EFAULT);
	CHECK(sim_sys(__NR_execve, name, argv, 8) == -EFAULT);
	CHECK(sim_sys(__NR_open, text(96, "/init"), O_WRONLY, 0) == -ETXTBSY);
	CHECK(sim_sys(__NR_truncate, text(96, "/init"), 0) == -ETXTBSY);
	CHECK(sim_sys(__NR_open, name, O_WRONLY, 0) == 0);
	CHECK(sim_sys(__NR_execve, name, argv, envp) == -ETXTBSY);
	CHECK(sim_sys(__NR_execve, text(96, "/script"), argv, envp) == -ETXTBSY);
	CHECK(sim_sys(__NR_close, 0) == 0);
	CHECK(sim_sys(__NR_execveat, 33, text(96, "called"), argv, envp, 0) == -EBADF);
	CHECK(sim_sys(__NR_execveat, AT_FDCWD, name, argv, envp, 1) == -EINVAL);
	CHECK(sim_sys(__NR_execveat, AT_FDCWD, text(96, "/link"), argv, envp, 0x100) == -ELOOP);
	if (step == 2)
		sim_sys(__NR_execve, name, argv, envp);
	if (step == 3)
		sim_sys(__NR_execve, text(96, "/script"), argv, envp);
	if (step == 4)
		sim_sys(__NR_execve, name, 0, 0);
	if (step == 5) {
		uint64_t fd = (uint64_t) sim_sys(__NR_open, text(96, "/script"), O_PATH, 0);

		CHECK(fd == 0);
		sim_sys(__NR_execveat, fd, text(96, ""), argv, envp, 0x1000);
	}
	sim_sys(__NR_exit_group, 1);
}

/* Words that are too long, and too many. */
static void too_much(void)
{
	uint64_t argv, name = text(64, "/called"), long_one;
	static char letters[ARG_LONG + 1];

	memset(letters, 'x', sizeof(letters));
	long_one = (uint64_t) sim_sys(__NR_mmap, 0, 2 * ARG_LONG, 3, 0x22, -1, 0);
	CHECK(sim_write(long_one, letters, sizeof(letters)));
	argv = pointers(0, long_one, 0, 0);
	CHECK(sim_sys(__NR_execve, name, argv, 0) == -E2BIG);
	/* The same text as often as the stack has room for. */
	CHECK(sim_write(long_one + ARG_LONG - 1, "", 1));
	argv = (uint64_t) sim_sys(__NR_mmap, 0, PAGE_SIZE, 3, 0x22, -1, 0);
	for (size_t n = 0; n < 20; n++)
		CHECK(sim_write(argv + n * 8, &long_one, 8));
	CHECK(sim_sys(__NR_execve, name, argv, 0) == -E2BIG);
	CHECK(sim_sys(__NR_execve, name, 0, argv) == -E2BIG);
	CHECK(sim_write(argv + 10 * 8, (uint64_t[]){ 0 }, 8));
	sim_sys(__NR_execve, name, argv, 0);
	CHECK(false);
}

/* The sim's fork begins its program again: `step` says who is who. */
static void forking(void *arg)
{
	struct clone_args c = { .exit_signal = 17, .set_tid_size = 1 };
	sysret_t pid;

	(void) arg;
	if (step == 1) {
		CHECK(sim_sys(__NR_getppid) == 1);
		sim_sys(__NR_exit, 0x1105);
	}
	if (step >= 2 && step <= 5)
		execs();
	if (step == 6)
		too_much();
	if (step == 7)
		sim_sys(__NR_exit_group, 3);
	step = 1;
	/* The limit of all tasks: a zombie is one until it is reaped. */
	limit_tasks(2);
	pid = sim_sys(__NR_fork);
	CHECK(tasks_count() == 2 && sim_sys(__NR_fork) == -EAGAIN && limit_tasks_refused() == 1);
	CHECK(sim_sys(__NR_waitid, 0, 0, TEXTS, 0x1000004 /* WNOWAIT, WEXITED */) == 0);
	CHECK(sim_sys(__NR_fork) == -EAGAIN && limit_tasks_refused() == 2);
	CHECK(reap(pid) == 5 << 8 && tasks_count() == 1);
	limit_tasks(0);
	CHECK(reap(sim_sys(__NR_fork)) == 5 << 8);
	CHECK(reap(sim_sys(__NR_clone, 17, 0, 0, 0, 0)) == 5 << 8);
	CHECK(sim_sys(__NR_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | 17, 0, TEXTS) == -EINVAL);
	step = 7;
	CHECK(reap(sim_sys(__NR_vfork)) == 3 << 8);
	CHECK(sim_write(TEXTS, &c, sizeof(c)) && sim_sys(__NR_clone3, TEXTS, sizeof(c)) == -EINVAL);
	CHECK(sim_sys(__NR_clone3, TEXTS, 8) == -EINVAL &&
	      sim_sys(__NR_clone3, TEXTS, 8192) == -E2BIG);
	c.set_tid = TEXTS;
	CHECK(sim_write(TEXTS, &c, sizeof(c)) && sim_sys(__NR_clone3, TEXTS, sizeof(c)) == -EPERM);
	c = (struct clone_args){ .flags = CLONE_INTO_CGROUP, .exit_signal = 17 };
	CHECK(sim_write(TEXTS, &c, sizeof(c)) && sim_sys(__NR_clone3, TEXTS, sizeof(c)) == -EBADF);
	c = (struct clone_args){ .flags = CLONE_CHILD_SETTID, .exit_signal = 17, .stack = 1 };
	CHECK(sim_write(TEXTS, &c, sizeof(c)) && sim_sys(__NR_clone3, TEXTS, sizeof(c)) == -EINVAL);
	c.stack_size = 16;
	CHECK(sim_write(TEXTS, &c, sizeof(c)));
	CHECK(reap(sim_sys(__NR_clone3, TEXTS, sizeof(c))) == 3 << 8);
	step = 2;
	pid = sim_sys(__NR_fork);
	CHECK(reap(pid) == 7 << 8);
	CHECK_STR(what_was, "zero one A=b ");
	step = 3;
	CHECK(reap(sim_sys(__NR_fork)) == 7 << 8);
	CHECK_STR(what_was, "/called -x /script one A=b ");
	step = 4;
	CHECK(reap(sim_sys(__NR_vfork)) == 7 << 8);
	CHECK_STR(what_was, " ");
	step = 5;
	CHECK(reap(sim_sys(__NR_fork)) == 7 << 8);
	CHECK_STR(what_was, "/called -x /dev/fd/0 one A=b ");
	step = 6;
	CHECK(reap(sim_sys(__NR_fork)) == 7 << 8);
	step = 0;
	sim_sys(__NR_exit, 0);
}

static void file(const char *name, const char *bytes)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *f;

	program(name, called, 0755);
	CHECK(names_open(&w, name, O_WRONLY, 0, &f) == 0);
	CHECK(pager_write(&f->inode->pager, 0, bytes, strlen(bytes)) == (int64_t) strlen(bytes));
	file_unref(f);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };

	(void) arg;
	program("/called", called, 0755);
	program("/plain", called, 0644);
	file("/text", "echo is no program\n");
	file("/script", "#! /called -x\n");
	CHECK(names_create(&w, "/link", S_IFLNK | 0777, 0, "/called") == 0);
	CHECK(run(forking) == 0);
	CHECK(run(forking) == 0); /* what it was run from may be written to again */
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}
