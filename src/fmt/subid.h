/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/subuid and /etc/subgid (subuid(5)): ranges of ids that are granted to a user. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct subid {
	uint32_t first, count;
};

/*
 * The ranges of the user, by his name (NULL: not known) or his number, in the file's order; at most
 * max, how many as the result. Lines that are none are nobody's.
 */
size_t subid_ranges(struct str text, const char *name, uint32_t uid, struct subid *ret_ranges,
		    size_t max);
