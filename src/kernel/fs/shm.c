/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/shm.h"

#include <asm/fcntl.h>

#include "kernel/fs/memfs.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

/* A file of s that has no name any more. */
static int nameless(struct super *s, uint32_t mode, const struct cred *who, struct inode **ret)
{
	struct inode *top = s->root->inode;
	int r = top->ops->create(top, "a", 1, S_IFREG | mode, 0, NULL, who, ret);

	if (r == 0) {
		r = top->ops->unlink(top, "a", 1, *ret);
		if (r < 0)
			inode_unref(*ret);
	}
	return r;
}

int shm_file(const char *shown, uint32_t mode, const struct cred *who, struct file **ret)
{
	const struct memfs_options options = { .mode = 0700 };
	struct super *s = memfs_new(&options);
	struct inode *i;
	int r;

	if (!s)
		return -ENOMEM;
	r = nameless(s, mode, who, &i);
	/* The inode keeps what it needs of it. */
	super_leave(s);
	if (r < 0)
		return r;
	r = file_anonymous(file_regular_ops(), i, shown, O_RDWR | O_LARGEFILE, NULL, ret);
	inode_unref(i);
	if (r == 0)
		(*ret)->who = cred_ref(who);
	return r;
}
