/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A comparison as charts: bars per figure, shortest first read as best. One SVG, or an HTML page
 * that holds it and the tables; both whole in one file, with nothing loaded from elsewhere.
 */
#pragma once

#include "base/buf.h"
#include "bench/report.h"

void chart_svg(const struct report *r, struct buf *out);
void chart_html(const struct report *r, struct buf *out);
