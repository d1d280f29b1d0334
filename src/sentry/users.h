/* SPDX-License-Identifier: Apache-2.0 */
/* process.user.username: who that is in the guest's own files. In a fiber. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "fmt/spec.h"

struct path;

/* p with the numbers in the place of the names, and HOME where it has none. Lives in the arena,
 * and as long as p. NOT_FOUND: there is no such user or group. */
[[nodiscard]] int users_find(const struct spec_process *p, const struct path *root, struct arena *a,
			     struct spec_process *ret, struct err *e);
