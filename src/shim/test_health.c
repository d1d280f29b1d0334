/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/health.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/test.h"

static bool check(struct health *h, int code, nsec_t now)
{
	struct health_result r = { .start = NSEC_PER_SEC, .end = 2 * NSEC_PER_SEC, .code = code };

	r.output = strdup("it is\n");
	return health_checked(h, &r, now);
}

int main(void)
{
	const char *argv[] = { "true", NULL };
	struct shim_health config = { .retries = 2, .start_period_ns = 10 * NSEC_PER_SEC };
	auto_buf struct buf b = BUF_INIT(100000);
	struct health h;

	health_init(&h, &config);
	CHECK(h.status == HEALTH_NONE);
	config.test = (struct field_strings){ argv, 1 };
	health_init(&h, &config);
	CHECK(h.status == HEALTH_STARTING && h.interval == 30 * NSEC_PER_SEC);
	health_started(&h, 0);
	CHECK(health_wait(&h, 0) == 5 * NSEC_PER_SEC);
	CHECK(health_wait(&h, 10 * NSEC_PER_SEC) == 30 * NSEC_PER_SEC);
	for (int i = 0; i < 9; i++)
		CHECK(!check(&h, 1, i * NSEC_PER_SEC)); /* not counted */
	CHECK(h.kept_n == HEALTH_KEPT && h.failures == 0);
	CHECK(!check(&h, 1, 10 * NSEC_PER_SEC));
	CHECK(check(&h, 1, 11 * NSEC_PER_SEC) && h.status == HEALTH_UNHEALTHY);
	CHECK(check(&h, 0, 12 * NSEC_PER_SEC) && h.status == HEALTH_HEALTHY);
	CHECK(!check(&h, 3, 13 * NSEC_PER_SEC));
	CHECK(!check(&h, 0, 13 * NSEC_PER_SEC));
	CHECK(!check(&h, 3, 13 * NSEC_PER_SEC) && h.status == HEALTH_HEALTHY);
	CHECK(check(&h, 3, 13 * NSEC_PER_SEC) && h.status == HEALTH_UNHEALTHY);
	health_started(&h, 20 * NSEC_PER_SEC);
	CHECK(h.status == HEALTH_STARTING && h.kept_n == 0);
	CHECK(check(&h, 0, 21 * NSEC_PER_SEC)); /* a success ends the start period */
	CHECK(health_wait(&h, 21 * NSEC_PER_SEC) == 30 * NSEC_PER_SEC);
	CHECK(!check(&h, 1, 22 * NSEC_PER_SEC) && h.failures == 1);
	health_write(&h, &b);
	CHECK(buf_ok(&b) && strstr(b.p, "\"ExitCode\":1,\"Output\":\"it is\\n\"}]"));
	health_fini(&h);
	return test_done();
}
