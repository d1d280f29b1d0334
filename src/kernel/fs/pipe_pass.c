/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes through pipes without a guest's memory. */
#include "kernel/core/heap.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/pipe_ring.h"
#include "kernel/vfs/file.h"

/* 1: there are bytes; 0: there will be none. */
static int wait_bytes(struct pipe *p, bool nonblock)
{
	int r = 0;

	if (p->used == 0 && p->writers > 0 && nonblock)
		return -EAGAIN;
	if (p->used == 0)
		r = waitq_wait(&p->waiters, p->used > 0 || p->writers == 0, NSEC_NEVER,
			       fiber_interrupted());
	return r < 0 ? r : p->used > 0;
}

static int wait_slot(struct pipe *p, bool nonblock)
{
	int r = 0;

	if (p->readers > 0 && p->used == p->slots && nonblock)
		return -EAGAIN;
	if (p->readers > 0 && p->used == p->slots)
		r = waitq_wait(&p->waiters, p->used < p->slots || p->readers == 0, NSEC_NEVER,
			       fiber_interrupted());
	return r < 0 ? r : p->readers == 0 ? -EPIPE : 0;
}

/* With `reading`. What came behind the bytes meanwhile is in the same slot. */
static int64_t pour(struct pipe *p, size_t n, pipe_taker *take, void *arg)
{
	int64_t done = 0, taken = 0;

	while ((size_t) done < n && p->used > 0) {
		const struct slot first = *pipe_slot(p, 0);
		size_t part = min_of((size_t) first.len, n - (size_t) done);
		struct slot *s;

		taken = take(arg, first.page + first.off, part);
		if (taken <= 0)
			break;
		s = pipe_slot(p, 0);
		s->off += (uint32_t) taken;
		s->len -= (uint32_t) taken;
		if (s->len == 0)
			pipe_drop_first(p);
		done += taken;
		if ((size_t) taken < part)
			break;
	}
	return done ? done : taken;
}

int64_t pipe_pour(struct file *in, size_t n, bool nonblock, pipe_taker *take, void *arg)
{
	struct pipe *p = in->own;
	bool any = false;
	int64_t done = 0;

	/* Another may be quicker, and nothing be left. */
	while (!any) {
		int r = wait_bytes(p, nonblock);

		if (r <= 0)
			return r;
		sleeplock_take(&p->reading);
		any = p->used > 0;
		done = pour(p, n, take, arg);
		sleeplock_give(&p->reading);
	}
	if (done > 0)
		(void) waitq_wake(&p->waiters, WRITABLE, 1);
	return done;
}

/* With `writing`: slots that are free stay so. */
static int64_t fill(struct pipe *p, size_t n, pipe_giver *give, void *arg)
{
	int64_t done = 0, given = 0;

	while ((size_t) done < n && p->used < p->slots) {
		size_t part = min_of((size_t) PAGE_SIZE, n - (size_t) done);
		char *page = p->readers > 0 ? heap_alloc(PAGE_SIZE) : NULL;

		given = page ? give(arg, page, part) : p->readers > 0 ? -ENOMEM : -EPIPE;
		if (given <= 0) {
			heap_free(page);
			break;
		}
		pipe_append(p, page, page, (size_t) given, false);
		(void) waitq_wake(&p->waiters, READABLE, 1);
		done += given;
		if ((size_t) given < part)
			break;
	}
	return done ? done : given;
}

int64_t pipe_fill(struct file *out, size_t n, bool nonblock, pipe_giver *give, void *arg)
{
	struct pipe *p = out->own;
	bool any = false;
	int64_t done = 0;

	while (!any) {
		int r = wait_slot(p, nonblock);

		if (r < 0)
			return r;
		sleeplock_take(&p->writing);
		any = p->used < p->slots;
		done = fill(p, n, give, arg);
		sleeplock_give(&p->writing);
	}
	return done;
}

/* The k-th slot of a, or n bytes of it, is the last of b. Whole ones go with their page. */
static int64_t pass_slot(struct pipe *a, size_t k, struct pipe *b, size_t n, bool keep)
{
	struct slot *s = pipe_slot(a, k);
	struct slot made = { .len = (uint32_t) min_of((size_t) s->len, n), .packet = s->packet };

	if (!keep && made.len == s->len) {
		*pipe_slot(b, b->used++) = *s;
		*s = (struct slot){}; /* the page is the other's */
		pipe_drop_first(a);
		return made.len;
	}
	made.page = heap_alloc(PAGE_SIZE);
	if (!made.page)
		return -ENOMEM;
	memcpy(made.page, s->page + s->off, made.len);
	*pipe_slot(b, b->used++) = made;
	if (!keep) {
		s->off += made.len;
		s->len -= made.len;
	}
	return made.len;
}

/* With `reading` of a and `writing` of b; parks nowhere. */
static int64_t pass(struct pipe *a, struct pipe *b, size_t n, bool keep)
{
	int64_t done = 0, r = 0;

	for (size_t k = 0; (size_t) done < n && k < a->used && b->used < b->slots;) {
		if (b->readers == 0)
			r = -EPIPE;
		else
			r = pass_slot(a, k, b, n - (size_t) done, keep);
		if (r < 0)
			break;
		done += r;
		k += keep;
	}
	return done ? done : r;
}

int64_t pipe_pass(struct file *in, struct file *out, size_t n, bool nonblock, bool keep)
{
	struct pipe *a = in->own, *b = out->own;
	int64_t done = 0;

	while (done == 0) {
		int r = wait_bytes(a, nonblock);

		if (r <= 0)
			return r;
		r = wait_slot(b, nonblock);
		if (r < 0)
			return r;
		sleeplock_take(&a->reading);
		sleeplock_take(&b->writing);
		done = pass(a, b, n, keep);
		sleeplock_give(&b->writing);
		sleeplock_give(&a->reading);
	}
	if (done > 0) {
		(void) waitq_wake(&a->waiters, WRITABLE, 1);
		(void) waitq_wake(&b->waiters, READABLE, 1);
	}
	return done;
}

bool pipe_same(const struct file *a, const struct file *b)
{
	return a->own == b->own;
}
