/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll loop per process, or per thread that has one. Sources are embedded in their owners; a
 * callback finds its owner with LOOP_OWNER(). Callbacks never block. A source may be removed in any
 * callback, its own included. A loop and what is in it belong to one thread, or to one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct loop;
struct loop_source;

#define LOOP_OWNER(ptr, type, member) ((type *) (void *) ((char *) (ptr) -offsetof(type, member)))

struct loop_source {
	int fd; /* borrowed; FD_NONE when not in the loop */
	void (*ready)(struct loop_source *s, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
	struct loop *loop;
};

struct loop_timer {
	nsec_t at; /* CLOCK_MONOTONIC; NSEC_NEVER when not armed */
	void (*fired)(struct loop_timer *t);
	struct loop_timer *next; /* by time */
	struct loop *loop;
};

struct loop {
	int epoll_fd; /* owned */
	struct loop_timer *timers;
	bool stopped;
	/* Optional: told before and after it waits, as all else is done by one thread at a time. */
	void (*waits)(struct loop *l, bool begins);
	void *owner;		    /* of `waits` */
	struct loop_source **batch; /* sources of the events being served, NULL once removed */
	int batch_n;
};

[[nodiscard]] int loop_init(struct loop *l); /* 0 or -errno */
void loop_fini(struct loop *l);

/* The source must not be in a loop. */
[[nodiscard]] int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events,
			   void (*ready)(struct loop_source *s, uint32_t events));
[[nodiscard]] int loop_change(struct loop_source *s, uint32_t events);
void loop_remove(struct loop_source *s); /* nothing when it is in none */

void loop_timer_set(struct loop *l, struct loop_timer *t, nsec_t at,
		    void (*fired)(struct loop_timer *t)); /* moves it when armed */
void loop_timer_cancel(struct loop_timer *t);		  /* nothing when not armed */

[[nodiscard]] int loop_once(struct loop *l); /* wait for, and serve, one batch */
[[nodiscard]] int loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l);
