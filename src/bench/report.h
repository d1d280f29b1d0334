/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a comparison found: one row per engine and one for bare metal, one figure per question;
 * and its forms for terminals and machines. Charts are bench/chart.h. Measures nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "bench/samples.h"

enum figure_id {
	FIGURE_FIRST,	   /* ns: from the request to the workload's first instruction */
	FIGURE_EXIT,	   /* ns: from the request to the end of a workload that ends at once */
	FIGURE_COMMAND,	   /* ns: the same with the user's own command */
	FIGURE_STOP,	   /* ns: from the stop request to its end */
	FIGURE_MEMORY,	   /* bytes: of ours beyond the workload's own, idle; of a machine all */
	FIGURE_DISK,	   /* bytes: the image, unpacked */
	FIGURE_SYSCALL,	   /* ns per system call */
	FIGURE_FORK_EXEC,  /* ns per fork, exec, exit, wait */
	FIGURE_COMPUTE,	   /* ns for a fixed piece of integer work */
	FIGURE_FILE_WRITE, /* ns per MiB */
	FIGURE_FILE_READ,  /* ns per MiB */
	FIGURE_RANDOM_IO,  /* ns per 4 KiB read or write at a random place */
	FIGURE_CALLS,	   /* count: system calls let through to the host's kernel */
	FIGURE_CAPS,	   /* count: effective capabilities */
	FIGURE_DEVICES,	   /* count: device nodes that can be used */
	FIGURE_COUNT,
};

enum figure_unit { UNIT_NS, UNIT_BYTES, UNIT_COUNT };

struct figure_kind {
	const char *key;   /* in JSON; never renamed */
	const char *title; /* of a table's column */
	const char *words; /* of a chart */
	enum figure_unit unit;
};

const struct figure_kind *figure_kind(enum figure_id id);
/* "3.1 ms", "640 kB", "311"; "-" when not known. */
#define FIGURE_TEXT_MAX 24
void figure_text(enum figure_id id, const struct figure *f, bool p99,
		 char ret_text[static FIGURE_TEXT_MAX]);

enum { REPORT_ROWS_MAX = 8, REPORT_WHY_MAX = 160 };

struct report_row {
	const char *name;	  /* "bare metal", "container", ... */
	bool emulated;		  /* its processor is a program; texts say so beside the name */
	char why[REPORT_WHY_MAX]; /* not measured, or not wholly: the reason; "" otherwise */
	struct figure figures[FIGURE_COUNT];
};

struct report {
	const char *image;
	char command[256]; /* the user's, "" when none */
	uint32_t runs;
	nsec_t when; /* wall */
	char host[256];
	struct report_row rows[REPORT_ROWS_MAX]; /* rows[0] is bare metal */
	size_t rows_n;
};

/* What stands after the name where people read it: " (emulated)" or "". */
const char *report_row_mark(const struct report_row *row);

/* The row's figure as a multiple of bare metal's, in hundredths; false: not known. */
bool report_ratio(const struct report *r, size_t row, enum figure_id id, uint64_t *ret_hundredths);

void report_table(const struct report *r, struct buf *out);
void report_json(const struct report *r, struct buf *out);
