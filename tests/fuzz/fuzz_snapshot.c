/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside a checkpoint's images; what decodes is written again and decodes the same. */
#include <stdlib.h>
#include <string.h>

#include "fmt/snapshot.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20), again = BUF_INIT(16u << 20);
	struct str text = { (const char *) data, size };
	const struct snapshot *s;
	const char **links;
	struct err e;
	size_t n;

	(void) snapshot_descriptors_decode(&a, text, &links, &n, &e); /* refusing is fine */
	if (snapshot_decode(&a, text, &s, &e) < 0)
		return 0;
	for (size_t i = 0; i < s->mounts_n; i++) {
		if (s->mounts[i].at[0] != '/' || strstr(s->mounts[i].below, "../"))
			abort();
	}
	snapshot_encode(s, &out);
	if (!buf_ok(&out))
		return 0;
	if (snapshot_decode(&a, buf_str(&out), &s, &e) < 0) {
		if (e.kind != ERR_EXHAUSTED)
			abort();
		return 0;
	}
	snapshot_encode(s, &again);
	if (buf_ok(&again) && !str_eq(buf_str(&out), buf_str(&again)))
		abort();
	return 0;
}
