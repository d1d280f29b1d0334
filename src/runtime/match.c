/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/match.h"

#include <regex.h>

#include "runtime/state.h"

int containers_matching(struct runtime *rt, const char *pattern, const char ***ret_ids,
			size_t *ret_n, struct err *e)
{
	const char **ids;
	size_t n = 0, kept = 0;
	regex_t regex;
	int r = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);

	if (r != 0) {
		char why[120];

		(void) regerror(r, &regex, why, sizeof(why));
		return err_set(e, ERR_INVALID, EINVAL, "--regex '%s': %s", pattern, why);
	}
	r = container_ids(rt, &ids, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (regexec(&regex, ids[i], 0, NULL, 0) == 0)
			ids[kept++] = ids[i];
	}
	regfree(&regex);
	if (r < 0)
		return r;
	*ret_ids = ids;
	*ret_n = kept;
	return 0;
}

int containers_each(struct runtime *rt, const char *pattern,
		    int (*act)(struct runtime *rt, const char *id, const void *with, struct err *e),
		    const void *with, struct err *e)
{
	const char **ids;
	size_t n;
	int first = 0, r = containers_matching(rt, pattern, &ids, &n, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct err own = {};

		r = act(rt, ids[i], with, &own);
		/* One that went in between is what was wanted; the first failure is told. */
		if (r < 0 && own.kind != ERR_NOT_FOUND && first == 0) {
			first = r;
			*e = own;
		}
	}
	return first;
}
