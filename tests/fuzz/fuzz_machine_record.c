/* SPDX-License-Identifier: Apache-2.0 */
/* Records of machines; what decodes is written again, decodes the same, and fits itself. */
#include <stdlib.h>

#include "fmt/machine_record.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20), again = BUF_INIT(16u << 20);
	struct machine_record m, same;
	struct err e;

	if (machine_record_decode(&a, (struct str){ (const char *) data, size }, &m, &e) < 0)
		return 0;
	if (machine_record_fits(&m, &m, &e) < 0)
		abort();
	machine_record_encode(&m, &out);
	if (!buf_ok(&out) || out.n > MACHINE_RECORD_TEXT_MAX)
		return 0;
	if (machine_record_decode(&a, buf_str(&out), &same, &e) < 0) {
		if (e.kind != ERR_EXHAUSTED)
			abort();
		return 0;
	}
	machine_record_encode(&same, &again);
	if (buf_ok(&again) && !str_eq(buf_str(&out), buf_str(&again)))
		abort();
	return 0;
}
