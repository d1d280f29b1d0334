/* SPDX-License-Identifier: Apache-2.0 */
/* Address spaces: mmap and its kin. */
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/fs/shm.h"
#include "kernel/mm/lock.h"
#include "kernel/mm/space.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/seal.h"

#define PROT_ANY ((unsigned int) (PROT_READ | PROT_WRITE | PROT_EXEC))
/* What MAP_SHARED_VALIDATE knows: the flags of old. */
#define MAP_OF_OLD                                                                                 \
	((unsigned int) (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE |    \
			 MAP_EXECUTABLE | MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED |         \
			 MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |   \
			 MAP_32BIT | MAP_FIXED_NOREPLACE))
/* Bytes of memory that is wanted for something at hand: a window of faults. */
#define LITTLE (16 * PAGE_SIZE)

static bool may_lock(const struct task *t)
{
	return cred_can(t->cred, CAP_IPC_LOCK);
}

/* ---- mmap ---- */

/* Whether a file may be mapped so; fills what the mapping shows of it. */
static int map_file(struct file *f, struct space_mapping *m)
{
	bool shared = m->flags & VMA_SHARED;

	if (!file_can_read(f) || (shared && m->prot & PROT_WRITE && !file_can_write(f)))
		return -EACCES;
	if (m->prot & PROT_EXEC && f->path.mount && f->path.mount->flags & MNT_NOEXEC)
		return -EPERM;
	if (!f->ops->mmap)
		return -ENODEV;
	if (m->flags & VMA_GROWSDOWN)
		return -EINVAL;
	if (shared && seal_readonly(f->inode) && m->prot & PROT_WRITE)
		return -EPERM;
	if (shared && (!file_can_write(f) || seal_readonly(f->inode)))
		m->flags |= VMA_READONLY;
	m->name = f->path.dentry;
	return f->ops->mmap(f, &m->pager);
}

static int file_of(struct task *t, const uint64_t *a, unsigned int flags, struct file **ret)
{
	if (!(flags & MAP_ANONYMOUS))
		return fd_file(t, a[4], ret);
	/* Shared memory without a name: a file that nobody else can open. */
	if ((flags & MAP_TYPE) != MAP_PRIVATE)
		return shm_file("/dev/zero (deleted)", 0600, F_SEAL_SEAL, t->cred, ret);
	return 0;
}

static int check_map(const uint64_t *a, unsigned int flags)
{
	uint64_t pages = page_up(a[1]) >> PAGE_SHIFT, last;

	if (a[5] & (PAGE_SIZE - 1) || a[1] == 0)
		return -EINVAL;
	if (a[1] > plat_user_high())
		return -ENOMEM;
	if (__builtin_add_overflow(a[5] >> PAGE_SHIFT, pages, &last) ||
	    last > INT64_MAX >> PAGE_SHIFT)
		return -EOVERFLOW;
	switch (flags & MAP_TYPE) {
	case MAP_SHARED_VALIDATE:
		if (flags & ~(MAP_OF_OLD | MAP_TYPE))
			return -EOPNOTSUPP;
		break;
	case MAP_SHARED:
	case MAP_PRIVATE:
		break;
	default:
		return -EINVAL;
	}
	/* There are no huge pages to be had. */
	return flags & MAP_HUGETLB ? -ENOMEM : 0;
}

/*
 * A dynamic linker maps the parts of a library, of which it writes to that for data at once, and
 * behind them, at its place, what is zeros. Little memory that may be written to is so at once.
 */
static enum space_expected expected(const struct file *f, const struct space_mapping *m)
{
	bool write = m->prot & PROT_WRITE;

	if (m->flags)
		return EXPECTED_SOMETIME;
	if (f && m->fixed && m->offset > 0)
		return write ? EXPECTED_NEXT : EXPECTED_SOON;
	if (!f && write && m->len <= LITTLE)
		return m->fixed ? EXPECTED_SOON : EXPECTED_NEXT;
	return EXPECTED_SOMETIME;
}

sysret_t sys_mmap(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[3];
	auto_file struct file *f = NULL;
	struct space_mapping m = { .at = a[0],
				   .len = a[1],
				   .prot = (unsigned int) a[2] & PROT_ANY,
				   .offset = a[5],
				   .fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE),
				   .noreplace = flags & MAP_FIXED_NOREPLACE,
				   .populate = (flags & (MAP_POPULATE | MAP_NONBLOCK)) ==
					       MAP_POPULATE };
	uint64_t at;
	int r = a[5] & (PAGE_SIZE - 1) ? -EINVAL : file_of(t, a, flags, &f);

	/* Of two mistakes the descriptor's is told, as on Linux. */
	if (r == 0)
		r = check_map(a, flags);
	if (r < 0)
		return r;
	m.flags = ((flags & MAP_TYPE) != MAP_PRIVATE ? VMA_SHARED : 0u) |
		  (flags & MAP_GROWSDOWN ? VMA_GROWSDOWN : 0u) |
		  (flags & MAP_LOCKED ? VMA_LOCKED : 0u);
	if (flags & MAP_LOCKED && !may_lock(t) && t->space->limits.locked == 0)
		return -EPERM;
	if (flags & MAP_ANONYMOUS)
		m.offset = 0;
	if (f && flags & MAP_ANONYMOUS) {
		struct vfs_change c = { .what = ATTR_SIZE, .size = page_up(a[1]) };

		if (m.flags & VMA_GROWSDOWN)
			return -EINVAL;
		r = f->inode->ops->change(f->inode, &c);
	}
	if (r == 0 && f)
		r = map_file(f, &m);
	m.expected = expected(f, &m);
	if (r == 0)
		r = space_map(t->space, &m, &at);
	return r < 0 ? r : (sysret_t) at;
}

/* Whether [at, at + len) is shared memory of one kind, without a gap. */
static bool is_window(const struct space *s, const struct vma *first, uint64_t at, uint64_t len)
{
	uint64_t end;

	if (!first || !(first->flags & VMA_SHARED) || !first->pager || !uva_end(uva(at), len, &end))
		return false;
	for (const struct vma *v = first; v->end < end;) {
		v = space_find(s, v->end);
		if (!v || v->pager != first->pager || v->flags != first->flags ||
		    v->prot != first->prot)
			return false;
	}
	return true;
}

/* As Linux has it since it has no nonlinear mappings: another one in the place of the old. */
sysret_t sys_remap_file_pages(struct task *t, const uint64_t *a)
{
	uint64_t at = page_down(a[0]), len = page_down(a[1]), last, placed;
	const struct vma *v = space_find(t->space, at);
	struct space_mapping m;
	int r;

	if (a[2] || len == 0 || !is_window(t->space, v, at, len) ||
	    __builtin_add_overflow(a[3], len >> PAGE_SHIFT, &last) ||
	    last > INT64_MAX >> PAGE_SHIFT)
		return -EINVAL;
	m = (struct space_mapping){ .at = at,
				    .len = len,
				    .prot = v->prot,
				    .flags = v->flags,
				    .pager = v->pager,
				    .offset = a[3] << PAGE_SHIFT,
				    .name = v->name,
				    .fixed = true,
				    .populate = !((uint32_t) a[4] & MAP_NONBLOCK) };
	/* The old mapping, which goes, is what keeps them. */
	pager_ref(m.pager);
	if (m.name)
		dentry_ref(m.name);
	r = space_map(t->space, &m, &placed);
	if (m.name)
		dentry_unref(m.name);
	pager_unref(m.pager);
	return r;
}

sysret_t sys_munmap(struct task *t, const uint64_t *a)
{
	return space_unmap(t->space, a[0], a[1]);
}

sysret_t sys_mprotect(struct task *t, const uint64_t *a)
{
	uint64_t prot = a[2];

	if (prot & ~(uint64_t) (PROT_ANY | PROT_SEM))
		return -EINVAL;
	return space_protect(t->space, a[0], a[1], (unsigned int) prot & PROT_ANY);
}

sysret_t sys_pkey_mprotect(struct task *t, const uint64_t *a)
{
	return (int) a[3] == -1 ? sys_mprotect(t, a) : -EINVAL;
}

sysret_t sys_mremap(struct task *t, const uint64_t *a)
{
	uint64_t at;
	int r;

	if (a[3] >> 32)
		return -EINVAL;
	r = space_remap(t->space, a[0], a[1], a[2], (unsigned int) a[3], a[4], &at);
	return r < 0 ? r : (sysret_t) at;
}

sysret_t sys_madvise(struct task *t, const uint64_t *a)
{
	return space_advise(t->space, a[0], a[1], (int) a[2]);
}

sysret_t sys_brk(struct task *t, const uint64_t *a)
{
	return (sysret_t) space_brk(t->space, a[0]);
}

/* What a shared mapping shows is the file itself, or is brought to it. */
sysret_t sys_msync(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[2];
	uint64_t len = page_up(a[1]);
	bool locked;

	if (flags & ~(unsigned int) (MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    a[0] & (PAGE_SIZE - 1) || (flags & MS_ASYNC && flags & MS_SYNC))
		return -EINVAL;
	if (len < a[1] || !space_mapped(t->space, a[0], len, &locked))
		return -ENOMEM;
	if (flags & MS_INVALIDATE && locked)
		return -EBUSY;
	return flags & MS_SYNC ? space_sync(t->space, a[0], a[0] + len) : 0;
}

/* ---- mlock, mincore ---- */

static sysret_t lock(struct task *t, const uint64_t *a, bool populate)
{
	if (!may_lock(t) && t->space->limits.locked == 0)
		return -EPERM;
	return space_lock(t->space, a[0], a[1], true, populate, may_lock(t));
}

sysret_t sys_mlock(struct task *t, const uint64_t *a)
{
	return lock(t, a, true);
}

sysret_t sys_mlock2(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[2];

	return flags & ~(unsigned int) MLOCK_ONFAULT ? -EINVAL : lock(t, a, !flags);
}

sysret_t sys_munlock(struct task *t, const uint64_t *a)
{
	return space_lock(t->space, a[0], a[1], false, false, true);
}

sysret_t sys_mlockall(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[0];

	if (!flags || flags & ~(unsigned int) (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) ||
	    flags == MCL_ONFAULT)
		return -EINVAL;
	if (!may_lock(t) && t->space->limits.locked == 0)
		return -EPERM;
	if (!(flags & MCL_CURRENT))
		return 0;
	return space_lock_all(t->space, true, !(flags & MCL_ONFAULT), may_lock(t));
}

sysret_t sys_munlockall(struct task *t, const uint64_t *a)
{
	(void) a;
	return space_lock_all(t->space, false, false, true);
}

sysret_t sys_mincore(struct task *t, const uint64_t *a)
{
	uint64_t pages = page_up(a[1]) >> PAGE_SHIFT, end;
	uint8_t there[256];
	int r = 0;

	if (a[0] & (PAGE_SIZE - 1))
		return -EINVAL;
	if (a[1] > plat_user_high() || !uva_end(uva(a[0]), a[1], &end) || end > plat_user_high())
		return -ENOMEM;
	for (uint64_t n = 0; r == 0 && n < pages; n += sizeof(there)) {
		size_t part = min_of(sizeof(there), (size_t) (pages - n));

		r = space_resident(t->space, a[0] + (n << PAGE_SHIFT), part, there);
		if (r == 0)
			r = copy_out(t->space, uva(a[2] + n), there, part);
	}
	return r;
}
