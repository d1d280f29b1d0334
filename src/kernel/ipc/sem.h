/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V semaphores (semget(2), semop(2), semctl(2); Linux 6.12). The operations of one semop()
 * are done together or not at all. Who has to wait stands in its set's queue; whoever changes a
 * value does what has become possible for those who wait, the longest first, and wakes them when it
 * is done. What SEM_UNDO asks for is kept per set in a list that threads may share
 * (CLONE_SYSVSEM), and is done when its last thread ends.
 */
#pragma once

#include <linux/sem.h>

#include "kernel/core/types.h"

struct sem_undos;
struct task;
struct text;

/* /proc/sys/kernel/sem: values of one set, of all sets, operations of one call, sets. */
struct sem_limits {
	uint64_t per_set, all, operations, sets;
};
#define SEM_PER_SET_MOST    65536
#define SEM_OPERATIONS_MOST 1000

/* An identifier. -EINVAL (count), -ENOENT, -EEXIST, -EACCES, -ENOSPC, -ENOMEM. */
sysret_t sem_get(struct task *t, int32_t key, int32_t count, int flags);
/* n: at least 1. until: PLAT_MONOTONIC, or NSEC_NEVER. -EINVAL, -EFBIG, -EACCES, -ERANGE, -ENOMEM;
 * -EAGAIN: IPC_NOWAIT, or it is late; -EIDRM: removed meanwhile; -EINTR. Parks. */
sysret_t sem_operate(struct task *t, int32_t id, const struct sembuf *ops, size_t n, nsec_t until);

/* how: IPC_STAT by identifier, else SEM_STAT, SEM_STAT_ANY by index: 0, or its identifier. */
sysret_t sem_stat(struct task *t, int32_t id, int how, struct semid64_ds *ret);
sysret_t sem_set(struct task *t, int32_t id, const struct semid64_ds *to);
sysret_t sem_remove(struct task *t, int32_t id);
/* how: GETVAL, GETPID, GETNCNT, GETZCNT. */
sysret_t sem_value(struct task *t, int32_t id, int32_t nr, int how);
sysret_t sem_set_value(struct task *t, int32_t id, int32_t nr, int32_t value);
/* How many the set has, for who may so (0444, 0222); -EINVAL, -EACCES. */
sysret_t sem_count(struct task *t, int32_t id, unsigned int may);
/* All of them: n is what sem_count() gave; -EIDRM where it is no longer. */
sysret_t sem_values(struct task *t, int32_t id, uint16_t *to, size_t n);
sysret_t sem_set_values(struct task *t, int32_t id, const uint16_t *from, size_t n);
/* SEM_INFO, IPC_INFO: the highest index in use. */
int sem_totals(struct seminfo *ret, bool used);

/* clone(2): t's list for a child that shares it, made if need be. NULL: no memory. */
[[nodiscard]] struct sem_undos *sem_undos_share(struct task *t);
/* t ends, or never was: what it shared is done with its last thread. */
void sem_undos_leave(struct task *t);

struct sem_limits *sem_limits(void);
/* /proc/sysvipc/sem. */
void sem_table(struct text *to);
/* The kernel ends, or a test: all are removed as by semctl(2). */
void sem_end(void);
