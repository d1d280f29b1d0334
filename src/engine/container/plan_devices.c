/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace cannot make device nodes. Those that the host has as they are wanted are bound
 * from there (devices_child.c); any other is made here, with the rights of the caller, on a tmpfs
 * that nobody else sees, and its clone is handed to the container's init.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/plan.h"
#include "sys/fdpass.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

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

static int make(const struct plan *p, int dir, const struct spec_device *d, const char *name)
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
	return 0;
}

/*
 * Linux before 6.15 clones nothing of a detached mount: a child attaches it in a mount namespace
 * that nobody else sees, and sends the clones over, in the order of the names.
 */
[[gnu::noreturn]] static void clone_child(int dir, char *const *names, size_t n, int to)
{
	struct mount_change slave = { .propagation = MS_SLAVE };
	int r = mount_change(AT_FDCWD, "/", true, &slave);

	r = r < 0 ? r : mount_attach(dir, AT_FDCWD, "/");
	for (size_t i = 0; i < n && r >= 0; i++) {
		int fd = mount_clone(dir, names[i], false);

		r = fd < 0 ? fd : fdpass_send(to, "d", 1, &fd, 1);
		close_fd(&fd);
	}
	_exit(r < 0);
}

static int clone_in_namespace(struct plan *p, int dir, char *const *names, size_t n, int *const *to)
{
	auto_fd int sock = FD_NONE, pidfd = FD_NONE;
	int pair[2], r = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	sock = pair[0];
	pid = ns_clone(CLONE_NEWNS, FD_NONE, &pidfd);
	if (pid == 0)
		clone_child(dir, names, n, pair[1]);
	(void) close(pair[1]);
	if (pid < 0)
		return pid;
	for (size_t i = 0; i < n && r >= 0; i++) {
		int fd = FD_NONE;
		size_t fds = 0;
		char byte;
		ssize_t got = fdpass_recv(sock, &byte, 1, &fd, 1, &fds);

		r = got != 1 || fds != 1 ? -EINVAL : plan_own(p, fd);
		*to[i] = r < 0 ? FD_NONE : r;
	}
	(void) pidfd_reap(pidfd, NULL);
	return r < 0 ? r : 0;
}

static int clone_all(struct plan *p, int dir, char *const *names, size_t n, int *const *to)
{
	for (size_t i = 0; i < n; i++) {
		int r = mount_clone(dir, names[i], false);

		if (r == -EINVAL && i == 0)
			return clone_in_namespace(p, dir, names, n, to);
		r = plan_own(p, r);
		if (r < 0)
			return r;
		*to[i] = r;
	}
	return 0;
}

int plan_devices(struct plan *p, struct err *e)
{
	static const struct mount_option opts[] = {
		{ .key = "mode", .value = "755", .fd = FD_NONE },
		{ .key = "source", .value = "tmpfs", .fd = FD_NONE },
	};
	const struct spec_linux *l = &p->spec->linux_;
	char **names;
	int **to, dir = FD_NONE, r = 0;
	size_t n = 0;

	if (!p->bind_devices || !l->devices_n)
		return 0;
	p->device_trees = arena_array(p->a, l->devices_n, sizeof(*p->device_trees));
	names = arena_array(p->a, l->devices_n, sizeof(*names));
	to = arena_array(p->a, l->devices_n, sizeof(*to));
	if (!p->device_trees || !names || !to)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < l->devices_n; i++) {
		const struct spec_device *d = &l->devices[i];

		p->device_trees[i] = FD_NONE;
		if (host_serves(p, d))
			continue;
		names[n] = arena_printf(p->a, "%zu", i);
		if (!names[n])
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		if (dir < 0)
			dir = plan_own(p, mount_new("tmpfs", opts, ARRAY_SIZE(opts),
						    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, NULL));
		r = dir < 0 ? dir : make(p, dir, d, names[n]);
		/* Without the right to make nodes there is only the host's, or the init's word
		 * that there is none. */
		if (r == -EPERM || r == -EACCES)
			continue;
		if (r < 0)
			return err_sys(e, -r, "device '%.100s'", d->path);
		to[n++] = &p->device_trees[i];
	}
	r = clone_all(p, dir, names, n, to);
	return r < 0 ? err_sys(e, -r, "linux.devices: nodes for a user namespace") : 0;
}
