/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload's log: the options of its driver, checked when the workload is created, and reading
 * it back. Only json-file can be read: workload.log (the newest) and workload.log.1, .2, ... in
 * the workload's directory, in docker's format.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"
#include "proto/shim.h"
#include "svc/svc.h"

#define LOGS_MAX_BYTES_DEFAULT (10u << 20)
#define LOGS_MAX_FILES_DEFAULT 3

struct logs_config {
	enum shim_log_driver driver;
	uint64_t max_bytes; /* 0: no limit */
	uint64_t max_files;
	const char *tag; /* borrowed from the options; "" when none */
};

/*
 * --log-driver and --log-opt. driver "" or NULL: json-file. INVALID: no such driver or option, the
 * message lists those there are; UNSUPPORTED: journald, and nothing listens on its socket.
 */
[[nodiscard]] int logs_configure(const char *driver, const struct json_pair *opts, size_t opts_n,
				 struct logs_config *ret, struct err *e);

struct logs_read {
	bool out, err; /* which streams */
	bool follow;   /* go on until the workload has ended for good */
	nsec_t since;  /* CLOCK_REALTIME; 0: from the beginning */
	nsec_t until;  /* 0: no end */
	uint64_t tail; /* UINT64_MAX: all; else the last so many lines */
	int wake_fd;   /* following: stop when it becomes readable (a signalfd); or FD_NONE */
};

struct logs_line {
	enum shim_stream stream;
	nsec_t at;	 /* CLOCK_REALTIME */
	struct str text; /* with its line end, unless it is a part of a long line; borrowed */
};

/*
 * Each line in the order of the log to `line`; it returns 0 to go on, else the reading ends with
 * that value. A line that is no JSON (torn by a full disk) is skipped.
 * Fails: NOT_FOUND no such workload; UNSUPPORTED its driver cannot be read, the message says what
 * can.
 */
[[nodiscard]] int logs_read(struct svc *s, const char *ref, const struct logs_read *r,
			    int (*line)(void *arg, const struct logs_line *l), void *arg,
			    struct err *e);
