/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --require of create and run: what an image must be to become a workload. Looked at when one is
 * created, not at each start of it.
 *
 *	max-age=TIME		it was made at most so long ago ("90d", "36h")
 *	supported		its distribution's release still gets security support
 *	scanned			every package in it could be checked, by data bases of advisories
 *				that are at most a week old
 *	below=SEVERITY		and none has a fault of this severity or worse
 *	patched, patched=SEVERITY	and none has one that a newer version has fixed
 */
#pragma once

#include "base/err.h"
#include "svc/svc.h"

struct image;

/* Words of `require` between commas. DENIED: what it lacks, and how to mend it; INVALID: no such
 * word; NOT_FOUND: no data base of advisories. */
[[nodiscard]] int require_check(struct svc *s, const struct image *im, const char *require,
				struct err *e);
