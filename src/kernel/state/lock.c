/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of files: each with its owner, an open file or a table of descriptors, and of a table the
 * descriptor that leads to the file, by which it goes again.
 */
#include "kernel/vfs/lock.h"

#include <asm/fcntl.h>

#include "kernel/state/state.h"
#include "kernel/vfs/file.h"

enum owner { OWNER_NONE, OWNER_FILE, OWNER_TABLE };

/* The number that something has already; false: it has none. */
static bool number_of(const struct state_save *s, enum state_kind kind, const void *p,
		      uint64_t *ret)
{
	uintptr_t nr = (uintptr_t) radix_get(&s->ids[kind], (uintptr_t) p >> 3);

	*ret = nr - 1;
	return nr;
}

static bool leads_to(const struct descriptors *d, const struct inode *i, uint64_t *ret_fd)
{
	for (*ret_fd = 0; descriptors_next(d, ret_fd); ++*ret_fd) {
		struct file *f = descriptors_get(d, *ret_fd);
		bool found = f->inode == i && f->ops;

		file_unref(f);
		if (found)
			return true;
	}
	return false;
}

void save_locks(struct state_save *s)
{
	struct lock_request q;
	struct inode *i;
	uint64_t owner, fd = 0;

	for (uint64_t nr = 0; s->out->error == 0 && lock_at(nr, &i, &q); nr++) {
		bool of_file = number_of(s, STATE_FILE, q.owner, &owner);

		if (!of_file &&
		    (!number_of(s, STATE_TABLE, q.owner, &owner) || !leads_to(q.owner, i, &fd))) {
			save_refuse(s, "a lock whose owner is in no process", NULL);
			return;
		}
		out_number(s->out, of_file ? OWNER_FILE : OWNER_TABLE);
		out_number(s->out, owner);
		if (!of_file)
			out_number(s->out, fd);
		out_number(s->out, q.kind);
		out_number(s->out, q.type == F_WRLCK);
		out_number(s->out, q.first);
		out_number(s->out, q.last);
		out_number(s->out, (uint64_t) (q.pid + 1));
	}
	out_number(s->out, OWNER_NONE);
}

static void load_lock(struct state_load *l, enum owner by)
{
	const enum state_kind kind = by == OWNER_FILE ? STATE_FILE : STATE_TABLE;
	void *owner = radix_get(&l->objects[kind], in_number(l->in, UINT64_MAX));
	struct lock_request q = { .owner = owner };
	struct file *f = owner;

	if (by == OWNER_TABLE)
		f = owner ? descriptors_get(owner, in_number(l->in, INT32_MAX)) : NULL;
	else if (f)
		file_ref(f);
	q.kind = (enum lock_kind) in_number(l->in, LOCK_WHOLE);
	q.type = in_flag(l->in) ? F_WRLCK : F_RDLCK;
	q.first = in_number(l->in, LOCK_END);
	q.last = in_number(l->in, LOCK_END);
	q.pid = (int32_t) in_number(l->in, INT32_MAX) - 1;
	/* What is O_PATH takes none away. */
	if (!f || !f->ops || q.first > q.last)
		in_fail(l->in, -EBADMSG);
	else if (l->in->error == 0 && lock_set(f->inode, &q, false) < 0)
		in_fail(l->in, -EBADMSG);
	if (f)
		file_unref(f);
}

void load_locks(struct state_load *l)
{
	enum owner by;

	while ((by = (enum owner) in_number(l->in, OWNER_TABLE)) != OWNER_NONE)
		load_lock(l, by);
}
