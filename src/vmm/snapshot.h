/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine as two files, and a machine of two files. The state: what machine it is, its clock,
 * processors, serial port and devices, as sections (fmt/sections.h) of one version of this
 * program's own format. The memory: vmm/memory_file.h.
 *
 * The guest's clocks go on where they stood, as if no time had passed: who restores it tells it the
 * time of day. Its generation (LAYOUT_GENERATION) is a new one after each restore.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/vmm.h"
#include "vmm/options.h"
#include "vmm/vcpu.h"

#define SNAPSHOT_STATE_MAX (16u << 20) /* bytes of the state */

struct machine;

/*
 * Of a machine that is paused, on its loop's thread; it stays paused. Both files are borrowed,
 * empty and open for writing. changed_only: of the memory only what has changed since the last
 * snapshot or restore (INVALID with ENODATA: there was none). From the first snapshot on changes
 * are kept account of, which costs the guest its huge pages. After a failure the next is as if this
 * one had not been tried. UNSUPPORTED: a device cannot be saved.
 */
[[nodiscard]] int snapshot_save(struct machine *m, int state_fd, int memory_fd, bool changed_only,
				struct vmm_written *ret_w, struct err *e);

/* A state that was read, and looked at as a whole; whatever it says of devices is checked later. */
struct snapshot {
	struct buf bytes; /* owned */
	struct str shape; /* lines of which machine this is, the next to be compared first */
	struct str clock, serial, ioapic, cpus[VCPUS_MAX], devices[VMM_DEVICES_MAX];
	size_t cpus_n, devices_n;
};

/* Borrows fd. INVALID: it is no state, or a damaged one, or of another version. */
[[nodiscard]] int snapshot_open(struct snapshot *s, int fd, struct err *e);
void snapshot_close(struct snapshot *s);
/* Whether bytes are a state at all: what snapshot_open() asks of them, and keeps of them. */
[[nodiscard]] int snapshot_parse(struct snapshot *s, struct str bytes, struct err *e);

/* INVALID names the first thing that is not as it was: before, and after devices are made. */
[[nodiscard]] int snapshot_check_options(struct snapshot *s, const struct options *o,
					 struct err *e);
[[nodiscard]] int snapshot_check_devices(struct snapshot *s, const struct machine *m,
					 struct err *e);
/* Into a machine that has all its parts and has not run. */
[[nodiscard]] int snapshot_restore(const struct snapshot *s, struct machine *m, struct err *e);
/* All its devices go on, with the last thing before its processors do. */
void snapshot_resume_devices(struct machine *m);
