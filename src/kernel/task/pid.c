/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/pid.h"

#include "kernel/core/heap.h"
#include "kernel/core/radix.h"
#include "kernel/task/known.h"
#include "kernel/task/task.h"

static struct heap_cache pids = HEAP_CACHE_INIT(struct pid);
static struct heap_cache groups = HEAP_CACHE_INIT(struct group);
static struct heap_cache sessions = HEAP_CACHE_INIT(struct session);

struct pid_space {
	struct list link;
	struct radix table;
	uint64_t next; /* where the search begins */
	unsigned int used, owners;
	struct pid_room room;
	uint32_t serial;
};

static struct heap_cache spaces = HEAP_CACHE_INIT(struct pid_space);
static uint32_t last_serial; /* 2^32 containers are more than a pod sees */
static struct pid_space all = { .link = LIST_INIT(all.link), .next = 1 };

/* ---- spaces ---- */

static struct pid_space *which(struct pid_space *s)
{
	return s ? s : &all;
}

struct pid_space *pid_space_new(void)
{
	struct pid_space *s = heap_cache_alloc(&spaces);

	if (s) {
		*s = (struct pid_space){ .next = 1, .owners = 1, .serial = ++last_serial };
		list_push(&all.link, &s->link);
	}
	return s;
}

struct pid_space *pid_space_ref(struct pid_space *s)
{
	if (s)
		s->owners++;
	return s;
}

void pid_space_unref(struct pid_space *s)
{
	if (!s || --s->owners > 0)
		return;
	list_remove(&s->link);
	radix_fini(&s->table);
	heap_cache_free(&spaces, s);
}

struct pid_space *pid_space_here(void)
{
	const struct task *t = this_task();

	return t ? t->pid->space : NULL;
}

struct process *pid_space_init(struct pid_space *s)
{
	struct pid *p = radix_get(&which(s)->table, 1);

	return p ? p->process : NULL;
}

uint32_t pid_space_serial(const struct pid_space *s)
{
	return s ? s->serial : 0;
}

struct pid_room *pid_space_room(struct pid_space *s)
{
	return &which(s)->room;
}

/* ---- numbers ---- */

int pid_new_in(struct pid_space *in, struct pid **ret)
{
	struct pid_space *s = which(in);
	struct pid *p;
	uint64_t nr;

	if (!radix_gap(&s->table, s->next, PID_MOST, &nr) &&
	    !radix_gap(&s->table, PID_RESERVED, s->next, &nr))
		return -EAGAIN;
	p = heap_cache_alloc(&pids);
	if (!p || radix_set(&s->table, nr, p) < 0) {
		heap_cache_free(&pids, p);
		return -ENOMEM;
	}
	*p = (struct pid){ .nr = (uint32_t) nr, .space = pid_space_ref(in), .owners = 1 };
	waitq_init(&p->ended);
	s->next = nr + 1;
	s->used++;
	*ret = p;
	return 0;
}

int pid_new(struct pid **ret)
{
	return pid_new_in(NULL, ret);
}

/* The one of this number, owned by the caller, made where there is none. */
static int pid_at(uint32_t nr, struct pid **ret)
{
	struct pid *p = radix_get(&all.table, nr);

	if (nr == 0 || nr >= PID_MOST)
		return -EBADMSG;
	if (!p) {
		p = heap_cache_alloc(&pids);
		if (!p || radix_set(&all.table, nr, p) < 0) {
			heap_cache_free(&pids, p);
			return -ENOMEM;
		}
		*p = (struct pid){ .nr = nr };
		waitq_init(&p->ended);
		all.used++;
	}
	p->owners++;
	*ret = p;
	return 0;
}

int pid_new_at(uint32_t nr, struct pid **ret)
{
	struct pid *p;
	int r = pid_at(nr, &p);

	if (r < 0)
		return r;
	if (p->task) {
		pid_unref(p);
		return -EEXIST;
	}
	*ret = p;
	return 0;
}

uint32_t pid_last(void)
{
	return (uint32_t) all.next - 1;
}

void pid_set_last(uint32_t nr)
{
	all.next = nr + 1;
}

void pid_ref(struct pid *p)
{
	p->owners++;
}

void pid_unref(struct pid *p)
{
	struct pid_space *s;

	if (!p || --p->owners > 0)
		return;
	s = which(p->space);
	(void) radix_take(&s->table, p->nr);
	/* Nobody is left: the next kernel in this program begins with number 1. */
	if (--s->used == 0)
		s->next = 1;
	pid_space_unref(p->space);
	heap_cache_free(&pids, p);
}

struct pid *pid_find(int64_t nr)
{
	struct pid_space *s = which(pid_space_here());
	struct pid *p = nr > 0 ? radix_get(&s->table, (uint64_t) nr) : NULL;

	return p && (p->task || p->process || p->group || p->session) ? p : NULL;
}

struct pid *pid_next_in(struct pid_space *s, uint64_t *nr)
{
	struct pid *p;

	while ((p = radix_next(&which(s)->table, nr))) {
		if (p->task || p->process)
			return p;
		++*nr;
	}
	return NULL;
}

struct pid *pid_next(uint64_t *nr)
{
	return pid_next_in(pid_space_here(), nr);
}

struct pid *pid_next_anywhere(struct pid_space **s, uint64_t *nr)
{
	for (;;) {
		struct pid *p = pid_next_in(*s, nr);
		struct list *next = which(*s)->link.next;

		if (p || next == &all.link)
			return p;
		*s = list_entry(next, struct pid_space, link);
		*nr = 1;
	}
}

struct process *process_init(void)
{
	return pid_space_init(NULL);
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
	known_forget_process(p);
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

static int session_at(uint32_t nr, struct session **ret)
{
	struct session *s;
	struct pid *id;
	int r = pid_at(nr, &id);

	if (r < 0)
		return r;
	if (id->session) {
		*ret = id->session;
		pid_unref(id);
		return 0;
	}
	s = heap_cache_alloc(&sessions);
	if (!s) {
		pid_unref(id);
		return -ENOMEM;
	}
	*s = (struct session){ .pid = id };
	id->session = s;
	list_init(&s->groups);
	*ret = s;
	return 0;
}

static int group_at(uint32_t nr, struct session *s, struct group **ret)
{
	struct group *g;
	struct pid *id;
	int r = pid_at(nr, &id);

	if (r < 0)
		return r;
	if (id->group) {
		*ret = id->group;
		pid_unref(id);
		return (*ret)->session == s ? 0 : -EBADMSG;
	}
	g = heap_cache_alloc(&groups);
	if (!g) {
		pid_unref(id);
		return -ENOMEM;
	}
	*g = (struct group){ .pid = id, .session = s };
	id->group = g;
	list_init(&g->members);
	list_push(&s->groups, &g->in_session);
	*ret = g;
	return 0;
}

int group_enter_at(struct process *p, uint32_t group, uint32_t session, bool leads)
{
	struct session *s;
	struct group *g;
	int r = session_at(session, &s);

	if (r < 0)
		return r;
	r = group_at(group, s, &g);
	if (r < 0) {
		session_put(s);
		return r;
	}
	group_enter(p, g);
	if (leads)
		s->leader = p;
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
