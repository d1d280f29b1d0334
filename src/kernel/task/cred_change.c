/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/cred_change.h"

#include <linux/securebits.h>

#include "kernel/core/heap.h"
#include "kernel/vfs/inode.h"

#define BIT(n) ((uint64_t) 1 << (n))
/* What belongs to fsuid 0: capabilities(7), "Effect of user ID changes". */
#define OF_FILES                                                                                   \
	(BIT(CAP_CHOWN) | BIT(CAP_MKNOD) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) |      \
	 BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MAC_OVERRIDE))

static bool secure(const struct cred *c, unsigned int bit)
{
	return c->securebits >> bit & 1;
}

/* ---- users ---- */

static bool has_root(const struct cred *c)
{
	return c->uid == 0 || c->euid == 0 || c->suid == 0;
}

static void files_of_root(struct cred *c, uint32_t old)
{
	if (secure(c, SECURE_NO_SETUID_FIXUP))
		return;
	if (old == 0 && c->fsuid != 0)
		c->effective &= ~OF_FILES;
	if (old != 0 && c->fsuid == 0)
		c->effective |= c->permitted & OF_FILES;
}

/* The new three; the capabilities follow them. */
static void become(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
	bool was_root = has_root(c);
	uint32_t old = c->euid;

	c->uid = real;
	c->euid = c->fsuid = effective;
	c->suid = saved;
	if (secure(c, SECURE_NO_SETUID_FIXUP))
		return;
	if (was_root && !has_root(c)) {
		if (!secure(c, SECURE_KEEP_CAPS))
			c->permitted = c->effective = 0;
		c->ambient = 0;
	}
	if (old == 0 && effective != 0)
		c->effective = 0;
	if (old != 0 && effective == 0)
		c->effective = c->permitted;
}

static bool one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
	return id == a || id == b || id == c;
}

int cred_setuid(struct cred *c, uint32_t uid)
{
	if (uid == CRED_KEEP)
		return -EINVAL;
	if (cred_can(c, CAP_SETUID))
		become(c, uid, uid, uid);
	else if (uid == c->uid || uid == c->suid)
		become(c, c->uid, uid, c->suid);
	else
		return -EPERM;
	return 0;
}

int cred_setreuid(struct cred *c, uint32_t real, uint32_t effective)
{
	bool may = cred_can(c, CAP_SETUID);
	uint32_t r = real == CRED_KEEP ? c->uid : real,
		 e = effective == CRED_KEEP ? c->euid : effective;

	if (!may && !(one_of(r, c->uid, c->euid, c->uid) && one_of(e, c->uid, c->euid, c->suid)))
		return -EPERM;
	become(c, r, e,
	       real != CRED_KEEP || (effective != CRED_KEEP && effective != c->uid) ? e : c->suid);
	return 0;
}

int cred_setresuid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
	uint32_t r = real == CRED_KEEP ? c->uid : real,
		 e = effective == CRED_KEEP ? c->euid : effective,
		 s = saved == CRED_KEEP ? c->suid : saved;

	if (!cred_can(c, CAP_SETUID) &&
	    !((real == CRED_KEEP || one_of(r, c->uid, c->euid, c->suid)) &&
	      one_of(e, c->uid, c->euid, c->suid) && one_of(s, c->uid, c->euid, c->suid)))
		return -EPERM;
	become(c, r, e, s);
	return 0;
}

void cred_setfsuid(struct cred *c, uint32_t uid)
{
	uint32_t old = c->fsuid;

	if (uid == CRED_KEEP ||
	    !(uid == old || one_of(uid, c->uid, c->euid, c->suid) || cred_can(c, CAP_SETUID)))
		return;
	c->fsuid = uid;
	files_of_root(c, old);
}

/* ---- groups ---- */

static void become_group(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
	c->gid = real;
	c->egid = c->fsgid = effective;
	c->sgid = saved;
}

int cred_setgid(struct cred *c, uint32_t gid)
{
	if (gid == CRED_KEEP)
		return -EINVAL;
	if (cred_can(c, CAP_SETGID))
		become_group(c, gid, gid, gid);
	else if (gid == c->gid || gid == c->sgid)
		become_group(c, c->gid, gid, c->sgid);
	else
		return -EPERM;
	return 0;
}

int cred_setregid(struct cred *c, uint32_t real, uint32_t effective)
{
	uint32_t r = real == CRED_KEEP ? c->gid : real,
		 e = effective == CRED_KEEP ? c->egid : effective;

	if (!cred_can(c, CAP_SETGID) &&
	    !(one_of(r, c->gid, c->egid, c->gid) && one_of(e, c->gid, c->egid, c->sgid)))
		return -EPERM;
	become_group(
		c, r, e,
		real != CRED_KEEP || (effective != CRED_KEEP && effective != c->gid) ? e : c->sgid);
	return 0;
}

int cred_setresgid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
	uint32_t r = real == CRED_KEEP ? c->gid : real,
		 e = effective == CRED_KEEP ? c->egid : effective,
		 s = saved == CRED_KEEP ? c->sgid : saved;

	if (!cred_can(c, CAP_SETGID) &&
	    !(one_of(r, c->gid, c->egid, c->sgid) && one_of(e, c->gid, c->egid, c->sgid) &&
	      one_of(s, c->gid, c->egid, c->sgid)))
		return -EPERM;
	become_group(c, r, e, s);
	return 0;
}

void cred_setfsgid(struct cred *c, uint32_t gid)
{
	if (gid != CRED_KEEP &&
	    (gid == c->fsgid || one_of(gid, c->gid, c->egid, c->sgid) || cred_can(c, CAP_SETGID)))
		c->fsgid = gid;
}

/* In place, by a heap: getgroups(2) gives them in order. */
static void sort(uint32_t *g, uint32_t n)
{
	for (uint32_t top = n / 2, end = n; end > 1;) {
		uint32_t v, at;

		if (top > 0) {
			v = g[--top];
		} else {
			v = g[--end];
			g[end] = g[0];
		}
		at = top;
		for (uint32_t down; (down = 2 * at + 1) < end; at = down) {
			if (down + 1 < end && g[down + 1] > g[down])
				down++;
			if (g[down] <= v)
				break;
			g[at] = g[down];
		}
		g[at] = v;
	}
}

int cred_setgroups(struct cred *c, uint32_t *groups, uint32_t count)
{
	int r = !cred_can(c, CAP_SETGID) ? -EPERM : count > CRED_GROUPS ? -EINVAL : 0;

	if (r < 0) {
		heap_free(groups);
		return r;
	}
	sort(groups, count);
	heap_free(c->groups);
	c->groups = groups;
	c->group_count = count;
	return 0;
}

/* ---- capabilities ---- */

int cred_capset(struct cred *c, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	/* Numbers that are none are dropped, as Linux does. */
	effective &= CRED_ALL;
	permitted &= CRED_ALL;
	inheritable &= CRED_ALL;
	if (!cred_can(c, CAP_SETPCAP) && inheritable & ~(c->inheritable | c->permitted))
		return -EPERM;
	if (inheritable & ~(c->inheritable | c->bounding) || permitted & ~c->permitted ||
	    effective & ~permitted)
		return -EPERM;
	c->effective = effective;
	c->permitted = permitted;
	c->inheritable = inheritable;
	c->ambient &= permitted & inheritable;
	return 0;
}

int cred_drop_bounding(struct cred *c, uint64_t capability)
{
	if (!cred_can(c, CAP_SETPCAP))
		return -EPERM;
	if (capability > CAP_LAST_CAP)
		return -EINVAL;
	c->bounding &= ~BIT(capability);
	return 0;
}

int cred_raise_ambient(struct cred *c, uint64_t capability)
{
	if (capability > CAP_LAST_CAP)
		return -EINVAL;
	if (!(c->permitted & c->inheritable & BIT(capability)) ||
	    secure(c, SECURE_NO_CAP_AMBIENT_RAISE))
		return -EPERM;
	c->ambient |= BIT(capability);
	return 0;
}

int cred_lower_ambient(struct cred *c, uint64_t capability)
{
	if (capability > CAP_LAST_CAP)
		return -EINVAL;
	c->ambient &= ~BIT(capability);
	return 0;
}

void cred_clear_ambient(struct cred *c)
{
	c->ambient = 0;
}

int cred_set_securebits(struct cred *c, uint64_t bits)
{
	uint64_t old = c->securebits, locks = old & SECURE_ALL_LOCKS;

	if (bits & ~(uint64_t) (SECURE_ALL_BITS | SECURE_ALL_LOCKS) || /* no such bit */
	    (locks >> 1 & (old ^ bits)) ||			       /* a locked one */
	    locks & ~bits ||					       /* a lock is for good */
	    !cred_can(c, CAP_SETPCAP))
		return -EPERM;
	c->securebits = (uint32_t) bits;
	return 0;
}

int cred_set_keepcaps(struct cred *c, uint64_t keep)
{
	uint32_t bit = (uint32_t) BIT(SECURE_KEEP_CAPS);

	if (keep > 1)
		return -EINVAL;
	if (secure(c, SECURE_KEEP_CAPS_LOCKED))
		return -EPERM;
	c->securebits = keep ? c->securebits | bit : c->securebits & ~bit;
	return 0;
}

void cred_set_no_new_privs(struct cred *c)
{
	c->no_new_privs = true;
}

/* ---- execve ---- */

static uint32_t le32(const unsigned char *b)
{
	return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 |
	       (uint32_t) b[3] << 24;
}

int cred_file_capabilities(struct cred_file *f, const void *bytes, size_t n)
{
	const unsigned char *b = bytes;
	uint32_t magic = n >= 4 ? le32(b) : 0;

	switch (magic & VFS_CAP_REVISION_MASK) {
	case VFS_CAP_REVISION_2:
		if (n != XATTR_CAPS_SZ_2)
			return -EINVAL;
		break;
	case VFS_CAP_REVISION_3:
		/* Those of another user namespace's root are nothing here. */
		if (n != XATTR_CAPS_SZ_3 || le32(b + 20) != 0)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	f->capable = true;
	f->effective = magic & VFS_CAP_FLAGS_EFFECTIVE;
	f->permitted = (le32(b + 4) | (uint64_t) le32(b + 12) << 32) & CRED_ALL;
	f->inheritable = (le32(b + 8) | (uint64_t) le32(b + 16) << 32) & CRED_ALL;
	return 0;
}

int cred_exec(struct cred *c, const struct cred_file *f, bool shared, bool *ret_secure)
{
	const struct cred old = *c;
	bool raised = false, changed;

	if (!c->no_new_privs && f->mode & S_ISUID)
		c->euid = f->uid;
	if (!c->no_new_privs && (f->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		c->egid = f->gid;
	c->permitted = 0;
	if (f->capable) {
		c->permitted = (f->permitted & old.bounding) | (f->inheritable & old.inheritable);
		raised = f->effective;
		/* A program that does not know of capabilities gets all it needs, or none. */
		if (raised && f->permitted & ~c->permitted)
			return -EPERM;
	}
	/* Root is one who has all, unless the file says better what a set-user-id of it needs. */
	if (!secure(c, SECURE_NOROOT) && !(f->capable && c->euid == 0 && c->uid != 0)) {
		if (c->euid == 0 || c->uid == 0)
			c->permitted = old.bounding | old.inheritable;
		raised |= c->euid == 0;
	}
	changed = c->euid != old.uid || c->egid != old.gid;
	if ((changed || c->permitted & ~old.permitted) && (shared || c->no_new_privs)) {
		if (!cred_can(&old, CAP_SETUID) || c->no_new_privs) {
			c->euid = c->uid;
			c->egid = c->gid;
		}
		c->permitted &= old.permitted;
	}
	c->suid = c->fsuid = c->euid;
	c->sgid = c->fsgid = c->egid;
	if (f->capable || changed)
		c->ambient = 0;
	c->permitted |= c->ambient;
	c->effective = raised ? c->permitted : c->ambient;
	c->securebits &= ~(uint32_t) BIT(SECURE_KEEP_CAPS);
	*ret_secure = changed || (c->uid != 0 && (raised || c->permitted & ~c->ambient));
	return 0;
}
