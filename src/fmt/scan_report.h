/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scan of a tree found, as it comes from the confined process that looked: a line of JSON
 * about the whole, and one for each finding.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "fmt/advisory.h"
#include "fmt/packages.h"

#define SCAN_FINDINGS_MAX 200000u

struct scan_finding {
	const char *package, *version, *type; /* type: a package URL's */
	const char *id, *fixed, *summary;     /* fixed "": no version is */
	const char *path;		      /* of the list it stands in */
	uint32_t severity;
};

struct scan_report {
	struct os_release os;
	uint64_t packages[PACKAGE_KINDS]; /* that are installed, by kind */
	uint64_t unread;		  /* lists that could not be read or understood */
	bool rpm;			  /* a data base of rpm is there, and was not read */
	bool unchecked[PACKAGE_KINDS];	  /* no data base knows anything of this kind's ecosystem */
	struct scan_finding *findings;
	size_t findings_n;
};

void scan_report_write_head(struct buf *out, const struct scan_report *r);
void scan_report_write_finding(struct buf *out, const struct scan_finding *f);
/* All of the result is in the arena. */
[[nodiscard]] int scan_report_read(struct arena *a, struct str text, struct scan_report *ret,
				   struct err *e);
/* Those that can be mended first, then by how bad they are, package and id. */
void scan_report_sort(struct scan_finding *v, size_t n);
