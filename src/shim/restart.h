/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a workload that ended is started again, and when. Pure: no clock, no effect.
 *
 *	ended --> wanted? --no--> for good
 *	            | yes: after delay: 100 ms, doubled by each further end up to 1 min;
 *	            |      100 ms again after a run of 10 s
 *	            +--> started
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "proto/shim.h"

#define RESTART_DELAY_MIN (100 * NSEC_PER_MSEC)
#define RESTART_DELAY_MAX (60 * NSEC_PER_SEC)
#define RESTART_GOOD_RUN  (10 * NSEC_PER_SEC)

struct restart {
	enum shim_restart policy;
	uint64_t max;	/* on-failure: 0 is no limit */
	uint64_t count; /* restarts so far */
	nsec_t delay;	/* the last one; 0: none yet */
};

/*
 * The process ended with `code` after `ran`. stopped: the user wanted it to. True: start again
 * after *ret_delay; it is counted.
 */
bool restart_wanted(struct restart *r, int code, nsec_t ran, bool stopped, nsec_t *ret_delay);
