/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of the FUSE client: the server says which there are. */
#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"

#define XATTR_MOST ((size_t) 64 << 10) /* of a value, and of all names: xattr(7) */

/* A value or the names: bytes, or how many there are where room is 0. */
static int64_t get(struct inode *i, uint32_t op, const char *name, void *to, size_t room)
{
	struct fuse_getxattr_in in = { .size = (uint32_t) min_of(room, XATTR_MOST) };
	struct fuse_getxattr_out size;
	struct fuse_call q = { .op = op,
			       .node = fuse_id(i),
			       .in = { { &in, sizeof(in) }, { name, name ? strlen(name) + 1 : 0 } },
			       .out = room ? to : &size,
			       .least = room ? 0 : sizeof(size),
			       .room = room ? in.size : sizeof(size) };
	int r = fuse_call(fuse_conn_of(i), &q);

	if (r < 0)
		return r == -ENOSYS ? -EOPNOTSUPP : r;
	if (room)
		return (int64_t) q.got;
	return size.size > XATTR_MOST ? -EIO : (int64_t) size.size;
}

int64_t fuse_xattr_get(struct inode *i, const char *name, void *to, size_t room)
{
	return get(i, FUSE_GETXATTR, name, to, room);
}

int64_t fuse_xattr_list(struct inode *i, char *to, size_t room)
{
	int64_t n = get(i, FUSE_LISTXATTR, NULL, to, room);

	if (n > 0 && room && to[n - 1] != '\0')
		return -EIO;
	return n;
}

int fuse_xattr_set(struct inode *i, const char *name, const void *value, size_t n, int flags)
{
	/* As before FUSE_SETXATTR_EXT. */
	struct {
		uint32_t size, flags;
	} in = { (uint32_t) n, (uint32_t) flags };
	struct fuse_call q = { .op = value ? FUSE_SETXATTR : FUSE_REMOVEXATTR,
			       .node = fuse_id(i),
			       .in = { { &in, value ? sizeof(in) : 0 },
				       { name, strlen(name) + 1 },
				       { value, value ? n : 0 } } };
	int r = fuse_call(fuse_conn_of(i), &q);

	fuse_stale(i);
	return r == -ENOSYS ? -EOPNOTSUPP : r;
}
