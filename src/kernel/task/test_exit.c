/* SPDX-License-Identifier: Apache-2.0 */
/* Ends: by signals, in vfork, with init; orphans, stopped jobs, terminals. */
#include "kernel/task/exit.h"

#include "kernel/fs/tty.h"
#include "kernel/task/test_life_calls.h"

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

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	CHECK(run(own_end) == 0);
	CHECK(run(killed_in_vfork) == 0);
	CHECK(run(orphans) == 0);
	CHECK(run(jobs) == 0);
	CHECK(run(at_terminal) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}
