/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_crew.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"

#define STACK_BYTES (256u << 10)
/* The watch looks less often while there is nothing to see, and then sleeps until the leader goes
 * away again. */
#define PACE_MAX (FS_CREW_LAZY * FS_CREW_PATIENCE)
#define IDLE_MAX (2 * PACE_MAX)

static void *member_main(void *arg);

/* --- who has the turn --- */

static void take_turn(struct fs_crew *c)
{
	(void) pthread_mutex_lock(&c->turn); /* fails for a bad mutex only */
}

static void give_turn(struct fs_crew *c)
{
	(void) pthread_mutex_unlock(&c->turn);
}

static void wake_watch(struct fs_crew *c)
{
	(void) pthread_mutex_lock(&c->watch_lock);
	__atomic_store_n(&c->watching, 1, __ATOMIC_SEQ_CST);
	(void) pthread_cond_signal(&c->watch_cond);
	(void) pthread_mutex_unlock(&c->watch_lock);
}

struct fs_work *fs_crew_leave(struct fs_inodes *t)
{
	struct fs_work *w = t->now;
	struct fs_crew *c = t->crew;

	if (!c || !w)
		return NULL;
	t->now = NULL;
	if (c->leader->work == w) {
		__atomic_store_n(&c->trips, c->trips + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&c->away, c->trips, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&c->watching, __ATOMIC_SEQ_CST))
			wake_watch(c);
	}
	give_turn(c);
	return w;
}

void fs_crew_enter(struct fs_inodes *t, struct fs_work *w)
{
	struct fs_crew *c = t->crew;

	if (!w)
		return;
	take_turn(c);
	t->now = w;
	if (c->leader->work == w)
		__atomic_store_n(&c->away, 0, __ATOMIC_SEQ_CST);
}

void fs_crew_nudge(struct fs_crew *c)
{
	const uint64_t one = 1;

	/* A counter that is full tells as well. */
	(void) !write(c->nudge, &one, sizeof(one));
}

static void nudged(struct loop_source *s, uint32_t events)
{
	const struct fs_crew *c = LOOP_OWNER(s, struct fs_crew, nudged);
	uint64_t count;

	(void) events;
	(void) !read(c->nudge, &count,
		     sizeof(count)); /* what there is to see is looked for anyway */
}

/* While the loop waits, those who come back from the host can finish. */
static void loop_waits(struct loop *l, bool begins)
{
	struct fs_crew *c = l->owner;

	if (begins)
		give_turn(c);
	else
		take_turn(c);
}

/* --- threads --- */

static void member_free(struct fs_member *m)
{
	if (!m)
		return;
	if (m != m->crew->members[0])
		free(m->work);
	free(m->chain);
	(void) pthread_cond_destroy(&m->needed);
	free(m);
}

static struct fs_member *member_new(struct fs_crew *c, struct fs_work *first)
{
	struct fs_member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->crew = c;
	m->chain = calloc(1, sizeof(*m->chain));
	m->work = first ? first : calloc(1, sizeof(*m->work));
	if (!m->chain || !m->work || pthread_cond_init(&m->needed, NULL) != 0) {
		if (!first)
			free(m->work);
		free(m->chain);
		free(m);
		return NULL;
	}
	if (!first)
		fs_caller_copy(&m->work->caller, &c->members[0]->work->caller);
	return m;
}

static int start(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return -r;
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_create(ret_thread, &attr, run, arg);
	(void) pthread_attr_destroy(&attr);
	return -r;
}

/* One more, with the turn; NULL: there cannot be one now. */
static struct fs_member *hire(struct fs_crew *c)
{
	struct fs_member *m = c->members_n < FS_CREW_MAX ? member_new(c, NULL) : NULL;

	if (!m)
		return NULL;
	c->members[c->members_n] = m; /* before it looks */
	if (start(&m->thread, member_main, m) < 0) {
		member_free(m);
		return NULL;
	}
	c->members_n++;
	return m;
}

/* The leader has been away for too long on this trip: another one leads. */
static void replace(struct fs_crew *c, uint64_t trip)
{
	struct fs_member *m = NULL;

	take_turn(c);
	if (__atomic_load_n(&c->away, __ATOMIC_SEQ_CST) == trip && !c->ended) {
		for (size_t i = 0; i < c->members_n && !m; i++)
			if (c->members[i]->parked)
				m = c->members[i];
		if (!m)
			m = hire(c);
		if (m) { /* else the next time */
			c->leader = m;
			__atomic_store_n(&c->away, 0, __ATOMIC_SEQ_CST);
			(void) pthread_cond_signal(&m->needed);
		}
	}
	give_turn(c);
}

static void tick(struct fs_crew *c, nsec_t pace)
{
	struct timespec until;

	(void) clock_gettime(CLOCK_MONOTONIC, &until); /* it exists */
	until.tv_nsec += pace;
	if (until.tv_nsec >= NSEC_PER_SEC) {
		until.tv_nsec -= NSEC_PER_SEC;
		until.tv_sec++;
	}
	(void) pthread_cond_timedwait(&c->watch_cond, &c->watch_lock, &until);
}

/*
 * When to look next. Where the leader goes away and comes back all the time a look finds nothing,
 * and costs a switch of threads; on a slow processor more than the requests themselves. So the
 * watch looks often only while trips are long: when it has just made another one the leader, or
 * found the leader away in a time of few trips. Else it leaves it alone for longer and longer.
 */
static nsec_t next_pace(nsec_t pace, bool replaced, bool away, uint64_t trips)
{
	if (replaced ||
	    (away && trips > 0 && (uint64_t) pace / trips > (uint64_t) FS_CREW_PATIENCE))
		return FS_CREW_PATIENCE;
	return 2 * pace < PACE_MAX ? 2 * pace : PACE_MAX;
}

/* Looks in turns whether the leader is on the same trip as before; when nobody goes anywhere, it
 * sleeps. */
static void *watch_main(void *arg)
{
	struct fs_crew *c = arg;
	uint64_t trip = 0, trips = 0;
	nsec_t idle = 0, pace = FS_CREW_PATIENCE;

	(void) pthread_mutex_lock(&c->watch_lock);
	while (!c->watch_ends) {
		uint64_t now = __atomic_load_n(&c->away, __ATOMIC_SEQ_CST);
		uint64_t all = __atomic_load_n(&c->trips, __ATOMIC_RELAXED);
		bool long_away = now != 0 && now == trip;

		idle = now == 0 && all == trips ? idle + pace : 0;
		pace = next_pace(pace, long_away, now != 0, all - trips);
		trips = all;
		if (long_away) {
			(void) pthread_mutex_unlock(&c->watch_lock);
			replace(c, now);
			(void) pthread_mutex_lock(&c->watch_lock);
		}
		trip = now;
		if (idle < IDLE_MAX) {
			tick(c, pace);
			continue;
		}
		__atomic_store_n(&c->watching, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&c->away, __ATOMIC_SEQ_CST) != 0)
			__atomic_store_n(&c->watching, 1, __ATOMIC_SEQ_CST);
		while (!c->watching && !c->watch_ends)
			(void) pthread_cond_wait(&c->watch_cond, &c->watch_lock);
		idle = 0;
		pace = FS_CREW_PATIENCE;
	}
	(void) pthread_mutex_unlock(&c->watch_lock);
	return NULL;
}

/* Run the loop, with the turn, until it is over or somebody else leads. */
static void lead(struct fs_crew *c, struct fs_member *m)
{
	while (c->leader == m && !c->ended) {
		int r;

		c->serve(c, m);
		if (c->leader != m)
			break;
		r = c->loop->stopped ? 0 : loop_once(c->loop);
		if (r < 0)
			c->failed = r;
		c->ended = r < 0 || c->loop->stopped;
	}
	if (!c->ended)
		return;
	if (LOOP_OWNER(c->inodes, struct fs_session, inodes)->serving > 0)
		c->abandon();
	for (size_t i = 0; i < c->members_n; i++)
		(void) pthread_cond_signal(&c->members[i]->needed);
}

/* Whenever it is needed, until the end. */
static void stand_by(struct fs_crew *c, struct fs_member *m)
{
	take_turn(c);
	while (!c->ended) {
		if (c->leader == m) {
			lead(c, m);
			continue;
		}
		m->parked = true;
		(void) pthread_cond_wait(&m->needed, &c->turn);
		m->parked = false;
	}
	give_turn(c);
}

static void *member_main(void *arg)
{
	struct fs_member *m = arg;

	/* Its umask is its own. Without that it must make no file: it is of no use. */
	if (unshare(CLONE_FS) < 0)
		m->crew->abandon();
	(void) umask(0);
	stand_by(m->crew, m);
	return NULL;
}

/* --- the crew --- */

static int make_locks(struct fs_crew *c)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r == 0)
		r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&c->watch_cond, &attr);
	if (r == 0)
		r = pthread_mutex_init(&c->watch_lock, NULL);
	if (r == 0)
		r = pthread_mutex_init(&c->turn, NULL);
	(void) pthread_condattr_destroy(&attr);
	return -r;
}

static int begin(struct fs_crew *c, struct fs_work *first, struct err *e)
{
	int r = make_locks(c);

	if (r == 0) {
		c->members[0] = c->leader = member_new(c, first);
		c->members_n = 1;
		r = c->leader ? 0 : -ENOMEM;
	}
	if (r == 0) {
		c->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = c->nudge < 0 ? -errno
				 : loop_add(c->loop, &c->nudged, c->nudge, EPOLLIN, nudged);
	}
	if (r == 0)
		r = start(&c->watch, watch_main, c);
	return r < 0 ? err_sys(e, -r, "begin to serve the shares") : 0;
}

static void finish(struct fs_crew *c, bool began)
{
	if (began) {
		(void) pthread_mutex_lock(&c->watch_lock);
		c->watch_ends = true;
		(void) pthread_cond_signal(&c->watch_cond);
		(void) pthread_mutex_unlock(&c->watch_lock);
		(void) pthread_join(c->watch, NULL);
	}
	for (size_t i = 1; i < c->members_n; i++)
		(void) pthread_join(c->members[i]->thread, NULL);
	for (size_t i = c->members_n; i-- > 0;)
		member_free(c->members[i]);
	loop_remove(&c->nudged);
	close_fd(&c->nudge);
}

int fs_crew_run(struct fs_crew *c, struct loop *loop, struct fs_inodes *inodes,
		struct fs_work *first, void (*serve)(struct fs_crew *crew, struct fs_member *m),
		void (*abandon)(void), struct err *e)
{
	int r;

	*c = (struct fs_crew){
		.loop = loop,
		.inodes = inodes,
		.serve = serve,
		.abandon = abandon,
		.nudge = FD_NONE,
		.nudged = { .fd = FD_NONE },
	};
	r = begin(c, first, e);
	if (r == 0) {
		inodes->crew = c;
		loop->owner = c;
		loop->waits = loop_waits;
		loop->stopped = false;
		stand_by(c, c->members[0]);
		loop->waits = NULL;
		inodes->crew = NULL;
	}
	finish(c, r == 0);
	if (r == 0 && c->failed < 0)
		r = err_sys(e, -c->failed, "wait for events");
	return r;
}
