/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/settings.h"

#include <string.h>
#include <sys/stat.h>

#include "kernel/fs/devices.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/vfs/names.h"
#include "sentry/place.h"

int settings_sysctl(const struct spec *s, struct err *e)
{
	for (size_t n = 0; n < s->linux_.sysctl_n; n++) {
		const struct json_pair *p = &s->linux_.sysctl[n];
		int r = proc_sysctl(p->key, p->value);

		if (r < 0)
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       r == -ENOENT ? "config.json: linux.sysctl: a sandbox has no "
						      "'%s'"
				       : r == -EPERM
					       ? "config.json: linux.sysctl: a sandbox does "
						 "not change '%s'"
					       : "config.json: linux.sysctl: a sandbox's '%s' "
						 "cannot have this value",
				       p->key);
	}
	return 0;
}

/* ---- devices ---- */

static int make_node(const struct spec_device *d, const struct path *root)
{
	struct walk w = { .root = root, .start = root, .who = &place_root };
	struct vfs_change owner = { .what = ATTR_UID | ATTR_GID, .uid = d->uid, .gid = d->gid };
	struct vfs_change mode = { .what = ATTR_MODE,
				   .mode = d->file_mode_set ? d->file_mode & 07777 : 0666 };
	uint64_t number = device_number((uint32_t) d->major, (uint32_t) d->minor);
	uint32_t type = d->type == 'p' ? S_IFIFO : S_IFCHR;
	const char *name = strrchr(d->path, '/') + 1;
	struct path parent, node;
	char dir[PATH_ROOM];
	int r;

	if (strlen(d->path) >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, d->path, (size_t) (name - d->path));
	dir[name - d->path] = '\0';
	r = place_make(root, dir, &parent);
	if (r < 0)
		return r;
	path_unref(&parent);
	r = names_create(&w, d->path, type | 0600, type == S_IFCHR ? number : 0, NULL);
	/* One that is there has to be the same. */
	if (r < 0 && r != -EEXIST)
		return r;
	r = walk(&w, d->path, 0, &node);
	if (r < 0)
		return r;
	if (!inode_is(node.dentry->inode, type) ||
	    (type == S_IFCHR && node.dentry->inode->rdev != number))
		r = -EEXIST;
	if (r == 0)
		r = inode_change(node.dentry->inode, &place_root, &owner);
	if (r == 0)
		r = inode_change(node.dentry->inode, &place_root, &mode);
	path_unref(&node);
	return r;
}

static bool served(const struct spec_device *d)
{
	if (d->type == 'p')
		return true;
	return d->type == 'c' && d->major >= 0 && d->major < 4096 && d->minor >= 0 &&
	       d->minor < 1 << 20 &&
	       device_served(device_number((uint32_t) d->major, (uint32_t) d->minor));
}

int settings_devices(const struct spec *s, const struct path *root, struct err *e)
{
	for (size_t n = 0; n < s->linux_.devices_n; n++) {
		const struct spec_device *d = &s->linux_.devices[n];
		int r;

		if (d->path[0] != '/' || !strrchr(d->path, '/')[1])
			return err_set(e, ERR_INVALID, EINVAL,
				       "config.json: linux.devices: '%s' is no path of a node",
				       d->path);
		if (!served(d))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "config.json: linux.devices: a sandbox has no '%s': device "
				       "'%c' %lld:%lld",
				       d->path, d->type, (long long) d->major,
				       (long long) d->minor);
		r = make_node(d, root);
		if (r < 0)
			return err_sys(e, -r, "config.json: linux.devices: make '%s'", d->path);
	}
	return 0;
}
