/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where save and export write an archive: a file that appears complete or not at all, or standard
 * output, which must not be a terminal.
 */
#pragma once

#include "base/auto.h"
#include "base/err.h"

struct output {
	int fd;		     /* owned unless it is standard output */
	const char *path;    /* borrowed; NULL: standard output */
	char temporary[512]; /* "": write to path itself, a device or a pipe */
};
#define OUTPUT_INIT ((struct output){ .fd = FD_NONE })

/* path NULL or "-": standard output. */
[[nodiscard]] int output_open(struct output *o, const char *path, struct err *e);
[[nodiscard]] int output_commit(struct output *o, struct err *e);
void output_fini(struct output *o); /* an uncommitted file is gone */
#define auto_output __attribute__((cleanup(output_fini)))
