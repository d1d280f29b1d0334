/* SPDX-License-Identifier: Apache-2.0 */
/* Records of kept snapshots; what decodes is written again and decodes the same. */
#include <stdlib.h>
#include <string.h>

#include "fmt/kept.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20), again = BUF_INIT(16u << 20);
	struct kept k, same;
	struct err e;

	if (kept_decode(&a, (struct str){ (const char *) data, size }, &k, &e) < 0)
		return 0;
	if (k.base && strchr(k.base, '/'))
		abort();
	kept_encode(&k, &out);
	if (!buf_ok(&out) || out.n > KEPT_TEXT_MAX)
		return 0;
	if (kept_decode(&a, buf_str(&out), &same, &e) < 0) {
		if (e.kind != ERR_EXHAUSTED)
			abort();
		return 0;
	}
	kept_encode(&same, &again);
	if (buf_ok(&again) && !str_eq(buf_str(&out), buf_str(&again)))
		abort();
	return 0;
}
