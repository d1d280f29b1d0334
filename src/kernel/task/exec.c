/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/exec.h"

#include <asm/signal.h>
#include <linux/personality.h>

#include "kernel/mm/space.h"
#include "kernel/task/cred_change.h"
#include "kernel/task/exit.h"
#include "kernel/task/known.h"
#include "kernel/task/limit.h"
#include "kernel/task/program.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

/* What set-id programs do not take over: personality(2). */
#define PERSONALITY_DROPPED                                                                        \
	((uint32_t) (READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO))
#define FLAGS_FIRST 0x202u /* interrupts on, and the bit that is always set */

/* What execve makes before it takes anything away. */
struct next {
	struct task *task;
	struct space *space;
	struct task_image *image;
	struct plat_user *user;
	struct cred *cred;
	bool secure;
};

static void next_fini(struct next *n)
{
	plat_user_free(n->user);
	space_unref(n->space);
	task_image_unref(n->image);
	cred_unref(n->cred);
}

/* ---- who it will be ---- */

static void read_file(const struct path *exe, struct cred_file *ret)
{
	struct inode *i = exe->dentry->inode;
	unsigned char bytes[XATTR_CAPS_SZ_3];
	int64_t n;

	*ret = (struct cred_file){};
	if (exe->mount && exe->mount->flags & MNT_NOSUID)
		return;
	ret->mode = i->mode;
	ret->uid = i->uid;
	ret->gid = i->gid;
	n = i->ops->xattr_get ? i->ops->xattr_get(i, "security.capability", bytes, sizeof(bytes))
			      : -EOPNOTSUPP;
	/* What cannot be understood gives nothing. */
	if (n > 0 && cred_file_capabilities(ret, bytes, (size_t) n) < 0)
		ret->capable = false;
}

/* Whether tasks of other processes share its root and current directory. */
static bool shares_root(const struct task *t)
{
	unsigned int own = 0;

	list_each(l, (struct list *) (uintptr_t) &t->process->threads)
		own += task_of_list(l)->fs == t->fs;
	return t->fs->owners > own;
}

static int become(void *arg, const struct path *exe, const struct cred **ret_who, bool *ret_secure)
{
	struct next *n = arg;
	struct cred_file f;
	int r;

	read_file(exe, &f);
	n->cred = cred_copy(n->task->cred);
	r = n->cred ? cred_exec(n->cred, &f, shares_root(n->task), &n->secure) : -ENOMEM;
	*ret_who = n->cred;
	*ret_secure = n->secure;
	return r;
}

/* ---- before ---- */

static int load(struct next *n, const struct path *exe, const char *name, struct words *arguments,
		const struct words *environment)
{
	struct task *t = n->task;
	struct walk w = task_walk(t);
	struct program_request q = { .walk = &w,
				     .exe = exe,
				     .name = name,
				     .arguments = arguments,
				     .environment = environment,
				     .become = become,
				     .become_arg = n,
				     .fixed = t->personality & ADDR_NO_RANDOMIZE };
	struct space_limits limits;
	struct program p;
	int r;

	limits_of_space(t, &limits);
	n->space = space_new(&limits);
	n->image = n->space ? task_image_new() : NULL;
	r = n->image ? program_load(n->space, &q, &p) : -ENOMEM;
	if (r == 0)
		task_image_set(n->image, &p);
	return r == 0 && p.exe.dentry->inode->writers > 0 ? -ETXTBSY : r;
}

static int prepare(struct next *n, const struct path *exe, const char *name,
		   struct words *arguments, const struct words *environment)
{
	struct plat_regs regs = { .flags = FLAGS_FIRST };
	int r = program_may(exe, n->task->cred);

	if (r == 0 && exe->dentry->inode->writers > 0)
		r = -ETXTBSY;
	if (r == 0)
		r = load(n, exe, name, arguments, environment);
	if (r < 0)
		return r;
	regs.ip = n->image->program.entry;
	regs.sp = n->image->program.stack;
	n->user = plat_user_new(n->space->plat, &regs);
	/* Whom it would not let read the program does not see its memory, either. */
	if (n->secure ||
	    inode_may(n->image->program.exe.dentry->inode, n->task->cred, MAY_READ) < 0)
		n->image->dumpable = 0;
	return n->user ? 0 : -ENOMEM;
}

/* ---- alone ---- */

/* The only thread has the process' number, whoever it was. */
static void take_number(struct task *t)
{
	struct process *p = t->process;
	struct task *old = p->leader;
	struct pid *own = t->pid;

	if (old == t)
		return;
	t->pid = old->pid;
	t->tid = old->tid;
	t->pid->task = t;
	old->pid = own;
	old->tid = own->nr;
	own->task = old;
	known_forget(t);
	p->leader = t;
	task_free(old);
}

/* All other threads end. -ERESTARTNOINTR: this one has to, too. */
static int be_alone(struct task *t)
{
	struct process *p = t->process;
	int r;

	if (t->dying)
		return -ERESTARTNOINTR;
	p->execing = t;
	list_each(l, &p->threads)
	{
		struct task *u = task_of_list(l);

		if (u != t) {
			u->dying = true;
			task_interrupt(u);
		}
	}
	r = waitq_wait(&p->threads_ended, p->thread_count == 1, NSEC_NEVER, task_killed());
	p->execing = NULL;
	if (r < 0)
		return -ERESTARTNOINTR;
	take_number(t);
	return 0;
}

/* ---- after ---- */

static int own_parts(struct task *t)
{
	struct descriptors *files = t->files;
	int r = signals_unshare(t);

	if (r < 0 || files->owners == 1)
		return r;
	t->files = descriptors_copy(files);
	if (!t->files) {
		t->files = files;
		return -ENOMEM;
	}
	descriptors_unref(files);
	return 0;
}

/* Nothing here fails. */
static void change_over(struct task *t, struct next *n)
{
	struct next old = { .space = t->space, .image = t->image, .user = t->user };
	struct process *p = t->process;

	if (old.space)
		task_leave_space(t);
	t->space = n->space;
	t->image = n->image;
	t->user = n->user;
	task_set_cred(t, n->cred);
	if (n->secure) {
		t->personality &= ~PERSONALITY_DROPPED;
		t->pdeath_signal = 0;
	}
	task_set_comm(t, t->image->program.comm);
	p->has_execed = true;
	p->exit_signal = SIGCHLD;
	t->call.in = false;
	*n = (struct next){};
	next_fini(&old);
	descriptors_exec(t->files);
	signals_exec(t);
}

int task_load(struct task *t, const struct path *exe, const char *name, struct words *arguments,
	      const struct words *environment)
{
	struct next n = { .task = t };
	int r = prepare(&n, exe, name, arguments, environment);

	if (r == 0)
		change_over(t, &n);
	next_fini(&n);
	return r;
}

sysret_t task_exec(struct task *t, const struct path *exe, const char *name,
		   struct words *arguments, const struct words *environment)
{
	struct next n = { .task = t };
	int r = limit_nproc_passed(t, 0) ? -EAGAIN : 0;

	if (r == 0)
		r = prepare(&n, exe, name, arguments, environment);
	if (r == 0)
		r = be_alone(t);
	if (r == 0) {
		r = own_parts(t);
		/* Its other threads have ended: it cannot go on as it was. */
		if (r < 0)
			process_kill(t->process, SIGKILL);
		else
			change_over(t, &n);
	}
	next_fini(&n);
	return r;
}
