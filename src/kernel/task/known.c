/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/known.h"

#include <asm/unistd_64.h>

#include "kernel/task/seccomp.h"
#include "kernel/task/trace.h"

#define BIT(nr) ((uint64_t) 1 << (nr) % 64)

const uint64_t known_calls[KNOWN_CALLS / 64] = {
	BIT(__NR_getpid),
	BIT(__NR_getuid) | BIT(__NR_getgid) | BIT(__NR_geteuid) | BIT(__NR_getegid) |
		BIT(__NR_getppid) | BIT(__NR_getpgrp),
	BIT(__NR_gettid),
};
_Static_assert(__NR_getpid < 64 && __NR_getuid >= 64 && __NR_getpgrp < 128 && __NR_gettid >= 128 &&
		       __NR_gettid < KNOWN_CALLS,
	       "the words they are in");

/* Nobody else is asked, or told of it. */
static bool may_pass(const struct task *t)
{
	unsigned int nr = t->call.nr;

	if (trace_watched() || t->strict)
		return false;
	return !t->filters || (t->filters->allowed[nr / 64] >> nr % 64 & 1);
}

void known_note(struct task *t)
{
	if (t->user && t->call.result >= 0 && t->call.result <= UINT32_MAX && may_pass(t))
		plat_user_know(t->user, t->call.nr, (uint32_t) t->call.result);
}

void known_name(struct task *t, const struct told *w, sysret_t result)
{
	bool stays;

	/* Others, as EIO, say nothing of the name. */
	if (!t->user || w->len == 0 || (result < 0 && result != -EINVAL && result != -ENOENT))
		return;
	stays = result < 0 && may_pass(t) && told_may(w);
	plat_user_name(t->user, w->text, w->len, stays ? (int) result : 0);
}

void known_forget(struct task *t)
{
	if (t->user)
		plat_user_forget(t->user);
}

void known_forget_process(struct process *p)
{
	list_each(l, &p->threads)
	{
		known_forget(task_of_list(l));
	}
}

void known_forget_all(void)
{
	struct pid_space *s = NULL;
	uint64_t nr = 1;

	for (struct pid *p; (p = pid_next_anywhere(&s, &nr)); nr++) {
		if (p->task)
			known_forget(p->task);
	}
}
