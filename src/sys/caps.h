/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities of the calling thread by number: bit n is capability n. >= 0 or -errno. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct caps {
	uint64_t effective, permitted, inheritable;
};

[[nodiscard]] int caps_get(struct caps *ret_c);
/* Whether the caller has this one in effect, in his own user namespace. */
bool caps_effective(unsigned cap);
[[nodiscard]] int caps_set(const struct caps *c);
[[nodiscard]] int caps_bounding(uint64_t *ret_set);
/* Drop from the bounding set all that is not in `keep`; needs CAP_SETPCAP. */
[[nodiscard]] int caps_bound(uint64_t keep);
/* Raise the ambient set to exactly `set`; the lacking ones are skipped, 0 still. */
[[nodiscard]] int caps_ambient(uint64_t set);
/* The highest capability this kernel knows. */
unsigned caps_last(void);
