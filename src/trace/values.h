/* SPDX-License-Identifier: Apache-2.0 */
/* An argument or result of a call, written as strace writes it. */
#pragma once

#include "base/buf.h"
#include "kernel/syscall/list/arguments.h"
#include "trace/record.h"

/* Argument n of a call, of what its record says is behind it; of a text at most `text` bytes. */
void value_argument(struct buf *out, const struct trace_call *c, enum argument_kind kind,
		    unsigned int n, size_t text);
/* The value alone, as of an argument with nothing behind it. */
void value_plain(struct buf *out, enum argument_kind kind, uint64_t value);
/* "3", "-1 ENOENT (No such file or directory)", "?" */
void value_result(struct buf *out, unsigned int nr, int64_t result);
/* Bytes as C writes them, within quotes: at most `most`; cut: more would follow. */
void value_text(struct buf *out, const char *p, size_t n, size_t most, bool cut);
