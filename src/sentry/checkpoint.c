/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/checkpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "kernel/fs/fuse.h"
#include "kernel/platform/host/descriptor.h"
#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/task/hold.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "sentry/sandbox.h"
#include "sentry/terminal.h"

#define HOLD_WITHIN  (10 * NSEC_PER_SEC)
#define DRAIN_WITHIN NSEC_PER_SEC
#define DRAIN_LOOK   (NSEC_PER_SEC / 1000)
#define STREAM_MAX   ((size_t) 512 << 20)
#define AT_ONCE	     64 /* pages of one write */

static const char magic[16] = "atoll sandbox 1";

struct head {
	char magic[sizeof(magic)];
	uint64_t pages, bytes; /* of memory; of the stream behind them */
	char kernel[2 * 65];   /* of the host, whose vDSO the guest has */
};

/* ---- of the host ---- */

/* Before the filter, as it has no uname(2). */
static struct head own;

static void fill_head(void)
{
	struct utsname u;

	memcpy(own.magic, magic, sizeof(magic));
	if (uname(&u) == 0) {
		memcpy(own.kernel, u.release, strnlen(u.release, 65));
		memcpy(own.kernel + 65, u.version, strnlen(u.version, 65));
	}
}

int checkpoint_map(int fd, struct checkpoint *ret, struct err *e)
{
	struct head h;
	struct stat st;
	void *at;

	fill_head();
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "--restore");
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t) PAGE_SIZE)
		return err_set(e, ERR_INVALID, EINVAL, "--restore: this is no checkpoint");
	at = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_sys(e, errno, "--restore: map the checkpoint");
	memcpy(&h, at, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0 ||
	    h.pages > (uint64_t) st.st_size / PAGE_SIZE - 1 ||
	    h.bytes != (uint64_t) st.st_size - (h.pages + 1) * PAGE_SIZE)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--restore: this is no checkpoint of a sandbox");
	if (memcmp(h.kernel, own.kernel, sizeof(h.kernel)) != 0)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--restore: the checkpoint was made on another kernel of the host");
	*ret = (struct checkpoint){ at, (size_t) st.st_size, h.pages };
	return 0;
}

/* ---- standard streams ---- */

static struct sandbox *restored;

static struct file *give(unsigned int nr)
{
	static const struct cred nobody;
	static struct file *given[3];
	struct file *f = given[nr];

	if (f) {
		file_ref(f); /* they were opened from one another */
	} else if (host_descriptor(restored->stdio[nr], &nobody, &f) == 0) {
		restored->stdio[nr] = FD_NONE;
		host_descriptor_mark(f, nr);
		given[nr] = f;
	}
	return f;
}

static struct state_host host_of(struct sandbox *s, struct tty *console)
{
	return (struct state_host){ .root = &s->root,
				    .filter = s->filter,
				    .hostname = s->spec->hostname ? s->spec->hostname : "",
				    .mounts = s->mounts,
				    .given = host_descriptor_marked,
				    .give = give,
				    .console = console,
				    .ended = sandbox_process_ended,
				    .ended_arg = s };
}

void checkpoint_begin(struct sandbox *s)
{
	const struct state_host h = host_of(s, NULL);

	s->mounts = state_mounts(&h);
}

/* ---- writing ---- */

struct writing {
	struct state_out out;
	int fd;
	struct buf stream;
	struct iovec v[AT_ONCE];
	int n;
};

static int write_all(int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t done = writev(fd, v, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		for (; n > 0 && (size_t) done >= v->iov_len; v++, n--)
			done -= (ssize_t) v->iov_len;
		if (n > 0) {
			v->iov_base = (char *) v->iov_base + done;
			v->iov_len -= (size_t) done;
		}
	}
	return 0;
}

static int flush(struct writing *w)
{
	int n = w->n;

	w->n = 0;
	return write_all(w->fd, w->v, n);
}

static int put_bytes(struct state_out *o, const void *bytes, size_t n)
{
	struct writing *w = container_of(o, struct writing, out);

	buf_add(&w->stream, bytes, n);
	return buf_ok(&w->stream) ? 0 : buf_error(&w->stream);
}

static bool is_zero(const void *page)
{
	const unsigned char *p = page;

	return p[0] == 0 && memcmp(p, p + 1, PAGE_SIZE - 1) == 0;
}

/* One behind the other; nobody changes them meanwhile. */
static int put_page(struct state_out *o, uint64_t nr, const void *page)
{
	struct writing *w = container_of(o, struct writing, out);
	int r = 0;

	(void) nr;
	if (is_zero(page)) {
		r = flush(w);
		if (r == 0 && lseek(w->fd, (off_t) PAGE_SIZE, SEEK_CUR) < 0)
			r = -errno;
		return r;
	}
	if (w->n == AT_ONCE)
		r = flush(w);
	w->v[w->n++] = (struct iovec){ (void *) (uintptr_t) page, PAGE_SIZE };
	return r;
}

/* Its head last: what is half is none. */
static int finish(struct writing *w)
{
	static char page[PAGE_SIZE];
	struct head h = own;
	struct iovec v = { w->stream.p, w->stream.n };
	int r = flush(w);

	h.pages = w->out.pages;
	h.bytes = w->stream.n;
	memcpy(page, &h, sizeof(h));
	if (r == 0)
		r = write_all(w->fd, &v, 1);
	if (r == 0 && lseek(w->fd, 0, SEEK_SET) < 0)
		r = -errno;
	v = (struct iovec){ page, sizeof(page) };
	return r < 0 ? r : write_all(w->fd, &v, 1);
}

static int write_file(const struct state_host *h, int fd, struct err *e)
{
	struct writing w = { .out = { .write = put_bytes, .page = put_page },
			     .fd = fd,
			     .stream = BUF_INIT(STREAM_MAX) };
	char why[STATE_WORDS];
	int r = lseek(fd, (off_t) PAGE_SIZE, SEEK_SET) < 0 ? -errno : 0;

	if (r == 0)
		r = state_save(h, &w.out, why);
	if (r == -EOPNOTSUPP) {
		buf_fini(&w.stream);
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "%s", why);
	}
	if (r == 0)
		r = finish(&w);
	buf_fini(&w.stream);
	return r < 0 ? err_sys(e, -r, "write the checkpoint") : 0;
}

static int hold(struct err *e)
{
	struct task *who = NULL;
	int r = tasks_hold(plat_now(PLAT_MONOTONIC) + HOLD_WITHIN, &who);

	if (r == -EBUSY)
		return err_set(e, ERR_CONFLICT, EBUSY, "a checkpoint is being made");
	if (r == -ETIMEDOUT && who)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "process %u (%s) is in a system call that cannot be interrupted: "
			       "unsupported",
			       who->process->pid, who->comm);
	return r < 0 ? err_sys(e, -r, "hold the sandbox still") : 0;
}

/* What was written to the terminal is the host's, and not told once more: unless it takes nothing.
 */
static void drain(const struct terminal *t)
{
	nsec_t late = plat_now(PLAT_MONOTONIC) + DRAIN_WITHIN;

	while (t && !terminal_empty(t) && plat_now(PLAT_MONOTONIC) < late)
		(void) fiber_park_until(min_of(late, plat_now(PLAT_MONOTONIC) + DRAIN_LOOK));
}

int checkpoint_write(struct sandbox *s, int fd, struct err *e)
{
	const struct terminal *t = s->first->terminal;
	const struct state_host h = host_of(s, t ? terminal_tty(t) : NULL);
	char why[STATE_WORDS];
	int r = state_check(&h, why);

	/* Before anybody notices. */
	if (r == -EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "%s", why);
	r = r < 0 ? err_sys(e, -r, "look at what there is to be saved") : hold(e);
	if (r < 0)
		return r;
	drain(t);
	r = fuse_sync();
	r = r < 0 ? err_sys(e, -r, "bring what was written to the host's files")
		  : write_file(&h, fd, e);
	if (r < 0)
		tasks_let_go();
	return r;
}

/* ---- reading ---- */

struct reading {
	struct state_in in;
	const struct checkpoint *from;
};

static int get_page(struct state_in *in, uint64_t nr, void *page)
{
	const struct reading *r = container_of(in, struct reading, in);

	memcpy(page, r->from->bytes + (nr + 1) * PAGE_SIZE, PAGE_SIZE);
	return 0;
}

static enum err_kind kind_of(int r)
{
	return r == -EBADMSG	  ? ERR_INVALID
	       : r == -EOPNOTSUPP ? ERR_UNSUPPORTED
	       : r == -ENOENT	  ? ERR_NOT_FOUND
	       : r == -ENOMEM	  ? ERR_EXHAUSTED
				  : ERR_DENIED;
}

int checkpoint_load(struct sandbox *s, struct tty *console, struct err *e)
{
	const struct state_host h = host_of(s, console);
	size_t skip = (size_t) (s->from.pages + 1) * PAGE_SIZE;
	struct reading in = { .in = { .at = s->from.bytes + skip,
				      .left = s->from.size - skip,
				      .pages = s->from.pages,
				      .page = get_page },
			      .from = &s->from };
	char why[STATE_WORDS];
	int r;

	restored = s;
	r = state_load(&h, &in.in, why);
	for (size_t n = 0; n < ARRAY_SIZE(s->stdio); n++)
		close_fd(&s->stdio[n]); /* that the workload had closed */
	return r < 0 ? err_set(e, kind_of(r), -r, "restore: %s", why) : 0;
}
