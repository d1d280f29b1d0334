/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/sandbox.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/host/host.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/serve.h"
#include "kernel/task/task.h"
#include "kernel/task/uts.h"
#include "kernel/task/wait.h"
#include "sentry/control.h"
#include "sentry/gofer.h"
#include "sentry/handed.h"
#include "sentry/process.h"
#include "sentry/root.h"
#include "sentry/seccomp.h"
#include "sentry/terminal.h"

#define MEMORY_LEAST ((uint64_t) 4 << 20)
/* The kernel's own memory: a share of the guest's, within bounds. */
#define HEAP_SHARE 4
#define HEAP_LEAST ((uint64_t) 32 << 20)
#define HEAP_MOST  ((uint64_t) 2 << 30)

#define JOBS_MOST 1024
/* How long answers about ends may take before the sandbox goes. */
#define LAST_WORDS (2 * NSEC_PER_SEC)

static struct heap_cache jobs = HEAP_CACHE_INIT(struct job);

int sandbox_begin(uint64_t memory, struct err *e)
{
	uint64_t bytes = memory, heap;
	int r;

	if (bytes == 0)
		bytes = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);
	if (bytes < MEMORY_LEAST)
		return err_set(e, ERR_INVALID, EINVAL,
			       "config.json: linux.resources.memory.limit: a sandbox needs at "
			       "least %llu bytes",
			       (unsigned long long) MEMORY_LEAST);
	heap = max_of(bytes / HEAP_SHARE, HEAP_LEAST);
	r = host_begin(bytes / PAGE_SIZE, e);
	if (r < 0)
		return r;
	heap_budget((size_t) min_of(heap, HEAP_MOST));
	r = frame_init(bytes / PAGE_SIZE);
	return r < 0 ? err_sys(e, -r, "make the guest's memory") : 0;
}

/* ---- processes ---- */

static int status_of(int how)
{
	int sig = how & 0x7f;

	return sig ? 128 + sig : how >> 8 & 0xff;
}

static void ended(struct process *p, int how, void *arg)
{
	struct sandbox *s = arg;
	struct task_usage u;

	process_usage(p, &u);
	usage_add(&u, &p->children_usage);
	s->cpu_gone += (uint64_t) (u.user + u.system);
	list_each(l, &s->jobs)
	{
		struct job *j = list_entry(l, struct job, link);

		if (j->pid != p->id)
			continue;
		j->ended = true;
		j->status = status_of(how);
		if (j->terminal)
			terminal_ended(j->terminal);
	}
	(void) waitq_wake(&s->changed, 0, 0);
}

bool sandbox_ended(const struct job *j)
{
	return j->ended && (!j->terminal || terminal_drained(j->terminal));
}

struct job *sandbox_job(struct sandbox *s, uint64_t nr)
{
	list_each(l, &s->jobs)
	{
		struct job *j = list_entry(l, struct job, link);

		if (j->nr == nr)
			return j;
	}
	return NULL;
}

void sandbox_forget(struct job *j)
{
	list_remove(&j->link);
	pid_unref(j->pid);
	terminal_unref(j->terminal);
	heap_cache_free(&jobs, j);
}

/* Room for one more: of those that ended and that nobody has asked for the oldest goes. */
static bool room_for_job(struct sandbox *s)
{
	size_t n = 0;

	list_each(l, &s->jobs)
	{
		n++;
	}
	if (n < JOBS_MOST)
		return true;
	list_each_safe(l, &s->jobs)
	{
		struct job *j = list_entry(l, struct job, link);

		if (j != s->first && sandbox_ended(j) && j->waiting == 0) {
			sandbox_forget(j);
			return true;
		}
	}
	return false;
}

static int add_job(struct sandbox *s, const struct spec_process *p, int stdio[3],
		   struct task **ret_task, struct job **ret, struct err *e)
{
	struct process_wish w = { .spec = p,
				  .root = &s->root,
				  .filter = s->filter,
				  .personality = s->spec->linux_.personality,
				  .make_cwd = !s->first,
				  .stdio = { stdio[0], stdio[1], stdio[2] },
				  .console = !s->first,
				  .resized = s->first ? FD_NONE : s->resized,
				  .told = &s->changed,
				  .ended = ended,
				  .arg = s };
	struct job *j = room_for_job(s) ? heap_cache_alloc(&jobs) : NULL;
	int r;

	if (!j)
		return err_set(e, ERR_EXHAUSTED, EAGAIN, "there are too many processes");
	r = process_make(&w, ret_task, e);
	memcpy(stdio, w.stdio, sizeof(w.stdio));
	if (r < 0) {
		heap_cache_free(&jobs, j);
		return r;
	}
	j->pid = (*ret_task)->process->id;
	pid_ref(j->pid);
	j->terminal = w.terminal;
	j->nr = ++s->last_nr;
	list_push(&s->jobs, &j->link);
	*ret = j;
	return 0;
}

int sandbox_exec(struct sandbox *s, const struct spec_process *p, int stdio[3], struct job **ret,
		 struct err *e)
{
	struct task *t;
	struct job *j;
	int r = add_job(s, p, stdio, &t, &j, e);

	if (r < 0)
		return r;
	r = task_start(t);
	if (r < 0) {
		sandbox_forget(j);
		process_undo(t);
		return err_sys(e, -r, "start a process");
	}
	*ret = j;
	return 0;
}

/* ---- its life ---- */

static void set_names(const struct spec *s)
{
	if (s->hostname)
		uts_set_hostname(s->hostname, strnlen(s->hostname, UTS_NAME));
	if (s->domainname)
		uts_set_domainname(s->domainname, strnlen(s->domainname, UTS_NAME));
}

static void set_told_limits(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;
	struct sandbox_limits l = {};

	if (r && r->memory)
		l.memory = r->memory->limit_set && r->memory->limit > 0;
	if (r && r->cpu && r->cpu->quota_set && r->cpu->quota > 0) {
		l.cpu_quota_us = (uint64_t) r->cpu->quota;
		l.cpu_period_us = r->cpu->period_set ? r->cpu->period : 100000;
	}
	sandbox_set_limits(&l);
	/* 0 is no number of tasks that could be: as little as can be is meant. */
	if (r && r->pids && r->pids->limit_set && r->pids->limit >= 0)
		limit_tasks(max_of((uint64_t) r->pids->limit, (uint64_t) 1));
}

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n);
static void image_release(struct erofs_source *s);

static struct image {
	struct erofs_source source;
	const unsigned char *bytes;
} image = { .source = { .read = image_read, .release = image_release } };

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n)
{
	memcpy(to, container_of(s, struct image, source)->bytes + at, n);
	return 0;
}

static void image_release(struct erofs_source *s)
{
	(void) s; /* mapped to the end */
}

static int make(struct sandbox *s, struct task **ret)
{
	int r;

	set_names(s->spec);
	set_told_limits(s->spec);
	image.bytes = s->image;
	image.source.bytes = s->image_bytes;
	if (s->image)
		s->files.image = &image.source;
	r = s->gofer < 0 ? 0 : gofer_begin(s->gofer, &s->files.gofer, s->e);
	if (r == 0)
		r = root_make(s->spec, &s->files, &s->space, &s->root, s->e);
	if (r == 0)
		r = seccomp_chain(&s->seccomp, &s->filter, s->e);
	if (r == 0)
		r = add_job(s, s->spec->process, s->stdio, ret, &s->first, s->e);
	if (r == 0)
		r = handed_begin(s, s->e);
	if (r == 0 && s->control >= 0)
		r = control_begin(s, s->e);
	return r;
}

/* Whether a connection is still to be told of an end, or a process still to end. */
static bool settled(struct sandbox *s)
{
	list_each(l, &s->jobs)
	{
		const struct job *j = list_entry(l, struct job, link);

		if (!sandbox_ended(j) || j->waiting > 0)
			return false;
	}
	return true;
}

static void life(void *arg)
{
	struct sandbox *s = arg;
	nsec_t deadline;
	struct task *t = NULL;
	int r = make(s, &t);

	if (r == 0 && s->control >= 0)
		(void) waitq_wait(&s->changed, s->started || s->abandoned, NSEC_NEVER,
				  0); /* cannot fail */
	if (r == 0 && s->abandoned)
		r = err_set(s->e, ERR_CONFLICT, ESRCH,
			    "the process that made the sandbox ended before it started it");
	if (r == 0 && task_start(t) < 0)
		r = err_set(s->e, ERR_EXHAUSTED, ENOMEM, "start the first process");
	if (r < 0) {
		s->failed = true;
	} else {
		(void) waitq_wait(&s->changed, sandbox_ended(s->first), NSEC_NEVER, 0);
		deadline = plat_now(PLAT_MONOTONIC) + LAST_WORDS;
		(void) waitq_wait(&s->changed, settled(s), deadline, 0); /* or not */
		(void) fuse_sync(); /* who could be told has ended */
	}
	host_stop();
	fiber_exit();
}

int sandbox_run(struct sandbox *s, struct err *e)
{
	struct fiber *f;

	s->e = e;
	list_init(&s->jobs);
	waitq_init(&s->changed);
	if (sched_spawn(life, s, &f) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the sandbox");
	host_run();
	return s->failed ? -1 : s->first->status;
}
