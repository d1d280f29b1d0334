/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of numbers as the kernel writes them ("0-3,7") as bit masks: processors, memory nodes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX 8192 /* the most any kernel is built for */

/*
 * mask: CPUS_MAX / 8 zeroed bytes. *ret_bits: highest number + 1. "" is none. Blanks and empty
 * parts are passed over, as runc does, but there must be a number. -EINVAL, -ERANGE.
 */
[[nodiscard]] int cpus_parse(const char *list, uint64_t *mask, size_t *ret_bits);
