/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a container and taking away what it had; also after a crash of whoever made it. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

/*
 * The container is locked. CONFLICT: it has not stopped and `force` is not set. Afterwards it is
 * closed and its id is free; on failure as much as possible is gone and it may be called again.
 */
[[nodiscard]] int container_delete(struct runtime *rt, struct container *c, bool force,
				   struct err *e);
