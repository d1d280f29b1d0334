/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of Atoll's kernel for a fuzz target: a root that is a tmpfs, root's credentials, one
 * fiber. When it is over, nothing may be in use but the page of zeros.
 */
#pragma once

#include <stdlib.h>

#include "fuzz.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/sim.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define KERNEL_FRAMES 1024

struct kernel_run {
	const uint8_t *data;
	size_t left;
	struct path top;
	struct walk walk;
	void (*body)(struct kernel_run *k);
	bool done;
};

static struct cred kernel_root = { .effective = UINT64_MAX };

/* 0 when all is used up. */
static inline unsigned int kernel_byte(struct kernel_run *k)
{
	if (k->left == 0)
		return 0;
	k->left--;
	return *k->data++;
}

static void kernel_fiber(void *arg)
{
	struct kernel_run *k = arg;
	struct super *s =
		memfs_new(&(struct memfs_options){ .bytes = 2 << 20, .inodes = 64, .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");

	super_leave(s);
	k->top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&k->top);
	k->walk = (struct walk){ .root = &k->top, .start = &k->top, .who = &kernel_root };
	k->body(k);
	path_unref(&k->top);
	mount_space_unref(mounts);
	if (frame_used() > 1)
		abort();
	k->done = true;
	fiber_exit();
}

static inline void kernel_run(const uint8_t *data, size_t size, void (*body)(struct kernel_run *k))
{
	struct kernel_run k = { .data = data, .left = size, .body = body };
	struct fiber *f;

	sim_begin(KERNEL_FRAMES);
	if (frame_init(KERNEL_FRAMES) < 0 || sched_spawn(kernel_fiber, &k, &f) < 0)
		abort();
	sim_run();
	if (!k.done) /* it waits for what will not come */
		abort();
	frame_fini();
	sim_end();
}
