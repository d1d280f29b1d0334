/* SPDX-License-Identifier: Apache-2.0 */
/* Of ipc/sem*.c and of checkpoints: what a set is, and what becomes possible when it changes. */
#pragma once

#include "kernel/core/list.h"
#include "kernel/ipc/ids.h"
#include "kernel/ipc/sem.h"

struct sem_set {
	struct ipc_object ipc;
	int64_t otime, ctime; /* seconds, PLAT_REALTIME */
	uint32_t count;
	struct list waiting; /* struct sem_wait, the longest first */
	struct list undos;   /* struct sem_undo.of_set */
	struct sem {
		int32_t value;
		uint32_t pid; /* who changed it last */
	} sems[];
};

/* What one set owes to one list of undos. */
struct sem_undo {
	struct list of_set, of_list;
	struct sem_set *set;
	int16_t adjust[]; /* what each value gets at the end */
};

/* On the stack of who waits. */
struct sem_wait {
	struct list link;
	struct fiber *fiber;
	const struct sembuf *ops, *blocking; /* blocking: the one that cannot be done yet */
	size_t n;
	struct sem_undo *undo; /* where an operation has SEM_UNDO */
	uint32_t pid;
	bool alters;
	int result; /* SEM_WAITING: in the set's queue */
};
#define SEM_WAITING 1

struct ipc_ids *sem_ids(void);
/* One with these fields, whose values are 0. -EBADMSG as ipc_ids_load(), -ENOMEM. */
[[nodiscard]] int sem_load(const struct ipc_object *like, uint32_t count, struct sem_set **ret);
/* What t's list owes to this set, made if need be. NULL: no memory. */
struct sem_undo *sem_undo_of(struct task *t, struct sem_set *s);
/* What is at this place of it; NULL: no more. */
struct sem_undo *sem_undo_at(const struct task *t, uint64_t nr);
/* NULL: there is none. */
struct sem_set *sem_find(int32_t id);
struct sem_set *sem_at(int32_t index);
struct sem_set *sem_next(uint64_t *index);
int sem_highest(uint32_t *ret_sets, uint64_t *ret_values);
void sem_free(struct sem_set *s);
/* Values have changed: who can go on goes on. */
void sem_update(struct sem_set *s);
