/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: the user's, ACLs and file capabilities. Others belong to the host
 * (trusted.*, labels of its security modules) and are neither shown nor set: not supported, as on a
 * file system without them.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "device/fs_session.h"

#define VALUE_MAX 65536 /* XATTR_SIZE_MAX, XATTR_LIST_MAX */
#define NAMES_MAX 255

static bool served(const struct fs_session *s, const char *name)
{
	return (s->overlay_marks && streq(name, "trusted.overlay.opaque")) ||
	       str_starts(str_of(name), "user.") || streq(name, "security.capability") ||
	       streq(name, "system.posix_acl_access") || streq(name, "system.posix_acl_default");
}

/* The attribute's name and the file's path, or -errno. */
static int begin(struct fs_request *r, size_t at, const char **ret_name, size_t *ret_end,
		 char path[static FS_PATH_MAX])
{
	const char *name = fs_text(r, at, ret_end);
	int fd;

	if (!name || !name[0])
		return -EINVAL;
	if (strlen(name) > NAMES_MAX)
		return -ERANGE;
	if (!served(r->s, name))
		return -EOPNOTSUPP;
	fd = fs_inode_fd(&r->s->inodes, r->inode);
	if (fd < 0)
		return fd;
	(void) fs_path(path, fd);
	*ret_name = name;
	return 0;
}

int fs_do_setxattr(struct fs_request *r)
{
	size_t head = r->s->setxattr_ext ? sizeof(struct fuse_setxattr_in)
					 : FUSE_COMPAT_SETXATTR_IN_SIZE;
	struct fuse_setxattr_in in = {};
	char path[FS_PATH_MAX];
	const char *name;
	size_t end = 0;
	bool plain;
	int n;

	if (r->body_n < head)
		return -EINVAL;
	memcpy(&in, r->body, head);
	n = begin(r, head, &name, &end, path);
	if (n < 0)
		return n;
	if (in.size > VALUE_MAX)
		return -E2BIG;
	if (in.size != r->body_n - end || (in.flags & ~(uint32_t) (XATTR_CREATE | XATTR_REPLACE)))
		return -EINVAL;
	plain = in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	if (plain)
		fs_caller_plain(&r->w->caller, true);
	n = FS_AWAY(r->s, setxattr(path, name, r->body + end, in.size, (int) in.flags)) < 0 ? -errno
											    : 0;
	if (plain)
		fs_caller_plain(&r->w->caller, false);
	return n;
}

int fs_do_getxattr(struct fs_request *r)
{
	const struct fuse_getxattr_in in = FS_BODY(r, struct fuse_getxattr_in);
	struct fuse_getxattr_out out = {};
	char path[FS_PATH_MAX];
	const char *name;
	int r0 = begin(r, sizeof(in), &name, NULL, path);
	ssize_t n;

	if (r0 < 0)
		return r0;
	n = FS_AWAY(r->s, getxattr(path, name, in.size ? r->w->reply : NULL,
				   in.size < VALUE_MAX ? in.size : VALUE_MAX));
	if (n < 0)
		return -errno;
	if (in.size)
		return (int) n;
	out.size = (uint32_t) n;
	return FS_REPLY(r, out);
}

int fs_do_listxattr(struct fs_request *r)
{
	const struct fuse_getxattr_in in = FS_BODY(r, struct fuse_getxattr_in);
	char *names = (char *) r->w->reply;
	struct fuse_getxattr_out out = {};
	char path[FS_PATH_MAX];
	int fd = fs_inode_fd(&r->s->inodes, r->inode);
	size_t kept = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = FS_AWAY(r->s, listxattr(fs_path(path, fd), names, VALUE_MAX));
	if (n < 0)
		return -errno;
	for (size_t at = 0; at < (size_t) n;) {
		size_t len = strnlen(names + at, (size_t) n - at) + 1;

		if (at + len <= (size_t) n && served(r->s, names + at)) {
			memmove(names + kept, names + at, len);
			kept += len;
		}
		at += len;
	}
	if (in.size)
		return kept > in.size ? -ERANGE : (int) kept;
	out.size = (uint32_t) kept;
	return FS_REPLY(r, out);
}

int fs_do_removexattr(struct fs_request *r)
{
	char path[FS_PATH_MAX];
	const char *name;
	int n = begin(r, 0, &name, NULL, path);

	if (n < 0)
		return n;
	return FS_AWAY(r->s, removexattr(path, name)) < 0 ? -errno : 0;
}
