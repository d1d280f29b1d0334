/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/task.h"

#include "kernel/core/heap.h"
#include "kernel/ipc/sem.h"
#include "kernel/mm/space.h"
#include "kernel/task/cred.h"
#include "kernel/task/known.h"
#include "kernel/task/limit.h"
#include "kernel/task/seccomp.h"
#include "kernel/vfs/file.h"

static struct heap_cache tasks = HEAP_CACHE_INIT(struct task);
static struct heap_cache processes = HEAP_CACHE_INIT(struct process);
static struct heap_cache contexts = HEAP_CACHE_INIT(struct fs_context);
static struct heap_cache images = HEAP_CACHE_INIT(struct task_image);

struct task *this_task(void)
{
	struct fiber *f = fiber_now();

	return f ? f->owner : NULL;
}

void task_attach(struct task *t)
{
	t->fiber = fiber_now();
	t->fiber->owner = t;
	t->state = TASK_LIVE;
}

/* ---- shared parts ---- */

struct fs_context *fs_context_new(const struct path *root, const struct path *cwd, uint32_t umask)
{
	struct fs_context *f = heap_cache_alloc(&contexts);

	if (!f)
		return NULL;
	*f = (struct fs_context){ .owners = 1, .root = *root, .cwd = *cwd, .umask = umask };
	path_ref(&f->root);
	path_ref(&f->cwd);
	return f;
}

struct fs_context *fs_context_copy(const struct fs_context *from)
{
	return fs_context_new(&from->root, &from->cwd, from->umask);
}

void fs_context_unref(struct fs_context *f)
{
	if (!f || --f->owners > 0)
		return;
	path_unref(&f->root);
	path_unref(&f->cwd);
	heap_cache_free(&contexts, f);
}

struct task_image *task_image_new(void)
{
	struct task_image *i = heap_cache_alloc(&images);

	if (i) {
		i->owners = 1;
		i->dumpable = 1;
	}
	return i;
}

struct task_image *task_image_copy(const struct task_image *from)
{
	struct task_image *i = task_image_new();

	if (!i)
		return NULL;
	task_image_set(i, &from->program);
	if (i->program.exe.dentry)
		path_ref(&i->program.exe);
	i->dumpable = from->dumpable;
	return i;
}

void task_image_set(struct task_image *i, const struct program *p)
{
	i->program = *p;
	if (p->exe.dentry)
		p->exe.dentry->inode->executed++;
}

void task_image_unref(struct task_image *i)
{
	if (!i || --i->owners > 0)
		return;
	if (i->program.exe.dentry)
		i->program.exe.dentry->inode->executed--;
	path_unref(&i->program.exe);
	heap_cache_free(&images, i);
}

/* ---- tasks ---- */

int task_new_at(struct process *p, uint32_t nr, struct task **ret)
{
	struct task *t = heap_cache_alloc(&tasks);
	int r = !t ? -ENOMEM : nr ? pid_new_at(nr, &t->pid) : pid_new_in(p->numbers, &t->pid);

	if (r < 0) {
		heap_cache_free(&tasks, t);
		return r;
	}
	pid_space_room(t->pid->space)->count++;
	t->tid = t->pid->nr;
	t->pid->task = t;
	t->process = p;
	t->started = plat_now(PLAT_MONOTONIC);
	if (!p->leader) {
		p->leader = t;
		p->pid = t->tid;
		p->id = t->pid;
		pid_ref(p->id);
		p->id->process = p;
		p->started = t->started;
	}
	list_push(&p->threads, &t->in_process);
	p->thread_count++;
	*ret = t;
	return 0;
}

int task_new(struct process *p, struct task **ret)
{
	return task_new_at(p, 0, ret);
}

void task_release_parts(struct task *t)
{
	plat_user_free(t->user);
	t->user = NULL;
	space_unref(t->space);
	t->space = NULL;
	task_image_unref(t->image);
	t->image = NULL;
	sem_undos_leave(t);
	descriptors_unref(t->files);
	t->files = NULL;
	fs_context_unref(t->fs);
	t->fs = NULL;
}

void task_free(struct task *t)
{
	if (!list_empty(&t->in_process)) {
		list_remove(&t->in_process);
		t->process->thread_count--;
	}
	if (t->process->leader == t)
		t->process->leader = NULL;
	task_release_parts(t);
	cred_unref(t->cred);
	seccomp_filter_unref(t->filters);
	t->pid->task = NULL;
	pid_space_room(t->pid->space)->count--;
	pid_unref(t->pid);
	heap_cache_free(&tasks, t);
}

uint64_t tasks_count(void)
{
	return pid_space_room(pid_space_here())->count;
}

int process_new(struct process **ret)
{
	struct process *p = heap_cache_alloc(&processes);

	if (!p)
		return -ENOMEM;
	list_init(&p->threads);
	list_init(&p->children);
	list_init(&p->in_parent);
	list_init(&p->in_group);
	waitq_init(&p->threads_ended);
	waitq_init(&p->child_changed);
	*ret = p;
	return 0;
}

void process_free(struct process *p)
{
	if (p->group && p->group->session->leader == p)
		p->group->session->leader = NULL;
	group_leave(p);
	list_remove(&p->in_parent);
	if (p->leader)
		task_free(p->leader);
	if (p->id) {
		p->id->process = NULL;
		pid_unref(p->id);
	}
	heap_cache_free(&processes, p);
}

/* The limits of a Linux kernel's first process, but for those that its memory decides. */
static void first_limits(struct process *p)
{
	for (size_t n = 0; n < RLIM_NLIMITS; n++)
		p->limits[n] = (struct task_limit){ TASK_UNLIMITED, TASK_UNLIMITED };
	p->limits[RLIMIT_STACK].soft = 8 << 20;
	p->limits[RLIMIT_CORE].soft = 0;
	p->limits[RLIMIT_NOFILE] = (struct task_limit){ 1024, 1 << 20 };
	p->limits[RLIMIT_MEMLOCK] = (struct task_limit){ 8 << 20, 8 << 20 };
	p->limits[RLIMIT_NPROC] = (struct task_limit){ PID_MOST, PID_MOST };
	p->limits[RLIMIT_SIGPENDING] = (struct task_limit){ PID_MOST, PID_MOST };
	p->limits[RLIMIT_MSGQUEUE] = (struct task_limit){ 819200, 819200 };
	p->limits[RLIMIT_NICE] = (struct task_limit){ 0, 0 };
	p->limits[RLIMIT_RTPRIO] = (struct task_limit){ 0, 0 };
}

int task_new_first(const struct task_first *q, struct task **ret)
{
	struct process *p;
	struct task *t = NULL;
	int r = process_new(&p);

	if (r < 0)
		return r;
	p->numbers = q->numbers;
	p->container = q->container;
	r = task_new(p, &t);
	if (r == 0)
		t->fs = fs_context_new(q->root, q->root, 022);
	if (r == 0)
		r = t->fs ? group_enter_new(p, true) : -ENOMEM;
	if (r < 0) {
		process_free(p);
		return r;
	}
	t->cred = cred_ref(q->cred);
	t->files = q->files;
	descriptors_ref(t->files);
	task_set_comm(t, q->comm);
	t->timer_slack = t->slack_at_birth = 50000;
	t->affinity = plat_cpus() >= 64 ? UINT64_MAX : ((uint64_t) 1 << plat_cpus()) - 1;
	first_limits(p);
	*ret = t;
	return 0;
}

void task_set_cred(struct task *t, const struct cred *c)
{
	const struct cred *old = t->cred;

	/* Who was somebody else may know what the new one must not: no core, no look from outside,
	 * and no signal that the old one asked for. */
	if (old && (old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
		    old->fsgid != c->fsgid || c->permitted & ~old->permitted)) {
		if (t->image)
			t->image->dumpable = 0;
		t->pdeath_signal = 0;
	}
	t->cred = c;
	known_forget(t);
	cred_unref(old);
	/* CAP_IPC_LOCK has come or gone. */
	if (t->space)
		limits_of_space(t, &t->space->limits);
}

void task_set_comm(struct task *t, const char *comm)
{
	size_t n = min_of(strlen(comm), sizeof(t->comm) - 1);

	memset(t->comm, 0, sizeof(t->comm));
	memcpy(t->comm, comm, n);
}

struct walk task_walk(const struct task *t)
{
	return (struct walk){ .root = &t->fs->root, .start = &t->fs->cwd, .who = t->cred };
}

/* ---- to be interrupted ---- */

void task_interrupt(struct task *t)
{
	if (!t->fiber)
		return;
	fiber_interrupt(t->fiber);
	if (t->in_user)
		plat_user_kick(t->user);
}

int task_killed(void)
{
	struct task *t = this_task();

	return t && t->dying ? -ERESTARTSYS : 0;
}

void process_kill(struct process *p, int status)
{
	if (p->exiting || p->zombie)
		return;
	p->exiting = true;
	p->exit_status = status;
	list_each(l, &p->threads)
	{
		struct task *t = task_of_list(l);

		t->dying = true;
		task_interrupt(t);
	}
}
