/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as a tar, its entries sorted, so that the same tree gives the same bytes. In the
 * confined half of atoll-image: what is packed was written by a workload.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "image/worker.h"

/* *ret_result: what a worker_pack() gives. */
[[nodiscard]] int pack_run(const struct pack_request *r, int help_sock,
			   struct unpack_result *ret_result, struct err *e);
