/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workload's health checks add up to. Pure: the caller runs the checks (an exec) and keeps
 * the time.
 *
 *	            ok                    retries failures in a row
 *	STARTING ------> HEALTHY          STARTING, HEALTHY --------> UNHEALTHY
 *	                    ^ ok              (in the start period, before the first success,
 *	UNHEALTHY ----------+                  failures are not counted)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "proto/shim.h"
#include "store/workload.h"

#define HEALTH_OUTPUT_MAX 4096 /* bytes kept of a check's output, as docker */
#define HEALTH_KEPT	  5    /* results kept */

struct health_result {
	nsec_t start, end; /* wall */
	int code;
	char *output; /* owned; malloc'ed, or NULL */
};

struct health {
	nsec_t interval, timeout, start_period, start_interval;
	uint64_t retries;
	enum workload_health status;
	uint64_t failures;			/* in a row */
	bool was_healthy;			/* since the start */
	nsec_t started;				/* CLOCK_MONOTONIC */
	struct health_result kept[HEALTH_KEPT]; /* oldest first */
	unsigned kept_n;
};

/* Docker's defaults fill what is 0. status is NONE when there is no test. */
void health_init(struct health *h, const struct shim_health *config);
void health_fini(struct health *h);
/* The workload started (again). now: CLOCK_MONOTONIC. */
void health_started(struct health *h, nsec_t now);
/* When the next check is due, counted from the end of the last or from the start. */
nsec_t health_wait(const struct health *h, nsec_t now);
/*
 * A check ended; code 0 is a success. Takes r->output. True: the status changed.
 */
bool health_checked(struct health *h, const struct health_result *r, nsec_t now);
/* The results kept as docker's JSON array. */
void health_write(const struct health *h, struct buf *out);
