/* SPDX-License-Identifier: Apache-2.0 */
/* A layer as gzip for a registry, in the confined half of atoll-image; by ISA-L, for its speed. */
#pragma once

#include "base/err.h"
#include "image/worker.h"

/* As worker_squeeze(). No name and no time is in it: the same bytes give the same. */
[[nodiscard]] int squeeze_run(int in_fd, int out_fd, struct unpack_result *ret_result,
			      struct err *e);
