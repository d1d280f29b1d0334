/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/ipc/ids.h"

#include <linux/capability.h>

#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"

#define INDEX_BITS 15
#define RIGHTS	   0777u

static struct ipc_object *by_key(const struct ipc_ids *ids, int32_t key)
{
	struct tree_node *n = tree_from(&ids->keys, (uint32_t) key);

	return n && n->key == (uint32_t) key ? container_of(n, struct ipc_object, by_key) : NULL;
}

int ipc_ids_get(const struct ipc_ids *ids, int32_t key, int flags, struct ipc_object **ret)
{
	*ret = key == IPC_PRIVATE ? NULL : by_key(ids, key);
	if (*ret)
		return flags & IPC_CREAT && flags & IPC_EXCL ? -EEXIST : 0;
	return key == IPC_PRIVATE || flags & IPC_CREAT ? 0 : -ENOENT;
}

int ipc_ids_add(struct ipc_ids *ids, struct ipc_object *o, int32_t key, int flags,
		const struct cred *who, uint32_t most)
{
	uint64_t index;

	if (ids->count >= most || !radix_gap(&ids->objects, ids->lowest, IPC_IDS_MOST, &index))
		return -ENOSPC;
	if (radix_set(&ids->objects, index, o) < 0)
		return -ENOMEM;
	ids->count++;
	ids->lowest = (uint32_t) index + 1;
	o->key = key;
	o->seq = ids->seq;
	o->id = (int32_t) ((uint32_t) o->seq << INDEX_BITS | (uint32_t) index);
	ids->seq = ids->seq == INT32_MAX >> INDEX_BITS ? 0 : (uint16_t) (ids->seq + 1);
	o->uid = o->cuid = who->euid;
	o->gid = o->cgid = who->egid;
	o->mode = (uint32_t) flags & RIGHTS;
	o->by_key = (struct tree_node) TREE_NODE_INIT;
	if (key != IPC_PRIVATE)
		tree_insert(&ids->keys, &o->by_key, (uint32_t) key);
	return 0;
}

int ipc_ids_load(struct ipc_ids *ids, struct ipc_object *o)
{
	uint32_t index = (uint32_t) o->id & (IPC_IDS_MOST - 1);

	o->by_key = (struct tree_node) TREE_NODE_INIT;
	o->seq = (uint16_t) ((uint32_t) o->id >> INDEX_BITS);
	if (o->id < 0 || radix_get(&ids->objects, index) ||
	    (o->key != IPC_PRIVATE && by_key(ids, o->key)))
		return -EBADMSG;
	if (radix_set(&ids->objects, index, o) < 0)
		return -ENOMEM;
	ids->count++;
	if (o->key != IPC_PRIVATE)
		tree_insert(&ids->keys, &o->by_key, (uint32_t) o->key);
	return 0;
}

void ipc_ids_hide(struct ipc_ids *ids, struct ipc_object *o)
{
	if (tree_has(&o->by_key))
		tree_remove(&ids->keys, &o->by_key);
	o->key = IPC_PRIVATE;
}

void ipc_ids_remove(struct ipc_ids *ids, struct ipc_object *o)
{
	uint32_t index = (uint32_t) o->id & (IPC_IDS_MOST - 1);

	ipc_ids_hide(ids, o);
	(void) radix_take(&ids->objects, index);
	ids->lowest = min_of(ids->lowest, index);
	ids->count--;
}

struct ipc_object *ipc_ids_at(const struct ipc_ids *ids, int32_t index)
{
	return index < 0 ? NULL : radix_get(&ids->objects, (uint32_t) index & (IPC_IDS_MOST - 1));
}

struct ipc_object *ipc_ids_find(const struct ipc_ids *ids, int32_t id)
{
	struct ipc_object *o = ipc_ids_at(ids, id);

	return o && o->id == id ? o : NULL;
}

struct ipc_object *ipc_ids_next(const struct ipc_ids *ids, uint64_t *index)
{
	return radix_next(&ids->objects, index);
}

int ipc_ids_highest(const struct ipc_ids *ids)
{
	uint64_t at = 0, last = 0;

	for (; radix_next(&ids->objects, &at); at++)
		last = at;
	return (int) last;
}

int ipc_may(const struct ipc_object *o, const struct cred *who, unsigned int may)
{
	unsigned int wanted = may >> 6 | may >> 3 | may, granted = o->mode;

	if (who->euid == o->cuid || who->euid == o->uid)
		granted >>= 6;
	else if (cred_in_group(who, o->cgid) || cred_in_group(who, o->gid))
		granted >>= 3;
	return wanted & ~granted & 7 && !cred_can(who, CAP_IPC_OWNER) ? -EACCES : 0;
}

int ipc_owned(const struct ipc_object *o, const struct cred *who)
{
	bool owns = who->euid == o->cuid || who->euid == o->uid;

	return owns || cred_can(who, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

void ipc_tell(const struct ipc_object *o, struct ipc64_perm *ret)
{
	*ret = (struct ipc64_perm){ .key = o->key,
				    .uid = o->uid,
				    .gid = o->gid,
				    .cuid = o->cuid,
				    .cgid = o->cgid,
				    .mode = o->mode,
				    .seq = o->seq };
}

int ipc_change(struct ipc_object *o, const struct ipc64_perm *to)
{
	if (to->uid == UINT32_MAX || to->gid == UINT32_MAX)
		return -EINVAL;
	o->uid = to->uid;
	o->gid = to->gid;
	o->mode = (o->mode & ~RIGHTS) | ((uint32_t) to->mode & RIGHTS);
	return 0;
}

int64_t ipc_now(void)
{
	return plat_now(PLAT_REALTIME) / NSEC_PER_SEC;
}
