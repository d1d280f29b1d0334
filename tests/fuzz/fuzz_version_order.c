/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, one a line: whatever they are, their order is one. */
#include <stdlib.h>

#include "fmt/version_order.h"
#include "fuzz.h"

#define LINES 3

static void check(enum version_scheme scheme, const struct str v[static LINES])
{
	int ab = version_order(scheme, v[0], v[1]), bc = version_order(scheme, v[1], v[2]),
	    ac = version_order(scheme, v[0], v[2]);

	if (version_order(scheme, v[0], v[0]) != 0 || version_order(scheme, v[1], v[0]) != -ab)
		abort();
	if (ab <= 0 && bc <= 0 && (ac > 0 || (ac == 0 && (ab || bc))))
		abort();
	if (ab >= 0 && bc >= 0 && (ac < 0 || (ac == 0 && (ab || bc))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *) data, size }, v[LINES] = { 0 };

	while (rest.p) {
		v[0] = v[1];
		v[1] = v[2];
		v[2] = str_cut(rest, '\n', &rest);
		for (int s = VERSION_DEBIAN; s <= VERSION_SEMVER; s++)
			check((enum version_scheme) s, v);
	}
	return 0;
}
