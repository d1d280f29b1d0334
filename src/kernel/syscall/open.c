/* SPDX-License-Identifier: Apache-2.0 */
/* Paths to open files: open, openat, openat2, creat. */
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>

#include "kernel/syscall/decode.h"
#include "kernel/vfs/names.h"

#define ACCESS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | FASYNC | O_DIRECT)
#define KNOWN                                                                                      \
	((unsigned int) (ACCESS | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_LARGEFILE |            \
			 O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | __O_TMPFILE))
#define WITH_PATH ((unsigned int) (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC))
#define RESOLVE_KNOWN                                                                              \
	((uint64_t) (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |               \
		     RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED))

/* Linux's build_open_flags(): what openat2(2) refuses. */
static int check(const struct open_how *how)
{
	uint64_t flags = how->flags;
	bool makes = flags & (O_CREAT | __O_TMPFILE);

	if (flags & ~(uint64_t) KNOWN || how->resolve & ~RESOLVE_KNOWN)
		return -EINVAL;
	if (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT)
		return -EINVAL;
	if (makes ? how->mode & ~(uint64_t) 07777 : how->mode != 0)
		return -EINVAL;
	if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
		return -EINVAL;
	if (flags & __O_TMPFILE) {
		if ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_ACCMODE) == O_RDONLY)
			return -EINVAL;
	}
	if (flags & O_PATH && flags & ~(uint64_t) WITH_PATH)
		return -EINVAL;
	/* What Linux says when it would have to wait: openat2(2) is called again without. */
	if (how->resolve & RESOLVE_CACHED)
		return flags & (O_TRUNC | O_CREAT) ? -EINVAL : -EAGAIN;
	return 0;
}

static sysret_t open_at(struct task *t, uint64_t dirfd, uva_t text, const struct open_how *how)
{
	auto_at struct at at;
	int (*open)(const struct walk *, const char *, unsigned int, uint32_t, struct file **);
	unsigned int flags = (unsigned int) how->flags;
	struct file *f;
	int r = check(how);

	at.root = at.start = (struct path){};
	if (r < 0)
		return r;
	r = at_init(&at, t, dirfd, text, false);
	if (r < 0)
		return r;
	at.walk.resolve = how->resolve;
	if (flags & O_EXCL && !(flags & (O_CREAT | __O_TMPFILE)))
		flags &= ~(unsigned int) O_EXCL; /* undefined but for block devices: open(2) */
	open = flags & __O_TMPFILE ? names_open_nameless : names_open;
	r = open(&at.walk, at.text, flags, (uint32_t) how->mode & ~t->fs->umask, &f);
	return r < 0 ? r : fd_new(t, f, flags & O_CLOEXEC);
}

/* open(2) knows no errors of flags that it does not know, and always large files. */
static sysret_t open_old(struct task *t, uint64_t dirfd, uva_t text, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = (flags & KNOWN) | O_LARGEFILE };

	if (how.flags & O_PATH)
		how.flags &= WITH_PATH;
	if (how.flags & (O_CREAT | __O_TMPFILE))
		how.mode = mode & 07777;
	return open_at(t, dirfd, text, &how);
}

sysret_t sys_open(struct task *t, const uint64_t *a)
{
	return open_old(t, (uint64_t) AT_FDCWD, uva(a[0]), a[1], a[2]);
}

sysret_t sys_creat(struct task *t, const uint64_t *a)
{
	return open_old(t, (uint64_t) AT_FDCWD, uva(a[0]), O_CREAT | O_WRONLY | O_TRUNC, a[1]);
}

sysret_t sys_openat(struct task *t, const uint64_t *a)
{
	return open_old(t, a[0], uva(a[1]), a[2], a[3]);
}

sysret_t sys_openat2(struct task *t, const uint64_t *a)
{
	struct open_how how;
	int r = struct_in(t, &how, sizeof(how), uva(a[2]), a[3], sizeof(how));

	if (r < 0)
		return r;
	if (!(how.flags & O_PATH))
		how.flags |= O_LARGEFILE;
	return open_at(t, a[0], uva(a[1]), &how);
}
