/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "bench/samples.h"

int main(void)
{
	static struct samples s;
	struct figure f = samples_figure(&s);

	CHECK(!f.known);
	samples_add(&s, 7);
	f = samples_figure(&s);
	CHECK(f.known && f.median == 7 && f.p99 == 7 && f.n == 1);

	for (uint64_t i = 0; i < 99; i++)
		samples_add(&s, 1000 - i);
	f = samples_figure(&s);
	CHECK(f.n == 100);
	CHECK(f.median == 950); /* 7, 902, 903, ... 1000: the 50th */
	CHECK(f.p99 == 999);

	for (uint64_t i = 0; i < 5000; i++)
		samples_add(&s, 1);
	CHECK(s.n == SAMPLES_MAX);
	return test_done();
}
