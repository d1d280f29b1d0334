/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a trace (kernel/syscall/list/record.h) out of a message, checked: who sent them is
 * not trusted. Not what they mean.
 */
#pragma once

#include "base/str.h"
#include "kernel/syscall/list/record.h"

#define TRACE_PARTS_MAX 96

struct trace_piece {
	struct trace_part head;
	const char *bytes; /* head.bytes of them; borrowed from the message */
};

struct trace_call {
	struct trace_record head;
	struct trace_piece parts[TRACE_PARTS_MAX];
	size_t parts_n;
};

/* The next record, and *rest behind it: 1; 0: there is none; -EBADMSG: *rest is none. */
[[nodiscard]] int trace_next(struct str *rest, struct trace_call *ret);
/* The first part of an argument that is `what`; NULL: there is none. */
const struct trace_piece *trace_find(const struct trace_call *c, unsigned int argument,
				     enum trace_what what);
