/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as lines, one for each call as it ends; a call that takes long is told in two. Not which
 * records come, nor where lines go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kernel/syscall/list/arguments.h"
#include "trace/record.h"

/* Threads whose calls are waited for; what is more is told at once. */
#define LINES_PENDING_MAX 1024

struct line_style {
	size_t text;	/* bytes of a text that are shown */
	bool clock;	/* each line begins with the time of day */
	bool relative;	/* with the seconds since the line before */
	bool durations; /* ends with how long the call took */
};

/* A call that has begun. */
struct line_pending {
	uint32_t tid, nr;
	int64_t at;
	char *text; /* owned: its arguments as far as they are known, one after the other */
	size_t ends[ARGUMENTS_MOST];
	bool told; /* its beginning was */
	unsigned int shown;
};

struct lines {
	struct line_style style;
	struct line_pending *pending; /* owned */
	size_t n;
	int64_t last; /* when the line before was */
};

#define LINES_INIT(style_) ((struct lines){ .style = (style_) })

void lines_fini(struct lines *l);
void lines_add(struct lines *l, const struct trace_call *c, struct buf *out);
/* Calls that began before this moment (ns since 1970) are told as far as they are. */
void lines_tell(struct lines *l, int64_t before, struct buf *out);
/* Whether there are any that were not. */
bool lines_wait(const struct lines *l);

/* "read", "syscall_0x1d4" */
void line_name(struct buf *out, unsigned int nr);
