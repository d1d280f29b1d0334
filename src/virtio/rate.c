/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rate.h"

#define KEPT (NSEC_PER_SEC / 10)
/* No operation makes others wait longer: one of a byte per second would for years. */
#define COST_MAX (3600 * NSEC_PER_SEC)

void rate_set(struct rate *r, struct rate_limit limit)
{
	*r = (struct rate){ .bytes.per_second = limit.bytes, .ops.per_second = limit.ops };
}

static nsec_t wait_for(const struct rate_bucket *b, nsec_t now)
{
	return b->per_second && b->paid > now + KEPT ? b->paid - KEPT : 0;
}

nsec_t rate_wait(const struct rate *r, nsec_t now)
{
	nsec_t bytes = wait_for(&r->bytes, now), ops = wait_for(&r->ops, now);

	return bytes > ops ? bytes : ops;
}

static void take(struct rate_bucket *b, nsec_t now, uint64_t n)
{
	uint64_t cost;

	if (!b->per_second)
		return;
	if (__builtin_mul_overflow(n, (uint64_t) NSEC_PER_SEC, &cost))
		cost = UINT64_MAX;
	cost /= b->per_second;
	if (cost > (uint64_t) COST_MAX)
		cost = (uint64_t) COST_MAX;
	b->paid = (b->paid > now ? b->paid : now) + (nsec_t) cost;
}

void rate_take(struct rate *r, nsec_t now, uint64_t bytes)
{
	take(&r->bytes, now, bytes);
	take(&r->ops, now, 1);
}
