/* SPDX-License-Identifier: Apache-2.0 */
/* engine_ops.trace and .refused. */
#pragma once

#include "engine/engine.h"

[[nodiscard]] int sandbox_trace(int state_fd, const struct engine_trace *t, int *ret_fd,
				struct err *e);
[[nodiscard]] int sandbox_refused(int state_fd, struct arena *a, struct engine_refusals *ret,
				  struct err *e);
