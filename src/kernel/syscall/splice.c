/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice, tee, vmsplice: through pipes. Bytes are copied, or change pipes with their page; what the
 * other side did not take stays in the pipe.
 */
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/fs/pipe.h"
#include "kernel/net/socket.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/pollset.h"
#include "kernel/task/signal.h"

#define NONBLOCK 2u  /* SPLICE_F_NONBLOCK; MOVE, MORE and GIFT are hints */
#define KNOWN	 15u /* all four */
#define MOST	 ((uint64_t) 0x7ffff000)

/* The side that is no pipe. */
struct side {
	struct task *t;
	struct file *f;
	uint64_t at;
	bool own_at; /* the position is the caller's */
	bool waits;  /* it is the file that is not ready */
};

static int64_t told(struct task *t, const struct file *out, int64_t n)
{
	if (n == -EPIPE && (file_is_pipe(out) || socket_breaks(out)))
		signal_task(t, SIGPIPE);
	return n;
}

/* Nobody waits for a file with the pipe in hand. */
static bool is_ready(struct side *x, unsigned int events)
{
	unsigned int ends = POLLHUP | POLLERR | POLLRDHUP;

	x->waits = x->f->ops->poll && !(x->f->ops->poll(x->f, NULL) & (events | ends));
	return !x->waits;
}

static int wait_for(const struct side *x, unsigned int events)
{
	struct poll_one *p = pollset_new(1);
	int64_t r = -ENOMEM;

	if (!p)
		return -ENOMEM;
	p->wanted = events;
	p->file = x->f;
	file_ref(x->f);
	r = pollset_wait(p, 1, NSEC_NEVER);
	pollset_free(p, 1);
	return r < 0 ? (int) r : 0;
}

static int64_t from_file(void *arg, char *to, size_t room)
{
	struct side *x = arg;
	struct uio u;

	if (!is_ready(x, POLLIN | POLLRDNORM))
		return -EAGAIN;
	uio_kernel(&u, to, room);
	return vfs_read(x->f, &u, x->own_at ? &x->at : NULL);
}

static int64_t write_to(struct side *x, const char *bytes, size_t n)
{
	struct uio u;

	uio_kernel(&u, (char *) (uintptr_t) bytes, n);
	return file_write(x->f, &u, x->own_at ? &x->at : NULL,
			  process_limit(x->t->process, RLIMIT_FSIZE));
}

/* A socket takes more than what makes it ready for poll(2): until it would wait, which it must not
 * do here. Nobody else runs meanwhile, and sees the flag. */
static int64_t try_socket(struct side *x, const char *bytes, size_t n)
{
	unsigned int was = x->f->flags & O_NONBLOCK;
	int64_t r;

	x->f->flags |= O_NONBLOCK;
	r = write_to(x, bytes, n);
	x->f->flags = (x->f->flags & ~(unsigned int) O_NONBLOCK) | was;
	x->waits = r == -EAGAIN;
	return r;
}

static int64_t to_file(void *arg, const char *bytes, size_t n)
{
	struct side *x = arg;

	if (inode_is(x->f->inode, S_IFSOCK))
		return try_socket(x, bytes, n);
	return is_ready(x, POLLOUT | POLLWRNORM) ? write_to(x, bytes, n) : -EAGAIN;
}

/* What has contents that go by: no directories, eventfds and the like. */
static bool has_contents(const struct file *f)
{
	return f->ops->seek || inode_is(f->inode, S_IFCHR) || inode_is(f->inode, S_IFSOCK);
}

/* A position, if one is given: of what has any. */
static int position_in(struct side *x, uint64_t from)
{
	if (!from)
		return 0;
	if (!x->f->ops->seek)
		return -EINVAL;
	x->own_at = true;
	if (copy_in(x->t->space, &x->at, uva(from), sizeof(x->at)) < 0)
		return -EFAULT;
	return (int64_t) x->at < 0 ? -EINVAL : 0;
}

static int64_t position_out(const struct side *x, uint64_t to, int64_t n)
{
	if (n > 0 && to && copy_out(x->t->space, uva(to), &x->at, sizeof(x->at)) < 0)
		return -EFAULT;
	return n;
}

static int64_t into_pipe(struct side *x, uint64_t at, struct file *pipe, size_t n, bool nonblock)
{
	int64_t r = position_in(x, at);

	if (r == 0 && (!x->f->ops->read || inode_is(x->f->inode, S_IFDIR) || !has_contents(x->f)))
		r = -EINVAL;
	while (r == 0) {
		r = pipe_fill(pipe, n, nonblock, from_file, x);
		if (r != -EAGAIN || !x->waits || x->f->flags & O_NONBLOCK)
			break;
		r = wait_for(x, POLLIN);
	}
	return position_out(x, at, told(x->t, pipe, r));
}

static int64_t out_of_pipe(struct file *pipe, struct side *x, uint64_t at, size_t n, bool nonblock)
{
	int64_t r = position_in(x, at);

	if (r == 0 && (!x->f->ops->write || x->f->flags & O_APPEND || !has_contents(x->f)))
		r = -EINVAL;
	while (r == 0) {
		r = pipe_pour(pipe, n, nonblock, to_file, x);
		if (r != -EAGAIN || !x->waits || x->f->flags & O_NONBLOCK)
			break;
		r = wait_for(x, POLLOUT);
	}
	return position_out(x, at, told(x->t, x->f, r));
}

static int both(struct task *t, uint64_t from, uint64_t to, struct file **ret_in,
		struct file **ret_out)
{
	int r = fd_file(t, from, ret_in);

	if (r == 0)
		r = fd_file(t, to, ret_out);
	return r < 0 ? r : file_can_read(*ret_in) && file_can_write(*ret_out) ? 0 : -EBADF;
}

sysret_t sys_splice(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[5];
	auto_file struct file *in = NULL, *out = NULL;
	size_t n = (size_t) min_of(a[4], MOST);
	struct side x = { .t = t };
	bool nonblock;
	int r;

	if (n == 0)
		return 0;
	if (flags & ~KNOWN)
		return -EINVAL;
	r = both(t, a[0], a[2], &in, &out);
	if (r < 0)
		return r;
	if ((file_is_pipe(in) && a[1]) || (file_is_pipe(out) && a[3]))
		return -ESPIPE;
	nonblock = flags & NONBLOCK || (file_is_pipe(in) && in->flags & O_NONBLOCK) ||
		   (file_is_pipe(out) && out->flags & O_NONBLOCK);
	if (file_is_pipe(in) && file_is_pipe(out))
		return pipe_same(in, out) ? -EINVAL
					  : told(t, out, pipe_pass(in, out, n, nonblock, false));
	if (file_is_pipe(in)) {
		x.f = out;
		return out_of_pipe(in, &x, a[3], n, nonblock);
	}
	x.f = in;
	return file_is_pipe(out) ? into_pipe(&x, a[1], out, n, nonblock) : -EINVAL;
}

sysret_t sys_tee(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[3];
	auto_file struct file *in = NULL, *out = NULL;
	bool nonblock;
	int r;

	if (flags & ~KNOWN)
		return -EINVAL;
	if (a[2] == 0)
		return 0;
	r = both(t, a[0], a[1], &in, &out);
	if (r < 0)
		return r;
	if (!file_is_pipe(in) || !file_is_pipe(out) || pipe_same(in, out))
		return -EINVAL;
	nonblock = flags & NONBLOCK || (in->flags | out->flags) & O_NONBLOCK;
	return told(t, out, pipe_pass(in, out, (size_t) min_of(a[2], MOST), nonblock, true));
}

/* ---- vmsplice ---- */

static int64_t from_guest(void *arg, char *to, size_t room)
{
	return uio_in(arg, to, room);
}

static int64_t to_guest(void *arg, const char *bytes, size_t n)
{
	return uio_out(arg, bytes, n);
}

sysret_t sys_vmsplice(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[3];
	auto_file struct file *f = NULL;
	struct uio u;
	int64_t n;

	if (flags & ~KNOWN)
		return -EINVAL;
	n = fd_file(t, a[0], &f);
	if (n == 0 && !file_is_pipe(f))
		n = -EBADF;
	if (n == 0)
		n = uio_from(&u, t->space, uva(a[1]), a[2]);
	if (n < 0)
		return n;
	if (u.left > 0 && file_can_write(f))
		n = told(t, f, pipe_fill(f, (size_t) u.left, flags & NONBLOCK, from_guest, &u));
	else if (u.left > 0)
		n = pipe_pour(f, (size_t) u.left, flags & NONBLOCK, to_guest, &u);
	uio_fini(&u);
	return n;
}
