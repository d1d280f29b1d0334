/* SPDX-License-Identifier: Apache-2.0 */
/* --since and --until: a point in time as users write it. */
#pragma once

#include "base/clock.h"
#include "base/err.h"

/*
 * RFC 3339, a date, seconds since 1970, or a duration before now ("10m"). text NULL: *ret_wall is
 * 0. flag names it in the message. ERR_INVALID.
 */
[[nodiscard]] int time_parse(const char *flag, const char *text, nsec_t now, nsec_t *ret_wall,
			     struct err *e);
