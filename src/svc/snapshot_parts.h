/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of snapshots: svc/snapshot.h. */
#pragma once

#include "fmt/kept.h"
#include "fmt/machine_record.h"
#include "svc/snapshot.h"

#define SNAPSHOT_RECORD	 "snapshot.json"
#define SNAPSHOT_STATE	 "state"
#define SNAPSHOT_MACHINE "guest.json" /* below it: of one of a machine */
#define SNAPSHOT_MEMORY	 "memory"     /* the same */

/* One that is being made. Whatever still has its own name at the end is removed. */
struct snapshot_part {
	int all_fd, fd, state_fd; /* owned */
	char name[32];
};
#define SNAPSHOT_PART_INIT                                                                         \
	((struct snapshot_part){ .all_fd = FD_NONE, .fd = FD_NONE, .state_fd = FD_NONE })
[[nodiscard]] int snapshot_part_open(struct svc *s, struct snapshot_part *p, struct err *e);
void snapshot_part_close(struct snapshot_part *p);
#define auto_snapshot_part __attribute__((cleanup(snapshot_part_close)))

struct snapshot_opened {
	int fd, state_fd; /* owned */
	struct kept kept; /* in the arena */
};
#define SNAPSHOT_OPENED_INIT ((struct snapshot_opened){ .fd = FD_NONE, .state_fd = FD_NONE })
[[nodiscard]] int snapshot_open(struct svc *s, const char *name, struct arena *a,
				struct snapshot_opened *ret_o, struct err *e);
void snapshot_close(struct snapshot_opened *o);
#define auto_snapshot __attribute__((cleanup(snapshot_close)))

/* The record of the machine in a snapshot's state. */
[[nodiscard]] int snapshot_machine(int state_fd, struct arena *a, struct machine_record *ret_m,
				   struct err *e);
/* The workload into the part, which is opened; its record, and what is to be kept beside it. */
[[nodiscard]] int snapshot_take(struct svc *s, const char *ref, const struct snapshot_make *o,
				struct snapshot_part *p, struct arena *a,
				struct workload_record *ret_w, struct kept *ret_k, struct err *e);
