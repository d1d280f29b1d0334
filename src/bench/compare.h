/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `atoll compare`: measure every engine of this build against bare metal with one image, through
 * svc as any user does. The measuring inside is the probe's (atoll-probe), bind-mounted into the
 * workloads; what is timed from outside is timed from the request, by the clock of the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bench/report.h"
#include "svc/svc.h"

struct compare {
	struct svc *svc;
	const char *image;
	const char *const *command; /* timed beside the probe; n 0: none */
	size_t command_n;
	const char *const *walls; /* only these engines are measured; n 0: all there are */
	size_t walls_n;
	uint32_t runs;	 /* 1..COMPARE_RUNS_MAX */
	const char *dir; /* for bare metal's files: on the file system of the workloads' roots */
	int cancel_fd;	 /* readable: stop and clean up (a signalfd); or FD_NONE. Borrowed. */
	/* Told what is being done, done of total steps of this row; NULL: nobody is. */
	void (*progress)(struct compare *c, const char *row, const char *what, unsigned done,
			 unsigned total);
};

enum { COMPARE_RUNS_MAX = 1000, COMPARE_RUNS_DEFAULT = 20 };

/*
 * Fill the report. An engine that cannot serve here has a row that says why. Nothing stays behind,
 * also when cancelled: *ret_cancelled, and the report is what was measured until then.
 * Fails: NOT_FOUND no such image or engine, or the probe is not installed; as the verbs it uses.
 */
[[nodiscard]] int compare_run(struct compare *c, struct report *ret, bool *ret_cancelled,
			      struct err *e);
