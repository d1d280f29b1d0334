/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_handle.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"

#define HANDLES_MAX (1u << 20)

void fs_handles_init(struct fs_ids *t)
{
	fs_ids_init(t, HANDLES_MAX);
}

/* fh: its number, or 0: a new one. */
static int add(struct fs_ids *t, struct fs_inodes *inodes, struct fs_inode *inode, int fd,
	       bool directory, uint64_t fh, struct fs_handle **ret_handle)
{
	auto_fd int owned = fd;
	auto_free struct fs_handle *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	if (!fs_inodes_handle_opens(inodes))
		return -ENFILE;
	r = fh ? fs_ids_put(t, fh, h) : fs_ids_add(t, h, &fh);
	if (r < 0) {
		fs_inodes_handle_closed(inodes);
		return r;
	}
	h->fh = fh;
	h->fd = take_fd(&owned);
	h->directory = directory;
	h->inode = inode;
	h->next = inode->handles;
	inode->handles = h;
	*ret_handle = TAKE(h);
	return 0;
}

int fs_handle_add(struct fs_ids *t, struct fs_inodes *inodes, struct fs_inode *inode, int fd,
		  bool directory, struct fs_handle **ret_handle)
{
	return add(t, inodes, inode, fd, directory, 0, ret_handle);
}

int fs_handle_put(struct fs_ids *t, struct fs_inodes *inodes, struct fs_inode *inode, int fd,
		  bool directory, uint64_t fh, struct fs_handle **ret_handle)
{
	return fh ? add(t, inodes, inode, fd, directory, fh, ret_handle) : -EINVAL;
}

struct fs_handle *fs_handle_get(const struct fs_ids *t, uint64_t fh, const struct fs_inode *inode,
				bool directory)
{
	struct fs_handle *h = fs_ids_get(t, fh);

	return h && h->inode == inode && h->directory == directory ? h : NULL;
}

int fs_handle_fd(const struct fs_ids *t, uint64_t fh)
{
	const struct fs_handle *h = fs_ids_get(t, fh);

	return h && !h->directory ? h->fd : FD_NONE;
}

static void handle_free(struct fs_inodes *inodes, struct fs_handle *h)
{
	struct fs_inode *inode = h->inode;
	struct fs_handle **at = &inode->handles;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	/* The last way to a file without a name, which the guest may still use. */
	if (!inode->handles && inode->fd < 0 && !inode->name && inode->lookups > 0 &&
	    !inode->pinned && !inode->lost)
		fs_inode_adopt(inodes, inode, take_fd(&h->fd));
	fs_inodes_close(inodes, take_fd(&h->fd));
	fs_inodes_handle_closed(inodes);
	free(h);
	fs_inode_settle(inodes, inode);
}

void fs_handle_close(struct fs_ids *t, struct fs_inodes *inodes, struct fs_handle *h)
{
	fs_ids_drop(t, h->fh);
	h->closed = true;
	if (!h->pins)
		handle_free(inodes, h);
}

void fs_handles_unshare(struct fs_ids *t, struct fs_inodes *inodes, uint32_t share)
{
	struct fs_handle *h;
	size_t at = 0;

	while ((h = fs_ids_next(t, at, &at)))
		if (h->inode->is.share == share)
			fs_handle_close(t, inodes, h);
}

void fs_handle_pin(struct fs_handle *h)
{
	h->pins++;
}

void fs_handle_unpin(struct fs_inodes *inodes, struct fs_handle *h)
{
	if (--h->pins == 0 && h->closed)
		handle_free(inodes, h);
}

void fs_handles_clear(struct fs_ids *t, struct fs_inodes *inodes)
{
	struct fs_handle *h;
	size_t at = 0;

	while ((h = fs_ids_next(t, at, &at)))
		fs_handle_close(t, inodes, h);
	fs_ids_fini(t);
}
