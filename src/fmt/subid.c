/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/subid.h"

#include "base/num.h"

static bool is_user(struct str owner, const char *name, uint32_t uid)
{
	uint32_t n;

	return (name && name[0] && str_is(owner, name)) ||
	       (num_parse_u32(owner, 0, UINT32_MAX, &n) == 0 && n == uid);
}

size_t subid_ranges(struct str text, const char *name, uint32_t uid, struct subid *ret_ranges,
		    size_t max)
{
	size_t n = 0;

	for (struct str rest = text; rest.p && rest.n > 0 && n < max;) {
		struct str line = str_trim(str_cut(rest, '\n', &rest)), first, count;
		struct str owner = str_cut(line, ':', &first);
		struct subid r;

		if (!first.p)
			continue;
		first = str_cut(first, ':', &count);
		if (!count.p || !is_user(owner, name, uid) ||
		    num_parse_u32(first, 0, UINT32_MAX - 1, &r.first) < 0 ||
		    num_parse_u32(count, 1, UINT32_MAX - 1, &r.count) < 0 ||
		    r.count > UINT32_MAX - r.first)
			continue;
		ret_ranges[n++] = r;
	}
	return n;
}
