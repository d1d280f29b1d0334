/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something the probe can be run in: a workload behind one engine, or a plain process. The same
 * measurements (bench/compare.c) are made through this, so that the rows can be compared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "bench/compare.h"
#include "store/workload.h"
#include "svc/supervise.h"

struct subject {
	struct compare *compare; /* borrowed */
	const char *isolation;	 /* NULL: bare metal */
	const char *probe;	 /* its path on the host */
};

/* One run: from subject_start() to subject_end(). */
struct subject_run {
	const struct subject *subject;
	nsec_t started;		  /* CLOCK_MONOTONIC of the request */
	int out_fd;		  /* owned: what it writes to standard output */
	char id[WORKLOAD_ID_MAX]; /* of a workload, "" when there is none */
	struct shim_conn conn;	  /* of a workload */
	pid_t pid;		  /* of a plain process, 0 when none */
};
#define SUBJECT_RUN_INIT ((struct subject_run){ .out_fd = FD_NONE, .conn = SHIM_CONN_NONE })

/*
 * Start the probe with these words (probe true), or the image's command with argv. Output that
 * nobody reads blocks it: read out_fd. On failure the run needs no end.
 */
[[nodiscard]] int subject_start(const struct subject *s, bool probe, const char *const *argv,
				size_t argv_n, struct subject_run *ret, struct err *e);

/*
 * Wait until it is over; *ret_code as a shell has it. cancelled: the user wants to stop, and the
 * run goes on until subject_end().
 */
[[nodiscard]] int subject_wait(struct subject_run *r, int *ret_code, bool *ret_cancelled,
			       struct err *e);
/* Ask it to end (SIGTERM) and wait for it, whatever that means for the subject. */
[[nodiscard]] int subject_stop(struct subject_run *r, struct err *e);
/* Bytes of processes of ours that exist for this run and are not the workload's; 0 on bare metal.
 */
[[nodiscard]] int subject_overhead(const struct subject_run *r, uint64_t *ret_bytes, struct err *e);

/* End it if it runs, remove what there is of it. Twice is fine. */
void subject_end(struct subject_run *r);
#define auto_run __attribute__((cleanup(subject_end)))
