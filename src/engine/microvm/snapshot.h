/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of machines: between what makes them (create.c) and what keeps them (snapshot.c). In
 * the directory of one, each 0600:
 *
 *	machine		state of processors and devices: atoll-vmm's
 *	memory		the guest's, sparse; of a differing one what has changed alone
 *	guest.json	what it was made of: fmt/machine_record.h
 *	disk		its own, sparse, where it has one
 *	files/		the workload's own files, where they were asked for
 */
#pragma once

#include <errno.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/machine_record.h"

struct guest;
struct microvm;
struct network;
struct spec;

/* What the machine is made of, for its note and for a comparison. In m's arena. */
[[nodiscard]] int snapshot_describe(struct microvm *m, const struct guest *g,
				    const struct network *n, const char *kernel,
				    struct machine_record *ret_r, struct err *e);
/* The note in the state directory, which a snapshot begins with. */
[[nodiscard]] int snapshot_note(const struct microvm *m, const struct machine_record *r,
				struct err *e);

/* One that a machine goes on from. */
struct snapshot_source {
	int state_fd, memory_fd; /* owned */
	struct machine_record record;
};
#define SNAPSHOT_SOURCE_INIT ((struct snapshot_source){ .state_fd = -EBADF, .memory_fd = -EBADF })
/* The record lives in the arena. INVALID: it is none, or not whole. */
[[nodiscard]] int snapshot_source_open(struct snapshot_source *s, int dirfd, struct arena *a,
				       struct err *e);
void snapshot_source_fini(struct snapshot_source *s);
