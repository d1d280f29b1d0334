/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/cpus.h"

#include <errno.h>

#include "base/num.h"

/* "3" or "0-3" */
static int parse_range(struct str part, uint64_t *mask, size_t *bits)
{
	struct str last, first = str_cut(part, '-', &last);
	uint32_t from = 0, to = 0;
	int r = num_parse_u32(str_trim(first), 0, CPUS_MAX - 1, &from);

	to = from;
	if (r == 0 && last.p)
		r = num_parse_u32(str_trim(last), from, CPUS_MAX - 1, &to);
	if (r < 0)
		return r;
	for (uint32_t i = from; i <= to; i++)
		mask[i / 64] |= UINT64_C(1) << (i % 64);
	if (to + 1 > *bits)
		*bits = to + 1;
	return 0;
}

int cpus_parse(const char *list, uint64_t *mask, size_t *ret_bits)
{
	struct str rest = str_of(list);
	size_t bits = 0;

	while (rest.n) {
		struct str part = str_trim(str_cut(rest, ',', &rest));
		int r = part.n ? parse_range(part, mask, &bits) : 0;

		if (r < 0)
			return r;
	}
	if (!bits && list[0])
		return -EINVAL;
	*ret_bits = bits;
	return 0;
}
