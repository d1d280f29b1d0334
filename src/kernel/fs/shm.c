/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/shm.h"

#include <asm/fcntl.h>

#include "kernel/fs/memfs.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/seal.h"

int shm_file(const char *shown, uint32_t mode, unsigned int seals, const struct cred *who,
	     struct file **ret)
{
	const struct memfs_options options = { .mode = 0700 };
	struct super *s = memfs_new(&options);
	struct inode *i, *top;
	int r;

	if (!s)
		return -ENOMEM;
	top = s->root->inode;
	r = top->ops->nameless(top, S_IFREG | mode, who, &i);
	/* The inode keeps what it needs of it. */
	super_leave(s);
	if (r < 0)
		return r;
	i->seals = SEALS_KEPT | seals;
	r = file_anonymous(file_regular_ops(), i, shown, O_RDWR | O_LARGEFILE, NULL, ret);
	inode_unref(i);
	if (r == 0)
		(*ret)->who = cred_ref(who);
	return r;
}
