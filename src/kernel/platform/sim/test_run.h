/* SPDX-License-Identifier: Apache-2.0 */
/* The main() of a test of the kernel: its body is a fiber, with so many frames of memory. */
#pragma once

#include "base/test.h"
#include "kernel/core/sched.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/sim.h"

/* body ends with fiber_exit(). Gives what main() returns. */
static inline int test_run(uint64_t frames, void (*body)(void *arg))
{
	struct fiber *f;

	sim_begin(frames);
	CHECK(frame_init(frames) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	sim_run();
	frame_fini();
	sim_end();
	return test_done();
}
