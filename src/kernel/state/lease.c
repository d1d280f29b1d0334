/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases of open files (F_SETLEASE), also those that are being broken, with the time that is left;
 * and what is to be told of open directories (F_NOTIFY). Who waits for a lease asks again.
 */
#include "kernel/vfs/lease.h"

#include "kernel/fs/dnotify.h"
#include "kernel/state/state.h"
#include "kernel/vfs/file.h"

static void save_lease(struct state_save *s, const struct file *f, uint64_t nr)
{
	struct lease_state one;

	if (!lease_tell(f, &one))
		return;
	out_number(s->out, 1);
	out_number(s->out, nr);
	out_number(s->out, (uint64_t) one.fd);
	out_number(s->out, (uint64_t) one.type);
	out_number(s->out, (uint64_t) one.target);
	out_number(s->out, (uint64_t) one.left);
}

static void save_notes(struct state_save *s, const struct file *f, uint64_t nr)
{
	struct dnotify_state one;

	for (uint64_t n = 0; dnotify_tell_at(f, n, &one); n++) {
		uintptr_t table = (uintptr_t) radix_get(&s->ids[STATE_TABLE],
							(uintptr_t) one.table >> 3);

		if (!table) {
			save_refuse(s, "a watch of a directory that is in no process", NULL);
			return;
		}
		out_number(s->out, 1);
		out_number(s->out, nr);
		out_number(s->out, table - 1);
		out_number(s->out, (uint64_t) one.fd);
		out_number(s->out, one.mask);
	}
}

static void each(struct state_save *s,
		 void (*save)(struct state_save *s, const struct file *f, uint64_t nr))
{
	const struct file *f;

	for (uint64_t nr = 0; (f = radix_next(&s->files, &nr)); nr++) {
		/* What is O_PATH has neither. */
		if (f->ops)
			save(s, f, nr);
	}
	out_number(s->out, 0);
}

void save_leases(struct state_save *s)
{
	each(s, save_lease);
	each(s, save_notes);
}

static struct file *file_in(struct state_load *l)
{
	struct file *f = radix_get(&l->objects[STATE_FILE], in_number(l->in, UINT64_MAX));

	if (!f || !f->ops)
		in_fail(l->in, -EBADMSG);
	return f;
}

static void load_lease(struct state_load *l)
{
	struct file *f = file_in(l);
	struct lease_state one = { .fd = (int) in_number(l->in, INT32_MAX) };
	int r;

	one.type = (int) in_number(l->in, INT32_MAX);
	one.target = (int) in_number(l->in, INT32_MAX);
	one.left = (nsec_t) in_number(l->in, LEASE_BREAK_TIME * NSEC_PER_SEC);
	r = l->in->error == 0 ? lease_load(f, &one) : 0;
	if (r < 0)
		in_fail(l->in, r == -ENOMEM ? r : -EBADMSG);
}

static void load_note(struct state_load *l)
{
	struct file *f = file_in(l), *there;
	struct descriptors *table = radix_get(&l->objects[STATE_TABLE],
					      in_number(l->in, UINT64_MAX));
	int fd = (int) in_number(l->in, INT32_MAX), r;
	uint32_t mask = (uint32_t) in_number(l->in, UINT32_MAX);

	there = table && l->in->error == 0 ? descriptors_get(table, (uint64_t) fd) : NULL;
	/* It ends with the descriptor. */
	if (!there || there != f)
		in_fail(l->in, -EBADMSG);
	r = l->in->error == 0 ? dnotify_set(f, table, fd, mask) : 0;
	if (r < 0)
		in_fail(l->in, r == -ENOMEM ? r : -EBADMSG);
	if (there)
		file_unref(there);
}

void load_leases(struct state_load *l)
{
	while (in_flag(l->in))
		load_lease(l);
	while (in_flag(l->in))
		load_note(l);
}
