/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory (shmget(2), shmop(2), shmctl(2); Linux 6.12). A segment is a pager: its
 * mappings are its attachments, counted by mm/. One that is removed lives on until the last of them
 * is gone, and can be attached by its identifier until then. Nothing is paged out, so that
 * SHM_LOCK is an account against RLIMIT_MEMLOCK; there are no huge pages (-ENOMEM).
 * linux/shm.h needs a C library: its numbers are here.
 */
#pragma once

#include <asm/shmbuf.h>
#include <linux/ipc.h>

#include "kernel/core/types.h"

struct task;
struct text;

/* linux/shm.h */
#define SHM_HUGETLB   04000
#define SHM_NORESERVE 010000 /* of shmget */
#define SHM_RDONLY    010000 /* of shmat */
#define SHM_RND	      020000
#define SHM_REMAP     040000
#define SHM_EXEC      0100000
#define SHM_LOCK      11
#define SHM_UNLOCK    12
#define SHM_STAT      13
#define SHM_INFO      14
#define SHM_STAT_ANY  15
/* Of a segment's mode. */
#define SHM_DEST   01000u /* goes with its last attachment */
#define SHM_LOCKED 02000u

struct shm_info {
	int32_t used_ids;
	uint64_t total, resident, swapped; /* pages */
	uint64_t swap_attempts, swap_successes;
};

/* /proc/sys/kernel/shmmax (bytes), shmall (pages), shmmni. */
struct shm_limits {
	uint64_t max, all, ids;
};

/* An identifier. -EINVAL (size), -ENOENT, -EEXIST, -EACCES, -ENOSPC, -ENOMEM. */
sysret_t shm_get(struct task *t, int32_t key, uint64_t size, int flags);
/* Where it is mapped. flags: SHM_*. -EINVAL, -EACCES, -ENOMEM. May park. */
sysret_t shm_attach(struct task *t, int32_t id, uint64_t at, int flags);
/* May park. */
sysret_t shm_detach(struct task *t, uint64_t at);

/* how: IPC_STAT by identifier, else SHM_STAT, SHM_STAT_ANY by index: 0, or its identifier. */
sysret_t shm_stat(struct task *t, int32_t id, int how, struct shmid64_ds *ret);
sysret_t shm_set(struct task *t, int32_t id, const struct shmid64_ds *to);
sysret_t shm_remove(struct task *t, int32_t id);
sysret_t shm_lock(struct task *t, int32_t id, bool lock);
/* SHM_INFO: the highest index in use. */
int shm_totals(struct shm_info *ret);

struct shm_limits *shm_limits(void);
/* /proc/sysvipc/shm. */
void shm_table(struct text *to);
/* The kernel ends, or a test: all are removed as by shmctl(2). */
void shm_end(void);
