/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/enclose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "sys/caps.h"
#include "sys/mount.h"
#include "sys/ns.h"

#define ROOT_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int own_ids(enum ns_map_kind kind, uint32_t id)
{
	const struct ns_map map = { .inside = id, .outside = id, .count = 1 };

	return ns_write_map(getpid(), kind, &map, 1);
}

static int enclose(int spaces, struct err *e)
{
	const uint32_t uid = geteuid(), gid = getegid();
	int r;

	if (unshare(spaces) == 0)
		return 0;
	if (errno != EPERM || unshare(spaces | CLONE_NEWUSER) < 0)
		return err_sys(e, errno, "make namespaces of its own");
	r = ns_deny_setgroups(getpid());
	r = r < 0 ? r : own_ids(NS_MAP_UID, uid);
	r = r < 0 ? r : own_ids(NS_MAP_GID, gid);
	return r < 0 ? err_sys(e, -r, "map the ids of its namespace") : 0;
}

int enclose_namespaces(struct err *e)
{
	return enclose(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, e);
}

int enclose_but_network(struct err *e)
{
	return enclose(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS, e);
}

static int enter(int fd, struct err *e)
{
	if (fchdir(fd) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "enter the empty root");
	return 0;
}

int enclose_root(struct err *e)
{
	const struct mount_option opts[] = { { .key = "size", .value = "4k", .fd = FD_NONE },
					     { .key = "mode", .value = "0555", .fd = FD_NONE } };
	char why[MOUNT_WHY_MAX];
	auto_fd int fd = mount_new("tmpfs", opts, ARRAY_SIZE(opts), ROOT_ATTR, why);

	return fd < 0 ? err_sys(e, -fd, "make an empty root: %s", why) : enter(fd, e);
}

static int put_file(int root, const struct enclose_file *f)
{
	const char *slash = strchr(f->path, '/');
	char dir[64];
	auto_fd int fd = FD_NONE;

	if (slash) {
		if (snprintf(dir, sizeof(dir), "%.*s", (int) (slash - f->path), f->path) >=
		    (int) sizeof(dir))
			return -ENAMETOOLONG;
		if (mkdirat(root, dir, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	fd = openat(root, f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : fd_write_all(fd, f->text, f->n);
}

int enclose_root_with(const struct enclose_file *files, size_t n, struct err *e)
{
	const struct mount_option opts[] = { { .key = "size", .value = "4m", .fd = FD_NONE },
					     { .key = "mode", .value = "0755", .fd = FD_NONE } };
	const struct mount_change closed = { .set = ROOT_ATTR, .userns_fd = FD_NONE };
	char why[MOUNT_WHY_MAX];
	auto_fd int fd = mount_new("tmpfs", opts, ARRAY_SIZE(opts), 0, why);
	int r = 0;

	if (fd < 0)
		return err_sys(e, -fd, "make an empty root: %s", why);
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_file(fd, &files[i]);
	r = r < 0 ? r : mount_change(fd, "", false, &closed);
	return r < 0 ? err_sys(e, -r, "fill its root") : enter(fd, e);
}

int enclose_caps(uint64_t keep, struct err *e)
{
	struct caps c;
	int r = caps_get(&c);

	c = (struct caps){ .effective = c.permitted & keep, .permitted = c.permitted & keep };
	r = r < 0 ? r : caps_ambient(0);
	r = r < 0 ? r : caps_bound(keep);
	r = r < 0 ? r : caps_set(&c);
	return r < 0 ? err_sys(e, -r, "drop capabilities") : 0;
}

void enclose_fds(unsigned from, const int *keep, size_t keep_n)
{
	for (;;) {
		unsigned next = (unsigned) INT_MAX + 1; /* no descriptor is as high */

		for (size_t i = 0; i < keep_n; i++)
			if (keep[i] >= 0 && (unsigned) keep[i] >= from && (unsigned) keep[i] < next)
				next = (unsigned) keep[i];
		if (next > from)
			(void) close_range(from, next - 1, 0); /* may be none */
		if (next > INT_MAX)
			return;
		from = next + 1;
	}
}
