/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/tracer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/core/heap.h"
#include "kernel/core/sched.h"
#include "kernel/platform/platform.h"
#include "kernel/syscall/refused.h"
#include "kernel/task/trace.h"
#include "proto/sentry.h"

#define TRACERS_MOST 8
#define BATCHES_MOST 32 /* a MiB for each tracer */
/* How long a record may wait for others to be sent with. */
#define BATCH_WITHIN ((nsec_t) 2000000)

struct batch {
	struct list link;
	uint32_t bytes;
	char text[TRACE_MESSAGE_MAX - 64];
};
static_assert(sizeof(struct batch) <= TRACE_MESSAGE_MAX, "a class of the heap");
static_assert(sizeof((struct batch *) 0)->text >= TRACE_RECORD_MAX, "any record");

struct tracer {
	struct trace_watcher watcher;
	uint32_t pids[SENTRY_TRACE_PIDS];
	struct list batches; /* the oldest first */
	size_t batches_n;
	struct ktimer timer;
	struct waitq *told;
	bool due;
	uint64_t lost;
};

static struct heap_cache tracers = HEAP_CACHE_INIT(struct tracer);
static size_t tracers_n;

static void is_due(struct tracer *t)
{
	if (t->due)
		return;
	t->due = true;
	ktimer_cancel(&t->timer);
	(void) waitq_wake(t->told, 0, 0);
}

static void timer_fires(struct ktimer *k)
{
	is_due(container_of(k, struct tracer, timer));
}

static struct batch *last_of(struct tracer *t)
{
	return list_empty(&t->batches) ? NULL : list_entry(t->batches.prev, struct batch, link);
}

/* Room for so many bytes; NULL: there is none. */
static char *room_for(struct tracer *t, uint32_t bytes)
{
	struct batch *b = last_of(t);

	if (!b || sizeof(b->text) - b->bytes < bytes) {
		if (b)
			is_due(t);
		b = t->batches_n < BATCHES_MOST ? heap_alloc(sizeof(*b)) : NULL;
		if (!b)
			return NULL;
		list_push(&t->batches, &b->link);
		t->batches_n++;
	}
	b->bytes += bytes;
	return b->text + b->bytes - bytes;
}

static bool tell_lost(struct tracer *t)
{
	const struct trace_record lost = { .bytes = sizeof(lost),
					   .kind = TRACE_LOST,
					   .at = plat_now(PLAT_REALTIME),
					   .took = -1,
					   .result = (int64_t) t->lost };
	char *to = room_for(t, lost.bytes);

	if (to)
		memcpy(to, &lost, sizeof(lost));
	return to;
}

static void take(struct trace_watcher *w, const struct trace_record *r)
{
	struct tracer *t = container_of(w, struct tracer, watcher);
	char *to;

	if (t->lost > 0 && tell_lost(t))
		t->lost = 0;
	to = t->lost > 0 ? NULL : room_for(t, r->bytes);
	if (!to) {
		t->lost++;
		return;
	}
	memcpy(to, r, r->bytes);
	if (!t->due && !ktimer_pending(&t->timer))
		ktimer_set(&t->timer, plat_now(PLAT_MONOTONIC) + BATCH_WITHIN);
}

int tracer_new(const struct sentry_request *q, struct waitq *told, struct tracer **ret)
{
	struct tracer *t;

	if (q->calls.n != sizeof(t->watcher.calls) || q->pids.n % sizeof(uint32_t) ||
	    q->pids.n > sizeof(t->pids))
		return -EINVAL;
	if (tracers_n == TRACERS_MOST)
		return -EBUSY;
	t = heap_cache_alloc(&tracers);
	if (!t)
		return -ENOMEM;
	list_init(&t->batches);
	t->told = told;
	t->timer.fire = timer_fires;
	memcpy(t->watcher.calls, q->calls.p, sizeof(t->watcher.calls));
	if (q->pids.n)
		memcpy(t->pids, q->pids.p, q->pids.n);
	t->watcher.pids = t->pids;
	t->watcher.pids_n = q->pids.n / sizeof(uint32_t);
	t->watcher.entries = q->entries;
	t->watcher.signals = q->signals;
	t->watcher.text = (uint32_t) min_of(q->text, (uint64_t) TRACE_TEXT_MAX);
	t->watcher.take = take;
	trace_watch(&t->watcher);
	tracers_n++;
	*ret = t;
	return 0;
}

static void drop_first(struct tracer *t)
{
	heap_free(list_entry(list_pop(&t->batches), struct batch, link));
	t->batches_n--;
}

void tracer_free(struct tracer *t)
{
	trace_unwatch(&t->watcher);
	ktimer_cancel(&t->timer);
	while (!list_empty(&t->batches))
		drop_first(t);
	heap_cache_free(&tracers, t);
	tracers_n--;
}

bool tracer_due(const struct tracer *t)
{
	return t->due;
}

int tracer_send(struct tracer *t, int sock)
{
	if (t->lost > 0 && tell_lost(t))
		t->lost = 0;
	while (!list_empty(&t->batches)) {
		const struct batch *b = list_entry(t->batches.next, struct batch, link);

		if (send(sock, b->text, b->bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return errno == ENOBUFS ? -EAGAIN : -errno;
		drop_first(t);
	}
	ktimer_cancel(&t->timer);
	t->due = false;
	return 0;
}

void tracer_refused(struct sentry_reply *a)
{
	static struct sentry_refused told[REFUSED_MOST];
	const struct refused *r = refused_list(&a->refused.n, &a->others);

	for (size_t n = 0; n < a->refused.n; n++)
		told[n] = (struct sentry_refused){ .nr = r[n].nr,
						   .error = r[n].error & ~REFUSED_FILTERED,
						   .which = r[n].which,
						   .count = r[n].count,
						   .filtered = r[n].error & REFUSED_FILTERED };
	a->refused.v = told;
}
