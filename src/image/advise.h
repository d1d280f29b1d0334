/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds of advisories, packed as they are published, into one data base (fmt/advisory.h). In the
 * confined half of atoll-image: they are from the network.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "image/worker.h"

[[nodiscard]] int advise_run(const struct advise_request *r, uint64_t *ret_n, struct err *e);
