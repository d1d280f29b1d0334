/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task for tests and fuzz targets that call the kernel as a guest does, without a guest: a root
 * that is a tmpfs, root's credentials, memory of so many pages at GUEST_AT. Its fiber is the one
 * that runs.
 */
#pragma once

#include <linux/mman.h>

#include "kernel/fs/memfs.h"
#include "kernel/fs/mqueue.h"
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/mm/space.h"
#include "kernel/syscall/syscall.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

#define GUEST_AT    ((uint64_t) 0x20000000)
#define GUEST_PAGES 16

/* A call waits for a second of the sim's clock at most: then it is interrupted. */
#define GUEST_PATIENCE NSEC_PER_SEC

struct guest {
	struct ktimer patience;
	struct fiber *fiber;
	struct task *task;
	struct mount_space *mounts;
	struct cred *cred;
};

static const struct space_limits guest_limits = {
	.size = 64 << 20, .data = 64 << 20, .stack = 1 << 20, .locked = 1 << 20, .mappings = 400
};

static inline void guest_hurry(struct ktimer *k)
{
	struct guest *g = container_of(k, struct guest, patience);

	fiber_interrupt(g->fiber);
	ktimer_set(k, plat_now(PLAT_MONOTONIC) + GUEST_PATIENCE);
}

static inline void guest_begin(struct guest *g)
{
	struct super *s =
		memfs_new(&(struct memfs_options){ .bytes = 2 << 20, .inodes = 64, .mode = 0755 });
	struct space_mapping m = { .at = GUEST_AT,
				   .len = GUEST_PAGES * PAGE_SIZE,
				   .prot = PROT_READ | PROT_WRITE,
				   .fixed = true };
	struct plat_regs regs = {};
	struct task_first q = { .comm = "guest", .files = descriptors_new() };
	struct path top;
	uint64_t at;

	g->cred = cred_new();
	if (!s || !g->cred || !q.files)
		plat_panic("guest: out of memory");
	g->cred->effective = g->cred->permitted = g->cred->bounding = UINT64_MAX;
	g->mounts = mount_space_new(s, 0, "tmpfs");
	super_leave(s);
	top = (struct path){ g->mounts->root, g->mounts->root->root };
	q.cred = g->cred;
	q.root = &top;
	if (task_new_first(&q, &g->task) < 0)
		plat_panic("guest: out of memory");
	descriptors_unref(q.files);
	if (signals_clone(g->task, NULL, 0) < 0)
		plat_panic("guest: out of memory");
	task_attach(g->task);
	g->task->space = space_new(&guest_limits);
	if (!g->task->space || space_map(g->task->space, &m, &at) < 0)
		plat_panic("guest: out of memory");
	g->task->user = plat_user_new(g->task->space->plat, &regs);
	g->fiber = fiber_now();
	g->patience = (struct ktimer){ .fire = guest_hurry };
	ktimer_set(&g->patience, plat_now(PLAT_MONOTONIC) + GUEST_PATIENCE);
	if (!g->task->user)
		plat_panic("guest: out of memory");
}

static inline void guest_end(struct guest *g)
{
	ktimer_cancel(&g->patience);
	fiber_undisturbed(g->fiber);
	g->fiber->owner = NULL;
	signals_end(g->task);
	signals_end_process(g->task->process);
	process_free(g->task->process);
	shm_end();
	sem_end();
	msg_end();
	mqueue_end();
	mount_space_unref(g->mounts);
	cred_unref(g->cred);
}

static inline sysret_t guest_call(struct guest *g, unsigned int nr, const uint64_t args[6])
{
	sysret_t r = syscall_do(g->task, nr, args);

	/* Nobody runs handlers here: what interrupted it is over. */
	fiber_undisturbed(g->fiber);
	ktimer_set(&g->patience, plat_now(PLAT_MONOTONIC) + GUEST_PATIENCE);
	return r;
}

#define CALL(g, nr, ...) guest_call(g, nr, (const uint64_t[6]){ __VA_ARGS__ })

/* Bytes at GUEST_AT + within; a text gets its end. The address. */
static inline uint64_t guest_put(struct guest *g, uint64_t within, const void *bytes, size_t n)
{
	if (copy_out(g->task->space, uva(GUEST_AT + within), bytes, n) < 0)
		plat_panic("guest: out of memory");
	return GUEST_AT + within;
}

static inline uint64_t guest_text(struct guest *g, uint64_t within, const char *text)
{
	return guest_put(g, within, text, strlen(text) + 1);
}

static inline void guest_get(struct guest *g, uint64_t within, void *to, size_t n)
{
	if (copy_in(g->task->space, to, uva(GUEST_AT + within), n) < 0)
		plat_panic("guest: out of memory");
}
