/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/clone.h"

#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/sched.h>

#include "kernel/core/heap.h"
#include "kernel/ipc/sem.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit.h"
#include "kernel/task/limit_cpu.h"
#include "kernel/task/pidfd.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/serve.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

#define FORK_COPIES 64 /* pages: space_fork() */

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

/* On the stack of who waits. */
struct vfork_wait {
	struct waitq done;
	struct task *child; /* NULL: done */
};

void vfork_done(struct task *child)
{
	struct vfork_wait *w = child->vfork;

	if (!w)
		return;
	child->vfork = NULL;
	w->child = NULL;
	(void) waitq_wake(&w->done, 0, 0);
}

static void vfork_wait(struct vfork_wait *w)
{
	/* A killed one goes without; the child has no memory of it then. */
	if (waitq_wait(&w->done, w->child == NULL, NSEC_NEVER, task_killed()) < 0)
		w->child->vfork = NULL;
}

/* ---- what may be asked for ---- */

static int check(const struct task *t, const struct clone_request *q)
{
	uint64_t f = q->flags;

	/* As Linux: who makes a namespace of users needs no rights. */
	if (f & NAMESPACES)
		return f & CLONE_NEWUSER || cred_can(t->cred, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if ((f & CLONE_THREAD && !(f & CLONE_SIGHAND)) || (f & CLONE_SIGHAND && !(f & CLONE_VM)) ||
	    (f & CLONE_SIGHAND && f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	/* Linux 6.8 and older: a pidfd is of a process. */
	if (f & CLONE_PIDFD && f & (CLONE_THREAD | CLONE_DETACHED))
		return -EINVAL;
	/* A sibling of init would have no parent. */
	if (f & CLONE_PARENT && !t->process->parent)
		return -EINVAL;
	if (q->exit_signal < 0 || q->exit_signal > SIGNALS)
		return -EINVAL;
	/* What has come is done first: signals_clone() says why. */
	if (t->fiber->interrupted)
		return -ERESTARTNOINTR;
	return limit_nproc_passed(t, 1) || limit_tasks_passed() ? -EAGAIN : 0;
}

/* ---- what is shared, and what copied ---- */

static int copy_space(struct task *child, const struct task *t, uint64_t flags)
{
	if (flags & CLONE_VM) {
		child->space = t->space;
		child->image = t->image;
		space_ref(child->space);
		child->image->owners++;
		return 0;
	}
	child->image = task_image_copy(t->image);
	child->space = child->image ? space_fork(t->space, FORK_COPIES) : NULL;
	return child->space ? 0 : -ENOMEM;
}

static int copy_files(struct task *child, struct task *t, uint64_t flags)
{
	if (flags & CLONE_FILES) {
		child->files = t->files;
		descriptors_ref(child->files);
	} else {
		child->files = descriptors_copy(t->files);
	}
	if (flags & CLONE_FS) {
		child->fs = t->fs;
		child->fs->owners++;
	} else {
		child->fs = fs_context_copy(t->fs);
	}
	if (flags & CLONE_SYSVSEM) {
		child->undos = sem_undos_share(t);
		if (!child->undos)
			return -ENOMEM;
	}
	return child->files && child->fs ? 0 : -ENOMEM;
}

static void copy_rest(struct task *child, const struct task *t, const struct clone_request *q)
{
	child->cred = cred_ref(t->cred);
	seccomp_clone(child, t);
	memcpy(child->comm, t->comm, sizeof(child->comm));
	child->personality = t->personality;
	child->nice = t->nice;
	child->policy = t->policy;
	child->priority = t->priority;
	child->io_priority = t->io_priority;
	if (t->reset_on_fork) {
		if (t->policy == SCHED_FIFO || t->policy == SCHED_RR) {
			child->policy = SCHED_NORMAL;
			child->priority = 0;
			child->nice = 0;
		}
		child->nice = max_of(child->nice, 0);
	}
	child->affinity = t->affinity;
	child->timer_slack = child->slack_at_birth = t->timer_slack;
	if (q->flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = q->child_tid;
}

/* What vectors and the like hold, and how they round: fork's child goes on with it. */
static int copy_fp(struct plat_user *to, struct plat_user *from)
{
	uint64_t components;
	size_t size = plat_fp_size(&components);
	void *area = size > 0 ? heap_alloc(size) : NULL;

	if (!area)
		return size > 0 ? -ENOMEM : 0;
	plat_user_fp(from, area);
	plat_user_set_fp(to, area);
	heap_free(area);
	return 0;
}

static int copy_user(struct task *child, struct task *t, const struct clone_request *q)
{
	struct plat_regs regs;
	int r;

	plat_user_regs(t->user, &regs);
	regs.ax = 0;
	if (q->stack)
		regs.sp = q->stack;
	if (q->flags & CLONE_SETTLS)
		regs.fs_base = q->tls;
	child->user = plat_user_new(child->space->plat, &regs);
	r = child->user ? copy_fp(child->user, t->user) : -ENOMEM;
	/* It may have gone before its registers were known. */
	return r == 0 && plat_user_gone(t->user) ? -EAGAIN : r;
}

/* A process' place among others, and what it inherits. */
static void copy_process(struct process *p, const struct task *t, const struct clone_request *q)
{
	struct process *from = t->process;
	bool sibling = q->flags & CLONE_PARENT;

	memcpy(p->limits, from->limits, sizeof(p->limits));
	p->oom_score_adj = from->oom_score_adj;
	p->no_tty = from->no_tty;
	p->exit_signal = sibling ? from->exit_signal : q->exit_signal;
	p->parent = sibling ? from->parent : from;
	p->parent_tid = sibling ? from->parent_tid : t->tid;
	list_push(&p->parent->children, &p->in_parent);
	group_enter(p, from->group);
}

/* ---- all of it ---- */

/* A child that has not run. */
static void undo(struct task *child, bool thread)
{
	struct process *p = child->process;

	if (child->signals) {
		child->dying = true;
		signals_end(child);
		if (!thread)
			signals_end_process(p);
	}
	if (thread)
		task_free(child);
	else
		process_free(p);
}

/* Everything of it but its fiber. */
static int fill(struct task *child, struct task *t, const struct clone_request *q)
{
	int r = copy_files(child, t, q->flags);

	if (r == 0)
		r = copy_space(child, t, q->flags);
	if (r == 0)
		r = copy_user(child, t, q);
	if (r == 0)
		r = signals_clone(child, t, q->flags);
	if (r == 0)
		limit_cpu_watch(child->process);
	return r;
}

/* The numbers go where they are wanted. Addresses that are bad are the guest's own loss, as in
 * Linux, but for that of a pidfd, which nobody could close. */
static int tell_numbers(struct task *child, struct task *t, const struct clone_request *q)
{
	uint32_t tid = child->tid;
	struct file *f;
	int64_t fd;
	int r;

	if (q->flags & CLONE_PARENT_SETTID)
		(void) copy_out(t->space, q->parent_tid, &tid, sizeof(tid));
	if (q->flags & CLONE_CHILD_SETTID)
		(void) copy_out(child->space, q->child_tid, &tid, sizeof(tid));
	if (!(q->flags & CLONE_PIDFD))
		return 0;
	r = pidfd_new(child->pid, O_RDWR, &f);
	if (r < 0)
		return r;
	fd = descriptors_add(t->files, f, true, 0, process_limit(t->process, RLIMIT_NOFILE));
	if (fd < 0)
		return (int) fd;
	if (copy_out(t->space, q->pidfd, &(int32_t){ (int32_t) fd }, sizeof(int32_t)) == 0)
		return 0;
	(void) descriptors_close(t->files, (uint64_t) fd); /* it was just opened */
	return -EFAULT;
}

static int make(struct task *t, const struct clone_request *q, struct task **ret)
{
	bool thread = q->flags & CLONE_THREAD;
	struct process *p = t->process;
	struct task *child;
	int r = thread ? 0 : process_new(&p);

	if (r < 0)
		return r;
	p->numbers = t->process->numbers;
	p->container = t->process->container;
	r = task_new(p, &child);
	if (r < 0) {
		if (!thread)
			process_free(p);
		return r;
	}
	copy_rest(child, t, q);
	if (!thread)
		copy_process(p, t, q);
	r = fill(child, t, q);
	if (r == 0)
		r = tell_numbers(child, t, q);
	/* Its process may have been told to end meanwhile; nobody told the child. */
	if (r == 0 && t->dying)
		r = -ERESTARTNOINTR;
	if (r == 0)
		r = task_start(child);
	if (r < 0) {
		undo(child, thread);
		return r;
	}
	*ret = child;
	return 0;
}

sysret_t task_clone(struct task *t, const struct clone_request *q)
{
	struct vfork_wait w;
	struct task *child;
	uint32_t tid;
	int r = check(t, q);

	if (r == 0)
		r = make(t, q, &child);
	if (r < 0)
		return r;
	tid = child->tid;
	if (q->flags & CLONE_VFORK) {
		waitq_init(&w.done);
		w.child = child;
		child->vfork = &w;
		vfork_wait(&w);
	}
	return tid;
}
