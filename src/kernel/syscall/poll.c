/* SPDX-License-Identifier: Apache-2.0 */
/* poll and select without a mask of signals. */
#include <linux/personality.h>
#include <linux/poll.h>
#include <linux/posix_types.h>
#include <linux/time_types.h>

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/polling.h"
#include "kernel/syscall/pollset.h"

/* ---- poll ---- */

static struct poll_one *poll_in(struct task *t, const struct pollfd *fds, size_t n)
{
	struct poll_one *p = pollset_new(n);

	for (size_t k = 0; p && k < n; k++) {
		p[k].wanted = (unsigned short) fds[k].events;
		if (fds[k].fd >= 0 && fd_file(t, (uint64_t) fds[k].fd, &p[k].file) < 0)
			p[k].ready = POLLNVAL;
	}
	return p;
}

/* `revents` alone: the rest stays the guest's. */
static int poll_out(struct task *t, uva_t to, const struct poll_one *p, size_t n)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < n; k++) {
		short ready = (short) p[k].ready;
		uint64_t at = to.v + k * sizeof(struct pollfd) + offsetof(struct pollfd, revents);

		r = copy_out(t->space, uva(at), &ready, sizeof(ready));
	}
	return r;
}

/* Without a time it goes on where no handler ran; with one it would wait longer: signal(7). */
static sysret_t interrupted(nsec_t deadline)
{
	return deadline == NSEC_NEVER ? -ERESTARTNOHAND : -EINTR;
}

sysret_t poll_call(struct task *t, uva_t at, uint64_t count, nsec_t deadline)
{
	size_t n = (uint32_t) count;
	struct pollfd *fds;
	struct poll_one *p = NULL;
	int64_t r;

	if (n > process_limit(t->process, RLIMIT_NOFILE))
		return -EINVAL;
	fds = heap_alloc(max_of(n, (size_t) 1) * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	r = copy_in(t->space, fds, at, n * sizeof(*fds));
	if (r == 0) {
		p = poll_in(t, fds, n);
		r = p ? pollset_wait(p, n, deadline) : -ENOMEM;
	}
	if (r >= 0 && poll_out(t, at, p, n) < 0)
		r = -EFAULT;
	if (r == -ERESTARTSYS)
		r = interrupted(deadline);
	if (p)
		pollset_free(p, n);
	heap_free(fds);
	return r;
}

nsec_t poll_deadline_ms(int ms)
{
	return ms < 0 ? NSEC_NEVER : ms == 0 ? 0 : time_from_now((nsec_t) ms * 1000000);
}

/* ---- select ---- */

#define IN_SET	((unsigned int) (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR))
#define OUT_SET ((unsigned int) (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR))
#define EX_SET	((unsigned int) POLLPRI)
#define BITS	((size_t) 64)

static const unsigned int set_events[3] = { IN_SET, OUT_SET, EX_SET };
/* What makes a descriptor be in a set, and what is asked for it. */
static const unsigned int set_wants[3] = { POLLIN | POLLRDNORM | POLLRDBAND,
					   POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI };

struct sets {
	size_t n, words;
	uint64_t *bits; /* three of `words` each */
};

static uint64_t *word(const struct sets *s, size_t which, size_t fd)
{
	return &s->bits[which * s->words + fd / BITS];
}

static bool in_set(const struct sets *s, size_t which, size_t fd)
{
	return *word(s, which, fd) >> fd % BITS & 1;
}

static bool in_any(const struct sets *s, size_t fd)
{
	return in_set(s, 0, fd) || in_set(s, 1, fd) || in_set(s, 2, fd);
}

static int sets_in(struct task *t, struct sets *s, const uva_t at[3])
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < 3; k++) {
		if (at[k].v)
			r = copy_in(t->space, s->bits + k * s->words, at[k], s->words * 8);
	}
	return r;
}

static int sets_out(struct task *t, const struct sets *s, const uva_t at[3])
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < 3; k++) {
		if (at[k].v)
			r = copy_out(t->space, at[k], s->bits + k * s->words, s->words * 8);
	}
	return r;
}

static int select_files(struct task *t, const struct sets *s, struct poll_one *p)
{
	size_t at = 0;

	for (size_t fd = 0; fd < s->n; fd++) {
		if (!in_any(s, fd))
			continue;
		if (fd_file(t, fd, &p[at].file) < 0)
			return -EBADF;
		for (size_t k = 0; k < 3; k++)
			p[at].wanted |= in_set(s, k, fd) ? set_wants[k] : 0;
		at++;
	}
	return 0;
}

/* The sets become what is ready: how many bits. */
static int64_t select_result(struct sets *s, const struct poll_one *p)
{
	int64_t count = 0;
	size_t at = 0;

	for (size_t fd = 0; fd < s->n; fd++) {
		unsigned int ready;

		if (!in_any(s, fd))
			continue;
		ready = p[at++].ready;
		for (size_t k = 0; k < 3; k++) {
			if (!in_set(s, k, fd))
				continue;
			if (ready & set_events[k])
				count++;
			else
				*word(s, k, fd) &= ~((uint64_t) 1 << fd % BITS);
		}
	}
	return count;
}

static int64_t select_wait(struct task *t, struct sets *s, nsec_t deadline)
{
	struct poll_one *p;
	size_t files = 0;
	int64_t r;

	for (size_t fd = 0; fd < s->n; fd++)
		files += in_any(s, fd);
	p = pollset_new(files);
	if (!p)
		return -ENOMEM;
	r = select_files(t, s, p);
	if (r == 0)
		r = pollset_wait(p, files, deadline);
	if (r >= 0)
		r = select_result(s, p);
	pollset_free(p, files);
	return r;
}

/* Behind the highest open descriptor nothing is looked at: Linux cuts at its table's size. */
static size_t highest(const struct task *t, size_t n)
{
	uint64_t fd = 0, end = BITS;

	for (; fd < n && descriptors_next(t->files, &fd); fd++)
		end = max_of(end, (fd / BITS + 1) * BITS);
	return min_of(n, (size_t) end);
}

sysret_t select_call(struct task *t, const uint64_t *a, nsec_t deadline)
{
	const uva_t at[3] = { uva(a[1]), uva(a[2]), uva(a[3]) };
	struct sets s = {};
	int64_t r;

	if ((int) a[0] < 0)
		return -EINVAL;
	s.n = highest(t, (uint32_t) a[0]);
	s.words = (s.n + BITS - 1) / BITS;
	s.bits = heap_alloc(max_of(3 * s.words * 8, (size_t) 8));
	if (!s.bits)
		return -ENOMEM;
	r = sets_in(t, &s, at);
	if (r == 0)
		r = select_wait(t, &s, deadline);
	if (r >= 0 && sets_out(t, &s, at) < 0)
		r = -EFAULT;
	/* The rest of the time is written back: it goes on where no handler ran. */
	if (r == -ERESTARTSYS)
		r = -ERESTARTNOHAND;
	heap_free(s.bits);
	return r;
}

/* ---- the calls ---- */

sysret_t sys_poll(struct task *t, const uint64_t *a)
{
	return poll_call(t, uva(a[0]), a[1], poll_deadline_ms((int) a[2]));
}

nsec_t poll_left(nsec_t deadline)
{
	return deadline ? max_of(deadline - plat_now(PLAT_MONOTONIC), (nsec_t) 0) : 0;
}

sysret_t sys_select(struct task *t, const uint64_t *a)
{
	struct __kernel_old_timeval tv;
	nsec_t deadline = NSEC_NEVER, n, left;
	sysret_t r = 0;

	if (a[4]) {
		r = copy_in(t->space, &tv, uva(a[4]), sizeof(tv));
		/* Microseconds of more than a second count as such. */
		if (r == 0 && (tv.tv_sec < 0 || tv.tv_usec < 0))
			r = -EINVAL;
		if (r == 0 && __builtin_add_overflow(tv.tv_sec, tv.tv_usec / 1000000, &tv.tv_sec))
			tv.tv_sec = INT64_MAX;
		if (r == 0)
			r = time_of(tv.tv_sec, tv.tv_usec % 1000000, 1000000, &n);
		if (r < 0)
			return r;
		deadline = n == 0 ? 0 : time_from_now(n);
	}
	r = select_call(t, a, deadline);
	if (a[4] && !(t->personality & STICKY_TIMEOUTS)) {
		/* Linux's own: the rest of the time. It cannot fail the call. */
		left = poll_left(deadline);
		tv = (struct __kernel_old_timeval){ left / NSEC_PER_SEC,
						    left % NSEC_PER_SEC / 1000 };
		(void) copy_out(t->space, uva(a[4]), &tv, sizeof(tv));
	}
	return r;
}
