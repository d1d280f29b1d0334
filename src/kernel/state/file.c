/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: what has a path is opened by it again, what the host gave is given anew, and pipes
 * are made with what is in them.
 */
#include <asm/fcntl.h>
#include <linux/limits.h>

#include "kernel/core/heap.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/eventfd.h"
#include "kernel/fs/inotify.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/pipe_ring.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/shm.h"
#include "kernel/fs/signalfd.h"
#include "kernel/net/socket.h"
#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

/* Devices that have nothing of their own: null, zero, full, random, urandom. */
#define MEMORY_MAJOR 1
#define PACKET	     ((uint64_t) 1 << 32)

/* Instances of epoll that watch each other. */
#define EPOLLS_DEEP 5

enum how {
	HOW_PATH,
	HOW_GIVEN,
	HOW_PIPE,
	HOW_SHM,
	HOW_EVENT,
	HOW_TIMER,
	HOW_EPOLL,
	HOW_SOCKET,
	HOW_SIGNALS,
	HOW_FIFO,
	HOW_WATCHES,
	HOW_TERMINAL,
	HOW_KINDS
};

/* ---- what is refused ---- */

static const char *of_path(const struct file *f)
{
	const struct inode *i = f->inode;

	if (f->flags & O_PATH)
		return NULL;
	if (inode_is(i, S_IFREG) || inode_is(i, S_IFDIR))
		return NULL;
	if (inode_is(i, S_IFCHR))
		return (i->rdev >> 8 & 0xfff) == MEMORY_MAJOR ? NULL : "a device:";
	return "a special file:";
}

static const char *of_pipe(const struct file *f)
{
	const struct pipe *p = f->own;

	return p->readers > 1 || p->writers > 1 ? "a pipe that was opened more than once:" : NULL;
}

static enum how how_of(const struct state_host *h, struct file *f)
{
	uint64_t nr;

	if (h->given(f) >= 0)
		return HOW_GIVEN;
	if (file_tty(f))
		return HOW_TERMINAL;
	if (f->path.mount && f->flags & O_PATH)
		return HOW_PATH;
	if (f->path.mount && state_is_orphan(f->inode))
		return HOW_SHM;
	if (f->path.mount)
		return file_is_pipe(f) ? HOW_FIFO : HOW_PATH;
	if (file_is_pipe(f))
		return HOW_PIPE;
	if (file_is_eventfd(f))
		return HOW_EVENT;
	if (file_is_timerfd(f))
		return HOW_TIMER;
	if (file_is_epoll(f))
		return HOW_EPOLL;
	if (file_socket(f))
		return HOW_SOCKET;
	if (signalfd_mask(f, &nr))
		return HOW_SIGNALS;
	if (file_is_inotify(f))
		return HOW_WATCHES;
	if (f->ops == file_regular_ops() && inode_is(f->inode, S_IFREG) &&
	    !state_has_super(h, f->inode->super, &nr))
		return HOW_SHM;
	return HOW_KINDS;
}

const char *state_file_why(const struct state_host *h, struct file *f)
{
	switch (how_of(h, f)) {
	case HOW_PATH:
		return of_path(f);
	case HOW_PIPE:
		return of_pipe(f);
	case HOW_GIVEN:
		/* Another may be given. */
		return list_empty(&f->inode->leases) && list_empty(&f->inode->dnotes)
			       ? NULL
			       : "a standard stream with a lease or a watch:";
	case HOW_SHM:
	case HOW_EVENT:
	case HOW_TIMER:
	case HOW_EPOLL:
	case HOW_SIGNALS:
	case HOW_FIFO:
	case HOW_WATCHES:
		return NULL;
	case HOW_SOCKET:
		return state_socket_why(file_socket(f));
	case HOW_TERMINAL:
		return state_terminal_why(f);
	case HOW_KINDS:
		break;
	}
	return "an object of the kernel:";
}

/* Whose it is: of what has no path, and so nobody who opened it. */
static void save_owner(struct state_save *s, const struct file *f)
{
	out_number(s->out, f->inode->uid);
	out_number(s->out, f->inode->gid);
}

static struct cred load_owner(struct state_load *l)
{
	struct cred c = { .fsuid = (uint32_t) in_number(l->in, UINT32_MAX) };

	c.fsgid = (uint32_t) in_number(l->in, UINT32_MAX);
	return c;
}

/* ---- pipes ---- */

/* Which slots there are, and what is in them. */
static void save_ring(struct state_save *s, const struct pipe *p)
{
	out_number(s->out, p->slots);
	out_number(s->out, p->used);
	for (size_t n = 0; n < p->used; n++) {
		const struct slot *at = pipe_slot(p, n);

		out_number(s->out, at->len | (at->packet ? PACKET : 0));
		out_bytes(s->out, at->page + at->off, at->len);
	}
}

static void load_slot(struct state_load *l, struct pipe *p)
{
	uint64_t len = in_number(l->in, PACKET | PAGE_SIZE);
	bool packet = len & PACKET;
	char *page = heap_alloc(PAGE_SIZE);

	len &= ~PACKET;
	if (!page || len == 0 || len > PAGE_SIZE || p->used == p->slots) {
		heap_free(page);
		in_fail(l->in, page ? -EBADMSG : -ENOMEM);
		return;
	}
	in_bytes(l->in, page, (size_t) len);
	*pipe_slot(p, p->used++) = (struct slot){ page, 0, (uint32_t) len, packet };
}

/* Both ends, which stay until all is loaded: who held one holds it, the other goes. Of a FIFO both
 * are one, by which nobody waits for another side. */
struct ends {
	struct file *read, *write;
	struct pipe *fifo;
	uint64_t read_opens, write_opens; /* of a FIFO, as they were */
};

static void load_ring(struct state_load *l, struct file *write)
{
	uint64_t slots = in_number(l->in, PIPE_SIZE_MAX >> PAGE_SHIFT), used;

	if (slots == 0)
		in_fail(l->in, -EBADMSG);
	if (l->in->error == 0 && pipe_set_size(write, slots << PAGE_SHIFT, true) < 0)
		in_fail(l->in, -ENOMEM);
	used = in_number(l->in, slots);
	while (used-- > 0 && l->in->error == 0)
		load_slot(l, write->own);
}

static void save_pipe(struct state_save *s, struct file *f)
{
	out_number(s->out, file_can_write(f));
	save_owner(s, f);
	if (!save_known(s, STATE_PIPE, f->own))
		save_ring(s, f->own);
}

static struct file *load_pipe(struct state_load *l, unsigned int flags)
{
	bool writes = in_flag(l->in);
	const struct cred who = load_owner(l);
	uint64_t nr;
	struct ends *e = load_known(l, STATE_PIPE, &nr);
	struct file *f;

	if (e && e->fifo)
		in_fail(l->in, -EBADMSG);
	if (!e && l->in->error == 0) {
		e = heap_alloc(sizeof(*e));
		if (!e || pipe_make(0, &who, &e->read, &e->write) < 0) {
			heap_free(e);
			in_fail(l->in, -ENOMEM);
			return NULL;
		}
		e->fifo = NULL;
		load_meet(l, STATE_PIPE, nr, e);
		load_ring(l, e->write);
	}
	if (l->in->error < 0)
		return NULL;
	f = writes ? e->write : e->read;
	file_ref(f);
	f->flags = (f->flags & O_ACCMODE) | (flags & ~(unsigned int) O_ACCMODE);
	return f;
}

static void save_fifo(struct state_save *s, struct file *f)
{
	const struct pipe *p = f->own;

	if (save_known(s, STATE_PIPE, p))
		return;
	out_number(s->out, p->read_opens);
	out_number(s->out, p->write_opens);
	save_ring(s, p);
}

/* The pipe that p's inode has is there, with what is in it. */
static void load_fifo_of(struct state_load *l, const struct path *p, const struct cred *who)
{
	uint64_t nr;
	struct ends *e = load_known(l, STATE_PIPE, &nr);
	int r;

	if (e || l->in->error < 0)
		return;
	e = heap_alloc(sizeof(*e));
	r = e ? p->dentry->inode->own ? -EBADMSG : file_open(p, O_RDWR | O_NONBLOCK, who, &e->read)
	      : -ENOMEM;
	if (r < 0) {
		heap_free(e);
		load_fail(l, r, "a named pipe cannot be opened again:", p->dentry->name);
		return;
	}
	e->write = e->read;
	file_ref(e->write);
	e->fifo = e->read->own;
	load_meet(l, STATE_PIPE, nr, e);
	e->read_opens = in_number(l->in, UINT64_MAX);
	e->write_opens = in_number(l->in, UINT64_MAX);
	load_ring(l, e->write);
}

static struct file *load_fifo(struct state_load *l, unsigned int flags)
{
	struct path p = {};
	bool found = load_path(l, &p);
	const struct cred *who = load_cred(l);
	struct file *f = NULL;
	int r;

	if (!found || !who || !inode_is(p.dentry->inode, S_IFIFO) || flags & O_PATH)
		in_fail(l->in, -EBADMSG);
	if (l->in->error == 0)
		load_fifo_of(l, &p, who);
	if (l->in->error == 0) {
		/* Somebody has it open for both. */
		r = p.dentry->inode->own ? file_open(&p, flags | O_NONBLOCK, who, &f) : -EBADMSG;
		if (r < 0)
			in_fail(l->in, r == -ENOMEM ? r : -EBADMSG);
		else
			f->flags = flags;
	}
	path_unref(&p);
	return f;
}

void load_pipes_done(struct state_load *l)
{
	struct ends *e;

	for (uint64_t nr = 0; (e = radix_next(&l->objects[STATE_PIPE], &nr)); nr++) {
		if (e->fifo) {
			e->fifo->read_opens = e->read_opens;
			e->fifo->write_opens = e->write_opens;
		}
		file_unref(e->read);
		file_unref(e->write);
		heap_free(e);
	}
}

/* ---- files without a name ---- */

void save_shm(struct state_save *s, struct inode *i, const char *shown)
{
	out_text(s->out, shown, min_of(strlen(shown), (size_t) 255));
	if (save_known(s, STATE_SHM, i))
		return;
	if (i->links > 0)
		save_refuse(s, "memory of a file that was unmounted:", shown);
	out_number(s->out, i->mode & 07777);
	out_number(s->out, i->uid);
	out_number(s->out, i->gid);
	out_number(s->out, i->seals);
	save_contents(s, &i->pager);
}

struct inode *load_shm(struct state_load *l, char shown[static 256])
{
	static struct cred nobody;
	struct inode *i;
	struct file *f;
	uint32_t mode;
	uint64_t nr;

	(void) in_text(l->in, shown, 256);
	i = load_known(l, STATE_SHM, &nr);
	if (i || l->in->error < 0)
		return i;
	mode = (uint32_t) in_number(l->in, 07777);
	if (shm_file(shown, mode, 0, &nobody, &f) < 0) {
		in_fail(l->in, -ENOMEM);
		return NULL;
	}
	i = f->inode;
	inode_ref(i);
	file_unref(f);
	load_meet(l, STATE_SHM, nr, i);
	i->uid = (uint32_t) in_number(l->in, UINT32_MAX);
	i->gid = (uint32_t) in_number(l->in, UINT32_MAX);
	nr = in_number(l->in, UINT32_MAX);
	load_contents(l, &i->pager);
	i->seals = (unsigned int) nr;
	return l->in->error < 0 ? NULL : i;
}

static struct file *load_nameless(struct state_load *l, unsigned int flags)
{
	char shown[256];
	struct inode *i = load_shm(l, shown);
	const struct cred *who = load_cred(l);
	struct file *f = NULL;

	if (l->in->error < 0)
		return NULL;
	if (file_anonymous(file_regular_ops(), i, shown, flags, NULL, &f) < 0) {
		in_fail(l->in, -ENOMEM);
		return NULL;
	}
	f->who = who ? cred_ref(who) : NULL;
	return f;
}

/* ---- timers and epoll ---- */

static void save_timer(struct state_save *s, struct file *f)
{
	struct timerfd_state t;

	timerfd_tell(f, &t);
	out_number(s->out, (uint64_t) t.clock);
	out_number(s->out, (uint64_t) min_of(t.left, INT64_MAX / 2));
	out_number(s->out, (uint64_t) min_of(t.interval, INT64_MAX / 2));
	out_number(s->out, t.expired);
	save_owner(s, f);
}

static struct file *load_timer(struct state_load *l, unsigned int flags)
{
	struct timerfd_state t = { .clock = (int) in_number(l->in, INT32_MAX) };
	struct cred who;
	struct file *f = NULL;
	int r;

	t.left = (nsec_t) in_number(l->in, INT64_MAX / 2);
	t.interval = (nsec_t) in_number(l->in, INT64_MAX / 2);
	t.expired = in_number(l->in, UINT64_MAX);
	who = load_owner(l);
	if (l->in->error < 0)
		return NULL;
	r = timerfd_make(t.clock, flags & ~(unsigned int) O_ACCMODE, &who, &f);
	if (r < 0)
		in_fail(l->in, r == -EINVAL ? -EBADMSG : r);
	else
		timerfd_load(f, &t);
	return f;
}

/* What is watched may be met here first; all of it is in some table. */
static void save_epoll(struct state_save *s, struct file *f)
{
	struct epoll_watch w;

	save_owner(s, f);
	for (uint64_t n = 0; s->out->error == 0 && epoll_watch_at(f, n, &w); n++) {
		out_number(s->out, 1);
		out_number(s->out, w.fd);
		out_number(s->out, w.events);
		out_number(s->out, w.data);
		save_file(s, w.file);
	}
	out_number(s->out, 0);
}

/* Signals that are watched are those of who asked for it. */
static int watch(struct state_load *l, struct file *epoll, const struct epoll_watch *w)
{
	struct fiber *me = fiber_now();
	void *was = me->owner;
	uint64_t mask;
	int r;

	if (l->task && signalfd_mask(w->file, &mask))
		me->owner = l->task;
	r = epoll_watch_load(epoll, w);
	me->owner = was;
	return r;
}

static struct file *load_epoll(struct state_load *l)
{
	const struct cred who = load_owner(l);
	struct epoll_watch w;
	struct file *f = NULL;

	if (l->in->error == 0 && epoll_make(&who, &f) < 0)
		in_fail(l->in, -ENOMEM);
	if (++l->deep > EPOLLS_DEEP)
		in_fail(l->in, -EBADMSG);
	while (in_flag(l->in)) {
		w.fd = in_number(l->in, UINT32_MAX);
		w.events = (uint32_t) in_number(l->in, UINT32_MAX);
		w.data = in_number(l->in, UINT64_MAX);
		w.file = load_file(l);
		if (w.file && watch(l, f, &w) < 0)
			in_fail(l->in, -EBADMSG);
	}
	l->deep--;
	if (l->in->error == 0)
		return f;
	file_unref(f);
	return NULL;
}

/* ---- all kinds ---- */

void save_file(struct state_save *s, struct file *f)
{
	enum how how = how_of(s->host, f);
	uint64_t nr = s->counts[STATE_FILE], mask = 0;
	const char *why;

	if (save_known(s, STATE_FILE, f))
		return;
	if (!s->dry && radix_set(&s->files, nr, f) < 0) {
		s->out->error = -ENOMEM;
		return;
	}
	why = state_file_why(s->host, f);
	if (why) {
		save_refuse(s, why, f->path.dentry->name);
		return;
	}
	out_number(s->out, how);
	out_number(s->out, f->flags & ~(unsigned int) FASYNC);
	out_number(s->out, f->pos);
	switch (how) {
	case HOW_PATH:
		save_path(s, &f->path);
		save_cred(s, f->who);
		break;
	case HOW_GIVEN:
		out_number(s->out, (uint64_t) s->host->given(f));
		break;
	case HOW_PIPE:
		save_pipe(s, f);
		break;
	case HOW_SHM:
		save_shm(s, f->inode, f->path.dentry->name);
		save_cred(s, f->who);
		break;
	case HOW_EVENT:
		out_number(s->out, eventfd_count(f));
		out_number(s->out, eventfd_counts_down(f));
		save_owner(s, f);
		break;
	case HOW_TIMER:
		save_timer(s, f);
		break;
	case HOW_EPOLL:
		save_epoll(s, f);
		break;
	case HOW_SOCKET:
		save_socket(s, file_socket(f));
		save_owner(s, f);
		break;
	case HOW_SIGNALS:
		(void) signalfd_mask(f, &mask);
		out_number(s->out, mask);
		save_owner(s, f);
		break;
	case HOW_FIFO:
		save_path(s, &f->path);
		save_cred(s, f->who);
		save_fifo(s, f);
		break;
	case HOW_WATCHES:
		save_inotify(s, f);
		break;
	case HOW_TERMINAL:
		save_terminal_file(s, f);
		break;
	case HOW_KINDS:
		break;
	}
}

/* ---- loading ---- */

static struct file *open_again(struct state_load *l, unsigned int flags)
{
	struct path p = {};
	bool found = load_path(l, &p);
	const struct cred *who = load_cred(l);
	struct file *f = NULL;
	int r;

	if (l->in->error < 0 || !found || !who) {
		in_fail(l->in, -EBADMSG);
	} else if (inode_is(p.dentry->inode, S_IFCHR) && !(flags & O_PATH) &&
		   (p.dentry->inode->rdev >> 8 & 0xfff) != MEMORY_MAJOR) {
		in_fail(l->in, -EBADMSG);
	} else if (inode_is(p.dentry->inode, S_IFIFO) && !(flags & O_PATH)) {
		in_fail(l->in, -EBADMSG);
	} else {
		r = file_open(&p, flags, who, &f);
		if (r < 0)
			load_fail(l, r, "a file that the workload has open cannot be opened again:",
				  p.dentry->name);
	}
	path_unref(&p);
	return f;
}

static struct file *load_event(struct state_load *l, unsigned int flags)
{
	uint64_t count = in_number(l->in, UINT64_MAX - 1);
	bool down = in_flag(l->in);
	const struct cred who = load_owner(l);
	struct file *f = NULL;

	if (l->in->error == 0 &&
	    eventfd_make(count, flags & ~(unsigned int) O_ACCMODE, down, &who, &f) < 0)
		in_fail(l->in, -ENOMEM);
	return f;
}

static struct file *load_signals(struct state_load *l, unsigned int flags)
{
	uint64_t mask = in_number(l->in, UINT64_MAX);
	const struct cred who = load_owner(l);
	struct file *f = NULL;

	if (l->in->error == 0 &&
	    signalfd_make(mask, flags & ~(unsigned int) O_ACCMODE, &who, &f) < 0)
		in_fail(l->in, -ENOMEM);
	return f;
}

static struct file *load_given(struct state_load *l)
{
	uint64_t nr = in_number(l->in, 2);
	struct file *f = l->in->error == 0 ? l->host->give((unsigned int) nr) : NULL;

	if (!f)
		load_fail(l, -EBADF, "a standard stream of the workload is missing", NULL);
	return f;
}

static struct file *load_socket_file(struct state_load *l, unsigned int flags)
{
	struct socket *s = load_socket(l);
	const struct cred who = load_owner(l);
	struct file *f = NULL;

	if (l->in->error < 0)
		return NULL;
	/* Each has one, and none that stands in a backlog. */
	if (!socket_is_homeless(s))
		in_fail(l->in, -EBADMSG);
	else if (socket_file(s, (int) (flags & O_NONBLOCK), &who, &f) < 0)
		in_fail(l->in, -ENOMEM);
	if (f)
		f->flags = (flags & ~(unsigned int) O_ACCMODE) | O_RDWR;
	return f;
}

struct file *load_file(struct state_load *l)
{
	uint64_t nr, pos;
	struct file *f = load_known(l, STATE_FILE, &nr);
	enum how how;
	unsigned int flags;

	if (f || l->in->error < 0)
		return f;
	how = (enum how) in_number(l->in, HOW_KINDS - 1);
	/* load_owners() has that again. */
	flags = (unsigned int) in_number(l->in, UINT32_MAX) & ~(unsigned int) FASYNC;
	pos = in_number(l->in, UINT64_MAX);
	switch (how) {
	case HOW_PATH:
		f = open_again(l, flags);
		break;
	case HOW_GIVEN:
		f = load_given(l);
		break;
	case HOW_PIPE:
		f = load_pipe(l, flags);
		break;
	case HOW_SHM:
		f = load_nameless(l, flags);
		break;
	case HOW_EVENT:
		f = load_event(l, flags);
		break;
	case HOW_TIMER:
		f = load_timer(l, flags);
		break;
	case HOW_EPOLL:
		f = load_epoll(l);
		break;
	case HOW_SOCKET:
		f = load_socket_file(l, flags);
		break;
	case HOW_SIGNALS:
		f = load_signals(l, flags);
		break;
	case HOW_FIFO:
		f = load_fifo(l, flags);
		break;
	case HOW_WATCHES:
		f = load_inotify(l, flags);
		break;
	case HOW_TERMINAL:
		f = load_terminal_file(l, flags);
		break;
	case HOW_KINDS:
		break;
	}
	if (!f)
		return NULL;
	f->pos = pos;
	load_meet(l, STATE_FILE, nr, f);
	return f;
}
