/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/restart.h"

#include "base/test.h"

int main(void)
{
	struct restart r = { .policy = SHIM_RESTART_NO };
	nsec_t d = 0, want = RESTART_DELAY_MIN;

	CHECK(!restart_wanted(&r, 1, 0, false, &d));
	r.policy = SHIM_RESTART_ON_FAILURE;
	r.max = 2;
	CHECK(!restart_wanted(&r, 0, 0, false, &d));
	CHECK(restart_wanted(&r, 1, 0, false, &d) && d == 100 * NSEC_PER_MSEC);
	CHECK(restart_wanted(&r, 137, 0, false, &d) && d == 200 * NSEC_PER_MSEC);
	CHECK(!restart_wanted(&r, 1, 0, false, &d) && r.count == 2);
	r = (struct restart){ .policy = SHIM_RESTART_ON_FAILURE };
	for (int i = 0; i < 100; i++)
		CHECK(restart_wanted(&r, 1, 0, false, &d));
	CHECK(d == RESTART_DELAY_MAX && r.count == 100);
	r = (struct restart){ .policy = SHIM_RESTART_ALWAYS };
	for (int i = 0; i < 9; i++) { /* 100 ms to 25.6 s, then 51.2 s */
		CHECK(restart_wanted(&r, 0, NSEC_PER_SEC, false, &d) && d == want);
		want *= 2;
	}
	CHECK(restart_wanted(&r, 0, NSEC_PER_SEC, false, &d));
	CHECK(d == want);
	CHECK(restart_wanted(&r, 0, NSEC_PER_SEC, false, &d) && d == RESTART_DELAY_MAX);
	CHECK(restart_wanted(&r, 0, RESTART_GOOD_RUN, false, &d) && d == RESTART_DELAY_MIN);
	CHECK(!restart_wanted(&r, 1, 0, true, &d));
	r.policy = SHIM_RESTART_UNLESS_STOPPED;
	CHECK(restart_wanted(&r, 0, 0, false, &d) && d == 2 * RESTART_DELAY_MIN);
	CHECK(!restart_wanted(&r, 0, 0, true, &d));
	return test_done();
}
