/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/seal.h"

#include <linux/fcntl.h>

#include "kernel/mm/space.h"
#include "kernel/vfs/file.h"

#define NO_WRITES ((unsigned int) (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
#define ALL	  ((unsigned int) (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) | NO_WRITES | SEAL_EXEC)

/* Shared mappings that are written to, or could be after mprotect(2). */
static bool is_mapped_writable(const struct inode *i)
{
	list_each(l, &i->pager.mappings)
	{
		const struct vma *v = list_entry(l, struct vma, of_pager);

		if (v->flags & VMA_SHARED && !(v->flags & VMA_READONLY))
			return true;
	}
	return false;
}

static int add(struct inode *i, unsigned int seals)
{
	if (i->seals & F_SEAL_SEAL)
		return -EPERM;
	if (seals & ~i->seals & F_SEAL_WRITE && is_mapped_writable(i))
		return -EBUSY;
	/* A program that stays one stays as it is. */
	if (seals & SEAL_EXEC && i->mode & 0111)
		seals |= (unsigned int) (F_SEAL_SHRINK | F_SEAL_GROW) | NO_WRITES;
	i->seals |= seals;
	return 0;
}

int seal_add(struct file *f, unsigned int seals)
{
	int r;

	if (!file_can_write(f))
		return -EPERM;
	if (seals & ~ALL || !f->inode->seals)
		return -EINVAL;
	sleeplock_take(&f->inode->lock);
	r = add(f->inode, seals);
	sleeplock_give(&f->inode->lock);
	return r;
}

int64_t seal_get(const struct file *f)
{
	return f->inode->seals ? (int64_t) (f->inode->seals & ~SEALS_KEPT) : -EINVAL;
}

int seal_change(const struct inode *i, const struct vfs_change *c)
{
	if (c->what & ATTR_SIZE && ((i->seals & F_SEAL_SHRINK && c->size < i->pager.size) ||
				    (i->seals & F_SEAL_GROW && c->size > i->pager.size)))
		return -EPERM;
	return c->what & ATTR_MODE && i->seals & SEAL_EXEC && (c->mode ^ i->mode) & 0111 ? -EPERM
											 : 0;
}

int seal_grow(const struct inode *i, uint64_t end)
{
	return i->seals & F_SEAL_GROW && end > i->pager.size ? -EPERM : 0;
}

int seal_punch(const struct inode *i)
{
	return i->seals & NO_WRITES ? -EPERM : 0;
}

int seal_write(const struct inode *i, uint64_t end)
{
	int r = seal_punch(i);

	return r < 0 ? r : seal_grow(i, end);
}

bool seal_readonly(const struct inode *i)
{
	return i->seals & NO_WRITES;
}
