/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three kinds of System V IPC share (sysvipc(7), Linux 6.12): a table of each kind's
 * objects by identifier and by key, owners and rights. There is one IPC namespace. Objects are
 * freed by their kind; who waits for one is told by its kind, too. Nothing here parks.
 */
#pragma once

#include <linux/ipc.h>

#include "kernel/core/radix.h"
#include "kernel/core/tree.h"

struct cred;
struct task;
struct text;

#define IPC_IDS_MOST 32768 /* of one kind: IPCMNI; an identifier's lower 15 bits */

/* Embedded in each object. */
struct ipc_object {
	struct tree_node by_key; /* the key; height 0: IPC_PRIVATE, or removed */
	int32_t key;
	int32_t id;
	uint16_t seq;
	uint32_t uid, gid, cuid, cgid;
	uint32_t mode; /* the rights, and what its kind keeps above them */
};

struct ipc_ids {
	struct radix objects; /* by index */
	struct tree keys;
	uint32_t count;
	uint32_t lowest; /* no index below it is free */
	uint16_t seq;	 /* of the next object: a number comes back late */
};

/* What semget(2) and its kin decide: the object of this key, or a new one is to be made: NULL in
 * *ret. flags: IPC_CREAT, IPC_EXCL, and the rights wanted. -ENOENT, -EEXIST. The rights are asked
 * for afterwards. */
[[nodiscard]] int ipc_ids_get(const struct ipc_ids *ids, int32_t key, int flags,
			      struct ipc_object **ret);
/* A new object, owned by who: its fields are filled here. most: how many there may be. -ENOSPC,
 * -ENOMEM. */
[[nodiscard]] int ipc_ids_add(struct ipc_ids *ids, struct ipc_object *o, int32_t key, int flags,
			      const struct cred *who, uint32_t most);
/* Of a checkpoint: one whose fields are all filled is where its identifier says. -EBADMSG: another
 * is there or has its key, or there can be none such; -ENOMEM. */
[[nodiscard]] int ipc_ids_load(struct ipc_ids *ids, struct ipc_object *o);
/* No longer found by its key. */
void ipc_ids_hide(struct ipc_ids *ids, struct ipc_object *o);
/* No longer found. */
void ipc_ids_remove(struct ipc_ids *ids, struct ipc_object *o);
/* By its identifier, or NULL. */
struct ipc_object *ipc_ids_find(const struct ipc_ids *ids, int32_t id);
/* By its index, whatever its sequence number: SHM_STAT and its kin. */
struct ipc_object *ipc_ids_at(const struct ipc_ids *ids, int32_t index);
/* The first at *index or after it; NULL: none. */
struct ipc_object *ipc_ids_next(const struct ipc_ids *ids, uint64_t *index);
/* The highest index in use; 0: none is. */
int ipc_ids_highest(const struct ipc_ids *ids);

/* Whether who may: `may` has the rights in any of the three places, as 0444 for reading. -EACCES.
 */
[[nodiscard]] int ipc_may(const struct ipc_object *o, const struct cred *who, unsigned int may);
/* Whether who may change and remove it: its owner, its creator, CAP_SYS_ADMIN. -EPERM. */
[[nodiscard]] int ipc_owned(const struct ipc_object *o, const struct cred *who);
/* IPC_STAT's and IPC_SET's. -EINVAL: an owner that cannot be. */
void ipc_tell(const struct ipc_object *o, struct ipc64_perm *ret);
[[nodiscard]] int ipc_change(struct ipc_object *o, const struct ipc64_perm *to);

/* Seconds of CLOCK_REALTIME: what objects remember. */
int64_t ipc_now(void);
