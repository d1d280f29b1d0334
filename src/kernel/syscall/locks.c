/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of files: flock, and fcntl's. */
#include "kernel/syscall/locks.h"

#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/syscall/decode.h"
#include "kernel/vfs/lock.h"

/* struct flock of 64 bits. */
struct range {
	int16_t type, whence;
	uint32_t pad;
	int64_t start, len;
	int32_t pid;
	uint32_t pad_end;
};

/* What it means as bytes. */
static int range_of(const struct file *f, const struct range *g, struct lock_request *q)
{
	int64_t start, last = INT64_MAX, base;

	switch (g->whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = (int64_t) f->pos;
		break;
	case SEEK_END:
		base = (int64_t) f->inode->pager.size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, g->start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	if (g->len > 0 && __builtin_add_overflow(start, g->len - 1, &last))
		return -EOVERFLOW;
	if (g->len < 0) {
		/* The bytes before the start. */
		last = start - 1;
		if (__builtin_add_overflow(start, g->len, &start) || start < 0)
			return -EINVAL;
	}
	q->first = (uint64_t) start;
	q->last = (uint64_t) last;
	return 0;
}

static int read_range(struct task *t, const struct file *f, uva_t from, bool of_file,
		      struct range *g, struct lock_request *q)
{
	int r = copy_in(t->space, g, from, sizeof(*g));

	if (r < 0)
		return r;
	if (of_file && g->pid)
		return -EINVAL;
	if (g->type != F_RDLCK && g->type != F_WRLCK && g->type != F_UNLCK)
		return -EINVAL;
	*q = (struct lock_request){ .kind = LOCK_RANGE,
				    .owner = of_file ? (const void *) f : t->files,
				    .type = g->type,
				    .pid = of_file ? -1 : (int32_t) t->process->pid };
	return range_of(f, g, q);
}

sysret_t lock_get_call(struct task *t, struct file *f, uva_t arg, bool of_file)
{
	struct lock_request q, other;
	struct range g;
	int r = read_range(t, f, arg, of_file, &g, &q);

	if (r < 0)
		return r;
	if (g.type == F_UNLCK)
		return -EINVAL;
	if (lock_in_the_way(f->inode, &q, &other)) {
		g.type = (int16_t) other.type;
		g.whence = SEEK_SET;
		g.start = (int64_t) other.first;
		g.len = other.last == LOCK_END ? 0 : (int64_t) (other.last - other.first + 1);
		g.pid = other.pid;
	} else {
		g.type = F_UNLCK;
	}
	return copy_out(t->space, arg, &g, sizeof(g));
}

sysret_t lock_set_call(struct task *t, uint64_t fd, struct file *f, uva_t arg, bool of_file,
		       bool wait)
{
	struct lock_request q;
	struct range g;
	struct file *now;
	int r = read_range(t, f, arg, of_file, &g, &q);

	if (r == 0 &&
	    ((g.type == F_RDLCK && !file_can_read(f)) || (g.type == F_WRLCK && !file_can_write(f))))
		r = -EBADF;
	if (r == 0)
		r = lock_set(f->inode, &q, wait);
	if (r < 0 || g.type == F_UNLCK)
		return r;
	/* Closed by another thread meanwhile: no close will take the lock away. */
	now = descriptors_get(t->files, (uint32_t) fd);
	if (now != f) {
		q.type = F_UNLCK;
		(void) lock_set(f->inode, &q, false);
		r = -EBADF;
	}
	file_unref(now);
	return r;
}

sysret_t sys_flock(struct task *t, const uint64_t *a)
{
	unsigned int op = (unsigned int) a[1];
	struct lock_request q = { .kind = LOCK_WHOLE,
				  .type = F_UNLCK,
				  .last = LOCK_END,
				  .pid = (int32_t) t->process->pid };
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	q.owner = f;
	switch (op & ~(unsigned int) LOCK_NB) {
	case LOCK_SH:
	case LOCK_EX:
		/* A lock that becomes another is lost first: flock(2). */
		r = lock_set(f->inode, &q, false);
		q.type = op & LOCK_SH ? F_RDLCK : F_WRLCK;
		return r < 0 ? r : lock_set(f->inode, &q, !(op & LOCK_NB));
	case LOCK_UN:
		return lock_set(f->inode, &q, false);
	default:
		return -EINVAL;
	}
}
