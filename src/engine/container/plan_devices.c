/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace cannot make device nodes. Those that the host has as they are wanted are bound
 * from there (devices_child.c); any other is made here, with the rights of the caller, on a tmpfs
 * that nobody else sees, and its clone is handed to the container's init.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/plan.h"
#include "sys/mount.h"

static mode_t type_of(const struct spec_device *d)
{
	return d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
}

/* -1: not mapped, the owner stays the caller. */
static int64_t host_id(const struct ns_map *m, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (id >= m[i].inside && id - m[i].inside < m[i].count)
			return (int64_t) m[i].outside + (id - m[i].inside);
	}
	return -1;
}

/* The host's node is that very device, with the owner and mode that are asked for. */
static bool host_serves(const struct plan *p, const struct spec_device *d)
{
	dev_t dev = d->type == 'p' ? 0 : makedev((unsigned) d->major, (unsigned) d->minor);
	struct stat st;

	if (lstat(d->path, &st) < 0 || (st.st_mode & S_IFMT) != type_of(d) ||
	    (d->type != 'p' && st.st_rdev != dev))
		return false;
	if (d->file_mode_set && (st.st_mode & 07777) != (d->file_mode & 07777))
		return false;
	/* Not asked for by number: the host's owner, as with runc. */
	if (!d->uid && !d->gid)
		return true;
	return host_id(p->uid_maps, p->uid_maps_n, d->uid) == (int64_t) st.st_uid &&
	       host_id(p->gid_maps, p->gid_maps_n, d->gid) == (int64_t) st.st_gid;
}

static int make(struct plan *p, int dir, const struct spec_device *d, const char *name)
{
	dev_t dev = d->type == 'p' ? 0 : makedev((unsigned) d->major, (unsigned) d->minor);
	mode_t mode = d->file_mode_set ? d->file_mode & 07777 : 0666;
	int64_t uid = host_id(p->uid_maps, p->uid_maps_n, d->uid);
	int64_t gid = host_id(p->gid_maps, p->gid_maps_n, d->gid);

	if (mknodat(dir, name, type_of(d) | mode, dev) < 0 ||
	    fchmodat(dir, name, mode, 0) < 0 || /* whatever the umask is */
	    fchownat(dir, name, uid < 0 ? (uid_t) -1 : (uid_t) uid,
		     gid < 0 ? (gid_t) -1 : (gid_t) gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return plan_own(p, mount_clone(dir, name, false));
}

int plan_devices(struct plan *p, struct err *e)
{
	static const struct mount_option opts[] = {
		{ .key = "mode", .value = "755", .fd = FD_NONE },
		{ .key = "source", .value = "tmpfs", .fd = FD_NONE },
	};
	const struct spec_linux *l = &p->spec->linux_;
	int dir = FD_NONE;

	if (!p->bind_devices || !l->devices_n)
		return 0;
	p->device_trees = arena_array(p->a, l->devices_n, sizeof(*p->device_trees));
	if (!p->device_trees)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < l->devices_n; i++) {
		const struct spec_device *d = &l->devices[i];
		char name[24];
		int r;

		p->device_trees[i] = FD_NONE;
		if (host_serves(p, d))
			continue;
		if (dir < 0)
			dir = plan_own(p, mount_new("tmpfs", opts, ARRAY_SIZE(opts),
						    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, NULL));
		(void) snprintf(name, sizeof(name), "%zu", i);
		r = dir < 0 ? dir : make(p, dir, d, name);
		/* Without the right to make nodes there is only the host's, or the init's word
		 * that there is none. */
		if (r == -EPERM || r == -EACCES)
			continue;
		if (r < 0)
			return err_sys(e, -r, "device '%.100s'", d->path);
		p->device_trees[i] = r;
	}
	return 0;
}
