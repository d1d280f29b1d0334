/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_caller.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "sys/caps.h"

int fs_caller_init(struct fs_caller *c)
{
	struct caps caps;
	int r = caps_get(&caps);

	if (r < 0)
		return r;
	*c = (struct fs_caller){};
	c->fixed = !(caps.effective & UINT64_C(1) << CAP_SETUID) ||
		   !(caps.effective & UINT64_C(1) << CAP_SETGID);
	if (!c->fixed && (prctl(PR_GET_SECUREBITS) & SECBIT_NO_SETUID_FIXUP) == 0 &&
	    prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED) < 0)
		return -errno;
	(void) umask(0);
	return fs_caller_renew(c);
}

int fs_caller_renew(struct fs_caller *c)
{
	struct caps caps;
	int r = caps_get(&caps);

	if (r < 0)
		return r;
	c->caps = caps.permitted;
	c->can_fsetid = caps.effective & UINT64_C(1) << CAP_FSETID;
	return 0;
}

void fs_caller_copy(struct fs_caller *c, const struct fs_caller *from)
{
	*c = *from;
	c->umask = 0;
}

int fs_caller_begin(struct fs_caller *c, uid_t uid, gid_t gid, mode_t mask)
{
	if (mask != c->umask) {
		(void) umask(mask);
		c->umask = mask;
	}
	if (c->fixed || (uid == 0 && gid == 0))
		return 0;
	if (uid == (uid_t) -1 || gid == (gid_t) -1)
		return -EINVAL;
	/* They tell what was, not whether it worked: an id may have no place in this user
	 * namespace. */
	(void) setfsgid(gid);
	(void) setfsuid(uid);
	if ((gid_t) setfsgid((gid_t) -1) == gid && (uid_t) setfsuid((uid_t) -1) == uid)
		return 0;
	fs_caller_end(c, uid, gid);
	return -EOVERFLOW;
}

void fs_caller_end(struct fs_caller *c, uid_t uid, gid_t gid)
{
	if (c->fixed || (uid == 0 && gid == 0))
		return;
	(void) setfsuid(0);
	(void) setfsgid(0);
}

void fs_caller_plain(struct fs_caller *c, bool plain)
{
	struct caps caps = { .effective = c->caps, .permitted = c->caps };

	if (!c->can_fsetid)
		return;
	if (plain)
		caps.effective &= ~(UINT64_C(1) << CAP_FSETID);
	(void) caps_set(&caps); /* within what is permitted: it cannot fail */
}
