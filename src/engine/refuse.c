/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/refuse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int refuse_to(struct err *e, const char *who, const char *fmt, ...)
{
	char what[sizeof(e->msg)];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "%s cannot %s", who, what);
}

int refuse_first(struct err *e, const char *who, const struct refusal *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].asked)
			return refuse_to(e, who, "%s", v[i].what);
	}
	return 0;
}
