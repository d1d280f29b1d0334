/* SPDX-License-Identifier: Apache-2.0 */
/* What semctl(2) and /proc/sysvipc/sem tell and set. */
#include "kernel/fs/text.h"
#include "kernel/ipc/sem_set.h"
#include "kernel/task/task.h"

#define MAY_READ_IT  0444u
#define MAY_ALTER_IT 0222u

/* The set, if who asks may so. */
static int find(struct task *t, int32_t id, unsigned int may, struct sem_set **ret)
{
	*ret = sem_find(id);
	return *ret ? ipc_may(&(*ret)->ipc, t->cred, may) : -EINVAL;
}

sysret_t sem_stat(struct task *t, int32_t id, int how, struct semid64_ds *ret)
{
	struct sem_set *s = how == IPC_STAT ? sem_find(id) : sem_at(id);
	int r = 0;

	if (!s)
		return -EINVAL;
	if (how != SEM_STAT_ANY)
		r = ipc_may(&s->ipc, t->cred, MAY_READ_IT);
	if (r < 0)
		return r;
	*ret = (struct semid64_ds){ .sem_otime = s->otime,
				    .sem_ctime = s->ctime,
				    .sem_nsems = s->count };
	ipc_tell(&s->ipc, &ret->sem_perm);
	return how == IPC_STAT ? 0 : s->ipc.id;
}

sysret_t sem_set(struct task *t, int32_t id, const struct semid64_ds *to)
{
	struct sem_set *s = sem_find(id);
	int r = s ? ipc_owned(&s->ipc, t->cred) : -EINVAL;

	if (r == 0)
		r = ipc_change(&s->ipc, &to->sem_perm);
	if (r == 0)
		s->ctime = ipc_now();
	return r;
}

sysret_t sem_remove(struct task *t, int32_t id)
{
	struct sem_set *s = sem_find(id);
	int r = s ? ipc_owned(&s->ipc, t->cred) : -EINVAL;

	if (r == 0)
		sem_free(s);
	return r;
}

/* Who waits until the value grows, or until it is zero: by the one operation that stops it. */
static int waiting_for(const struct sem_set *s, uint32_t nr, bool zero)
{
	int n = 0;

	list_each(l, &s->waiting)
	{
		const struct sembuf *op = list_entry(l, struct sem_wait, link)->blocking;

		n += op->sem_num == nr && (op->sem_op == 0) == zero;
	}
	return n;
}

sysret_t sem_value(struct task *t, int32_t id, int32_t nr, int how)
{
	struct sem_set *s;
	int r = find(t, id, MAY_READ_IT, &s);

	if (r < 0)
		return r;
	if (nr < 0 || (uint32_t) nr >= s->count)
		return -EINVAL;
	switch (how) {
	case GETVAL:
		return s->sems[nr].value;
	case GETPID:
		return s->sems[nr].pid;
	case GETNCNT:
	case GETZCNT:
		return waiting_for(s, (uint32_t) nr, how == GETZCNT);
	default:
		return -EINVAL;
	}
}

/* Somebody decided: what was to be undone of it is not. */
static void decide(struct task *t, struct sem_set *s, uint32_t nr, int32_t value)
{
	list_each(l, &s->undos) list_entry(l, struct sem_undo, of_set)->adjust[nr] = 0;
	s->sems[nr].value = value;
	s->sems[nr].pid = t->process->pid;
}

sysret_t sem_set_value(struct task *t, int32_t id, int32_t nr, int32_t value)
{
	struct sem_set *s;
	int r;

	if (value < 0 || value > SEMVMX)
		return -ERANGE;
	s = sem_find(id);
	if (!s || nr < 0 || (uint32_t) nr >= s->count)
		return -EINVAL;
	r = ipc_may(&s->ipc, t->cred, MAY_ALTER_IT);
	if (r < 0)
		return r;
	decide(t, s, (uint32_t) nr, value);
	s->ctime = ipc_now();
	sem_update(s);
	return 0;
}

sysret_t sem_count(struct task *t, int32_t id, unsigned int may)
{
	struct sem_set *s;
	int r = find(t, id, may, &s);

	return r < 0 ? r : (sysret_t) s->count;
}

sysret_t sem_values(struct task *t, int32_t id, uint16_t *to, size_t n)
{
	struct sem_set *s;
	int r = find(t, id, MAY_READ_IT, &s);

	if (r < 0)
		return r;
	if (n != s->count)
		return -EIDRM;
	for (size_t k = 0; k < n; k++)
		to[k] = (uint16_t) s->sems[k].value;
	return 0;
}

sysret_t sem_set_values(struct task *t, int32_t id, const uint16_t *from, size_t n)
{
	struct sem_set *s;

	for (size_t k = 0; k < n; k++) {
		if (from[k] > SEMVMX)
			return -ERANGE;
	}
	/* Its rights were asked for, by sem_count(). */
	s = sem_find(id);
	if (!s || n != s->count)
		return -EIDRM;
	for (uint32_t k = 0; k < s->count; k++)
		decide(t, s, k, from[k]);
	s->ctime = ipc_now();
	sem_update(s);
	return 0;
}

int sem_totals(struct seminfo *ret, bool used)
{
	const struct sem_limits *l = sem_limits();
	uint64_t values;
	uint32_t sets;
	int highest = sem_highest(&sets, &values);

	*ret = (struct seminfo){ .semmap = SEMMAP,
				 .semmni = (int) l->sets,
				 .semmns = (int) l->all,
				 .semmnu = SEMMNU,
				 .semmsl = (int) l->per_set,
				 .semopm = (int) l->operations,
				 .semume = SEMUME,
				 .semusz = used ? (int) sets : SEMUSZ,
				 .semvmx = SEMVMX,
				 .semaem = used ? (int) values : SEMAEM };
	return highest;
}

void sem_table(struct text *to)
{
	struct sem_set *s;

	text_put(to, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime"
		     "      ctime\n");
	for (uint64_t at = 0; (s = sem_next(&at)); at++) {
		const struct ipc_object *o = &s->ipc;

		text_put(to, "%10d %10d  %4o %10u %5u %5u %5u %5u %10ld %10ld\n", o->key, o->id,
			 o->mode, s->count, o->uid, o->gid, o->cuid, o->cgid, s->otime, s->ctime);
	}
}
