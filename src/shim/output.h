/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workload writes becomes lines of its log, by the log's driver. A line longer than
 * OUTPUT_LINE_MAX is logged in parts, cut between characters; what has no line end when the stream
 * ends is a line too. Keeps no memory between calls but an unfinished line.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "proto/shim.h"
#include "shim/journal.h"
#include "shim/logfile.h"

#define OUTPUT_LINE_MAX (16u << 10) /* bytes, as docker */

struct output {
	enum shim_log_driver driver;
	struct logfile file;
	struct journal journal;
	struct buf partial[2]; /* of stdout and stderr */
};

/* dir_fd (borrowed, must outlive it) is where the log file lies; texts of c are borrowed too. */
[[nodiscard]] int output_open(struct output *o, const struct shim_create *c, int dir_fd,
			      struct err *e);
void output_close(struct output *o); /* ends both streams */
/* Bytes as they came; they are in the log when it returns. */
void output_bytes(struct output *o, enum shim_stream stream, struct str bytes);
void output_end(struct output *o, enum shim_stream stream); /* of this start: flush the rest */
/* Lines that could not be logged so far. */
uint64_t output_lost(const struct output *o);
