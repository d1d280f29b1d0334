/* SPDX-License-Identifier: Apache-2.0 */
/* How tasks begin and end: fork and its kin, execve, exit. */
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/clone.h"
#include "kernel/task/exec.h"
#include "kernel/task/exit.h"
#include "kernel/task/signal_queue.h"

/* ---- clone ---- */

sysret_t sys_fork(struct task *t, const uint64_t *a)
{
	(void) a;
	return task_clone(t, &(struct clone_request){ .exit_signal = SIGCHLD });
}

sysret_t sys_vfork(struct task *t, const uint64_t *a)
{
	(void) a;
	return task_clone(t, &(struct clone_request){ .flags = CLONE_VM | CLONE_VFORK,
						      .exit_signal = SIGCHLD });
}

sysret_t sys_clone(struct task *t, const uint64_t *a)
{
	struct clone_request q = { .flags = (uint32_t) a[0] & ~(uint32_t) CSIGNAL,
				   .exit_signal = (int) (a[0] & CSIGNAL),
				   .stack = a[1],
				   .parent_tid = uva(a[2]),
				   .pidfd = uva(a[2]),
				   .child_tid = uva(a[3]),
				   .tls = a[4] };

	/* One address for both. */
	if (q.flags & CLONE_PIDFD && q.flags & CLONE_PARENT_SETTID)
		return -EINVAL;
	return task_clone(t, &q);
}

sysret_t sys_clone3(struct task *t, const uint64_t *a)
{
	struct clone_args c = {};
	struct clone_request q;
	int r = a[1] > PAGE_SIZE
			? -E2BIG
			: struct_in(t, &c, sizeof(c), uva(a[0]), a[1], CLONE_ARGS_SIZE_VER0);

	if (r < 0)
		return r;
	/* CLONE_NEWTIME is among the bits of the signal. */
	if (c.flags & (CLONE_DETACHED | (CSIGNAL & ~(uint64_t) CLONE_NEWTIME)) || c.flags >> 34 ||
	    c.exit_signal > SIGNALS || (c.stack == 0) != (c.stack_size == 0) ||
	    (c.set_tid == 0) != (c.set_tid_size == 0) || c.set_tid_size > 32 ||
	    (c.exit_signal && c.flags & (CLONE_THREAD | CLONE_PARENT)))
		return -EINVAL;
	if (c.set_tid)
		return -EPERM;
	/* No descriptor is of a cgroup. */
	if (c.flags & CLONE_INTO_CGROUP)
		return -EBADF;
	q = (struct clone_request){ .flags = c.flags,
				    .exit_signal = (int) c.exit_signal,
				    .pidfd = uva(c.pidfd),
				    .child_tid = uva(c.child_tid),
				    .parent_tid = uva(c.parent_tid),
				    .stack = c.stack ? c.stack + c.stack_size : 0,
				    .tls = c.tls };
	return task_clone(t, &q);
}

/* ---- execve ---- */

#define WORD_LONGEST ((size_t) 128 << 10)   /* MAX_ARG_STRLEN */
#define WORDS_LEAST  ((uint64_t) 128 << 10) /* ARG_MAX */
#define WORDS_MOST   ((uint64_t) 6 << 20)   /* three quarters of the usual stack */

/* Too large for a stack. */
struct execve {
	struct words arguments, environment;
	size_t room;  /* bytes that are left for texts and pointers to them */
	char *longer; /* of WORD_LONGEST, from the first one that needs it on */
	char name[PATH_ROOM], text[PATH_ROOM];
};

/* One text of the guest's, at its place or at e->longer. */
static int64_t word_in(struct task *t, struct execve *e, uva_t from, const char **ret)
{
	int64_t n = copy_text(t->space, e->text, from, sizeof(e->text));

	*ret = e->text;
	if (n != -ENAMETOOLONG)
		return n;
	if (!e->longer)
		e->longer = heap_alloc(WORD_LONGEST);
	if (!e->longer)
		return -ENOMEM;
	*ret = e->longer;
	n = copy_text(t->space, e->longer, from, WORD_LONGEST);
	return n == -ENAMETOOLONG ? -E2BIG : n;
}

/* What the guest's array of texts at `from` says, up to its NULL; 0: none. */
static int words_in(struct task *t, struct execve *e, uva_t from, struct words *w)
{
	for (uint64_t at; from.v; from.v += sizeof(at)) {
		const char *text;
		int64_t n;
		int r = copy_in(t->space, &at, from, sizeof(at));

		if (r < 0 || !at)
			return r;
		n = word_in(t, e, uva(at), &text);
		if (n < 0)
			return (int) n;
		if ((size_t) n + 1 + sizeof(at) > e->room)
			return -E2BIG;
		r = words_add(w, text, (size_t) n);
		if (r < 0)
			return r;
		e->room -= (size_t) n + 1 + sizeof(at);
	}
	return 0;
}

/* "/dev/fd/3", "/dev/fd/3/sh": by what a script's interpreter finds it. -ENAMETOOLONG. */
static int name_below(uint64_t fd, const char *below, char name[static PATH_ROOM])
{
	static const char start[] = "/dev/fd/";
	char digits[12];
	size_t n = sizeof(start) - 1, d = 0, len = strlen(below);

	memcpy(name, start, n);
	do {
		digits[d++] = (char) ('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (d > 0)
		name[n++] = digits[--d];
	if (n + 1 + len + 1 > PATH_ROOM)
		return -ENAMETOOLONG;
	if (len > 0)
		name[n++] = '/';
	memcpy(name + n, below, len + 1);
	return 0;
}

/* What is executed, and how it is called. */
static int name_in(struct task *t, struct execve *e, uint64_t dirfd, uva_t from, unsigned int flags,
		   struct target *g)
{
	int64_t n;
	int r = target_find(g, t, dirfd, from, flags, true);

	if (r < 0)
		return r;
	if (flags & AT_SYMLINK_NOFOLLOW && inode_is(g->inode, S_IFLNK))
		return -ELOOP;
	if (!g->path.mount)
		return -EACCES;
	n = copy_text(t->space, e->text, from, sizeof(e->text));
	if (n < 0)
		return (int) n;
	if (e->text[0] == '/' || (int) dirfd == AT_FDCWD)
		memcpy(e->name, e->text, (size_t) n + 1);
	else
		r = name_below((uint32_t) dirfd, e->text, e->name);
	return r == 0 ? program_may(&g->path, t->cred) : r;
}

static sysret_t execve(struct task *t, uint64_t dirfd, const uint64_t *a, unsigned int flags)
{
	auto_target struct target g = {};
	struct execve *e = heap_alloc(sizeof(*e));
	uint64_t stack = process_limit(t->process, RLIMIT_STACK) / 4;
	sysret_t r;

	if (!e)
		return -ENOMEM;
	stack = max_of(stack, WORDS_LEAST);
	e->room = (size_t) min_of(stack, WORDS_MOST);
	words_init(&e->arguments, e->room);
	words_init(&e->environment, e->room);
	r = name_in(t, e, dirfd, uva(a[0]), flags, &g);
	if (r == 0)
		r = words_in(t, e, uva(a[1]), &e->arguments);
	/* Programs look at their name without looking at argc: Linux 5.18. */
	if (r == 0 && e->arguments.count == 0)
		r = words_add(&e->arguments, "", 0);
	if (r == 0)
		r = words_in(t, e, uva(a[2]), &e->environment);
	if (r == 0)
		r = task_exec(t, &g.path, e->name, &e->arguments, &e->environment);
	words_fini(&e->arguments);
	words_fini(&e->environment);
	heap_free(e->longer);
	heap_free(e);
	return r;
}

sysret_t sys_execve(struct task *t, const uint64_t *a)
{
	return execve(t, (uint64_t) AT_FDCWD, a, 0);
}

sysret_t sys_execveat(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[4];

	if (flags & ~(unsigned int) (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	return execve(t, a[0], a + 1, flags);
}

/* ---- exit ---- */

sysret_t sys_exit(struct task *t, const uint64_t *a)
{
	task_exit(t, (int) (a[0] & 0xff) << 8);
}

sysret_t sys_exit_group(struct task *t, const uint64_t *a)
{
	task_exit_group(t, (int) (a[0] & 0xff) << 8);
}
