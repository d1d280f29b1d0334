/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev: device nodes, the standard links, the console. Everything is made by name in a directory
 * that is open, below the container's root; a link where /dev should be is refused
 * (CVE-2026-41579).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/child.h"
#include "engine/container/plan.h"
#include "engine/container/snapshot.h"
#include "sys/path.h"
#include "sys/pty.h"

static const struct spec_device defaults[] = {
	{ .path = "/dev/null", .type = 'c', .major = 1, .minor = 3, .file_mode = 0666 },
	{ .path = "/dev/zero", .type = 'c', .major = 1, .minor = 5, .file_mode = 0666 },
	{ .path = "/dev/full", .type = 'c', .major = 1, .minor = 7, .file_mode = 0666 },
	{ .path = "/dev/random", .type = 'c', .major = 1, .minor = 8, .file_mode = 0666 },
	{ .path = "/dev/urandom", .type = 'c', .major = 1, .minor = 9, .file_mode = 0666 },
	{ .path = "/dev/tty", .type = 'c', .major = 5, .minor = 0, .file_mode = 0666 },
};

const struct spec_device *devices_default(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(defaults);
	return defaults;
}

static int dev_error(const struct spec_device *d, int r, struct err *e)
{
	return err_sys(e, -r, "device '%.100s'", d->path);
}

static mode_t node_type(char type)
{
	return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

const char *devices_name(const char *path)
{
	const char *name = path + strlen("/dev/");

	return strncmp(path, "/dev/", strlen("/dev/")) == 0 && name[0] && !strchr(name, '/') &&
			       !streq(name, ".") && !streq(name, "..")
		       ? name
		       : NULL;
}

/* A file for the node to be attached to: made in the /dev that is open, or what is there. */
static int target_of(struct plan *p, int in_dev, const struct spec_device *d)
{
	const char *name = devices_name(d->path);
	int fd = name ? openat(in_dev, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
			       0666)
		      : -1;

	return fd >= 0 ? fd : path_make_file(p->root_fd, d->path, 0666);
}

/* A user namespace may not make nodes: the host's node is bound over an empty file. */
static int bind_node(struct plan *p, int in_dev, const struct spec_device *d, struct err *e)
{
	struct mount_change quiet = { .set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
	auto_fd int tree = mount_clone(AT_FDCWD, d->path, false), target = FD_NONE;
	struct stat st;
	int r;

	if (tree < 0 || fstat(tree, &st) < 0)
		return err_sys(e, tree < 0 ? -tree : errno, "device '%.100s' of the host", d->path);
	if ((st.st_mode & S_IFMT) != node_type(d->type) ||
	    (d->type != 'p' && st.st_rdev != makedev((unsigned) d->major, (unsigned) d->minor)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "device '%.100s': the host's node is another device, and a user "
			       "namespace can only use the host's",
			       d->path);
	r = mount_change(tree, "", false, &quiet);
	target = r < 0 ? r : target_of(p, in_dev, d);
	r = target < 0 ? target : mount_attach(tree, target, "");
	return r < 0 ? dev_error(d, r, e) : 0;
}

/* One that was made outside: plan_devices.c. */
static int attach_node(struct plan *p, int in_dev, const struct spec_device *d, int tree,
		       struct err *e)
{
	auto_fd int target = target_of(p, in_dev, d);
	int r = target < 0 ? target : mount_attach(tree, target, "");

	return r < 0 ? dev_error(d, r, e) : 0;
}

static int make_node(struct plan *p, int in_dev, bool ahead, const struct spec_device *d,
		     struct err *e)
{
	mode_t mode = node_type(d->type) |
		      (d->file_mode_set || d->file_mode ? d->file_mode & 07777 : 0666);
	dev_t dev = d->type == 'p' ? 0 : makedev((unsigned) d->major, (unsigned) d->minor);
	const char *name = devices_name(d->path);
	auto_fd int other = FD_NONE;
	int parent = in_dev;
	struct stat st;

	if (p->bind_devices)
		return bind_node(p, in_dev, d, e);
	if (!name)
		parent = other = path_parent(p->root_fd, d->path, true, 0755, &name);
	if (parent < 0)
		return dev_error(d, parent, e);
	if (mknodat(parent, name, mode, dev) < 0) {
		if (errno == EPERM && !ahead)
			return bind_node(p, in_dev, d, e);
		if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return dev_error(d, -errno, e);
		/* Something of the image, or of a mount: kept when it is that very device. */
		if ((st.st_mode & S_IFMT) == (mode & S_IFMT) && st.st_rdev == dev)
			return 0;
		if (unlinkat(parent, name, 0) < 0 || mknodat(parent, name, mode, dev) < 0)
			return dev_error(d, -errno, e);
	}
	if ((d->uid || d->gid) && fchownat(parent, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return dev_error(d, -errno, e);
	return 0;
}

static bool listed(const struct spec_linux *l, const char *path)
{
	for (size_t i = 0; i < l->devices_n; i++) {
		if (streq(l->devices[i].path, path))
			return true;
	}
	return false;
}

static int make_link(int dev, const char *target, const char *name)
{
	char had[64];
	ssize_t n;

	if (symlinkat(target, dev, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	n = readlinkat(dev, name, had, sizeof(had) - 1);
	if (n >= 0) {
		had[n] = '\0';
		if (streq(had, target))
			return 0;
	}
	if (unlinkat(dev, name, 0) < 0 || symlinkat(target, dev, name) < 0)
		return -errno;
	return 0;
}

static int fill(struct plan *p, int dev, bool ahead, struct err *e)
{
	static const struct {
		const char *target, *name;
	} links[] = {
		{ "/proc/self/fd", "fd" },	 { "/proc/self/fd/0", "stdin" },
		{ "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
		{ "pts/ptmx", "ptmx" },
	};
	const struct spec_linux *l = &p->spec->linux_;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		r = listed(l, defaults[i].path) ? 0 : make_node(p, dev, ahead, &defaults[i], e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < l->devices_n; i++) {
		struct spec_device d = l->devices[i];
		char path[4096];
		int n = snprintf(path, sizeof(path), "%s", d.path);

		if (n < 0 || (size_t) n >= sizeof(path))
			return dev_error(&d, -ENAMETOOLONG, e);
		while (n > 1 && path[n - 1] == '/') /* a node all the same */
			path[--n] = '\0';
		d.path = path;
		r = p->device_trees && p->device_trees[i] >= 0
			    ? attach_node(p, dev, &d, p->device_trees[i], e)
			    : make_node(p, dev, ahead, &d, e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		r = make_link(dev, links[i].target, links[i].name);
		if (r < 0)
			return err_sys(e, -r, "link /dev/%s", links[i].name);
	}
	return 0;
}

int devices_fill_in(struct plan *p, int dev_fd, struct err *e)
{
	return fill(p, dev_fd, true, e);
}

int devices_fill(struct plan *p, struct err *e)
{
	auto_fd int made = path_open_how(p->root_fd, "/dev", O_PATH, 0, RESOLVE_NO_SYMLINKS);
	auto_fd int dev = FD_NONE;

	if (made == -ENOENT)
		made = path_make_dir(p->root_fd, "/dev", 0755);
	dev = made < 0 ? made
		       : path_open_how(p->root_fd, "/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
				       RESOLVE_NO_SYMLINKS);
	if (dev < 0)
		return err_sys(e, -dev, "/dev of the root file system");
	return p->dev_filled ? 0 : fill(p, dev, false, e);
}

/* The directory of the container's devpts: nothing else has a multiplexer to be trusted. */
static int open_pts(struct plan *p)
{
	struct statfs fs;
	int fd = path_open_in(p->root_fd, "/dev/pts", O_PATH | O_DIRECTORY, 0);

	if (fd >= 0 && (fstatfs(fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)) {
		(void) close(fd);
		return -ENODEV;
	}
	return fd;
}

int devices_console(struct plan *p, int *ret_master, int *ret_slave, struct err *e)
{
	auto_fd int pts = open_pts(p), master = FD_NONE, slave = FD_NONE;
	auto_fd int target = FD_NONE, tree = FD_NONE;
	int r;

	if (pts < 0)
		return err_sys(e, -pts, "terminal: the container has no devpts at /dev/pts");
	r = pty_open(pts, "ptmx", &master, &slave);
	if (r < 0)
		return err_sys(e, -r, "terminal: a new pty");
	if (p->make_dev) {
		target = path_make_file(p->root_fd, "/dev/console", 0600);
		tree = target < 0 ? target : mount_clone(slave, "", false);
		r = tree < 0 ? tree : mount_attach(tree, target, "");
		if (r < 0)
			return err_sys(e, -r, "terminal: /dev/console");
	}
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}
