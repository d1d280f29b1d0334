/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread has things done on a loop's thread, which alone may touch the devices of that loop
 * (processors reset them, workers tell that they stand): an errand is queued, the loop woken, and
 * who needs the outcome waits.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/loop.h"

struct errand {
	void (*run)(struct errand *d); /* on the loop's thread */
	struct errand *next;
	bool queued, done;
};

struct errands {
	pthread_mutex_t lock; /* the list and every errand's state; a leaf: none is taken inside */
	pthread_cond_t done;
	struct errand *first, **last;
	struct loop_source source;
	int event_fd; /* owned */
};

[[nodiscard]] int errands_init(struct errands *all, struct loop *l); /* 0 or -errno */
void errands_fini(struct errands *all);
/* Not from the loop's thread. Comes back when it has run. */
void errand_await(struct errands *all, struct errand *d);
/* From any thread; the errand stays where it is. One that waits already is not queued again. */
void errand_post(struct errands *all, struct errand *d);
