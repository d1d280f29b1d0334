/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of a workload's mounts: named volumes, host paths, memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "store/volume.h"
#include "svc/bundle_parts.h"
#include "sys/path.h"
#include "sys/tree.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int volume_directory(struct svc *s, const char *name, int *ret_fd, struct err *e)
{
	struct path_text path = paths_volume(&s->paths, name);
	auto_fd int fd = FD_NONE;

	/* 0711: the mount point's owner is the workload's user, whoever that is on the host. */
	if (mkdir(path.z, 0711) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make the volume '%s'", name);
	fd = open(path.z, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open the volume '%s'", name);
	if (mkdirat(fd, "_data", 0755) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make the volume '%s'", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool is_empty(int dirfd, const char *name)
{
	auto_dir DIR *d = dir_open(dirfd, name);

	return d && !dir_next(d) && errno == 0;
}

/* The image's own directory at the mount's target, with its owner and mode, into `to`. */
static int fill(int from, int volume, struct err *e)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return err_sys(e, errno, "look at the image's content");
	int r = tree_unlink(volume, "_new");
	if (r >= 0 && mkdirat(volume, "_new", 0755) < 0)
		r = -errno;
	auto_fd int to = r < 0 ? FD_NONE
			       : openat(volume, "_new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r >= 0)
		r = to < 0 ? -errno : tree_copy(from, to);
	if (r >= 0 && (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0))
		r = -errno;
	/* Whole or not at all: an empty directory is replaced in one step. */
	if (r >= 0 && renameat(volume, "_new", volume, "_data") < 0)
		r = -errno;
	if (r < 0) {
		(void) tree_unlink(volume, "_new"); /* the first failure is the one to tell */
		return err_sys(e, -r, "copy the image's content into the volume");
	}
	return 0;
}

/* The same owner and mode: docker's copy of an empty directory. */
static int dress(int from, int volume, struct err *e)
{
	auto_fd int to = openat(volume, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (to < 0 || fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
	    fchmod(to, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "give the volume its owner");
	return 0;
}

/* docker's copy-up: an empty volume gets what the image has at its place. */
static int copy_up(int root_fd, int volume, const struct mount_config *m, struct err *e)
{
	if (m->no_copy || !is_empty(volume, "_data"))
		return 0;
	auto_fd int from = path_open_in(root_fd, m->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (from < 0)
		return 0; /* the image has nothing there */
	/* Two starts at once: the second waits, and finds it filled. */
	while (flock(volume, LOCK_EX) < 0) {
		if (errno != EINTR)
			return err_sys(e, errno, "wait for the volume");
	}
	int r = 0;
	/* With nothing to be copied it stays the directory that it is: others may have it mounted.
	 */
	if (is_empty(volume, "_data"))
		r = is_empty(from, ".") ? dress(from, volume, e) : fill(from, volume, e);
	(void) flock(volume, LOCK_UN);
	return r;
}

static int volume_mount(struct svc *s, const struct mount_config *m, int root_fd, struct arena *a,
			struct plan_mount *ret, struct err *e)
{
	auto_fd int fd = FD_NONE;
	int r = volume_directory(s, m->source, &fd, e);

	if (r >= 0)
		r = copy_up(root_fd, fd, m, e);
	if (r < 0)
		return err_ctx(e, "volume '%s'", m->source);
	ret->type = "bind";
	ret->source = arena_printf(a, "%s/_data", paths_volume(&s->paths, m->source).z);
	return ret->source ? 0 : no_memory(e);
}

static int bind_mount(const struct mount_config *m, struct plan_mount *ret, struct err *e)
{
	struct stat st;

	if (stat(m->source, &st) < 0) {
		if (errno != ENOENT)
			return err_sys(e, errno, "bind source '%s'", m->source);
		if (!m->create_source)
			return err_set(e, ERR_NOT_FOUND, ENOENT,
				       "bind source path does not exist: %s", m->source);
		int r = dir_make_all(m->source, 0755);
		if (r < 0)
			return err_sys(e, -r, "make the bind source '%s'", m->source);
	}
	ret->type = "bind";
	ret->source = m->source;
	return 0;
}

/* Options of a bind or tmpfs; at most nine, and those of --tmpfs. */
static int options_of(const struct mount_config *m, struct arena *a, struct plan_mount *ret,
		      struct err *e)
{
	const char **o = NULL;
	size_t n = 0;
	const char *size = NULL, *mode = NULL;
	struct str rest = str_of(m->tmpfs_options ? m->tmpfs_options : "");

#define ADD(text)                                                                                  \
	do {                                                                                       \
		const char **slot_ = arena_push(a, &o, &n, sizeof(*slot_));                        \
		if (!slot_)                                                                        \
			return no_memory(e);                                                       \
		*slot_ = (text);                                                                   \
		if (!*slot_)                                                                       \
			return no_memory(e);                                                       \
	} while (0)

	if (m->kind == MOUNT_TMPFS) {
		ADD("nosuid");
		ADD("nodev");
		if (!m->tmpfs_options || !strstr(m->tmpfs_options, "exec"))
			ADD("noexec");
		if (m->tmpfs_size) {
			size = arena_printf(a, "size=%llu", (unsigned long long) m->tmpfs_size);
			ADD(size);
		}
		if (m->tmpfs_mode_set) {
			mode = arena_printf(a, "mode=%o", m->tmpfs_mode);
			ADD(mode);
		}
		while (rest.n) {
			struct str part = str_cut(rest, ',', &rest);
			if (part.n)
				ADD(arena_dup(a, part));
		}
	} else {
		ADD(m->non_recursive ? "bind" : "rbind");
		ADD(m->propagation ? m->propagation : "rprivate");
	}
	ADD(m->read_only ? "ro" : "rw");
	const char **end = arena_push(a, &o, &n, sizeof(*end));
	if (!end)
		return no_memory(e);
	ret->options = o;
	ret->options_n = n - 1;
	return 0;
#undef ADD
}

/* A mount lies under those in it: "/a" before "/a/b". Equal depths keep the user's order. */
static unsigned depth_of(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static void sort_mounts(struct plan_mount *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct plan_mount m = v[i];
		size_t j = i;

		for (; j > 0 && depth_of(v[j - 1].target) > depth_of(m.target); j--)
			v[j] = v[j - 1];
		v[j] = m;
	}
}

int bundle_mounts(struct svc *s, const struct workload_record *w, const struct workload_config *c,
		  int root_fd, struct arena *a, struct bundle_parts *ret, struct err *e)
{
	struct bundle_parts parts = {};

	(void) w;
	if (c->mounts_n == 0)
		return 0;
	parts.mounts = arena_array(a, c->mounts_n, sizeof(*parts.mounts));
	if (!parts.mounts)
		return no_memory(e);
	for (size_t i = 0; i < c->mounts_n; i++) {
		const struct mount_config *m = &c->mounts[i];
		struct plan_mount *p = &parts.mounts[parts.mounts_n++];
		int r = 0;

		p->target = m->target;
		if (m->kind == MOUNT_VOLUME) {
			r = volume_mount(s, m, root_fd, a, p, e);
		} else if (m->kind == MOUNT_BIND) {
			r = bind_mount(m, p, e);
		} else {
			p->type = "tmpfs";
			p->source = "tmpfs";
		}
		if (r >= 0)
			r = options_of(m, a, p, e);
		if (r < 0)
			return r;
	}
	sort_mounts(parts.mounts, parts.mounts_n);
	*ret = parts;
	return 0;
}
