/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/sandbox.h"
#include "kernel/vfs/file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/host/host.h"
#include "kernel/state/state.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/serve.h"
#include "kernel/task/task.h"
#include "kernel/task/uts.h"
#include "kernel/task/wait.h"
#include "proto/sentry.h"
#include "sentry/containers.h"
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
#define LAST_TRACE (NSEC_PER_SEC / 2)

static struct heap_cache jobs = HEAP_CACHE_INIT(struct job);

static void set_heap_budget(uint64_t memory)
{
	uint64_t heap = max_of(memory / HEAP_SHARE, HEAP_LEAST);

	heap_budget((size_t) min_of(heap, HEAP_MOST));
}

/* It is as large as the host's: what is not used takes nothing, and the limit may grow. */
int sandbox_begin(uint64_t memory, bool gates, struct err *e)
{
	uint64_t whole = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);
	uint64_t bytes = memory ? memory : whole;
	int r;

	if (bytes < MEMORY_LEAST)
		return err_set(e, ERR_INVALID, EINVAL,
			       "config.json: linux.resources.memory.limit: a sandbox needs at "
			       "least %llu bytes",
			       (unsigned long long) MEMORY_LEAST);
	r = host_begin(max_of(bytes, whole) / PAGE_SIZE, gates, e);
	if (r < 0)
		return r;
	set_heap_budget(bytes);
	r = frame_init(bytes / PAGE_SIZE);
	return r < 0 ? err_sys(e, -r, "make the guest's memory") : 0;
}

int sandbox_memory(uint64_t bytes)
{
	uint64_t whole = plat_ram_frames();
	uint64_t frames = bytes == UINT64_MAX ? whole : bytes / PAGE_SIZE;

	if (frames > whole || bytes < MEMORY_LEAST)
		return -ERANGE;
	if (frames < frame_used())
		return -EBUSY;
	frame_set_budget(frames);
	set_heap_budget(frames * PAGE_SIZE);
	return 0;
}

/* ---- processes ---- */

static int status_of(int how)
{
	int sig = how & 0x7f;

	return sig ? 128 + sig : how >> 8 & 0xff;
}

void sandbox_process_ended(struct process *p, int how, void *arg)
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

		if (!sandbox_stays(s, j) && sandbox_ended(j) && j->waiting == 0) {
			sandbox_forget(j);
			return true;
		}
	}
	return false;
}

static void job_begin(struct sandbox *s, struct job *j, struct process *p)
{
	j->pid = p->id;
	pid_ref(j->pid);
	j->nr = ++s->last_nr;
	list_push(&s->jobs, &j->link);
}

static struct process_wish wish_of(struct sandbox *s, struct container *c,
				   const struct spec_process *p, const int stdio[3])
{
	bool first = c ? !c->first : !s->first;

	return (struct process_wish){ .spec = p,
				      .root = c ? &c->root : &s->root,
				      .filter = c ? c->filter : s->filter,
				      .numbers = c ? c->numbers : NULL,
				      .container = c ? (uint32_t) c->nr : 0,
				      .personality = (c ? c->spec : s->spec)->linux_.personality,
				      .make_cwd = first,
				      .stdio = { stdio[0], stdio[1], stdio[2] },
				      .console = first,
				      .resized = first && !c ? s->resized : FD_NONE,
				      .told = &s->changed,
				      .ended = sandbox_process_ended,
				      .arg = s };
}

static int add_job(struct sandbox *s, struct container *c, const struct spec_process *p,
		   int stdio[3], struct task **ret_task, struct job **ret, struct err *e)
{
	struct process_wish w = wish_of(s, c, p, stdio);
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
	job_begin(s, j, (*ret_task)->process);
	j->of = c;
	j->terminal = w.terminal;
	*ret = j;
	return 0;
}

/* As the first process had it: the mounts are those of then, only with it. */
static int make_console(struct sandbox *s, struct terminal **ret, struct file **ret_slave)
{
	struct process_wish w = wish_of(s, NULL, s->spec->process, s->stdio);
	int r = s->spec->process->terminal ? process_terminal(&w, ret_slave, s->e) : 0;

	memcpy(s->stdio, w.stdio, sizeof(w.stdio));
	*ret = w.terminal;
	return r;
}

/* The first one and all others are those of a checkpoint. */
static int load_jobs(struct sandbox *s)
{
	struct job *j = heap_cache_alloc(&jobs);
	struct file *slave = NULL;
	int r = j ? make_console(s, &j->terminal, &slave)
		  : err_set(s->e, ERR_EXHAUSTED, ENOMEM, "no memory for the processes");

	if (r == 0) {
		checkpoint_begin(s);
		r = checkpoint_load(s, j->terminal ? terminal_tty(j->terminal) : NULL, s->e);
	}
	if (r == 0 && j->terminal)
		terminal_resumed(j->terminal);
	/* It may have been the last that is open, which hangs up. */
	if (slave)
		file_unref(slave);
	if (r < 0) {
		if (j)
			terminal_unref(j->terminal);
		heap_cache_free(&jobs, j);
		return r;
	}
	job_begin(s, j, process_init());
	s->first = j;
	return 0;
}

int sandbox_exec(struct sandbox *s, struct container *c, const struct spec_process *p, int stdio[3],
		 struct job **ret, struct err *e)
{
	struct task *t;
	struct job *j;
	int r = add_job(s, c, p, stdio, &t, &j, e);

	if (r < 0)
		return r;
	/* Its number 1 has ended meanwhile, and cannot take it along. */
	if (c && c->first->ended)
		process_kill(t->process, SIGKILL);
	r = task_start(t);
	if (r < 0) {
		sandbox_forget(j);
		process_undo(t);
		return err_sys(e, -r, "start a process");
	}
	*ret = j;
	return 0;
}

int sandbox_first_of(struct sandbox *s, struct container *c, int stdio[3], struct task **ret_task,
		     struct job **ret, struct err *e)
{
	return add_job(s, c, c->spec->process, stdio, ret_task, ret, e);
}

bool sandbox_stays(const struct sandbox *s, const struct job *j)
{
	return j == s->first || (j->of && j == j->of->first);
}

bool sandbox_awaited(struct sandbox *s, const struct container *c)
{
	list_each(l, &s->jobs)
	{
		const struct job *j = list_entry(l, struct job, link);

		if (j->of == c && j->waiting > 0)
			return true;
	}
	return false;
}

void sandbox_forget_all(struct sandbox *s, const struct container *c)
{
	list_each_safe(l, &s->jobs)
	{
		struct job *j = list_entry(l, struct job, link);

		if (j->of != c)
			continue;
		j->of = NULL;
		if (j->waiting == 0)
			sandbox_forget(j); /* else who is told does */
	}
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
		l.cpu_period_us = r->cpu->period_set ? r->cpu->period : SANDBOX_CPU_PERIOD;
	}
	sandbox_set_limits(&l);
	host_limit_cpus(l.cpu_quota_us, l.cpu_period_us);
	/* 0 is no number of tasks that could be: as little as can be is meant. */
	if (r && r->pids && r->pids->limit_set && r->pids->limit >= 0)
		limit_tasks(max_of((uint64_t) r->pids->limit, (uint64_t) 1));
}

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n);
static void image_release(struct erofs_source *s);
static void image_rests(struct ktimer *t);

/* For so long the pages of the image that were looked at stay mapped. */
#define IMAGE_MAPPED NSEC_PER_SEC

static struct image {
	struct erofs_source source;
	const unsigned char *bytes;
	struct ktimer mapped;
} image = { .source = { .read = image_read, .release = image_release },
	    .mapped = { .fire = image_rests } };

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n)
{
	struct image *i = container_of(s, struct image, source);

	memcpy(to, i->bytes + at, n);
	if (!ktimer_pending(&i->mapped))
		ktimer_set(&i->mapped, plat_now(PLAT_MONOTONIC) + IMAGE_MAPPED);
	return 0;
}

/*
 * What was read has been copied. The pages themselves are the host's cache, and stay there; it is
 * that they are mapped which makes them this process' memory.
 */
static void image_rests(struct ktimer *t)
{
	const struct image *i = container_of(t, struct image, mapped);

	(void) madvise((void *) (uintptr_t) i->bytes, (size_t) i->source.bytes, MADV_DONTNEED);
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
	r = s->gofer < 0 ? 0 : gofer_begin(s->gofer, &s->files.gofer, &s->files_of, s->e);
	if (r == 0)
		r = root_make(s->spec, &s->files, &s->space, &s->root, s->e);
	if (r == 0)
		r = seccomp_chain(&s->seccomp, &s->filter, s->e);
	if (r == 0)
		r = s->from.bytes
			    ? load_jobs(s)
			    : add_job(s, NULL, s->spec->process, s->stdio, ret, &s->first, s->e);
	if (r == 0 && !s->from.bytes)
		checkpoint_begin(s);
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
	if (r == 0 && (t ? task_start(t) : state_start()) < 0)
		r = err_set(s->e, ERR_EXHAUSTED, ENOMEM, "start the first process");
	if (r < 0) {
		s->failed = true;
	} else {
		(void) waitq_wait(&s->changed, sandbox_ended(s->first), NSEC_NEVER, 0);
		containers_end(s);
		deadline = plat_now(PLAT_MONOTONIC) + LAST_WORDS;
		(void) waitq_wait(&s->changed, settled(s), deadline, 0); /* or not */
		deadline = plat_now(PLAT_MONOTONIC) + LAST_TRACE;
		(void) waitq_wait(&s->changed, s->traces == 0, deadline, 0); /* the same */
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
	list_init(&s->containers);
	s->last_container = SENTRY_FIRST_CONTAINER;
	waitq_init(&s->changed);
	if (sched_spawn(life, s, &f) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the sandbox");
	host_run();
	return s->failed ? -1 : s->first->status;
}
