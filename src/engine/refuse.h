/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine cannot do, in one form of words: UNSUPPORTED, "WHO cannot WHAT". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct refusal {
	bool asked;
	const char *what;
};

[[gnu::format(printf, 3, 4)]] int refuse_to(struct err *e, const char *who, const char *fmt, ...);
/* The first of n that was asked for; 0: none was. */
int refuse_first(struct err *e, const char *who, const struct refusal *v, size_t n);
