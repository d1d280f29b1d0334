/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/pid.h"

#include "kernel/core/heap.h"
#include "kernel/core/radix.h"
#include "kernel/task/task.h"

static struct heap_cache pids = HEAP_CACHE_INIT(struct pid);
static struct heap_cache groups = HEAP_CACHE_INIT(struct group);
static struct heap_cache sessions = HEAP_CACHE_INIT(struct session);

static struct {
	struct radix table;
	uint64_t next; /* where the search begins */
	unsigned int used;
} all = { .next = 1 };

int pid_new(struct pid **ret)
{
	struct pid *p;
	uint64_t nr;

	if (!radix_gap(&all.table, all.next, PID_MOST, &nr) &&
	    !radix_gap(&all.table, PID_RESERVED, all.next, &nr))
		return -EAGAIN;
	p = heap_cache_alloc(&pids);
	if (!p || radix_set(&all.table, nr, p) < 0) {
		heap_cache_free(&pids, p);
		return -ENOMEM;
	}
	*p = (struct pid){ .nr = (uint32_t) nr, .owners = 1 };
	waitq_init(&p->ended);
	all.next = nr + 1;
	all.used++;
	*ret = p;
	return 0;
}

void pid_ref(struct pid *p)
{
	p->owners++;
}

void pid_unref(struct pid *p)
{
	if (!p || --p->owners > 0)
		return;
	(void) radix_take(&all.table, p->nr);
	heap_cache_free(&pids, p);
	/* Nobody is left: the next kernel in this program begins with number 1. */
	if (--all.used == 0)
		all.next = 1;
}

struct pid *pid_find(int64_t nr)
{
	struct pid *p = nr > 0 ? radix_get(&all.table, (uint64_t) nr) : NULL;

	return p && (p->task || p->process || p->group || p->session) ? p : NULL;
}

struct pid *pid_next(uint64_t *nr)
{
	struct pid *p;

	while ((p = radix_next(&all.table, nr))) {
		if (p->task || p->process)
			return p;
		++*nr;
	}
	return NULL;
}

struct process *process_init(void)
{
	struct pid *p = pid_find(1);

	return p ? p->process : NULL;
}

/* ---- groups and sessions ---- */

static void session_put(struct session *s)
{
	if (!list_empty(&s->groups))
		return;
	s->pid->session = NULL;
	pid_unref(s->pid);
	heap_cache_free(&sessions, s);
}

void group_leave(struct process *p)
{
	struct group *g = p->group;
	struct session *s;

	if (!g)
		return;
	list_remove(&p->in_group);
	p->group = NULL;
	if (!list_empty(&g->members))
		return;
	s = g->session;
	list_remove(&g->in_session);
	g->pid->group = NULL;
	pid_unref(g->pid);
	heap_cache_free(&groups, g);
	session_put(s);
}

void group_enter(struct process *p, struct group *g)
{
	if (p->group == g)
		return;
	group_leave(p);
	p->group = g;
	list_push(&g->members, &p->in_group);
}

int group_enter_new(struct process *p, bool session)
{
	struct group *g = heap_cache_alloc(&groups);
	struct session *s = p->group ? p->group->session : NULL;

	if (!g)
		return -ENOMEM;
	if (session || !s) {
		s = heap_cache_alloc(&sessions);
		if (!s) {
			heap_cache_free(&groups, g);
			return -ENOMEM;
		}
		*s = (struct session){ .pid = p->id, .leader = p };
		pid_ref(s->pid);
		s->pid->session = s;
		list_init(&s->groups);
		p->no_tty = false;
	}
	*g = (struct group){ .pid = p->id, .session = s };
	pid_ref(g->pid);
	g->pid->group = g;
	list_init(&g->members);
	list_push(&s->groups, &g->in_session);
	group_enter(p, g);
	return 0;
}

bool group_orphaned(const struct group *g, const struct process *but)
{
	list_each(l, (struct list *) (uintptr_t) &g->members)
	{
		const struct process *p = list_entry(l, struct process, in_group);

		if (p == but || p->zombie || !p->parent)
			continue;
		if (p->parent->group != g && p->parent->group &&
		    p->parent->group->session == g->session)
			return false;
	}
	return true;
}

/* ---- the calls ---- */

/* 0: the caller's own. */
static struct process *process_by(struct task *t, int32_t pid)
{
	struct pid *p = pid == 0 ? t->process->id : pid_find(pid);

	return p ? p->process : NULL;
}

/* As getpgid and getsid look: by the number of any thread. */
static struct process *process_of(struct task *t, int32_t pid)
{
	struct pid *p = pid == 0 ? t->process->id : pid_find(pid);

	return !p ? NULL : p->process ? p->process : p->task ? p->task->process : NULL;
}

sysret_t task_setpgid(struct task *t, int32_t pid, int32_t group)
{
	struct process *self = t->process, *p;
	struct pid *to;

	if (group < 0)
		return -EINVAL;
	if (pid == 0)
		pid = (int32_t) self->pid;
	if (group == 0)
		group = pid;
	p = process_by(t, pid);
	if (!p || (p != self && p->parent != self) || !p->group)
		return -ESRCH;
	if (p != self && p->group->session != self->group->session)
		return -EPERM;
	if (p != self && p->has_execed)
		return -EACCES;
	if (p->group->session->leader == p)
		return -EPERM;
	if ((uint32_t) group == p->pid && p->id->group == NULL)
		return group_enter_new(p, false);
	to = pid_find(group);
	if (!to || !to->group || to->group->session != self->group->session)
		return -EPERM;
	group_enter(p, to->group);
	return 0;
}

sysret_t task_getpgid(struct task *t, int32_t pid)
{
	struct process *p = process_of(t, pid);

	return p && p->group ? (sysret_t) p->group->pid->nr : -ESRCH;
}

sysret_t task_getsid(struct task *t, int32_t pid)
{
	struct process *p = process_of(t, pid);

	return p && p->group ? (sysret_t) p->group->session->pid->nr : -ESRCH;
}

sysret_t task_setsid(struct task *t)
{
	struct process *p = t->process;
	int r;

	/* Also when it is no member any more: the group's number is its own. */
	if (p->id->group || p->group->session->leader == p)
		return -EPERM;
	r = group_enter_new(p, true);
	return r < 0 ? r : (sysret_t) p->pid;
}
