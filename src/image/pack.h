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

[[nodiscard]] int pack_run(const struct pack_request *r, int help_sock, uint64_t *ret_bytes,
			   struct digest *ret_diff, struct err *e);
