/* SPDX-License-Identifier: Apache-2.0 */
/* Following the event log: what was, then what comes, woken by the kernel, without polling. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/event.h"
#include "svc/svc.h"

struct events_options {
	nsec_t since,
		until; /* wall; 0: none. since 0: only what comes, until in the past: no wait */
	/* "type=", "event=", "container=", "image=", "volume=", "label=" */
	const char *const *filters;
	size_t filters_n;
};

struct event_watch {
	struct svc *svc;
	const struct events_options *options; /* borrowed */
	int64_t seq;			      /* the last one given or passed over */
	int inotify_fd;			      /* owned; readable: something may have come */
	int lock_fd;			      /* owned: the writers' queue; or FD_NONE */
	struct arena arena;		      /* of the current batch */
	struct events batch;
	size_t next;
};

[[nodiscard]] int event_watch_open(struct event_watch *w, struct svc *s,
				   const struct events_options *o, struct err *e);
void event_watch_close(struct event_watch *w);
/*
 * The next matching event, waiting until `deadline` (CLOCK_MONOTONIC). NULL in *ret: the deadline
 * or options->until passed. Valid until the next call.
 */
[[nodiscard]] int event_watch_next(struct event_watch *w, nsec_t deadline, const struct event **ret,
				   struct err *e);
