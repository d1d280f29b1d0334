/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets: how fast one direction of a device may go, in bytes and in operations. What is
 * left unused is kept for a tenth of a second, no longer; one operation may be greater than all
 * that, and those after it wait. Pure: the caller brings the time, and the waiting.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Per second; 0: no limit. */
struct rate_limit {
	uint64_t bytes, ops;
};

struct rate_bucket {
	uint64_t per_second; /* 0: no limit */
	nsec_t paid;	     /* CLOCK_MONOTONIC: when all that was taken has been earned */
};

struct rate {
	struct rate_bucket bytes, ops;
};

/* A new limit, from now on: debts to the old one are forgotten. */
void rate_set(struct rate *r, struct rate_limit limit);
/* Whether time must be looked at at all. */
static inline bool rate_limits(const struct rate *r)
{
	return r->bytes.per_second || r->ops.per_second;
}
/* When the next operation may begin; 0: now. */
nsec_t rate_wait(const struct rate *r, nsec_t now);
/* One operation of so many bytes has begun. */
void rate_take(struct rate *r, nsec_t now, uint64_t bytes);
