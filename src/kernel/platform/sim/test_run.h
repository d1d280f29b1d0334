/* SPDX-License-Identifier: Apache-2.0 */
/* The main() of a test of the kernel: its body is a fiber, with so many frames of memory. */
#pragma once

#include "base/test.h"
#include "kernel/core/sched.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/sim.h"

static void (*test_body)(void *arg);
static bool test_ended;

static inline void test_fiber(void *arg)
{
	test_body(arg);
	test_ended = true;
	fiber_exit();
}

/* Gives what main() returns: also of a body that waits for what does not come, or leaves its fiber,
 * a failure. */
static inline int test_run(uint64_t frames, void (*body)(void *arg))
{
	struct fiber *f;

	test_body = body;
	sim_begin(frames);
	CHECK(frame_init(frames) == 0);
	CHECK(sched_spawn(test_fiber, NULL, &f) == 0);
	sim_run();
	CHECK(test_ended); /* the body returned */
	frame_fini();
	sim_end();
	return test_done();
}
