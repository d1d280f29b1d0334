/* SPDX-License-Identifier: Apache-2.0 */
/* Of ipc/shm.c and of checkpoints: what a segment is. */
#pragma once

#include "kernel/ipc/ids.h"
#include "kernel/ipc/shm.h"
#include "kernel/mm/pager.h"

struct dentry;

struct shm {
	struct ipc_object ipc;
	struct pager pager;  /* its size is the segment's */
	struct dentry *name; /* for /proc/PID/maps: owned */
	int32_t made_key;    /* which the name shows, also of one that was removed */
	uint64_t attached;
	int64_t atime, dtime, ctime; /* seconds, PLAT_REALTIME */
	uint32_t creator, last;	     /* processes */
	uint32_t locker;	     /* SHM_LOCKED: whose RLIMIT_MEMLOCK it counts against */
};

struct ipc_ids *shm_ids(void);
/* NULL: there is none. */
struct shm *shm_find(int32_t id);
/* Whose memory it is; NULL: no segment's. */
struct shm *shm_of_pager(struct pager *p);
/* One with these fields, whose memory is zeros. -EBADMSG as ipc_ids_load(), -ENOMEM. */
[[nodiscard]] int shm_load(const struct ipc_object *like, uint64_t size, int32_t made_key,
			   struct shm **ret);
