/* SPDX-License-Identifier: Apache-2.0 */
/* How often calls were made, how long they took, how many failed: strace's -c. */
#pragma once

#include "base/buf.h"
#include "trace/record.h"

#define SUMMARY_CALLS 512 /* what is higher is counted together, as the last */

struct summary {
	struct {
		uint64_t calls, errors, ns;
	} v[SUMMARY_CALLS];
	uint64_t lost;
};

void summary_add(struct summary *s, const struct trace_call *c);
/* A table, of those that took most time first. */
void summary_print(const struct summary *s, struct buf *out);
