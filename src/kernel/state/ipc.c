/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V IPC: all objects stand before the processes, whose mappings and undos name them by
 * their identifiers; when segments were attached and detached stands behind, as loading attaches.
 * Nobody waits in one: calls that did begin again.
 */
#include "kernel/core/heap.h"
#include "kernel/ipc/msg_queue.h"
#include "kernel/ipc/sem_set.h"
#include "kernel/ipc/shm_segment.h"
#include "kernel/state/state.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"

#define RIGHTS 0777u

/* ---- what all have ---- */

static void save_object(struct state_save *s, const struct ipc_object *o)
{
	out_number(s->out, 1);
	out_number(s->out, (uint64_t) o->id);
	out_number(s->out, (uint32_t) o->key);
	out_number(s->out, o->uid);
	out_number(s->out, o->gid);
	out_number(s->out, o->cuid);
	out_number(s->out, o->cgid);
	out_number(s->out, o->mode);
}

static uint32_t word(struct state_load *l)
{
	return (uint32_t) in_number(l->in, UINT32_MAX);
}

static int64_t time(struct state_load *l)
{
	return (int64_t) in_number(l->in, INT64_MAX);
}

/* False: no more. */
static bool load_object(struct state_load *l, uint32_t modes, struct ipc_object *ret)
{
	if (!in_flag(l->in))
		return false;
	*ret = (struct ipc_object){ .id = (int32_t) in_number(l->in, INT32_MAX) };
	ret->key = (int32_t) word(l);
	ret->uid = word(l);
	ret->gid = word(l);
	ret->cuid = word(l);
	ret->cgid = word(l);
	ret->mode = word(l);
	if (ret->mode & ~modes)
		in_fail(l->in, -EBADMSG);
	return l->in->error == 0;
}

static bool loaded(struct state_load *l, int r)
{
	if (r < 0)
		in_fail(l->in, r);
	return r == 0;
}

/* ---- shared memory ---- */

static void save_segments(struct state_save *s)
{
	struct ipc_object *o;

	out_number(s->out, shm_ids()->seq);
	for (uint64_t at = 0; s->out->error == 0 && (o = ipc_ids_next(shm_ids(), &at)); at++) {
		struct shm *m = container_of(o, struct shm, ipc);

		save_object(s, o);
		out_number(s->out, (uint32_t) m->made_key);
		out_number(s->out, m->locker);
		out_number(s->out, m->pager.size);
		save_contents(s, &m->pager);
	}
	out_number(s->out, 0);
}

static void load_segments(struct state_load *l)
{
	struct ipc_object like;
	struct shm *m;

	shm_ids()->seq = (uint16_t) in_number(l->in, INT16_MAX);
	while (load_object(l, RIGHTS | SHM_DEST | SHM_LOCKED, &like)) {
		int32_t made_key = (int32_t) word(l);
		uint32_t locker = word(l);
		uint64_t size = in_number(l->in, INT64_MAX);

		if (l->in->error < 0 || !loaded(l, shm_load(&like, size, made_key, &m)))
			return;
		m->locker = locker;
		load_contents(l, &m->pager);
		/* Its pages are on the account of all. */
		if (m->pager.size != size) {
			pager_resize(&m->pager, size);
			in_fail(l->in, -EBADMSG);
		}
	}
}

void save_ipc_uses(struct state_save *s)
{
	struct ipc_object *o;

	for (uint64_t at = 0; s->out->error == 0 && (o = ipc_ids_next(shm_ids(), &at)); at++) {
		const struct shm *m = container_of(o, struct shm, ipc);

		out_number(s->out, (uint64_t) m->atime);
		out_number(s->out, (uint64_t) m->dtime);
		out_number(s->out, (uint64_t) m->ctime);
		out_number(s->out, m->creator);
		out_number(s->out, m->last);
	}
}

void load_ipc_uses(struct state_load *l)
{
	struct ipc_object *o;

	for (uint64_t at = 0; l->in->error == 0 && (o = ipc_ids_next(shm_ids(), &at)); at++) {
		struct shm *m = container_of(o, struct shm, ipc);

		m->atime = time(l);
		m->dtime = time(l);
		m->ctime = time(l);
		m->creator = word(l);
		m->last = word(l);
		/* It had gone with its last mapping. */
		if (o->mode & SHM_DEST && m->pager.owners == 0)
			in_fail(l->in, -EBADMSG);
	}
}

/* ---- semaphores ---- */

static void save_sets(struct state_save *s)
{
	struct sem_set *set;

	out_number(s->out, sem_ids()->seq);
	for (uint64_t at = 0; s->out->error == 0 && (set = sem_next(&at)); at++) {
		save_object(s, &set->ipc);
		out_number(s->out, set->count);
		out_number(s->out, (uint64_t) set->otime);
		out_number(s->out, (uint64_t) set->ctime);
		for (uint32_t n = 0; n < set->count; n++) {
			out_number(s->out, (uint64_t) set->sems[n].value);
			out_number(s->out, set->sems[n].pid);
		}
	}
	out_number(s->out, 0);
}

static void load_sets(struct state_load *l)
{
	struct ipc_object like;
	struct sem_set *set;

	sem_ids()->seq = (uint16_t) in_number(l->in, INT16_MAX);
	while (load_object(l, RIGHTS, &like)) {
		/* Each of the values takes two numbers: no more memory than there are. */
		size_t most = min_of((size_t) SEM_PER_SET_MOST, l->in->left / 16);
		uint32_t count = (uint32_t) in_number(l->in, most);

		if (l->in->error < 0 || !loaded(l, sem_load(&like, count, &set)))
			return;
		set->otime = time(l);
		set->ctime = time(l);
		for (uint32_t n = 0; n < count; n++) {
			set->sems[n].value = (int32_t) in_number(l->in, SEMVMX);
			set->sems[n].pid = word(l);
		}
	}
}

/* Several threads may share them: those of the first are written. */
void save_undos(struct state_save *s, const struct task *t)
{
	const struct sem_undo *u;

	out_number(s->out, t->undos != NULL);
	if (!t->undos || save_known(s, STATE_UNDOS, t->undos))
		return;
	for (uint64_t nr = 0; s->out->error == 0 && (u = sem_undo_at(t, nr)); nr++) {
		out_number(s->out, 1);
		out_number(s->out, (uint64_t) u->set->ipc.id);
		for (uint32_t n = 0; n < u->set->count; n++)
			out_number(s->out, (uint16_t) u->adjust[n]);
	}
	out_number(s->out, 0);
}

static void load_undo(struct state_load *l, struct task *t)
{
	struct sem_set *set = sem_find((int32_t) in_number(l->in, INT32_MAX));
	struct sem_undo *u;

	if (!set || l->in->error < 0) {
		in_fail(l->in, -EBADMSG);
		return;
	}
	u = sem_undo_of(t, set);
	if (!u) {
		in_fail(l->in, -ENOMEM);
		return;
	}
	for (uint32_t n = 0; n < set->count; n++)
		u->adjust[n] = (int16_t) (uint16_t) in_number(l->in, UINT16_MAX);
}

void load_undos(struct state_load *l, struct task *t)
{
	struct task *first;
	uint64_t nr;

	if (!in_flag(l->in))
		return;
	first = load_known(l, STATE_UNDOS, &nr);
	if (l->in->error < 0)
		return;
	if (first) {
		t->undos = sem_undos_share(first);
		if (!t->undos)
			in_fail(l->in, -ENOMEM);
		return;
	}
	load_meet(l, STATE_UNDOS, nr, t);
	while (in_flag(l->in))
		load_undo(l, t);
}

/* ---- messages ---- */

static void save_queues(struct state_save *s)
{
	struct ipc_object *o;

	out_number(s->out, msg_ids()->seq);
	for (uint64_t at = 0; s->out->error == 0 && (o = ipc_ids_next(msg_ids(), &at)); at++) {
		struct msg_queue *q = container_of(o, struct msg_queue, ipc);

		save_object(s, o);
		out_number(s->out, (uint64_t) q->stime);
		out_number(s->out, (uint64_t) q->rtime);
		out_number(s->out, (uint64_t) q->ctime);
		out_number(s->out, q->most);
		out_number(s->out, q->sender);
		out_number(s->out, q->receiver);
		list_each(at_message, &q->messages)
		{
			const struct message *m = list_entry(at_message, struct message, link);

			out_number(s->out, (uint64_t) m->type);
			out_number(s->out, m->len);
			out_bytes(s->out, m->text, m->len);
		}
		out_number(s->out, 0);
	}
	out_number(s->out, 0);
}

static void load_message(struct state_load *l, struct msg_queue *q, int64_t type)
{
	size_t most = min_of((size_t) MSG_MESSAGE_MOST, l->in->left);
	size_t len = (size_t) in_number(l->in, most);
	struct message *m = l->in->error == 0 ? message_new(len) : NULL;

	if (!m) {
		in_fail(l->in, -ENOMEM);
		return;
	}
	m->type = type;
	in_bytes(l->in, m->text, len);
	msg_put(q, m);
}

static void load_queues(struct state_load *l)
{
	struct ipc_object like;
	struct msg_queue *q;

	msg_ids()->seq = (uint16_t) in_number(l->in, INT16_MAX);
	while (load_object(l, RIGHTS, &like)) {
		int64_t type;

		if (!loaded(l, msg_load(&like, &q)))
			return;
		q->stime = time(l);
		q->rtime = time(l);
		q->ctime = time(l);
		q->most = in_number(l->in, UINT64_MAX);
		q->sender = word(l);
		q->receiver = word(l);
		while ((type = (int64_t) in_number(l->in, INT64_MAX)) > 0)
			load_message(l, q, type);
	}
}

/* ---- all ---- */

void save_ipc(struct state_save *s)
{
	save_segments(s);
	save_sets(s);
	save_queues(s);
}

void load_ipc(struct state_load *l)
{
	drop_ipc();
	load_segments(l);
	load_sets(l);
	load_queues(l);
}

void drop_ipc(void)
{
	shm_end();
	sem_end();
	msg_end();
}
