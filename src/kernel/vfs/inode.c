/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/inode.h"

#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/seal.h"
#include "kernel/vfs/told.h"

void inode_init(struct inode *i, struct super *s, const struct inode_ops *ops, uint32_t mode)
{
	nsec_t now = plat_now(PLAT_REALTIME);

	i->ops = ops;
	i->super = s;
	i->owners = 1;
	i->links = 1;
	i->mode = mode;
	i->times = (struct vfs_times){ now, now, now, now };
	sleeplock_init(&i->lock);
	list_init(&i->marks);
	list_init(&i->locks);
	list_init(&i->leases);
	list_init(&i->dnotes);
	s->owners++;
}

void inode_ref(struct inode *i)
{
	i->owners++;
}

void super_init(struct super *s, const struct super_ops *ops)
{
	static uint64_t last = 0x20; /* as Linux's anonymous devices: major 0 */

	s->ops = ops;
	s->dev = last++;
	s->users = s->owners = 1;
}

void super_use(struct super *s)
{
	s->users++;
}

static void super_unref(struct super *s)
{
	if (--s->owners == 0)
		s->ops->release(s);
}

void super_leave(struct super *s)
{
	if (--s->users > 0)
		return;
	notify_unmounted(s);
	told_forget();
	s->ops->shutdown(s);
	super_unref(s);
}

void super_statfs(struct super *s, struct vfs_statfs *ret)
{
	if (s->ops->statfs)
		s->ops->statfs(s, ret);
	else
		*ret = (struct vfs_statfs){ .magic = s->ops->magic,
					    .block_size = PAGE_SIZE,
					    .name_max = NAME_LONGEST };
}

void super_stays(struct super *s)
{
	plat_panic("%s lost its last user", s->ops->type);
}

void inode_unref(struct inode *i)
{
	struct super *s;

	if (!i || --i->owners > 0)
		return;
	s = i->super;
	i->ops->release(i);
	super_unref(s);
}

int inode_may(const struct inode *i, const struct cred *who, unsigned int may)
{
	uint32_t bits = i->mode;

	if (i->uid == who->fsuid)
		bits >>= 6;
	else if (cred_in_group(who, i->gid))
		bits >>= 3;
	if (!(may & ~bits))
		return 0;
	/* Directories: all may be searched and changed; files: executed only if anybody may. */
	if (cred_can(who, CAP_DAC_OVERRIDE) &&
	    (!(may & MAY_EXEC) || inode_is(i, S_IFDIR) || i->mode & 0111))
		return 0;
	if (cred_can(who, CAP_DAC_READ_SEARCH) &&
	    (may == MAY_READ || (inode_is(i, S_IFDIR) && !(may & MAY_WRITE))))
		return 0;
	return -EACCES;
}

bool inode_owned(const struct inode *i, const struct cred *who)
{
	return i->uid == who->fsuid || cred_can(who, CAP_FOWNER);
}

/* Who changes the owner, or is not of the group, loses the bits that lend rights. */
static uint32_t without_lent_rights(const struct inode *i, uint32_t mode)
{
	if (inode_is(i, S_IFDIR))
		return mode;
	mode &= ~(uint32_t) S_ISUID;
	return mode & S_IXGRP ? mode & ~(uint32_t) S_ISGID : mode;
}

static int may_change(const struct inode *i, const struct cred *who, const struct vfs_change *c)
{
	bool chown = cred_can(who, CAP_CHOWN);

	if (i->super->readonly)
		return -EROFS;
	if (c->what & ATTR_UID && !chown && (i->uid != who->fsuid || c->uid != i->uid))
		return -EPERM;
	if (c->what & ATTR_GID && !chown &&
	    (i->uid != who->fsuid || (!cred_in_group(who, c->gid) && c->gid != i->gid)))
		return -EPERM;
	if (c->what & ATTR_MODE && !inode_owned(i, who))
		return -EPERM;
	return 0;
}

int inode_change(struct inode *i, const struct cred *who, struct vfs_change *c)
{
	int r = may_change(i, who, c);

	if (r < 0)
		return r;
	if (!i->ops->change)
		return -EPERM;
	if (c->what & ATTR_SIZE && i->executed > 0)
		return -ETXTBSY;
	if (c->what & ATTR_MODE) {
		c->mode = (i->mode & S_IFMT) | (c->mode & 07777);
		if (c->mode & S_ISGID &&
		    !cred_in_group(who, c->what & ATTR_GID ? c->gid : i->gid) &&
		    !cred_can(who, CAP_FSETID))
			c->mode &= ~(uint32_t) S_ISGID;
	} else if (c->what & (ATTR_UID | ATTR_GID) ||
		   (c->what & ATTR_SIZE && !cred_can(who, CAP_FSETID))) {
		c->mode = without_lent_rights(i, i->mode);
		if (c->mode != i->mode)
			c->what |= ATTR_MODE;
	}
	sleeplock_take(&i->lock);
	r = seal_change(i, c);
	if (r == 0)
		r = i->ops->change(i, c);
	sleeplock_give(&i->lock);
	if (r == 0 && c->what & (ATTR_MODE | ATTR_UID | ATTR_GID))
		told_rights_change(i);
	return r;
}

void inode_inherit(struct inode *i, const struct inode *dir, const struct cred *who)
{
	i->uid = who->fsuid;
	i->gid = who->fsgid;
	if (!(dir->mode & S_ISGID))
		return;
	i->gid = dir->gid;
	if (inode_is(i, S_IFDIR))
		i->mode |= S_ISGID;
	else if ((i->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
		 !cred_in_group(who, i->gid) && !cred_can(who, CAP_FSETID))
		i->mode &= ~(uint32_t) S_ISGID;
}
