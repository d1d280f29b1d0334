/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/task.h"

#include <asm-generic/siginfo.h>
#include <linux/poll.h>
#include <linux/wait.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit.h"
#include "kernel/task/pidfd.h"
#include "kernel/task/wait.h"
#include "kernel/vfs/file.h"

static struct cred root_cred = { .effective = UINT64_MAX };
static struct path top;

static int first(struct task **ret)
{
	struct task_first q = { .cred = &root_cred, .root = &top, .comm = "a name of 17 bytes" };
	int r;

	q.files = descriptors_new();
	if (!q.files)
		return -ENOMEM;
	r = task_new_first(&q, ret);
	descriptors_unref(q.files);
	return r;
}

static void of_kernel(void)
{
	struct task *t, *u;

	CHECK(this_task() == NULL && process_init() == NULL);
	CHECK(first(&t) == 0 && t->tid == 1 && process_init() == t->process);
	CHECK_STR(t->comm, "a name of 17 by");
	CHECK(t->process->leader == t && t->process->thread_count == 1 && t->fs->umask == 022);
	CHECK(task_getpgid(t, 0) == 1 && task_getsid(t, 1) == 1 && task_setsid(t) == -EPERM);
	CHECK(task_setpgid(t, 0, 0) == -EPERM && process_tty(t->process) == NULL);
	task_attach(t);
	CHECK(this_task() == t && task_killed() == 0);
	CHECK(task_new(t->process, &u) == 0 && u->tid == 2 && u->process->thread_count == 2);
	CHECK(pid_find(2)->task == u && !pid_find(2)->process && !pid_find(3) && !pid_find(-1));
	CHECK(task_getsid(t, 2) == 1 && task_getpgid(t, 3) == -ESRCH);
	CHECK(task_setpgid(t, 2, 0) == -ESRCH);
	process_kill(t->process, 9);
	process_kill(t->process, 10);
	CHECK(u->dying && task_killed() == -ERESTARTSYS && fiber_interrupted() == -ERESTARTSYS);
	CHECK(t->process->exit_status == 9);
	fiber_undisturbed(fiber_now());
	task_free(u);
	CHECK(!pid_find(2) && t->process->thread_count == 1);
	fiber_now()->owner = NULL;
	process_free(t->process);
	CHECK(!pid_find(1));
}

static struct task *child(struct process *parent)
{
	struct process *p;
	struct task *t = NULL;

	CHECK(process_new(&p) == 0 && task_new(p, &t) == 0);
	p->parent = parent;
	group_enter(p, parent->group);
	list_push(&parent->children, &p->in_parent);
	return t;
}

/* setpgid(2) and setsid(2), and when a group is orphaned. */
static void groups_and_sessions(void)
{
	struct task *init, *shell, *a, *b;

	CHECK(first(&init) == 0);
	shell = child(init->process);
	CHECK(task_setsid(shell) == (sysret_t) shell->tid && task_setsid(shell) == -EPERM);
	a = child(shell->process);
	b = child(shell->process);
	CHECK(task_getpgid(a, 0) == (sysret_t) shell->tid);
	CHECK(task_setpgid(shell, (int32_t) a->tid, 0) == 0);
	CHECK(task_getpgid(shell, (int32_t) a->tid) == (sysret_t) a->tid);
	CHECK(task_setpgid(b, 0, (int32_t) a->tid) == 0 && b->process->group == a->process->group);
	CHECK(task_setpgid(b, 0, 1) == -EPERM && task_setpgid(b, 0, -1) == -EINVAL);
	CHECK(task_setpgid(b, (int32_t) a->tid, 0) == -ESRCH);
	CHECK(task_setpgid(b, 0, 1000) == -EPERM);
	b->process->has_execed = true;
	CHECK(task_setpgid(shell, (int32_t) b->tid, 0) == -EACCES && task_setpgid(b, 0, 0) == 0);
	CHECK(task_setpgid(b, 0, 0) == 0 && task_setpgid(b, 0, (int32_t) a->tid) == 0);
	CHECK(!group_orphaned(a->process->group, NULL));
	CHECK(group_orphaned(shell->process->group, NULL));
	/* The shell ends: both are init's, and nobody looks after their group. */
	a->process->parent = b->process->parent = init->process;
	list_splice(&init->process->children, &shell->process->children);
	CHECK(group_orphaned(a->process->group, NULL));
	/* A group's number is kept after its first member left it. */
	CHECK(task_setpgid(a, 0, (int32_t) shell->tid) == 0);
	CHECK(task_setsid(a) == -EPERM && task_getpgid(b, 0) == (sysret_t) a->tid);
	/* And a session's, after its leader ended. */
	uint32_t session = shell->tid;

	process_free(shell->process);
	CHECK(pid_find(session) && !pid_find(session)->process && pid_find(session)->session);
	CHECK(task_getsid(b, 0) == session);
	CHECK(task_setsid(b) == (sysret_t) b->tid);
	process_free(a->process);
	process_free(b->process);
	CHECK(!pid_find(session));
	process_free(init->process);
}

static struct task_limit limit(struct task *t, unsigned int what)
{
	struct task_limit l = { 1, 2 };

	CHECK(task_prlimit(t, 0, what, NULL, &l) == 0);
	return l;
}

/* prlimit(2), and whom RLIMIT_NPROC binds. */
static void limits(void)
{
	struct cred user = { .uid = 7, .euid = 7, .suid = 7, .fsuid = 7 };
	struct task_limit l = { 5, 4 }, old;
	struct task *init, *t;

	CHECK(first(&init) == 0);
	t = child(init->process);
	t->cred = &user;
	memcpy(t->process->limits, init->process->limits, sizeof(t->process->limits));
	CHECK(limit(t, RLIMIT_NOFILE).soft == 1024);
	CHECK(task_prlimit(t, 0, RLIM_NLIMITS, NULL, &old) == -EINVAL);
	CHECK(task_prlimit(t, 0, RLIMIT_CORE, &l, NULL) == -EINVAL);
	CHECK(task_prlimit(t, 99, RLIMIT_CORE, NULL, &old) == -ESRCH);
	CHECK(task_prlimit(t, 1, RLIMIT_CORE, NULL, &old) == -EPERM);
	l.hard = 5;
	CHECK(task_prlimit(init, (int32_t) t->tid, RLIMIT_STACK, &l, &old) == 0 &&
	      old.soft == 8 << 20 && limit(t, RLIMIT_STACK).hard == 5);
	l.hard = 6;
	CHECK(task_prlimit(t, 0, RLIMIT_STACK, &l, NULL) == -EPERM);
	CHECK(task_prlimit(init, (int32_t) t->tid, RLIMIT_STACK, &l, NULL) == 0);
	l.hard = 2 << 20;
	CHECK(task_prlimit(init, 0, RLIMIT_NOFILE, &l, NULL) == -EPERM);
	CHECK(!limit_nproc_passed(t, 1));
	l = (struct task_limit){ 1, 1 };
	CHECK(task_prlimit(t, 0, RLIMIT_NPROC, &l, NULL) == 0);
	CHECK(!limit_nproc_passed(t, 0) && limit_nproc_passed(t, 1));
	user.effective = CRED_ALL;
	CHECK(!limit_nproc_passed(t, 1));
	process_free(t->process);
	process_free(init->process);
}

/* wait4(2) and waitid(2) of children whose ends are told by hand. */
static void waiting(void)
{
	struct task *init, *a, *b;
	struct wait_request q = { .kind = P_ALL, .options = WEXITED | WNOHANG };
	struct wait_result w;
	uint32_t an, bn;

	CHECK(first(&init) == 0);
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	a = child(init->process);
	b = child(init->process);
	an = a->tid;
	bn = b->tid;
	a->cred = b->cred = &(struct cred){ .uid = 7 };
	a->process->exit_signal = 17;
	b->process->exit_signal = 0;
	b->process->parent_tid = 99;
	CHECK(task_wait(init, &q, &w) == 0);
	q.options = WNOHANG;
	CHECK(task_wait(init, &q, &w) == -EINVAL);
	q.options = WEXITED | 0x100000;
	CHECK(task_wait(init, &q, &w) == -EINVAL);
	q.options = WSTOPPED | WNOHANG;
	process_stopped(a->process, 19);
	CHECK(task_wait(init, &q, &w) == an && w.status == 0x137f && w.code == CLD_STOPPED &&
	      w.value == 19 && w.uid == 7);
	CHECK(task_wait(init, &q, &w) == 0);
	process_stopped(a->process, 19);
	process_continued(a->process);
	CHECK(task_wait(init, &q, &w) == 0);
	q.options = WCONTINUED | WNOHANG | WNOWAIT;
	CHECK(task_wait(init, &q, &w) == an && w.status == 0xffff && w.code == CLD_CONTINUED);
	q.options = WCONTINUED | WNOHANG;
	CHECK(task_wait(init, &q, &w) == an && task_wait(init, &q, &w) == 0);
	/* By number, by group, by kind, by thread. */
	q = (struct wait_request){ .kind = P_PID, .id = 77, .options = WEXITED | WNOHANG };
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	q.id = bn;
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	q.options |= __WCLONE;
	CHECK(task_wait(init, &q, &w) == 0);
	q.options |= __WNOTHREAD;
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	q = (struct wait_request){ .kind = P_PGID, .options = WEXITED | WNOHANG };
	CHECK(task_wait(init, &q, &w) == 0);
	q.id = 77;
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	q.id = 1;
	/* An end. */
	a->process->zombie = true;
	a->process->exit_status = 0x8b;
	a->process->dead.minor_faults = 3;
	a->process->children_usage.minor_faults = 4;
	q.options |= WNOWAIT;
	CHECK(task_wait(init, &q, &w) == an && w.code == CLD_DUMPED && w.value == 11);
	q = (struct wait_request){ .kind = P_PID, .pid = a->pid, .options = WEXITED };
	CHECK(task_wait(init, &q, &w) == an && w.status == 0x8b && w.usage.minor_faults == 7);
	CHECK(init->process->children_usage.minor_faults == 7);
	q = (struct wait_request){ .kind = P_ALL, .options = WEXITED | __WALL };
	b->process->zombie = true;
	b->process->exit_status = 3 << 8;
	CHECK(task_wait(init, &q, &w) == bn && w.code == CLD_EXITED && w.value == 3);
	CHECK(task_wait(init, &q, &w) == -ECHILD);
	process_free(init->process);
}

/* A pidfd means its process alone, and is readable when that has ended. */
static void pidfds(void)
{
	struct task *init;
	struct file *f;
	struct pid *p;

	CHECK(first(&init) == 0);
	p = init->pid;
	for (unsigned long n = 1;; n++) {
		int r;

		heap_fail_at(n);
		r = pidfd_new(p, 0, &f);
		heap_fail_at(0);
		if (r == 0)
			break;
		CHECK(r == -ENOMEM && n < 10);
	}
	CHECK(pidfd_pid(f) == p && f->ops->poll(f, NULL) == 0);
	init->process->zombie = true;
	CHECK(f->ops->poll(f, NULL) == (POLLIN | POLLRDNORM));
	process_free(init->process);
	CHECK(pidfd_pid(f)->nr == 1 && !pid_find(1) && f->ops->poll(f, NULL) & POLLIN);
	file_unref(f);
	CHECK(first(&init) == 0 && init->tid == 1);
	process_free(init->process);
}

/* Numbers are used up, go round, and are not given twice. */
static void numbers(void)
{
	static struct pid *p[PID_MOST];
	size_t n = 1;
	struct pid *again;
	uint64_t at = 0;

	for (; n < PID_MOST && pid_new(&p[n]) == 0; n++)
		CHECK(p[n]->nr == n);
	CHECK(n == PID_MOST && pid_new(&again) == -EAGAIN);
	pid_unref(p[5]);
	CHECK(pid_new(&again) == -EAGAIN);
	pid_unref(p[400]);
	CHECK(pid_new(&p[400]) == 0 && p[400]->nr == 400);
	CHECK(!pid_find(400) && !pid_next(&at));
	for (n = 1; n < PID_MOST; n++) {
		if (n != 5)
			pid_unref(p[n]);
	}
}

static void without_memory(void)
{
	for (unsigned long n = 1;; n++) {
		struct task *t = NULL;
		int r;

		heap_fail_at(n);
		r = first(&t);
		heap_fail_at(0);
		if (r == 0) {
			CHECK(n > 3);
			process_free(t->process);
			break;
		}
		CHECK(r == -ENOMEM && !pid_find(1));
	}
}

static void creds(void)
{
	uint32_t groups[] = { 7, 8 };
	struct cred *c = cred_new(), *d;

	CHECK(cred_ref(&root_cred) == &root_cred && root_cred.owners == 0);
	cred_unref(&root_cred);
	d = cred_copy(&(struct cred){ .uid = 5, .group_count = 2, .groups = groups });
	CHECK(d->uid == 5 && d->groups != groups && d->groups[1] == 8 && d->owners == 1);
	CHECK(cred_ref(d) == d && d->owners == 2 && cred_in_group(d, 8) && !cred_in_group(d, 9));
	cred_unref(d);
	cred_unref(d);
	cred_unref(c);
	cred_unref(NULL);
	heap_fail_at(2);
	CHECK(!cred_copy(&(struct cred){ .group_count = 2, .groups = groups }));
	heap_fail_at(0);
}

static void body(void *arg)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *m = mount_space_new(s, 0, "root");

	(void) arg;
	super_leave(s);
	top = (struct path){ m->root, m->root->root };
	of_kernel();
	groups_and_sessions();
	limits();
	waiting();
	pidfds();
	numbers();
	without_memory();
	creds();
	mount_space_unref(m);
}

int main(void)
{
	return test_run(64, body);
}
