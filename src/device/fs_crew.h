/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that serve the requests of one guest, so that a host's file system which takes its time,
 * or hangs, holds up nobody but those who wait for it.
 *
 * One thread at a time has the turn: it alone touches the session, the device, its queues and the
 * loop. It goes without the turn for as long as it calls the host's file system (FS_AWAY). The
 * leader runs the loop and serves the guest's requests itself, one after the other: no request
 * changes threads, and where the host answers at once nobody else runs. Only when the leader has
 * been away for FS_CREW_PATIENCE, or up to FS_CREW_LAZY times that where the host was quick before,
 * does a watch thread make another one the leader; the first one finishes its request when it can,
 * and waits to be needed again.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"

struct fs_inodes;
struct fs_work;

#define FS_CREW_MAX	 64 /* threads; the last one serves no requests: the loop is always run */
#define FS_CREW_PATIENCE (2 * NSEC_PER_MSEC)
#define FS_CREW_LAZY	 32

struct fs_member {
	struct fs_crew *crew;
	struct fs_work *work; /* owned, but the first one's */
	struct chain *chain;  /* owned */
	pthread_t thread;     /* of all but the first */
	pthread_cond_t needed;
	bool parked;
};

struct fs_crew {
	pthread_mutex_t turn; /* see above; the outermost lock */
	struct loop *loop;
	struct fs_inodes *inodes;
	/* Serve what has come, as m, until there is nothing or m is not the leader any more. With
	 * the turn. */
	void (*serve)(struct fs_crew *crew, struct fs_member *m);
	/* The loop was stopped while a request cannot be given up: the process has to end here. */
	void (*abandon)(void);
	struct fs_member *members[FS_CREW_MAX];
	size_t members_n;
	struct fs_member *leader;
	bool ended;
	int failed; /* -errno of the loop */
	int nudge;  /* owned eventfd: the leader looks again */
	struct loop_source nudged;
	/* The watch. */
	pthread_t watch;
	pthread_mutex_t watch_lock; /* of the condition alone; within `turn` or alone */
	pthread_cond_t watch_cond;
	bool watch_ends;
	/* Atomic: how often the leader has gone away; which time it is away, 0: it is not; whether
	 * the watch looks. */
	uint64_t trips, away;
	int watching;
};

/*
 * Run the loop until it is stopped, with more threads as they are needed. All that is made for it
 * is gone when it returns: 0, or -errno of the loop.
 */
[[nodiscard]] int fs_crew_run(struct fs_crew *c, struct loop *loop, struct fs_inodes *inodes,
			      struct fs_work *first,
			      void (*serve)(struct fs_crew *crew, struct fs_member *m),
			      void (*abandon)(void), struct err *e);
static inline bool fs_crew_leads(const struct fs_crew *c, const struct fs_member *m)
{
	return c->leader == m;
}
/* For one who is not the leader: there is something for the leader to see. */
void fs_crew_nudge(struct fs_crew *c);

/* Before and after a call that may take long: see FS_AWAY. */
struct fs_work *fs_crew_leave(struct fs_inodes *t);
void fs_crew_enter(struct fs_inodes *t, struct fs_work *w);

/* A call of the host's file system: others have the turn meanwhile. errno is the call's. */
#define FS_AWAY_OF(t, call)                                                                        \
	({                                                                                         \
		struct fs_work *work_ = fs_crew_leave(t);                                          \
		typeof(call) result_ = (call);                                                     \
		int errno_ = errno;                                                                \
		fs_crew_enter((t), work_);                                                         \
		errno = errno_;                                                                    \
		result_;                                                                           \
	})
#define FS_AWAY(s, call) FS_AWAY_OF(&(s)->inodes, call)
