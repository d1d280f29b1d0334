/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/ipc/sem.h"

#include "kernel/core/heap.h"
#include "kernel/core/sched.h"
#include "kernel/ipc/sem_set.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define MAY_READ_IT  0444u
#define MAY_ALTER_IT 0222u

struct sem_undos {
	unsigned int owners;
	struct list all; /* struct sem_undo.of_list */
};

static struct heap_cache lists = HEAP_CACHE_INIT(struct sem_undos);

/* There is one namespace. */
static struct ipc_ids ids;
static uint64_t values_of_all;

struct sem_limits *sem_limits(void)
{
	static struct sem_limits limits = { SEMMSL, SEMMNS, SEMOPM, SEMMNI };

	return &limits;
}

struct ipc_ids *sem_ids(void)
{
	return &ids;
}

static struct sem_set *set_of(struct ipc_object *o)
{
	return o ? container_of(o, struct sem_set, ipc) : NULL;
}

struct sem_set *sem_find(int32_t id)
{
	return set_of(ipc_ids_find(&ids, id));
}

struct sem_set *sem_at(int32_t index)
{
	return set_of(ipc_ids_at(&ids, index));
}

struct sem_set *sem_next(uint64_t *index)
{
	return set_of(ipc_ids_next(&ids, index));
}

int sem_highest(uint32_t *ret_sets, uint64_t *ret_values)
{
	*ret_sets = ids.count;
	*ret_values = values_of_all;
	return ipc_ids_highest(&ids);
}

/* ---- lives ---- */

static struct sem_set *set_new(uint32_t count)
{
	struct sem_set *s = heap_alloc(sizeof(*s) + count * sizeof(s->sems[0]));

	if (!s)
		return NULL;
	s->count = count;
	list_init(&s->waiting);
	list_init(&s->undos);
	return s;
}

/* It is in the table; or (r < 0) could not be, and goes. */
static int enter(struct sem_set *s, int r)
{
	if (r < 0)
		heap_free(s);
	else
		values_of_all += s->count;
	return r;
}

int sem_load(const struct ipc_object *like, uint32_t count, struct sem_set **ret)
{
	struct sem_set *s = count > 0 ? set_new(count) : NULL;
	int r;

	if (!s)
		return count > 0 ? -ENOMEM : -EBADMSG;
	s->ipc = *like;
	r = enter(s, ipc_ids_load(&ids, &s->ipc));
	if (r == 0)
		*ret = s;
	return r;
}

static sysret_t make(struct task *t, int32_t key, uint32_t count, int flags)
{
	const struct sem_limits *l = sem_limits();
	struct sem_set *s;
	int r;

	if (count == 0)
		return -EINVAL;
	if (values_of_all + count > l->all)
		return -ENOSPC;
	s = set_new(count);
	if (!s)
		return -ENOMEM;
	s->ctime = ipc_now();
	r = enter(s, ipc_ids_add(&ids, &s->ipc, key, flags, t->cred, (uint32_t) l->sets));
	return r < 0 ? r : s->ipc.id;
}

sysret_t sem_get(struct task *t, int32_t key, int32_t count, int flags)
{
	struct ipc_object *o;
	int r;

	if (count < 0 || (uint64_t) count > sem_limits()->per_set)
		return -EINVAL;
	r = ipc_ids_get(&ids, key, flags, &o);
	if (r == 0 && !o)
		return make(t, key, (uint32_t) count, flags);
	if (r == 0 && (uint32_t) count > set_of(o)->count)
		r = -EINVAL;
	if (r == 0)
		r = ipc_may(o, t->cred, (unsigned int) flags);
	return r < 0 ? r : o->id;
}

static void undo_free(struct sem_undo *u)
{
	list_remove(&u->of_set);
	list_remove(&u->of_list);
	heap_free(u);
}

static void wait_over(struct sem_wait *w, int result)
{
	list_remove(&w->link);
	w->result = result;
	fiber_wake(w->fiber);
}

void sem_free(struct sem_set *s)
{
	list_each_safe(l, &s->waiting) wait_over(list_entry(l, struct sem_wait, link), -EIDRM);
	list_each_safe(l, &s->undos) undo_free(list_entry(l, struct sem_undo, of_set));
	ipc_ids_remove(&ids, &s->ipc);
	values_of_all -= s->count;
	heap_free(s);
}

void sem_end(void)
{
	struct sem_set *s;

	for (uint64_t at = 0; (s = sem_next(&at)); at++)
		sem_free(s);
}

/* ---- operations ---- */

/* One of them: 0, SEM_WAITING, -EAGAIN, -ERANGE. */
static int operate_one(struct sem_set *s, const struct sembuf *op, struct sem_undo *u)
{
	struct sem *sem = &s->sems[op->sem_num];
	int32_t value = sem->value + op->sem_op, adjust;

	if (op->sem_op == 0 ? value != 0 : value < 0)
		return op->sem_flg & IPC_NOWAIT ? -EAGAIN : SEM_WAITING;
	if (value > SEMVMX)
		return -ERANGE;
	if (op->sem_flg & SEM_UNDO) {
		adjust = u->adjust[op->sem_num] - op->sem_op;
		if (adjust < -SEMAEM - 1 || adjust > SEMAEM)
			return -ERANGE;
		u->adjust[op->sem_num] = (int16_t) adjust;
	}
	sem->value = value;
	return 0;
}

/* All of them, or none. */
static int attempt(struct sem_set *s, struct sem_wait *w)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < w->n) {
		r = operate_one(s, &w->ops[done], w->undo);
		if (r == 0)
			done++;
	}
	if (r == 0) {
		for (size_t k = 0; k < w->n; k++)
			s->sems[w->ops[k].sem_num].pid = w->pid;
		s->otime = ipc_now();
		return 0;
	}
	w->blocking = &w->ops[done];
	while (done-- > 0) {
		const struct sembuf *op = &w->ops[done];

		s->sems[op->sem_num].value -= op->sem_op;
		if (op->sem_flg & SEM_UNDO)
			w->undo->adjust[op->sem_num] =
				(int16_t) (w->undo->adjust[op->sem_num] + op->sem_op);
	}
	return r;
}

void sem_update(struct sem_set *s)
{
	bool again = true;

	while (again) {
		again = false;
		list_each_safe(l, &s->waiting)
		{
			struct sem_wait *w = list_entry(l, struct sem_wait, link);
			int r = attempt(s, w);

			if (r == SEM_WAITING)
				continue;
			again |= r == 0 && w->alters;
			wait_over(w, r);
		}
	}
}

/* t's own list, made if need be. NULL: no memory. */
static struct sem_undos *undos_of(struct task *t)
{
	if (!t->undos) {
		t->undos = heap_cache_alloc(&lists);
		if (!t->undos)
			return NULL;
		t->undos->owners = 1;
		list_init(&t->undos->all);
	}
	return t->undos;
}

struct sem_undo *sem_undo_at(const struct task *t, uint64_t nr)
{
	if (!t->undos)
		return NULL;
	list_each(l, &t->undos->all)
	{
		if (nr-- == 0)
			return list_entry(l, struct sem_undo, of_list);
	}
	return NULL;
}

struct sem_undo *sem_undo_of(struct task *t, struct sem_set *s)
{
	struct sem_undo *u;

	if (!undos_of(t))
		return NULL;
	list_each(l, &t->undos->all)
	{
		u = list_entry(l, struct sem_undo, of_list);
		if (u->set == s)
			return u;
	}
	u = heap_alloc(sizeof(*u) + s->count * sizeof(u->adjust[0]));
	if (!u)
		return NULL;
	u->set = s;
	list_push(&s->undos, &u->of_set);
	list_push(&t->undos->all, &u->of_list);
	return u;
}

static sysret_t wait(struct sem_set *s, struct sem_wait *w, nsec_t until)
{
	int r = 0;

	w->fiber = fiber_now();
	w->result = SEM_WAITING;
	list_push(&s->waiting, &w->link);
	while (w->result == SEM_WAITING && r == 0) {
		r = fiber_interrupted() ? -EINTR : fiber_park_until(until);
		if (r == -ETIMEDOUT)
			r = -EAGAIN;
	}
	/* Whoever was faster counts: it may have been done, and the set be gone. */
	if (w->result != SEM_WAITING)
		return w->result;
	list_remove(&w->link);
	return r;
}

sysret_t sem_operate(struct task *t, int32_t id, const struct sembuf *ops, size_t n, nsec_t until)
{
	struct sem_wait w = { .ops = ops, .n = n, .pid = t->process->pid };
	struct sem_set *s = sem_find(id);
	bool undone = false;
	int r;

	if (!s)
		return -EINVAL;
	for (size_t k = 0; k < n; k++) {
		if (ops[k].sem_num >= s->count)
			return -EFBIG;
		undone |= ops[k].sem_flg & SEM_UNDO;
		w.alters |= ops[k].sem_op != 0;
	}
	r = ipc_may(&s->ipc, t->cred, w.alters ? MAY_ALTER_IT : MAY_READ_IT);
	if (r < 0)
		return r;
	if (undone) {
		w.undo = sem_undo_of(t, s);
		if (!w.undo)
			return -ENOMEM;
	}
	r = attempt(s, &w);
	if (r == SEM_WAITING)
		return wait(s, &w, until);
	if (r == 0 && w.alters)
		sem_update(s);
	return r;
}

/* ---- SEM_UNDO ---- */

struct sem_undos *sem_undos_share(struct task *t)
{
	struct sem_undos *u = undos_of(t);

	if (u)
		u->owners++;
	return u;
}

/* A value is never less than 0 and never too large: what does not fit is lost (semop(2), BUGS). */
static void undo(struct sem_undo *u, uint32_t pid)
{
	struct sem_set *s = u->set;

	for (uint32_t n = 0; n < s->count; n++) {
		int32_t value = s->sems[n].value + u->adjust[n];

		if (!u->adjust[n])
			continue;
		s->sems[n].value = value < 0 ? 0 : min_of(value, SEMVMX);
		s->sems[n].pid = pid;
	}
	undo_free(u);
	s->otime = ipc_now();
	sem_update(s);
}

void sem_undos_leave(struct task *t)
{
	struct sem_undos *u = t->undos;

	t->undos = NULL;
	if (!u || --u->owners > 0)
		return;
	list_each_safe(l, &u->all) undo(list_entry(l, struct sem_undo, of_list), t->process->pid);
	heap_cache_free(&lists, u);
}
