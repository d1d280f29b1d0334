/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/times.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int time_parse(const char *flag, const char *text, nsec_t now, nsec_t *ret_wall, struct err *e)
{
	/* What is left out of a date is midnight, UTC. */
	static const char rest[] = "YYYY-MM-DDT00:00:00Z";
	char whole[40];
	nsec_t d;

	*ret_wall = 0;
	if (!text)
		return 0;
	if (clock_parse(str_of(text), ret_wall) == 0)
		return 0;
	if (clock_parse_duration(str_of(text), &d) == 0) {
		*ret_wall = d > now ? 1 : now - d;
		return 0;
	}
	if (strlen(text) >= 10 && strlen(text) < sizeof(rest)) {
		(void) snprintf(whole, sizeof(whole), "%s%s", text, rest + strlen(text));
		if (clock_parse(str_of(whole), ret_wall) == 0)
			return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL,
		       "%s '%.60s': neither a time (2026-01-02T15:04:05Z, 1767366245) nor a "
		       "duration (10m)",
		       flag, text);
}
