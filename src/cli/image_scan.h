/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan found, as one document: JSON, or SARIF 2.1.0 for those who collect that. */
#pragma once

#include "base/buf.h"
#include "svc/image_scan.h"

void scan_print_json(struct buf *out, const struct scan_target *v, size_t n, nsec_t now);
void scan_print_sarif(struct buf *out, const struct scan_target *v, size_t n);
