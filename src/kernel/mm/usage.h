/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a mapping is in memory, and whose: /proc/PID/smaps. */
#pragma once

#include "kernel/core/types.h"

struct vma;

/* Pages. */
struct vma_usage {
	uint64_t resident;
	uint64_t shared;    /* of them: others have them, too */
	uint64_t anonymous; /* of them: no file's or shared memory's own */
};

void vma_usage(const struct vma *v, struct vma_usage *ret);
