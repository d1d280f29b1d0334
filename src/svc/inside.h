/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a workload that has a disk of its own (svc/own_disk.h), seen through its kernel:
 * that of its machine while it runs, else of a machine made for this alone, which runs nothing of
 * the workload's and ends when it is closed. The host reads no such disk itself.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"
#include "store/paths.h"
#include "store/workload.h"
#include "svc/svc.h"

struct inside {
	struct engine_files files;
	struct instance *in;	  /* owned: the machine made for it; NULL: it is the workload's */
	char dir[PATHS_FULL_MAX]; /* that one's state; "": none */
};
#define INSIDE_INIT ((struct inside){ .files = ENGINE_FILES_INIT })

bool inside_needed(struct svc *s, const struct workload_record *w);
/* While it runs its engine alone knows where they are, on this machine: inside_open(). */
bool inside_here(const struct workload_record *w);

/*
 * hold: the workload stands still meanwhile. Fails: CONFLICT it is paused, or its disk is in use;
 * what starting a machine fails with.
 */
[[nodiscard]] int inside_open(struct svc *s, const struct workload_record *w, bool hold,
			      struct inside *ret, struct err *e);
/* After all that was opened in there. What was written is on the disk then. */
void inside_close(struct inside *i);
