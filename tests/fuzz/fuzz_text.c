/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes, times and durations as users write them; what is written parses again. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/num.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = { (const char *) data, size };
	char text[CLOCK_DURATION_MAX], when[CLOCK_RFC3339_MAX];
	uint64_t u = 0;
	int64_t i = 0;
	uint32_t octal = 0;
	nsec_t t = 0, again = 0;

	if (num_parse_u64(s, 10, 1000, &u) == 0 && (u < 10 || u > 1000))
		abort();
	if (num_parse_i64(s, -5, 5, &i) == 0 && (i < -5 || i > 5))
		abort();
	if (num_parse_octal(s, 07777, &octal) == 0 && octal > 07777)
		abort();
	(void) num_parse_bytes(s, &u);
	if (num_parse_fixed(s, 1000000000, UINT64_MAX, &u) == 0 && size == 0)
		abort();
	if (clock_parse_duration(s, &t) == 0) {
		clock_duration(t, text);
		if (clock_parse_duration(str_of(text), &again) < 0)
			abort();
	}
	if (clock_parse(s, &t) == 0 && t > 0) {
		clock_rfc3339(t, when);
		if (clock_parse(str_of(when), &again) < 0 || again != t)
			abort();
	}
	return 0;
}
