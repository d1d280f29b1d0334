/* SPDX-License-Identifier: Apache-2.0 */
/* Containers by a regular expression (POSIX, extended) over their ids: --regex of kill and delete.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "runtime/runtime.h"

/* Ids of those that match anywhere in the id, sorted, in the arena. */
[[nodiscard]] int containers_matching(struct runtime *rt, const char *pattern,
				      const char ***ret_ids, size_t *ret_n, struct err *e);

/* `act` on each that matches, whatever becomes of the others; the first failure is the result. */
[[nodiscard]] int containers_each(struct runtime *rt, const char *pattern,
				  int (*act)(struct runtime *rt, const char *id, const void *with,
					     struct err *e),
				  const void *with, struct err *e);
