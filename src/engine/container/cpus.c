/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/cpus.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

int cpus_parse(const char *list, uint64_t *mask, size_t *ret_bits)
{
	size_t bits = 0;

	while (*list) {
		size_t n = strcspn(list, ",");
		struct str part = { list, n };
		const char *dash = memchr(list, '-', n);
		uint32_t from = 0, to = 0;
		int r;

		if (dash) {
			r = num_parse_u32((struct str){ list, (size_t) (dash - list) }, 0,
					  CPUS_MAX - 1, &from);
			if (r == 0)
				r = num_parse_u32(
					(struct str){ dash + 1, (size_t) (list + n - dash - 1) },
					from, CPUS_MAX - 1, &to);
		} else {
			r = num_parse_u32(part, 0, CPUS_MAX - 1, &from);
			to = from;
		}
		if (r < 0)
			return r;
		for (uint32_t i = from; i <= to; i++)
			mask[i / 64] |= UINT64_C(1) << (i % 64);
		if (to + 1 > bits)
			bits = to + 1;
		list += n;
		if (*list == ',') {
			list++;
			if (!*list)
				return -EINVAL;
		}
	}
	*ret_bits = bits;
	return 0;
}
