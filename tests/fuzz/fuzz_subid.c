/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of ids: never empty, never past the last id, and never more than there is room for. */
#include <stdlib.h>

#include "fmt/subid.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subid r[4];
	size_t n = subid_ranges((struct str){ (const char *) data, size }, "me", 1000, r, 4);

	if (n > 4)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (!r[i].count || r[i].first > UINT32_MAX - r[i].count)
			abort();
	}
	return 0;
}
