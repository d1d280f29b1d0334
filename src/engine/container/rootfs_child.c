/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's file system. The one file that resolves the container's paths: each is looked up
 * once, below the root's descriptor (sys/path.h), and then used by descriptor; a mount that cannot
 * be attached there is an error, never retried by name (CVE-2021-30465, CVE-2023-27561).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/child.h"
#include "engine/container/plan.h"
#include "sys/path.h"

#define MQUEUE_MAGIC  0x19800202 /* in no header: ipc/mqueue.c */
#define PROC_ROOT_INO 1		 /* of every procfs */

static bool is_root(const char *path)
{
	return path[strspn(path, "/.")] == '\0';
}

static int where(struct err *e, int r, const char *destination)
{
	return err_sys(e, -r, "mount at '%.200s'", destination);
}

/* The new mount becomes the root that all later paths start from. */
static void take_root(struct plan *p, int fd)
{
	p->root_fd = fd;
	p->root_mounts++;
}

static int attach(struct plan *p, struct plan_mount *m, int mount_fd, int target, struct err *e)
{
	int r = mount_attach(mount_fd, target, "");

	if (r < 0)
		return where(e, r, m->destination);
	if (is_root(m->destination)) {
		int fd = fcntl(mount_fd, F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return where(e, -errno, m->destination);
		take_root(p, fd);
	}
	return 0;
}

static int make_link(struct plan *p, struct plan_mount *m, struct err *e)
{
	const char *name = NULL;
	auto_fd int parent = path_parent(p->root_fd, m->destination, true, 0755, &name);
	char had[4096];
	ssize_t n;

	if (parent < 0)
		return where(e, parent, m->destination);
	if (symlinkat(m->link_target, parent, name) == 0)
		return 0;
	n = errno == EEXIST ? readlinkat(parent, name, had, sizeof(had) - 1) : -1;
	if (n >= 0) {
		had[n] = '\0';
		if (streq(had, m->link_target))
			return 0;
	}
	return err_set(e, ERR_CONFLICT, EEXIST,
		       "mount at '%.100s': something other than the link to '%.100s' is there",
		       m->destination, m->link_target);
}

static int target_of(struct plan *p, struct plan_mount *m)
{
	/* A link, whatever it points to, is a mount point itself when it shall not be followed. */
	if (m->words.dest_nofollow) {
		const char *name = NULL;
		auto_fd int parent = path_parent(p->root_fd, m->destination, true, 0755, &name);
		int fd;

		if (parent < 0)
			return parent;
		fd = path_open_how(parent, name, O_PATH | O_NOFOLLOW, 0, 0);
		if (fd != -ENOENT)
			return fd;
	}
	if (m->kind == PLAN_MOUNT_BIND && !m->source_is_dir)
		return path_make_file(p->root_fd, m->destination, 0644);
	return path_make_dir(p->root_fd, m->destination, 0755);
}

/* In a user namespace we have no right to the file systems of the host: the creator has. */
static int ask_idmap(struct plan *p, struct plan_mount *m, struct err *e)
{
	int r = groups_arrive(p, e); /* the next message is the answer */

	if (r < 0)
		return r;
	r = child_tell(p->sync_fd, CHILD_IDMAP, (pid_t) (m - p->mounts), m->tree_fd, NULL);
	r = r < 0 ? r : child_wait(p->sync_fd);
	return r < 0 ? err_sys(e, -r, "waiting for the idmap of the mount at '%.100s'",
			       m->destination)
		     : 0;
}

/* A bind of something in the container itself, as it is by now. */
static int open_late(struct plan *p, struct plan_mount *m, struct err *e)
{
	auto_fd int at = path_open_in(p->root_fd, m->late_source, O_PATH, 0);
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return err_sys(e, at < 0 ? -at : errno,
			       "mount source '%.200s' in the container (for '%.100s')",
			       m->late_source, m->destination);
	m->source_is_dir = S_ISDIR(st.st_mode);
	m->tree_fd = mount_clone(at, "", m->words.rec_bind); /* open until the init's exec */
	if (m->tree_fd < 0)
		return err_sys(e, -m->tree_fd, "mount source '%.200s' (for '%.100s')",
			       m->late_source, m->destination);
	int r = plan_idmap_asked(p, m) ? ask_idmap(p, m, e) : 0;

	return r < 0 ? r : plan_bind_ready(p, m, e);
}

/*
 * A file of procfs that is another than it seems misleads whoever trusts it, the runtime first
 * (CVE-2019-16884). What lxcfs shows for each container is let through, as with runc; a whole
 * procfs or anything else over all of /proc is the caller's decision.
 */
static bool on_proc(const struct plan_mount *m, int target)
{
	static const char *const fine[] = { "/proc/cpuinfo",
					    "/proc/diskstats",
					    "/proc/meminfo",
					    "/proc/stat",
					    "/proc/swaps",
					    "/proc/uptime",
					    "/proc/loadavg",
					    "/proc/slabinfo",
					    "/proc/sys/kernel/ns_last_pid",
					    "/proc/sys/crypto/fips_enabled" };
	struct statfs fs;
	struct stat st;

	if (fstatfs(target, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC || fstat(target, &st) < 0 ||
	    st.st_ino == PROC_ROOT_INO)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		if (streq(m->destination, fine[i]))
			return false;
	}
	return true;
}

static int do_bind(struct plan *p, struct plan_mount *m, struct err *e)
{
	auto_fd int target = FD_NONE;

	if (m->link_target)
		return make_link(p, m, e);
	if (m->late_source) {
		int r = open_late(p, m, e);

		if (r < 0)
			return r;
	}
	target = target_of(p, m);
	if (target < 0)
		return where(e, target, m->destination);
	if (on_proc(m, target))
		return err_set(e, ERR_INVALID, EPERM,
			       "mount at '%.100s': it cannot be mounted because it is inside /proc",
			       m->destination);
	if (turn_passed(p, m->late_source ? PLAN_MADE_INSIDE : PLAN_MADE_BEFORE) &&
	    turn_aside(m->tree_fd, m->source_is_dir)) {
		const struct mount_words *w = &m->words;
		bool unbindable = w->propagation == MS_UNBINDABLE;

		/* open until the init's exec */
		m->tree_fd = turn_again(m->tree_fd, unbindable, unbindable && w->propagation_rec);
	}
	return attach(p, m, m->tree_fd, target, e);
}

bool mount_has_mode(const struct plan_mount *m)
{
	for (size_t i = 0; i < m->words.data_n; i++) {
		if (streq(m->words.data[i].key, "mode"))
			return true;
	}
	return false;
}

/* What the image says about a directory holds for a tmpfs on it, unless the options say else. */
static void inherit_mode(struct plan_mount *m, int target, char text[static 8])
{
	struct stat st;

	if (fstat(target, &st) < 0)
		return;
	(void) snprintf(text, 8, "%o", st.st_mode & 07777);
	m->words.data[m->words.data_n++] =
		(struct mount_option){ .key = "mode", .value = text, .fd = FD_NONE };
}

static int fill_copy(struct plan_mount *m, int mount_fd, int target)
{
	if (!m->words.copy_up)
		return 0;
	auto_fd int from = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int to = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return from < 0 || to < 0 ? -errno : copy_up(from, to);
}

/*
 * sysfs belongs to a network namespace and is refused when ours does not own it: then the host's,
 * read-only whatever was asked, since it is the host's.
 */
static int sysfs_instead(void)
{
	struct mount_change c = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					 MOUNT_ATTR_NOEXEC };
	int fd = mount_clone(AT_FDCWD, "/sys", true), r;

	if (fd < 0)
		return fd;
	r = mount_change(fd, "", true, &c);
	if (r < 0) {
		(void) close(fd);
		return r;
	}
	return fd;
}

/* The file system of the host at the place where it usually is, when it is that one. */
static int host_mount(const char *path, long magic)
{
	struct statfs fs;
	int fd = mount_clone(AT_FDCWD, path, true);

	if (fd >= 0 && (fstatfs(fd, &fs) < 0 || (long) fs.f_type != magic)) {
		(void) close(fd);
		return -ENODEV;
	}
	return fd;
}

/*
 * What belongs to a namespace that is not ours is refused in a user namespace: then the one of who
 * shares that namespace with us, which shows just the same.
 */
static int shared_instead(const struct plan *p, const struct plan_mount *m, int refused)
{
	const struct spec_ns *ns = p->spec->linux_.ns;
	struct mount_change own = { .set = m->words.set };
	int fd = refused, r;

	if (refused != -EPERM && refused != -EBUSY)
		return refused;
	if (streq(m->fstype, "sysfs"))
		return sysfs_instead();
	if (streq(m->fstype, "proc") && !ns[SPEC_NS_PID].present)
		fd = host_mount("/proc", PROC_SUPER_MAGIC);
	else if (streq(m->fstype, "mqueue") && !ns[SPEC_NS_IPC].present)
		fd = host_mount("/dev/mqueue", MQUEUE_MAGIC);
	if (fd < 0 || !own.set)
		return fd < 0 ? refused : fd;
	r = mount_change(fd, "", true, &own);
	if (r < 0) {
		(void) close(fd);
		return r;
	}
	return fd;
}

static int new_refused(struct plan_mount *m, int r, const char *why, struct err *e)
{
	if (streq(m->fstype, "proc") && r == -EPERM)
		return err_set(
			e, ERR_DENIED, EPERM,
			"mount of proc at '%.100s': the kernel refuses a full procfs because "
			"the one outside is masked, or its pid namespace is not ours",
			m->destination);
	if (m->label && (r == -EINVAL || r == -EACCES || r == -EPERM))
		return err_sys(e, -r,
			       "mount of %.40s at '%.100s' with linux.mountLabel '%.200s'%s%.100s",
			       m->fstype, m->destination, m->label, why[0] ? ": " : "", why);
	return err_sys(e, -r, "mount of %.40s at '%.100s'%s%.100s", m->fstype, m->destination,
		       why[0] ? ": " : "", why);
}

static int relabel(const char *label, int mount_fd)
{
	auto_fd int fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fsetxattr(fd, "security.selinux", label, strlen(label) + 1, 0) < 0 ? -errno : 0;
}

/* Less than 0: it is to be made here. */
static int take_ahead(struct plan *p, struct plan_mount *m, uint64_t attr)
{
	auto_fd int fd = take_fd(&m->ahead_fd);
	bool mounted = fd >= 0 && m == &p->mounts[p->ahead_dev];

	if (turn_passed(p, mounted ? PLAN_MADE_AHEAD : PLAN_MADE_INSIDE) && turn_aside(fd, true))
		return turn_again(take_fd(&fd), false,
				  false); /* the first one: until the init's exec */
	return fd >= 0 && !mounted ? mount_made_of(fd, attr) : take_fd(&fd);
}

static int do_new(struct plan *p, struct plan_mount *m, struct err *e)
{
	bool proc_like = streq(m->fstype, "proc") || streq(m->fstype, "sysfs");
	bool tmpfs = streq(m->fstype, "tmpfs");
	uint64_t attr = m->words.set;
	struct mount_change late = { .set = attr, .propagation = MS_PRIVATE };
	char why[MOUNT_WHY_MAX] = "", mode[8];
	auto_fd int target = FD_NONE, fd = FD_NONE;
	int r = m->ahead ? groups_receive(p, e) : 0;

	if (r < 0)
		return r;

	/* A link here would hand out a "procfs" of somebody's making (CVE-2023-27561). */
	if (proc_like) {
		target = path_open_how(p->root_fd, m->destination, O_PATH | O_DIRECTORY, 0,
				       RESOLVE_NO_SYMLINKS);
		if (target == -ELOOP || target == -ENOTDIR)
			return err_set(e, ERR_INVALID, ENOTDIR,
				       "mount at '%.100s': '%s' must be mounted on ordinary "
				       "directory",
				       m->destination, m->fstype);
	} else if (tmpfs && !mount_has_mode(m)) {
		/* A directory made for it says nothing about its mode. */
		target = path_open_in(p->root_fd, m->destination, O_PATH, 0);
		if (target >= 0)
			inherit_mode(m, target, mode);
		close_fd(&target);
	}
	if (target < 0)
		target = target_of(p, m);
	if (target < 0)
		return where(e, target, m->destination);
	if (!proc_like && on_proc(m, target))
		return err_set(e, ERR_INVALID, EPERM,
			       "mount at '%.100s': it cannot be mounted because it is inside /proc",
			       m->destination);
	/* What is mounted and made in it comes first: /dev and below. */
	if (tmpfs && (attr & MOUNT_ATTR_RDONLY)) {
		attr &= ~(uint64_t) MOUNT_ATTR_RDONLY;
		m->late_readonly = true;
	}
	fd = take_ahead(p, m, attr);
	if (fd < 0)
		fd = mount_new(m->fstype, m->words.data, m->words.data_n,
			       m->words.copy_up ? attr & ~(uint64_t) MOUNT_ATTR_RDONLY : attr, why);
	if (fd < 0)
		fd = shared_instead(p, m, fd);
	if (fd < 0)
		return new_refused(m, fd, why, e);
	r = m->label && m->relabel ? relabel(m->label, fd) : 0;
	if (r < 0)
		return new_refused(m, r, "", e);
	r = fill_copy(m, fd, target);
	if (r < 0)
		return err_sys(e, -r, "mount at '%.100s': copying what was there", m->destination);
	if (m->late_readonly) {
		m->tree_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* open until the init's exec */
		if (m->tree_fd < 0)
			return where(e, -errno, m->destination);
		late.set = attr;
	}
	if (m->words.copy_up || m->words.propagation || m->words.rec_set || m->words.rec_clear) {
		late.set |= m->words.rec_set;
		late.clear = m->words.clear | m->words.rec_clear;
		late.propagation = m->words.propagation;
		r = mount_change(fd, "", false, &late);
		if (r < 0)
			return err_sys(e, -r, "mount at '%.100s': attributes", m->destination);
	}
	return attach(p, m, fd, target, e);
}

/* "cpu,cpuacct" is also found as cpu and as cpuacct. */
static int comma_links(int dir, const char *name)
{
	const char *part = name;

	if (!strchr(name, ','))
		return 0;
	while (*part) {
		char one[64];
		size_t n = strcspn(part, ",");

		if (n == 0 || n >= sizeof(one))
			return -EINVAL;
		memcpy(one, part, n);
		one[n] = '\0';
		if (symlinkat(name, dir, one) < 0 && errno != EEXIST)
			return -errno;
		part += n + (part[n] == ',');
	}
	return 0;
}

int cgroup_tmpfs(void)
{
	static const struct mount_option mode[] = {
		{ .key = "mode", .value = "755", .fd = FD_NONE },
		{ .key = "source", .value = "tmpfs", .fd = FD_NONE }
	};

	return mount_new("tmpfs", mode, ARRAY_SIZE(mode),
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL);
}

int cgroup_directory(int dir_fd, const char *name)
{
	int r = mkdirat(dir_fd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;

	return r < 0 ? r : comma_links(dir_fd, name);
}

static int do_cgroup(struct plan *p, struct plan_mount *m, struct err *e)
{
	struct mount_change change = { .set = m->words.set & MOUNT_ATTR_RDONLY };
	int r = groups_arrive(p, e);
	bool aside;

	if (r < 0)
		return r;
	auto_fd int target = target_of(p, m), fd = take_fd(&m->ahead_fd);

	if (target < 0)
		return where(e, target, m->destination);
	if (fd < 0)
		fd = cgroup_tmpfs();
	if (fd < 0)
		return where(e, fd, m->destination);
	/* Those that are not in it yet can be mounted in it once it is itself. */
	aside = (turn_passed(p, PLAN_MADE_AHEAD) || (p->turns && m->cgroups_n > 0)) &&
		turn_aside(fd, true);
	r = aside ? 0 : attach(p, m, fd, target, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->cgroups_n && r == 0; i++) {
		struct plan_cgroup *c = &m->cgroups[i];

		r = cgroup_directory(fd, c->name);
		r = r < 0 ? r : mount_attach(c->tree_fd, fd, c->name);
	}
	if (r == 0 && aside) {
		p->turn = PLAN_MADE_INSIDE;
		fd = turn_again(fd, false, false);
		r = attach(p, m, fd, target, e);
		if (r < 0)
			return r;
	}
	if (r == 0 && change.set)
		r = mount_change(fd, "", false, &change);
	return r < 0 ? where(e, r, m->destination) : 0;
}

int rootfs_mount(struct plan *p, struct plan_mount *m, struct err *e)
{
	switch (m->kind) {
	case PLAN_MOUNT_BIND:
		return do_bind(p, m, e);
	case PLAN_MOUNT_NEW:
		return do_new(p, m, e);
	case PLAN_MOUNT_CGROUP:
		return do_cgroup(p, m, e);
	}
	return 0;
}

int rootfs_build(struct plan *p, struct err *e)
{
	struct mount_change slave = { .propagation = MS_SLAVE };
	const char *at;
	int r = 0;

	/* Nothing mounted from here on may appear on the host. */
	if (p->clone_flags & CLONE_NEWNS)
		r = mount_change(AT_FDCWD, "/", true, &slave);
	/*
	 * On top of "/": the one directory that is certain to exist. Absolute paths keep meaning
	 * the host's until pivot_root, since a process's own root is not looked up.
	 */
	at = p->root_path ? p->root_path : "/";
	if (p->host_mounts && !p->root_path)
		return err_set(e, ERR_INTERNAL, ENOENT, "root file system: its path is not known");
	r = r < 0 ? r : mount_attach(p->root_fd, AT_FDCWD, at);
	if (r == -ENOENT && p->root_path &&
	    !p->host_mounts) /* a detached mount, whose path is no place */
		r = mount_attach(p->root_fd, AT_FDCWD, "/");
	if (r < 0)
		return err_sys(e, -r, "root file system");
	turn_begin(p);
	for (size_t i = 0; i < p->mounts_n; i++) {
		r = rootfs_mount(p, &p->mounts[i], e);
		if (r < 0)
			return r;
	}
	if (p->process.spec) {
		/* Callers of runc rely on the working directory being made. A read-only image
		 * that lacks it shows when the process changes into it. */
		auto_fd int cwd = path_make_dir(p->root_fd, p->process.spec->cwd, 0755);

		(void) cwd;
	}
	return 0;
}

/* Over a file the host's /dev/null; over a directory an empty one, the same for all. */
static int mask(struct plan *p, const char *path, int null_fd, int *empty_fd, struct err *e)
{
	static const struct mount_option small[] = {
		{ .key = "size", .value = "0k", .fd = FD_NONE },
		{ .key = "nr_inodes", .value = "1", .fd = FD_NONE },
		{ .key = "mode", .value = "755", .fd = FD_NONE },
		{ .key = "source", .value = "tmpfs", .fd = FD_NONE },
	};
	auto_fd int target = path_open_in(p->root_fd, path, O_PATH, 0), fd = FD_NONE;
	struct stat st;
	int r;

	if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
		return 0; /* nothing there to hide */
	if (target < 0 || fstat(target, &st) < 0)
		return err_sys(e, target < 0 ? -target : errno, "masked path '%.200s'", path);
	if (!S_ISDIR(st.st_mode)) {
		fd = mount_clone(null_fd, "", false);
	} else if (*empty_fd < 0) {
		/* The first use attaches the mount itself; later ones clone it, attached. */
		fd = mount_new("tmpfs", small, ARRAY_SIZE(small),
			       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				       MOUNT_ATTR_NOEXEC,
			       NULL);
		if (fd >= 0)
			*empty_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	} else {
		fd = mount_clone(*empty_fd, "", false);
	}
	r = fd < 0 ? fd : mount_attach(fd, target, "");
	return r < 0 ? err_sys(e, -r, "masked path '%.200s'", path) : 0;
}

static int make_readonly(struct plan *p, const char *path, struct err *e)
{
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY };
	auto_fd int target = FD_NONE, fd = FD_NONE;
	int r;

	if (is_root(path)) { /* a mount on it would not be the root that is entered */
		r = mount_change(p->root_fd, "", false, &ro);
		return r < 0 ? err_sys(e, -r, "readonly path '%.200s'", path) : 0;
	}
	target = path_open_in(p->root_fd, path, O_PATH, 0);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return err_sys(e, -target, "readonly path '%.200s'", path);
	fd = mount_clone(target, "", true);
	r = fd < 0 ? fd : mount_change(fd, "", true, &ro);
	r = r < 0 ? r : mount_attach(fd, target, "");
	return r < 0 ? err_sys(e, -r, "readonly path '%.200s'", path) : 0;
}

/* Twice in the list is once over it. */
static bool named_before(const char *const *paths, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (streq(paths[k], paths[i]))
			return true;
	}
	return false;
}

int rootfs_protect(struct plan *p, struct err *e)
{
	const struct spec_linux *l = &p->spec->linux_;
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY };
	auto_fd int empty_fd = FD_NONE, null_fd = FD_NONE;
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < p->mounts_n && r == 0; i++) {
		if (p->mounts[i].late_readonly)
			r = mount_change(p->mounts[i].tree_fd, "", false, &ro);
		if (r < 0)
			return where(e, r, p->mounts[i].destination);
	}
	for (size_t i = 0; i < l->readonly_paths_n && r == 0; i++)
		r = make_readonly(p, l->readonly_paths[i], e);
	if (r < 0 || !l->masked_paths_n)
		return r;
	/* The host's node, in this mount namespace, and surely that device: not the container's,
	 * which may be anything by now (CVE-2025-31133). */
	null_fd = open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (null_fd < 0 || fstat(null_fd, &st) < 0)
		return err_sys(e, errno, "/dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_set(e, ERR_DENIED, EPERM,
			       "/dev/null of this machine is not that device");
	for (size_t i = 0; i < l->masked_paths_n && r == 0; i++) {
		if (!named_before(l->masked_paths, i))
			r = mask(p, l->masked_paths[i], null_fd, &empty_fd, e);
	}
	return r;
}

static int set_propagation(struct plan *p, struct err *e)
{
	static const struct {
		const char *word;
		uint64_t flag;
		bool recursive;
	} words[] = {
		{ "shared", MS_SHARED, false },		{ "rshared", MS_SHARED, true },
		{ "slave", MS_SLAVE, false },		{ "rslave", MS_SLAVE, true },
		{ "private", MS_PRIVATE, false },	{ "rprivate", MS_PRIVATE, true },
		{ "unbindable", MS_UNBINDABLE, false }, { "runbindable", MS_UNBINDABLE, true },
	};
	const char *want = p->spec->linux_.rootfs_propagation;

	for (size_t i = 0; want && i < ARRAY_SIZE(words); i++) {
		struct mount_change c = { .propagation = words[i].flag };
		int r;

		if (!streq(want, words[i].word) || words[i].flag == MS_SLAVE ||
		    words[i].flag == MS_PRIVATE)
			continue; /* it is that already, and mounts in it are what they asked for */
		r = mount_change(p->root_fd, "", words[i].recursive, &c);
		if (r < 0)
			return err_sys(e, -r, "linux.rootfsPropagation '%s'", want);
	}
	return 0;
}

/*
 * pivot_root(2): the old root ends up on top of the new one, and goes. Roots that were mounted
 * over stand on the old one in turn and hide it: each is taken away first. What is left is looked
 * at: ".." of the root steps onto whatever is mounted there, and that must be the root itself.
 */
static int pivot(struct plan *p, struct err *e)
{
	struct statx up = {}, root = {};

	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, errno, "pivot_root");
	for (unsigned i = 0; i <= p->root_mounts; i++) {
		if (umount2(".", MNT_DETACH) < 0)
			return err_sys(e, errno, "leaving the host's root");
	}
	if (statx(AT_FDCWD, "/..", 0, STATX_MNT_ID, &up) < 0 ||
	    statx(p->root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &root) < 0)
		return err_sys(e, errno, "looking at the new root");
	if (up.stx_mnt_id != root.stx_mnt_id)
		return err_set(e, ERR_INTERNAL, EXDEV,
			       "the host's root is still there after pivot_root");
	return 0;
}

/* The decimal or the word that starts at *at; NULL at the end of the line. */
static char *field(char **at)
{
	char *word = *at, *end = word ? strpbrk(word, " \n") : NULL;

	if (!end)
		return NULL;
	*at = *end == '\n' ? NULL : end + 1;
	*end = '\0';
	return word;
}

/*
 * chroot leaves the host's mounts where they were, and a procfs that shows everything among them is
 * what allows a mount of another one inside, masks or not. From the host's root, which is still
 * ours, only those outside of the new root are found by their paths.
 */
static void leave_kernel_mounts(struct plan *p)
{
	static char text[1 << 16]; /* one process; a longer list is cut, what is far down stays */
	auto_fd int fd = openat(p->proc_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r = 0;

	while (fd >= 0 && n < sizeof(text) - 1 &&
	       (r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t) r;
	text[n] = '\0';
	for (char *line = text, *next; (next = strchr(line, '\n')); line = next + 1) {
		char *at = line, *path = NULL, *type = NULL, *word;

		for (int i = 0; (word = field(&at)); i++) {
			if (i == 4)
				path = word;
			if (i > 5 && streq(word, "-")) {
				type = field(&at);
				break;
			}
		}
		if (path && type && (streq(type, "proc") || streq(type, "sysfs")) &&
		    !(p->root_path && strncmp(path, p->root_path, strlen(p->root_path)) == 0))
			(void) umount2(path, MNT_DETACH); /* ours are not there by this path */
	}
}

int rootfs_enter(struct plan *p, struct err *e)
{
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY };
	int r;

	if (fchdir(p->root_fd) < 0)
		return err_sys(e, errno, "entering the root file system");
	if (p->no_pivot || !(p->clone_flags & CLONE_NEWNS)) {
		if (p->clone_flags & CLONE_NEWNS)
			leave_kernel_mounts(p);
		if (chroot(".") < 0)
			return err_sys(e, errno, "chroot");
	} else {
		r = pivot(p, e);
		if (r < 0)
			return r;
	}
	if (chdir("/") < 0)
		return err_sys(e, errno, "chdir");
	r = set_propagation(p, e);
	if (r == 0 && p->spec->root && p->spec->root->readonly) {
		r = mount_change(p->root_fd, "", false, &ro);
		if (r < 0)
			return err_sys(e, -r, "root.readonly");
	}
	return r;
}
