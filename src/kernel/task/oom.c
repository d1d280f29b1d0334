/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/oom.h"

#include <linux/signal.h>

#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/task/task.h"

/* How long one that ends is waited for before another one has to. */
#define PATIENCE NSEC_PER_SEC

/* Its leader may have ended before the others. */
static const struct space *space_of(const struct process *p)
{
	list_each(l, (struct list *) (uintptr_t) &p->threads)
	{
		const struct task *t = task_of_list(l);

		if (t->space)
			return t->space;
	}
	return NULL;
}

int oom_badness(const struct process *p)
{
	const struct space *s = space_of(p);
	uint64_t whole = max_of(frame_budget(), (uint64_t) 1);
	uint64_t part = s ? min_of(s->resident, whole) * 1000 / whole : 0;

	return p->oom_score_adj <= -1000 ? OOM_NEVER : (int) part + p->oom_score_adj;
}

/* ending: one that is on its way already, or else the worst; NULL: none. */
static struct process *choose(bool ending)
{
	struct process *worst = NULL;
	int most = OOM_NEVER;
	struct pid_space *numbers = NULL;
	uint64_t nr = 1;
	struct pid *id;

	for (; (id = pid_next_anywhere(&numbers, &nr)); nr++) {
		struct process *p = id->process;

		if (!p || p->zombie || p->exiting != ending || !space_of(p))
			continue;
		if (ending)
			return p;
		/* Of equals the one that began last: it has the least to lose. */
		if (oom_badness(p) > most || (worst && oom_badness(p) == most)) {
			worst = p;
			most = oom_badness(p);
		}
	}
	return worst;
}

static void end(const struct space *s)
{
	struct pid_space *numbers = NULL;
	uint64_t nr = 1;
	struct pid *id;

	for (; (id = pid_next_anywhere(&numbers, &nr)); nr++) {
		if (id->process && !id->process->zombie && space_of(id->process) == s)
			process_kill(id->process, SIGKILL);
	}
}

void oom_kill(struct task *t)
{
	struct process *p = choose(true);
	struct pid *id;
	int r = 0;

	if (!p || p == t->process) {
		p = choose(false);
		if (!p)
			p = t->process;
		end(space_of(p));
	}
	if (t->dying)
		return;
	id = p->id;
	pid_ref(id);
	r = waitq_wait(&id->ended, !id->process || id->process->zombie,
		       plat_now(PLAT_MONOTONIC) + PATIENCE, fiber_interrupted());
	pid_unref(id);
	/* It does not come to its end: the next one has to, or, without another, t itself. */
	p = r == -ETIMEDOUT ? choose(false) : NULL;
	if (r == -ETIMEDOUT)
		end(space_of(p ? p : t->process));
}
