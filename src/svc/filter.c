/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/filter.h"

#include <errno.h>

#include "base/buf.h"

int filters_check(const char *const *filters, size_t n, const char *const *known, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct str value, key = str_cut(str_of(filters[i]), '=', &value);
		auto_buf struct buf names = BUF_INIT(400);
		size_t j = 0;

		if (!value.p)
			return err_set(e, ERR_INVALID, EINVAL, "--filter '%s': write it KEY=VALUE",
				       filters[i]);
		while (known[j] && !str_is(key, known[j]))
			j++;
		if (known[j])
			continue;
		for (j = 0; known[j]; j++)
			buf_addf(&names, "%s%s", j ? ", " : "", known[j]);
		return err_set(e, ERR_INVALID, EINVAL,
			       "--filter '%s': no such filter; there are: %s", filters[i],
			       buf_z(&names));
	}
	return 0;
}

bool filter_is_first(const char *const *filters, size_t i)
{
	struct str rest, key = str_cut(str_of(filters[i]), '=', &rest);

	for (size_t j = 0; j < i; j++) {
		if (str_eq(str_cut(str_of(filters[j]), '=', &rest), key))
			return false;
	}
	return true;
}

bool filter_label(const struct json *labels, struct str want)
{
	struct str value, key = str_cut(want, '=', &value);

	if (!labels || labels->type != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < labels->members_n; i++) {
		const char *has = json_string(&labels->members[i].value);

		if (str_eq(labels->members[i].key, key))
			return !value.p || (has && str_is(value, has));
	}
	return false;
}

int filter_until(struct str value, nsec_t *ret_wall, struct err *e)
{
	nsec_t d;

	if (clock_parse_duration(value, &d) >= 0) {
		*ret_wall = clock_wall() - d;
		return 0;
	}
	if (clock_parse(value, ret_wall) >= 0)
		return 0;
	return err_set(e, ERR_INVALID, EINVAL,
		       "--filter until='%.*s': write a time (2026-01-02T03:04:05Z) or how long ago "
		       "(24h)",
		       (int) value.n, value.p);
}
