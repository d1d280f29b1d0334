/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /proc/PID/mountinfo, where names are the container's. */
#include <stdlib.h>
#include <string.h>

#include "fmt/mountinfo.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const struct mountinfo *v;
	size_t n, total = 0;

	if (mountinfo_parse(&a, (struct str){ (const char *) data, size }, &v, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		total += strlen(v[i].at) + strlen(v[i].root) + strlen(v[i].fstype);
		if (!mountinfo_find(v, n, v[i].id))
			abort();
	}
	if (total > size)
		abort();
	return 0;
}
