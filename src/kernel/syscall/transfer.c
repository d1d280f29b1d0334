/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from file to file without the guest's memory: sendfile, copy_file_range. */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"

#define AT_ONCE ((size_t) 64 << 10)
#define MOST	((uint64_t) 0x7ffff000) /* of one call: Linux's MAX_RW_COUNT */

struct transfer {
	struct task *t;
	struct file *in, *out;
	uint64_t in_at, *out_at; /* out_at NULL: the file's own position */
	uint64_t left;
};

/* One piece: how many bytes; 0 at the end. in_at goes on by what was written. */
static int64_t piece(struct transfer *x, char *bytes)
{
	uint64_t limit = process_limit(x->t->process, RLIMIT_FSIZE), at = x->in_at;
	struct uio u;
	int64_t n;

	uio_kernel(&u, bytes, (size_t) min_of(x->left, (uint64_t) AT_ONCE));
	n = vfs_read(x->in, &u, &at);
	if (n <= 0)
		return n;
	uio_kernel(&u, bytes, (size_t) n);
	n = file_write(x->out, &u, x->out_at, limit);
	if (n > 0) {
		x->in_at += (uint64_t) n;
		x->left -= (uint64_t) n;
	}
	return n;
}

static int64_t move(struct transfer *x)
{
	char *bytes = heap_alloc(AT_ONCE);
	int64_t done = 0, n = 1;

	if (!bytes)
		return -ENOMEM;
	while (x->left > 0 && n > 0) {
		n = fiber_interrupted();
		if (n == 0)
			n = piece(x, bytes);
		if (n > 0)
			done += n;
	}
	heap_free(bytes);
	return done ? done : n;
}

/* Two ranges of so many bytes fit below the end of numbers. */
static bool fits(uint64_t at, uint64_t len)
{
	uint64_t end;

	return (int64_t) at >= 0 && !__builtin_add_overflow(at, len, &end) && (int64_t) end >= 0;
}

sysret_t sys_sendfile(struct task *t, const uint64_t *a)
{
	auto_file struct file *in = NULL, *out = NULL;
	struct transfer x = { .t = t, .left = min_of(a[3], MOST) };
	int64_t n;
	int r = fd_file(t, a[1], &in);

	if (r == 0)
		r = file_can_read(in) ? fd_file(t, a[0], &out) : -EBADF;
	if (r == 0 && !file_can_write(out))
		r = -EBADF;
	if (r == 0 && a[2] && !in->ops->seek)
		r = -ESPIPE;
	if (r == 0 && a[2])
		r = copy_in(t->space, &x.in_at, uva(a[2]), sizeof(x.in_at));
	if (r < 0)
		return r;
	/* Of streams what was read and could not be written would be lost. */
	if (!in->ops->seek || inode_is(in->inode, S_IFDIR) || out->flags & O_APPEND)
		return -EINVAL;
	x.in = in;
	x.out = out;
	if (!a[2])
		x.in_at = in->pos;
	if (!fits(x.in_at, 0))
		return -EINVAL;
	n = move(&x);
	/* The position is told whatever came of it, as Linux does. */
	if (a[2] && copy_out(t->space, uva(a[2]), &x.in_at, sizeof(x.in_at)) < 0)
		return -EFAULT;
	if (!a[2] && n > 0)
		in->pos = x.in_at;
	return n;
}

static int contents(const struct file *f)
{
	return inode_is(f->inode, S_IFREG) ? 0 : inode_is(f->inode, S_IFDIR) ? -EISDIR : -EINVAL;
}

/* Positions that are NULL are the files' own. */
static int positions(struct task *t, const uint64_t *a, struct transfer *x, uint64_t *out_at)
{
	int r = a[1] ? copy_in(t->space, &x->in_at, uva(a[1]), sizeof(x->in_at)) : 0;

	if (r == 0 && a[3])
		r = copy_in(t->space, out_at, uva(a[3]), sizeof(*out_at));
	if (!a[1])
		x->in_at = x->in->pos;
	if (!a[3])
		*out_at = x->out->pos;
	return r;
}

sysret_t sys_copy_file_range(struct task *t, const uint64_t *a)
{
	auto_file struct file *in = NULL, *out = NULL;
	struct transfer x = { .t = t, .left = min_of(a[4], MOST) };
	uint64_t out_at;
	int64_t n;
	int r = fd_file(t, a[0], &in);

	if (r == 0)
		r = fd_file(t, a[2], &out);
	x.in = in;
	x.out = out;
	if (r == 0)
		r = positions(t, a, &x, &out_at);
	if (r == 0 && (unsigned int) a[5])
		r = -EINVAL;
	if (r == 0)
		r = contents(in);
	if (r == 0)
		r = contents(out);
	if (r == 0 && (!file_can_read(in) || !file_can_write(out) || out->flags & O_APPEND))
		r = -EBADF;
	if (r == 0 && (!fits(x.in_at, x.left) || !fits(out_at, x.left)))
		r = -EOVERFLOW;
	if (r == 0 && in->inode == out->inode && x.in_at < out_at + x.left &&
	    out_at < x.in_at + x.left)
		r = -EINVAL;
	if (r < 0)
		return r;
	x.out_at = &out_at;
	n = move(&x);
	if (n <= 0)
		return n;
	if (!a[1])
		in->pos = x.in_at;
	else if (copy_out(t->space, uva(a[1]), &x.in_at, sizeof(x.in_at)) < 0)
		return -EFAULT;
	if (!a[3])
		out->pos = out_at;
	else if (copy_out(t->space, uva(a[3]), &out_at, sizeof(out_at)) < 0)
		return -EFAULT;
	return n;
}
