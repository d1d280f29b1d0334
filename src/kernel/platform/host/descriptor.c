/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/platform/host/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/fs/devices.h"
#include "kernel/platform/host/host.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

/* Bytes that go through the kernel at once. */
#define PART ((size_t) 64 << 10)

#define MEMORY_MAJOR 1 /* null and its kin */

enum kind { KIND_SOCKET, KIND_PIPE, KIND_TERMINAL, KIND_FILE };

struct descriptor {
	struct host_watch watch;
	enum kind kind;
	int fd;
	unsigned int owners; /* files */
	unsigned int flags;  /* the host's: access mode and O_APPEND */
	unsigned int given;  /* host_descriptor_mark()'s number + 1; 0: none */
	bool watched;
	bool no_nowait; /* KIND_PIPE: the host's kernel has no RWF_NOWAIT for it */
	struct inode *inode;
	struct waitq waiters;
	uint64_t happened; /* how often something became possible */
	/* Held while bytes are fetched from or brought to a guest, which may park. */
	struct sleeplock reading, writing;
	char *in, *out; /* PART bytes each, once they are needed */
};

static struct heap_cache descriptors = HEAP_CACHE_INIT(struct descriptor);

static void ready(struct host_watch *w, uint32_t events)
{
	struct descriptor *d = container_of(w, struct descriptor, watch);

	(void) events; /* who waits looks for itself */
	d->happened++;
	(void) waitq_wake(&d->waiters, 0, 0);
}

/* Whether poll(2) says that one of `events` is possible, or that an error or hang-up is to be told.
 */
static bool possible(const struct descriptor *d, short events)
{
	struct pollfd p = { .fd = d->fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

static char *part_of(char **buffer)
{
	if (!*buffer)
		*buffer = heap_alloc(PART);
	return *buffer;
}

static int64_t result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* ---- reading ---- */

static int64_t read_pipe(struct descriptor *d, struct iovec *v)
{
	int64_t n;

	if (!d->no_nowait) {
		n = result(preadv2(d->fd, v, 1, -1, RWF_NOWAIT));
		if (n != -EOPNOTSUPP)
			return n;
		d->no_nowait = true;
	}
	return possible(d, POLLIN) ? result(readv(d->fd, v, 1)) : -EAGAIN;
}

/* at: -1, or a position of the caller's own. */
static int64_t read_host(struct descriptor *d, void *to, size_t n, int64_t at)
{
	struct iovec v = { .iov_base = to, .iov_len = n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	switch (d->kind) {
	case KIND_SOCKET:
		return result(recvmsg(d->fd, &m, MSG_DONTWAIT));
	case KIND_PIPE:
		return read_pipe(d, &v);
	case KIND_TERMINAL:
		return result(readv(d->fd, &v, 1));
	case KIND_FILE:
		return result(preadv2(d->fd, &v, 1, at, 0));
	}
	return -EIO;
}

static int64_t take(struct descriptor *d, struct uio *to, int64_t at)
{
	char *bytes = part_of(&d->in);
	int64_t n = bytes ? read_host(d, bytes, min_of(PART, (size_t) to->left), at) : -ENOMEM;

	return n > 0 ? uio_out(to, bytes, (size_t) n) : n;
}

/* Until something became possible after `seen`. */
static int wait_for(struct file *f, struct descriptor *d, uint64_t seen)
{
	if (f->flags & O_NONBLOCK)
		return -EAGAIN;
	return waitq_wait(&d->waiters, d->happened != seen, NSEC_NEVER, fiber_interrupted());
}

static int64_t descriptor_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct descriptor *d = f->own;
	bool own = pos == &f->pos;

	if (to->left == 0)
		return 0;
	for (;;) {
		uint64_t seen = d->happened;
		int64_t n;

		sleeplock_take(&d->reading);
		n = take(d, to, own ? -1 : (int64_t) *pos);
		sleeplock_give(&d->reading);
		if (n > 0)
			*pos += (uint64_t) n;
		if (n == -EAGAIN)
			n = wait_for(f, d, seen);
		if (n != 0 || d->happened == seen)
			return n;
	}
}

/* ---- writing ---- */

static int64_t write_pipe(struct descriptor *d, struct iovec *v)
{
	int64_t n;

	if (!d->no_nowait) {
		n = result(pwritev2(d->fd, v, 1, -1, RWF_NOWAIT));
		if (n != -EOPNOTSUPP)
			return n;
		d->no_nowait = true;
	}
	v->iov_len = min_of(v->iov_len, (size_t) PIPE_BUF);
	return possible(d, POLLOUT) ? result(writev(d->fd, v, 1)) : -EAGAIN;
}

static int64_t write_host(struct descriptor *d, void *from, size_t n, int64_t at, bool append)
{
	struct iovec v = { .iov_base = from, .iov_len = n };

	switch (d->kind) {
	case KIND_SOCKET:
		return result(send(d->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL));
	case KIND_PIPE:
		return write_pipe(d, &v);
	case KIND_TERMINAL:
		return result(writev(d->fd, &v, 1));
	case KIND_FILE:
		return result(pwritev2(d->fd, &v, 1, at, append ? RWF_APPEND : 0));
	}
	return -EIO;
}

/* As much as the host takes now; `from` is on by that. */
static int64_t put(struct descriptor *d, struct uio *from, int64_t at, bool append)
{
	const struct uio before = *from;
	char *bytes = part_of(&d->out);
	int64_t n = bytes ? uio_in(from, bytes, min_of(PART, (size_t) from->left)) : -ENOMEM;

	if (n > 0)
		n = write_host(d, bytes, (size_t) n, at, append);
	*from = before;
	if (n > 0)
		uio_skip(from, (uint64_t) n);
	return n;
}

static int64_t descriptor_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct descriptor *d = f->own;
	bool own = pos == &f->pos, append = f->flags & ~d->flags & O_APPEND;
	int64_t done = 0, n = 0;

	while (from->left > 0 && n >= 0) {
		uint64_t seen = d->happened;

		sleeplock_take(&d->writing);
		n = put(d, from, own ? -1 : (int64_t) *pos, append);
		sleeplock_give(&d->writing);
		if (n > 0) {
			done += n;
			*pos += (uint64_t) n;
		} else if (n == -EAGAIN) {
			n = wait_for(f, d, seen);
		} else if (n == 0) {
			break;
		}
	}
	return done ? done : n;
}

/* ---- the rest ---- */

static unsigned int descriptor_poll(struct file *f, struct waiter *w)
{
	struct descriptor *d = f->own;
	struct pollfd p = { .fd = d->fd, .events = POLLPRI | POLLRDHUP };

	if (w)
		waitq_add(&d->waiters, w);
	if (file_can_read(f))
		p.events |= POLLIN | POLLRDNORM;
	if (file_can_write(f))
		p.events |= POLLOUT | POLLWRNORM;
	return poll(&p, 1, 0) > 0 ? (unsigned int) p.revents : 0;
}

/* What only asks. Changes of a terminal would outlast the guest, and job control needs a session of
 * the host's. */
static const struct {
	unsigned int request;
	size_t bytes;
	bool terminal;
} questions[] = {
	{ FIONREAD, sizeof(int), false },
	{ TIOCOUTQ, sizeof(int), false },
	{ TCGETS, 36, true }, /* the kernel's struct termios */
	{ TIOCGWINSZ, sizeof(struct winsize), true },
};

static sysret_t descriptor_ioctl(struct file *f, unsigned int request, uint64_t arg,
				 struct space *s)
{
	const struct descriptor *d = f->own;
	char answer[64] = {};

	for (size_t n = 0; n < countof(questions); n++) {
		if (questions[n].request != request)
			continue;
		if (questions[n].terminal && d->kind != KIND_TERMINAL)
			break;
		if (ioctl(d->fd, request, answer) < 0)
			return -errno;
		return copy_out(s, uva(arg), answer, questions[n].bytes);
	}
	return -ENOTTY;
}

static int64_t regular_seek(struct file *f, int64_t offset, int whence)
{
	const struct descriptor *d = f->own;
	off_t at = lseek(d->fd, offset, whence);

	return at < 0 ? -errno : at;
}

static int regular_sync(struct file *f, bool data_only)
{
	const struct descriptor *d = f->own;

	return (data_only ? fdatasync(d->fd) : fsync(d->fd)) < 0 ? -errno : 0;
}

static void descriptor_release(struct file *f)
{
	struct descriptor *d = f->own;

	if (--d->owners > 0)
		return;
	if (d->watched)
		host_unwatch(d->fd);
	(void) close(d->fd);
	if (d->inode)
		d->inode->own = NULL;
	heap_free(d->in);
	heap_free(d->out);
	heap_cache_free(&descriptors, d);
}

static const struct file_ops stream_ops = {
	.read = descriptor_read,
	.write = descriptor_write,
	.poll = descriptor_poll,
	.ioctl = descriptor_ioctl,
	.release = descriptor_release,
	.breaks = true,
};

/* Of what has a position: KIND_FILE. */
static const struct file_ops regular_ops = {
	.read = descriptor_read,
	.write = descriptor_write,
	.poll = descriptor_poll,
	.ioctl = descriptor_ioctl,
	.seek = regular_seek,
	.sync = regular_sync,
	.release = descriptor_release,
};

static const struct file_ops *ops_of(const struct descriptor *d)
{
	return d->kind == KIND_FILE ? &regular_ops : &stream_ops;
}

/* ---- the inode ---- */

/* Opened again, by /proc/PID/fd. */
static int inode_open(struct inode *i, struct file *f)
{
	struct descriptor *d = i->own;
	unsigned int mode = d ? d->flags & O_ACCMODE : 0;

	if (!d)
		return -ENXIO;
	if ((file_can_read(f) && mode == O_WRONLY) || (file_can_write(f) && mode == O_RDONLY))
		return -EACCES;
	d->owners++;
	f->ops = ops_of(d);
	f->own = d;
	return 0;
}

static int inode_refresh(struct inode *i)
{
	const struct descriptor *d = i->own;
	struct stat st;

	if (d && d->kind == KIND_FILE && fstat(d->fd, &st) == 0)
		i->pager.size = (uint64_t) st.st_size;
	return 0;
}

static int (*change_rest)(struct inode *i, const struct vfs_change *c);

/* The size is the host's; mode, owner and times are the guest's alone. */
static int inode_set(struct inode *i, const struct vfs_change *c)
{
	const struct descriptor *d = i->own;
	struct vfs_change rest = *c;

	if (c->what & ATTR_SIZE && inode_is(i, S_IFREG) && d) {
		if (ftruncate(d->fd, (off_t) c->size) < 0)
			return -errno;
		i->pager.size = c->size;
		rest.what &= ~(unsigned int) ATTR_SIZE;
	}
	return change_rest(i, &rest);
}

static struct inode *inode_of(struct descriptor *d, const struct stat *st, const struct cred *who)
{
	static struct inode_ops inode_ops;
	struct inode *i = anon_inode(st->st_mode & (S_IFMT | 0777), who);

	if (!i)
		return NULL;
	inode_ops = *i->ops;
	change_rest = i->ops->change;
	inode_ops.open = inode_open;
	inode_ops.refresh = inode_refresh;
	inode_ops.change = inode_set;
	i->ops = &inode_ops;
	i->own = d;
	if (S_ISCHR(st->st_mode))
		i->rdev = device_number(major(st->st_rdev), minor(st->st_rdev));
	if (S_ISREG(st->st_mode))
		i->pager.size = (uint64_t) st->st_size;
	return i;
}

/* ---- new ones ---- */

static int kind_of(int fd, const struct stat *st, int flags, enum kind *ret_kind)
{
	char termios[64];

	if (S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && major(st->st_rdev) == MEMORY_MAJOR &&
				     minor(st->st_rdev) >= 3 && minor(st->st_rdev) <= 9))
		*ret_kind = KIND_FILE;
	else if (S_ISSOCK(st->st_mode))
		*ret_kind = KIND_SOCKET;
	else if (S_ISFIFO(st->st_mode))
		*ret_kind = KIND_PIPE;
	else if (S_ISCHR(st->st_mode) && ioctl(fd, TCGETS, termios) == 0 && flags & O_NONBLOCK)
		*ret_kind = KIND_TERMINAL;
	else
		return -EOPNOTSUPP;
	return 0;
}

static const char *const names[] = {
	[KIND_SOCKET] = "socket",
	[KIND_PIPE] = "pipe",
	[KIND_TERMINAL] = "tty",
	[KIND_FILE] = "file",
};

static int make(struct descriptor *d, const struct stat *st, const struct cred *who,
		struct file **ret)
{
	struct inode *i;
	int r;

	waitq_init(&d->waiters);
	sleeplock_init(&d->reading);
	sleeplock_init(&d->writing);
	d->watch.ready = ready;
	r = host_watch(d->fd, &d->watch, EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP);
	if (r < 0 && r != -EPERM)
		return r;
	d->watched = r == 0;
	i = inode_of(d, st, who);
	r = i ? anon_file(i, names[d->kind], ops_of(d), d->flags, d, ret) : -ENOMEM;
	if (r == 0)
		d->inode = i; /* the file's, which d outlives by nothing */
	else if (d->watched)
		host_unwatch(d->fd);
	inode_unref(i);
	return r;
}

int host_descriptor(int fd, const struct cred *who, struct file **ret)
{
	int flags = fcntl(fd, F_GETFL), r;
	struct descriptor *d;
	enum kind kind;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = kind_of(fd, &st, flags, &kind);
	if (r < 0)
		return r;
	d = heap_cache_alloc(&descriptors);
	if (!d)
		return -ENOMEM;
	*d = (struct descriptor){ .kind = kind,
				  .fd = fd,
				  .owners = 1,
				  .flags = (unsigned int) flags & (O_ACCMODE | O_APPEND) };
	r = make(d, &st, who, ret);
	if (r < 0)
		heap_cache_free(&descriptors, d);
	return r;
}

void host_descriptor_mark(struct file *f, unsigned int nr)
{
	((struct descriptor *) f->own)->given = nr + 1;
}

int host_descriptor_marked(const struct file *f)
{
	const struct descriptor *d = f->own;

	return f->ops == &stream_ops || f->ops == &regular_ops ? (int) d->given - 1 : -1;
}
