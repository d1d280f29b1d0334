/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "virtio/rate.h"

#define MS (NSEC_PER_SEC / 1000)

/* How many operations of so many bytes begin within a time. */
static uint64_t run(struct rate *r, nsec_t from, nsec_t span, uint64_t bytes)
{
	uint64_t n = 0;

	for (nsec_t now = from; now < from + span;) {
		nsec_t until = rate_wait(r, now);

		if (until) {
			CHECK(until > now);
			now = until;
			continue;
		}
		rate_take(r, now, bytes);
		n++;
	}
	return n;
}

static void test_none(void)
{
	struct rate r = {};

	rate_set(&r, (struct rate_limit){});
	CHECK(!rate_limits(&r));
	for (int i = 0; i < 1000; i++)
		rate_take(&r, 5, UINT64_MAX);
	CHECK(rate_wait(&r, 5) == 0);
}

static void test_bytes(void)
{
	struct rate r;
	uint64_t n;

	rate_set(&r, (struct rate_limit){ .bytes = 1 << 20 });
	CHECK(rate_limits(&r));
	n = run(&r, NSEC_PER_SEC, 10 * NSEC_PER_SEC, 4096);
	CHECK(n >= 2560 && n <= 2560 + 26 + 1); /* and a tenth of a second that was kept */
	/* A rest is not saved up past that. */
	n = run(&r, 100 * NSEC_PER_SEC, NSEC_PER_SEC, 4096);
	CHECK(n >= 256 && n <= 256 + 26 + 1);
}

static void test_ops(void)
{
	struct rate r;
	uint64_t n;

	rate_set(&r, (struct rate_limit){ .ops = 50, .bytes = 1 << 30 });
	n = run(&r, NSEC_PER_SEC, 4 * NSEC_PER_SEC, 512);
	CHECK(n >= 200 && n <= 206);
}

static void test_large(void)
{
	struct rate r;

	/* Greater than all that is kept: it goes, and the next waits for it. */
	rate_set(&r, (struct rate_limit){ .bytes = 1000 });
	CHECK(rate_wait(&r, NSEC_PER_SEC) == 0);
	rate_take(&r, NSEC_PER_SEC, 5000);
	CHECK(rate_wait(&r, NSEC_PER_SEC) == 6 * NSEC_PER_SEC - 100 * MS);
	CHECK(rate_wait(&r, 6 * NSEC_PER_SEC) == 0);
	/* A new limit forgets the debt. */
	rate_set(&r, (struct rate_limit){ .bytes = 2000 });
	CHECK(rate_wait(&r, NSEC_PER_SEC) == 0);
	rate_take(&r, NSEC_PER_SEC, UINT64_MAX);
	CHECK(rate_wait(&r, NSEC_PER_SEC) <= 3601 * NSEC_PER_SEC);
}

int main(void)
{
	test_none();
	test_bytes();
	test_ops();
	test_large();
	return test_done();
}
