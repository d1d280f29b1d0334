/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload's log on disk in docker's json-file format, one object per line:
 *
 *	{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
 *
 * workload.log is the newest; when it would grow past its bound it becomes workload.log.1, that
 * one .2, and so on, and the oldest goes. A disk that is full costs lines, not the workload: they
 * are counted, and what was half written is cut off again, so that every line of the file is whole.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "proto/shim.h"

#define LOGFILE_NAME	  "workload.log"
#define LOGFILE_BATCH_MAX (128u << 10) /* bytes gathered before a write */

struct logfile {
	int dir_fd; /* borrowed */
	int fd;	    /* owned */
	uint64_t size, max_bytes /* 0: no bound */, max_files;
	uint64_t lost;	  /* lines that could not be written */
	struct buf batch; /* lines not yet written; empty between calls of the owner */
	uint64_t batch_lines;
};

/* Opens or makes workload.log in dir_fd and goes on at its end. 0 or -errno. */
[[nodiscard]] int logfile_open(struct logfile *l, int dir_fd, uint64_t max_bytes,
			       uint64_t max_files);
void logfile_close(struct logfile *l);
/* Add a line; text has its line end, unless it is a part of a longer line. */
void logfile_add(struct logfile *l, enum shim_stream stream, struct str text, nsec_t wall);
/* Write what was added, and keep no memory for it. */
void logfile_flush(struct logfile *l);
