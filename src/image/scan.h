/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree looked through for lists of packages, and what data bases of advisories know of these. In
 * the confined half of atoll-image: a tree is whatever somebody put into an image.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "image/worker.h"

[[nodiscard]] int scan_run(const struct scan_request *r, uint64_t *ret_n, struct err *e);
