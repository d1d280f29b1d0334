/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels: segments in order, apart, within the file and below 4 GiB. */
#include <stdlib.h>

#include "base/num.h"
#include "fmt/vmlinux.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmlinux k;
	struct err e;
	uint64_t end;

	if (vmlinux_read(data, size, &k, &e) < 0)
		return 0;
	end = k.low;
	if (!k.segments_n || k.segments_n > VMLINUX_SEGMENTS_MAX)
		abort();
	for (size_t i = 0; i < k.segments_n; i++) {
		const struct vmlinux_segment *s = &k.segments[i];

		if (s->paddr < end || !range_in(s->offset, s->file_n, size) ||
		    s->file_n > s->memory_n)
			abort();
		end = s->paddr + s->memory_n;
	}
	if (end != k.high || k.high > UINT64_C(1) << 32 || k.file_end > size)
		abort();
	return 0;
}
