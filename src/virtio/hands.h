/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that do for a device what has to wait, so that its loop need not: a job is done by
 * whichever hand is free, in no order, and told of on the loop's thread. It makes no threads: who
 * has some lets them serve. Jobs are their owners' memory; there is no end to how many may wait.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/loop.h"

struct hands_job {
	void (*work)(struct hands_job *j); /* on a hand's thread */
	void (*done)(struct hands_job *j); /* on the loop's; it may be posted again, or freed */
	struct hands_job *next;
};

struct hands {
	struct loop_source source;
	int event_fd; /* owned: jobs are done */
	pthread_mutex_t lock;
	pthread_cond_t wanted, worked;
	struct hands_job *posted, **posted_end;
	struct hands_job *done;
	unsigned working; /* jobs that are neither */
};

[[nodiscard]] int hands_init(struct hands *h, struct loop *l); /* 0 or -errno */
void hands_fini(struct hands *h);			       /* nobody serves, nothing waits */

/* A hand's thread: wait for a job and do it, again and again. */
void hands_serve_one(struct hands *h);

/* On the loop's thread, or while that stands: */
void hands_post(struct hands *h, struct hands_job *j);
void hands_settle(struct hands *h); /* wait until all is done and told of; those hands must serve */
