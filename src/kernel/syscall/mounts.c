/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount(2) and umount2(2), in the order in which Linux 6.12 looks at flags and arguments. There is
 * one mount space, so that nothing propagates: mounts are private, and can be made nothing else.
 */
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "kernel/core/heap.h"
#include "kernel/fs/mountable.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

/* Of linux/fs.h, whose MS_NOUSER is not an unsigned number. */
#define KERNEL_ONLY	  ((uint64_t) 1 << 31)
#define MAGIC		  UINT64_C(0xc0ed0000) /* in the upper half: programs of old */
#define MAGIC_MASK	  UINT64_C(0xffff0000)
#define UMOUNT_KNOWN	  15u
#define UMOUNT_FORCE	  1u
#define UMOUNT_DETACH	  2u
#define UMOUNT_EXPIRE	  4u
#define UMOUNT_DONTFOLLOW 8u

struct request {
	struct task *t;
	struct path on; /* owned */
	uint64_t flags;
	char *source, *type, *options; /* of the heap; NULL: none were given */
};

static void fini(struct request *q)
{
	path_unref(&q->on);
	heap_free(q->source);
	heap_free(q->type);
	heap_free(q->options);
}

/* A text of the guest's, at most a page with its end. */
static int text_in(struct task *t, uint64_t from, char **ret)
{
	int64_t n = 0;

	if (!from)
		return 0;
	*ret = heap_alloc(PAGE_SIZE);
	if (!*ret)
		return -ENOMEM;
	n = copy_text(t->space, *ret, uva(from), PAGE_SIZE);
	return n == -ENAMETOOLONG ? -EINVAL : n < 0 ? (int) n : 0;
}

static bool is_mount(const struct path *p)
{
	return p->dentry == p->mount->root;
}

/* Whether a path stands in the tree of who calls. */
static bool is_here(const struct task *t, const struct path *p)
{
	return p->mount->space && p->mount->space == t->fs->root.mount->space;
}

/* MS_* of a mount, not of its file system, as enum mount_flags. was: what a remount keeps. */
static unsigned int flags_of(uint64_t ms, unsigned int was)
{
	static const struct {
		uint64_t ms;
		unsigned int mount;
	} known[] = { { MS_RDONLY, MNT_READONLY },
		      { MS_NOSUID, MNT_NOSUID },
		      { MS_NODEV, MNT_NODEV },
		      { MS_NOEXEC, MNT_NOEXEC },
		      { MS_NOATIME, MNT_NOATIME },
		      { MS_NODIRATIME, MNT_NODIRATIME },
		      { MS_NOSYMFOLLOW, MNT_NOSYMFOLLOW } };
	uint64_t times = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
	unsigned int flags = 0;

	for (size_t n = 0; n < countof(known); n++)
		flags |= ms & known[n].ms ? known[n].mount : 0;
	if (ms & MS_REMOUNT && !(ms & times))
		flags |= was & (MNT_NOATIME | MNT_NODIRATIME);
	return ms & MS_STRICTATIME ? flags & ~(unsigned int) MNT_NOATIME : flags;
}

/* What MS_BIND and MS_MOVE have in the place of a device. */
static int find_source(const struct request *q, struct path *ret)
{
	struct path root = q->t->fs->root, start = q->t->fs->cwd;
	struct walk w = { .root = &root, .start = &start, .who = q->t->cred };
	int r;

	if (!q->source || !*q->source)
		return -EINVAL;
	path_ref(&root);
	path_ref(&start);
	r = walk(&w, q->source, WALK_FOLLOW, ret);
	path_unref(&root);
	path_unref(&start);
	return r;
}

static int bind(const struct request *q)
{
	struct path from;
	int r = find_source(q, &from);

	if (r == 0) {
		r = is_here(q->t, &from) ? mount_bind(&from, &q->on, q->flags & MS_REC) : -EINVAL;
		path_unref(&from);
	}
	return r;
}

static int move(const struct request *q)
{
	struct path from;
	int r = find_source(q, &from);

	if (r == 0) {
		r = is_mount(&from) && is_here(q->t, &from) ? mount_move(from.mount, &q->on)
							    : -EINVAL;
		path_unref(&from);
	}
	return r;
}

static int remount(const struct request *q)
{
	struct mount *m = q->on.mount;
	const struct super_ops *ops = m->super->ops;
	const char *options = q->options ? q->options : "";
	unsigned int flags = flags_of(q->flags, m->flags);
	int r = 0;

	if (!is_mount(&q->on) || !is_here(q->t, &q->on))
		return -EINVAL;
	/* With MS_BIND it is of this mount alone; without it MS_RDONLY is the file system's. */
	if (q->flags & MS_BIND)
		return mount_set_flags(m, flags);
	if (ops->reconfigure)
		r = ops->reconfigure(m->super, options);
	else if (*options)
		r = -EINVAL;
	if (r == 0)
		r = mount_change_super(m, q->flags & MS_RDONLY);
	return r < 0 ? r : mount_set_flags(m, flags);
}

/* Nothing propagates: private is what a mount is, and a slave that has no master, too. */
static int propagate(const struct request *q)
{
	uint64_t kind = q->flags & ~(uint64_t) (MS_REC | MS_SILENT);

	if (!is_mount(&q->on) || !is_here(q->t, &q->on))
		return -EINVAL;
	return kind == MS_PRIVATE || kind == MS_SLAVE ? 0 : -EINVAL;
}

static int make(const struct request *q)
{
	const char *source = q->source ? q->source : "none", *options = q->options;
	struct super *s;
	int r;

	if (!q->type)
		return -EINVAL;
	r = mountable_new(q->type, options ? options : "", q->t->cred, &s);
	if (r < 0)
		return r;
	/* The same again in its own place. */
	if (is_mount(&q->on) && q->on.mount->super == s)
		r = -EBUSY;
	else if (!is_here(q->t, &q->on))
		r = -EINVAL;
	/* One that is shared with other mounts stays as it is. */
	if (r == 0 && q->flags & MS_RDONLY && s->users == 1)
		s->readonly = true;
	if (r == 0)
		r = mount_add(&q->on, s->root, flags_of(q->flags, 0), source, NULL);
	super_leave(s);
	return r;
}

static int act(const struct request *q)
{
	if (q->flags & KERNEL_ONLY)
		return -EINVAL;
	if (!cred_can(q->t->cred, CAP_SYS_ADMIN))
		return -EPERM;
	if (q->flags & MS_REMOUNT)
		return remount(q);
	if (!is_here(q->t, &q->on))
		return -EINVAL;
	if (q->flags & MS_BIND)
		return bind(q);
	if (q->flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))
		return propagate(q);
	return q->flags & MS_MOVE ? move(q) : make(q);
}

sysret_t sys_mount(struct task *t, const uint64_t *a)
{
	struct request q = { .t = t, .flags = (uint32_t) a[3] };
	auto_target struct target g = {};
	int r = text_in(t, a[2], &q.type);

	if (r == 0)
		r = text_in(t, a[0], &q.source);
	if (r == 0)
		r = text_in(t, a[4], &q.options);
	if (r == 0)
		r = target_find(&g, t, (uint64_t) AT_FDCWD, uva(a[1]), 0, true);
	if (r == 0) {
		q.on = g.path;
		g = (struct target){};
		if ((q.flags & MAGIC_MASK) == MAGIC)
			q.flags &= ~MAGIC_MASK;
		r = act(&q);
	}
	fini(&q);
	return r;
}

sysret_t sys_umount2(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[1];
	auto_target struct target g = {};
	int r;

	if (flags & ~UMOUNT_KNOWN)
		return -EINVAL;
	r = target_find(&g, t, (uint64_t) AT_FDCWD, uva(a[0]), 0, !(flags & UMOUNT_DONTFOLLOW));
	if (r < 0)
		return r;
	if (!cred_can(t->cred, CAP_SYS_ADMIN))
		return -EPERM;
	if (!is_mount(&g.path) || !is_here(t, &g.path) || flags & UMOUNT_EXPIRE)
		return -EINVAL;
	/* MNT_FORCE asks servers of files to give up, of which there are none. */
	return mount_remove(g.path.mount, flags & UMOUNT_DETACH);
}
