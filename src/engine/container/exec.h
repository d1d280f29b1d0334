/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent and the child of an exec share. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/container/plan.h"

struct exec_plan {
	bool enters;	  /* the cgroups by itself */
	struct plan plan; /* its process part, sync_fd, proc_fd; no spec */
	int init_pidfd;	  /* borrowed */
	int root_fd;	  /* of the init, where it is chrooted; or FD_NONE; the plan's */
	unsigned ns_flags;
	bool fork_inside; /* the caller has the right to join only inside the user namespace */
	uint64_t *initial_cpus, *final_cpus; /* masks, or NULL */
	size_t initial_bytes, final_bytes;
};

[[gnu::noreturn]] void exec_child(struct exec_plan *xp);
