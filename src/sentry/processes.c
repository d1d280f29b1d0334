/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/processes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/core/heap.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/sysfs.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/task.h"
#include "kernel/task/wait.h"
#include "proto/sentry.h"
#include "sentry/containers.h"

/* A process takes less than this of a message, with all its texts. */
#define LIST_BYTES (SENTRY_COMMAND_MAX + 512)
#define LIST_MOST  (SENTRY_MESSAGE_MAX / LIST_BYTES - 1)

/* The next process of at least *nr, which becomes its pid. */
static struct process *next_process(const struct container *c, uint64_t *nr)
{
	struct pid *p;

	for (; (p = pid_next_in(c ? c->numbers : NULL, nr)); ++*nr)
		if (p->process && p->process->container == (c ? c->nr : 0))
			return p->process;
	return NULL;
}

static const char *kept(struct arena *arena, const char *text)
{
	const char *copy = arena_strdup(arena, text);

	return copy ? copy : "";
}

/* Words are divided by spaces, and what is no text is not shown. */
static const char *command_of(struct space *s, uva_t from, uint64_t n, struct arena *arena)
{
	size_t len = (size_t) min_of(n, (uint64_t) SENTRY_COMMAND_MAX);
	char *text = arena_alloc(arena, len + 1);

	if (!text || len == 0 || copy_in(s, text, from, len) < 0)
		return "";
	if (text[len - 1] == 0)
		len--;
	for (size_t k = 0; k < len; k++)
		if ((unsigned char) text[k] < 0x20 || text[k] == 0x7f)
			text[k] = text[k] == 0 ? ' ' : '?';
	text[len] = 0;
	return text;
}

/* The command comes last: it may park, and the process be gone. */
static void describe(const struct process *p, struct arena *arena, struct process_fields *f)
{
	const struct task *t = p->leader;
	const struct tty *tty = process_tty(p);
	struct space *space = t->space;
	const char state[] = { proc_state(t), 0 };
	struct task_usage u;
	char terminal[24] = "";

	process_usage(p, &u);
	if (tty)
		(void) snprintf(terminal, sizeof(terminal), "pts/%u", tty->index);
	*f = (struct process_fields){
		.pid = p->pid,
		.ppid = p->parent ? p->parent->pid : 0,
		.uid = t->cred->euid,
		.cpu_ns = (uint64_t) (u.user + u.system),
		.age_ns = (uint64_t) (plat_now(PLAT_MONOTONIC) - p->started),
		.state = kept(arena, state),
		.terminal = kept(arena, terminal),
		.name = kept(arena, t->comm),
		.command = "",
		.resident_bytes = space ? space->resident * PAGE_SIZE : 0,
		.virtual_bytes = space ? space->mapped * PAGE_SIZE : 0,
	};
	if (space && t->image) {
		const struct program *g = &t->image->program;

		space_ref(space);
		f->command = command_of(space, uva(g->arguments_start),
					g->arguments_end - g->arguments_start, arena);
		space_unref(space);
	}
}

int processes_list(const struct container *c, uint64_t from, struct arena *arena,
		   struct sentry_reply *a)
{
	struct process_fields *v = arena_alloc(arena, LIST_MOST * sizeof(*v));
	const struct process *p;
	uint64_t nr = max_of(from, (uint64_t) 1);
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	while (n < LIST_MOST && (p = next_process(c, &nr))) {
		describe(p, arena, &v[n++]);
		nr++;
	}
	a->list.v = v;
	a->list.n = n;
	a->process = next_process(c, &nr) ? nr : 0;
	return 0;
}

/* Those of a container share the sandbox's memory; its own is what its processes have there. */
void processes_stats(const struct container *c, struct sentry_reply *a)
{
	struct pid_space *numbers = c ? c->numbers : NULL;
	struct pid *p;

	a->memory_most = frame_budget() * PAGE_SIZE;
	a->memory_limit = sandbox_limits().memory ? a->memory_most : 0;
	a->tasks_limit = pid_space_room(numbers)->most;
	a->kernel_memory = heap_used();
	for (uint64_t nr = 1; (p = pid_next_in(numbers, &nr)); nr++) {
		const struct process *of = p->process ? p->process
					   : p->task  ? p->task->process
						      : NULL;

		if (!of || of->container != (c ? c->nr : 0))
			continue;
		a->processes += p->process && !p->process->zombie;
		a->threads += p->task && p->task->state != TASK_ENDED;
		if (p->process) {
			const struct space *space = of->leader ? of->leader->space : NULL;
			struct task_usage u;

			process_usage(of, &u);
			usage_add(&u, &of->children_usage);
			a->cpu_ns += (uint64_t) (u.user + u.system);
			a->memory += space ? space->resident * PAGE_SIZE : 0;
		}
	}
	if (!c)
		a->memory = frame_used() * PAGE_SIZE;
}
