/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a mount as mount(2) has them: "size=10m,mode=755". */
#pragma once

#include "kernel/core/types.h"

struct mount_option {
	const char *name, *value; /* within the text, without ends */
	size_t name_len, len;
	bool has_value;
};

/* The next one, and *text is behind it; empty ones are passed over. False: no more. */
bool mount_option_next(const char **text, struct mount_option *ret);
bool mount_option_is(const struct mount_option *o, const char *name);
/* Its value is just that. */
bool mount_option_says(const struct mount_option *o, const char *value);
/* base: 8 or 10. False: it is no number, or above `most`. */
bool mount_option_number(const struct mount_option *o, unsigned int base, uint64_t most,
			 uint64_t *ret);
/* A number with k, m, g or t behind it, in units of 1024; or so many percent of `whole`. */
bool mount_option_size(const struct mount_option *o, uint64_t whole, uint64_t *ret);
