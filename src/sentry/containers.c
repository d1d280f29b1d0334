/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/containers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/auto.h"
#include "base/num.h"
#include "kernel/core/heap.h"
#include "kernel/fs/fuse.h"
#include "kernel/platform/platform.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/serve.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "proto/sentry.h"
#include "sentry/config.h"
#include "sentry/containers.h"
#include "sentry/gofer.h"
#include "sentry/place.h"
#include "sentry/process.h"
#include "sentry/sandbox.h"
#include "sentry/seccomp.h"
#include "sentry/terminal.h"

#define CONTAINERS_MOST 256
#define ARENA_MAX	((size_t) 16 << 20)
#define LOOK_EVERY	(2 * NSEC_PER_MSEC)
#define END_WITHIN	(30 * NSEC_PER_SEC)

static struct heap_cache cache = HEAP_CACHE_INIT(struct container);

struct container *container_find(struct sandbox *s, uint64_t nr)
{
	list_each(l, &s->containers)
	{
		struct container *c = list_entry(l, struct container, link);

		if (c->nr == nr)
			return c;
	}
	return NULL;
}

/* ---- what it is made of ---- */

static void container_free(struct container *c)
{
	if (!list_empty(&c->link))
		list_remove(&c->link);
	if (c->space) {
		path_unref(&c->root);
		mount_space_unref(c->space);
	}
	if (c->gofer)
		gofer_end(c->gofer);
	seccomp_filter_unref(c->filter);
	pid_space_unref(c->numbers);
	arena_fini(&c->arena);
	heap_cache_free(&cache, c);
}

/* "MOUNT=SHARE", one a line. */
static int read_binds(struct container *c, const char *text, struct bind_option **ret,
		      size_t *ret_n, struct err *e)
{
	struct str rest = str_of(text);
	struct bind_option *v = arena_array(&c->arena, c->spec->mounts_n + 1, sizeof(*v));
	size_t n = 0;

	while (v && rest.n) {
		struct str share, number = str_cut(str_cut(rest, '\n', &rest), '=', &share);

		if (n == c->spec->mounts_n || !share.n ||
		    num_parse_u32(number, 0, UINT32_MAX, &v[n].mount) < 0)
			return err_set(e, ERR_INVALID, EINVAL, "these are no names of binds");
		v[n].share = arena_printf(&c->arena, "%.*s", (int) share.n, share.p);
		if (!v[n++].share)
			v = NULL;
	}
	*ret = v;
	*ret_n = n;
	return v ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for a container");
}

static int make_tree(struct sandbox *s, struct container *c, const struct sentry_request *q,
		     struct err *e)
{
	struct root_files files = { .share = "root", .gofer = c->conn };
	const struct walk w = { .root = &s->root, .start = &s->root, .who = &place_root };
	struct bind_option *binds = NULL;
	struct path shm = {};
	int r = read_binds(c, q->binds, &binds, &files.binds_n, e);

	if (r < 0)
		return r;
	files.binds = binds;
	if (walk(&w, "/dev/shm", WALK_FOLLOW | WALK_DIRECTORY, &shm) == 0)
		files.shm = &shm;
	r = root_make(c->spec, &files, &c->space, &c->root, e);
	path_unref(&shm);
	return r;
}

static int choose_numbers(struct sandbox *s, struct container *c, uint64_t pids_of, struct err *e)
{
	const struct spec_resources *r = c->spec->linux_.resources;
	struct container *of;

	if (pids_of == SENTRY_FIRST_CONTAINER)
		return 0;
	if (pids_of) {
		of = container_find(s, pids_of);
		if (!of || of->first->ended)
			return err_set(e, ERR_CONFLICT, ESRCH,
				       "the container whose processes it would see has ended");
		c->numbers = pid_space_ref(of->numbers);
		return 0;
	}
	c->numbers = pid_space_new();
	if (!c->numbers)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for a container");
	if (r && r->pids && r->pids->limit_set && r->pids->limit >= 0)
		limit_tasks_in(c->numbers, max_of((uint64_t) r->pids->limit, (uint64_t) 1));
	return 0;
}

static int make_filter(struct container *c, struct str program, struct err *e)
{
	struct buf bytes = BUF_INIT(SENTRY_MESSAGE_MAX);
	int r;

	buf_add(&bytes, program.p, program.n);
	r = buf_ok(&bytes) ? seccomp_fits(c->spec, &bytes, e)
			   : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for a filter");
	if (r == 0)
		r = seccomp_chain(&bytes, &c->filter, e);
	buf_fini(&bytes);
	return r;
}

static int check_request(struct sandbox *s, const struct sentry_request *q, struct err *e)
{
	size_t n = 0;

	list_each(l, &s->containers)
	{
		n++;
	}
	if (n == CONTAINERS_MOST)
		return err_set(e, ERR_EXHAUSTED, EAGAIN, "there are too many containers");
	if (s->first->ended)
		return err_set(e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	if (q->gofer < 0 || q->in < 0)
		return err_set(e, ERR_INVALID, EINVAL, "a gofer and descriptors are needed");
	/* No call here may be one that waits for it. */
	if ((fcntl(q->gofer, F_GETFL) & O_NONBLOCK) == 0)
		return err_set(e, ERR_INVALID, EINVAL, "the gofer's socket has to be non-blocking");
	return 0;
}

static int make_process(struct sandbox *s, struct container *c, struct sentry_request *q,
			struct err *e)
{
	const struct spec_process *p = c->spec->process;
	int stdio[3] = { take_fd(&q->in), take_fd(&q->out), take_fd(&q->err) };
	int r = 0;

	if (!p->terminal && (stdio[1] < 0 || stdio[2] < 0))
		r = err_set(e, ERR_INVALID, EINVAL, "three descriptors are needed");
	if (r == 0)
		r = sandbox_first_of(s, c, stdio, &c->task, &c->first, e);
	for (size_t n = 0; n < 3; n++)
		close_fd(&stdio[n]);
	return r;
}

int container_add(struct sandbox *s, struct sentry_request *q, struct container **ret,
		  struct err *e)
{
	struct container *c;
	int r = check_request(s, q, e);

	if (r < 0)
		return r;
	c = heap_cache_alloc(&cache);
	if (!c)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for a container");
	*c = (struct container){ .arena = ARENA_INIT(ARENA_MAX), .nr = ++s->last_container };
	list_init(&c->link);
	r = config_text(q->spec, &c->arena, &c->spec, e);
	if (r == 0)
		r = gofer_begin(take_fd(&q->gofer), &c->conn, &c->gofer, e);
	if (r == 0)
		r = make_tree(s, c, q, e);
	if (r == 0)
		r = choose_numbers(s, c, q->pids_of, e);
	if (r == 0)
		r = make_filter(c, q->filter, e);
	if (r == 0)
		r = make_process(s, c, q, e);
	if (r < 0) {
		container_free(c);
		return r;
	}
	list_push(&s->containers, &c->link);
	*ret = c;
	return 0;
}

int container_start(struct sandbox *s, struct container *c, struct err *e)
{
	int r;

	if (!c->task || c->removing)
		return err_set(e, ERR_CONFLICT, EBUSY, "it runs already");
	r = task_start(c->task);
	if (r < 0)
		return err_sys(e, -r, "start the first process");
	c->task = NULL;
	(void) waitq_wake(&s->changed, 0, 0);
	return 0;
}

/* ---- its end ---- */

/* SIGKILL to all that has come from a container, or with 0 from any. */
static void kill_all(uint64_t nr)
{
	struct pid_space *space = NULL;
	struct pid *p;

	for (uint64_t i = 1; (p = pid_next_anywhere(&space, &i)); i++)
		if (p->process && !p->process->zombie && p->process->container &&
		    (nr == 0 || p->process->container == nr))
			process_kill(p->process, SIGKILL);
}

/* Zombies are others' to wait for. */
static bool runs(uint64_t nr)
{
	struct pid_space *space = NULL;
	struct pid *p;

	for (uint64_t i = 1; (p = pid_next_anywhere(&space, &i)); i++)
		if (p->process && !p->process->zombie && p->process->container == nr)
			return true;
	return false;
}

/* Nothing of it runs, and who removes it is the only one that is at it. */
static bool quiet(const struct container *c)
{
	return !runs(c->nr) && c->first->ended && c->users == 1;
}

void container_give_up(struct sandbox *s, struct container *c)
{
	struct task *t = TAKE(c->task);

	c->first->ended = true;
	c->first->status = 128 + SIGKILL;
	if (c->first->terminal)
		terminal_ended(c->first->terminal);
	process_undo(t);
	(void) waitq_wake(&s->changed, 0, 0);
}

int container_remove(struct sandbox *s, struct container *c, struct err *e)
{
	nsec_t deadline = plat_now(PLAT_MONOTONIC) + END_WITHIN;

	if (c->removing)
		return err_set(e, ERR_CONFLICT, EBUSY, "it is being removed");
	c->removing = true;
	if (c->task)
		container_give_up(s, c);
	(void) waitq_wake(&s->changed, 0, 0);
	while (!quiet(c)) {
		nsec_t now = plat_now(PLAT_MONOTONIC);

		if (now >= deadline) {
			c->removing = false;
			return err_set(e, ERR_TIMEOUT, EBUSY, "its processes do not end");
		}
		kill_all(c->nr);
		(void) waitq_wait(&s->changed, quiet(c), now + LOOK_EVERY, 0); /* or not yet */
	}
	/* Who waits is told first. */
	(void) waitq_wait(&s->changed, !sandbox_awaited(s, c), deadline, 0); /* or not */
	(void) fuse_sync(); /* who could be told has ended */
	sandbox_forget_all(s, c);
	container_free(c);
	return 0;
}

void containers_end(struct sandbox *s)
{
	list_each(l, &s->containers)
	{
		struct container *c = list_entry(l, struct container, link);

		if (c->task)
			container_give_up(s, c);
	}
	kill_all(0);
}
