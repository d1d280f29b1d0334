/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of numbers as the kernel writes them ("0-3,7") as bit masks: processors, memory nodes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX 8192 /* the most any kernel is built for */

/* mask: CPUS_MAX / 8 zeroed bytes. *ret_bits: highest number + 1. "" is none. -EINVAL, -ERANGE. */
[[nodiscard]] int cpus_parse(const char *list, uint64_t *mask, size_t *ret_bits);
