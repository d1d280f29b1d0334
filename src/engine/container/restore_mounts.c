/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "engine/container/restore.h"
#include "fmt/spec.h"
#include "sys/mount.h"
#include "sys/path.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int add_key(struct restore *x, const char *at, const char *source, struct err *e)
{
	struct criu_pair *k = arena_push(&x->arena, &x->keys, &x->keys_n, sizeof(*k));

	if (!k || !at || !source)
		return no_memory(e);
	*k = (struct criu_pair){ .key = at, .value = source };
	return 0;
}

/* A detached mount gets its place in the yard; CRIU's name for what is below it there. */
static int add_tree(struct restore *x, const char *at, int fd, bool is_dir, const char *below,
		    struct err *e)
{
	struct criu_tree *t = NULL;
	size_t i = 0;

	while (i < x->trees_n && x->trees[i].fd != fd)
		i++;
	if (i == x->trees_n) {
		t = arena_push(&x->arena, &x->trees, &x->trees_n, sizeof(*t));
		if (!t)
			return no_memory(e);
		*t = (struct criu_tree){ fd, is_dir };
	}
	return add_key(x, at,
		       arena_printf(&x->arena, "%s/" CRIU_YARD_TREE "%s%s", x->yard, i,
				    below[0] ? "/" : "", below),
		       e);
}

static bool device_known(const struct spec_device *v, size_t n, unsigned major, unsigned minor,
			 const char **ret_path)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].type == 'c' && v[i].major == major && v[i].minor == minor) {
			*ret_path = v[i].path;
			return true;
		}
	}
	return false;
}

/* "1:3": one that every container has, or that this one's spec gives it. */
static int device_mount(struct restore *x, const struct snapshot_mount *m, struct err *e)
{
	const struct spec_linux *l = &x->b->spec->linux_;
	struct str minor, major = str_cut(str_of(m->below), ':', &minor);
	uint32_t a = 0, b = 0;
	const char *path = NULL;
	size_t n;
	const struct spec_device *v = devices_default(&n);

	if (!minor.p || num_parse_u32(major, 0, UINT32_MAX, &a) < 0 ||
	    num_parse_u32(minor, 0, UINT32_MAX, &b) < 0 ||
	    (!device_known(v, n, a, b, &path) &&
	     !device_known(l->devices, l->devices_n, a, b, &path)))
		return err_set(e, ERR_DENIED, EPERM,
			       "the checkpoint has the device %.20s at '%.100s', which the "
			       "container's config.json does not give it",
			       m->below, m->at);
	return add_key(x, m->at, path, e);
}

static int cgroup_mount(struct restore *x, const struct snapshot_mount *m, struct err *e)
{
	for (size_t i = 0; i < x->plan.mounts_n; i++) {
		const struct plan_mount *pm = &x->plan.mounts[i];

		if (strncmp(pm->fstype, "cgroup", 6) != 0 || pm->words.bind)
			continue;
		if (pm->kind == PLAN_MOUNT_BIND && (!m->below[0] || pm->cgroups_n == 1))
			return add_tree(x, m->at, pm->tree_fd, true, "", e);
		for (size_t k = 0; k < pm->cgroups_n; k++) {
			if (streq(pm->cgroups[k].name, m->below))
				return add_tree(x, m->at, pm->cgroups[k].tree_fd, true, "", e);
		}
	}
	return err_set(e, ERR_INVALID, EINVAL,
		       "the checkpoint has the cgroup '%.40s' at '%.100s', which this machine or "
		       "the container's config.json has not",
		       m->below, m->at);
}

/*
 * By the path of its source, where CRIU finds the mount that this is a part of: mounts of one file
 * system are of one group of propagation there, and the widest of them stands for all. CRIU sets
 * the flags itself. An idmapped one is nowhere but in its own clone.
 */
static int add_bind(struct restore *x, const char *at, size_t i, const char *below, struct err *e)
{
	const struct plan_mount *pm = &x->plan.mounts[i];
	const char *source = x->b->spec->mounts[i].source;
	char link[40], path[4096];
	auto_fd int fd = FD_NONE;
	ssize_t n = -1;

	if (!pm->words.idmap && source)
		fd = openat(x->b->bundle_fd >= 0 ? x->b->bundle_fd : AT_FDCWD, source,
			    O_PATH | O_CLOEXEC | (pm->words.src_nofollow ? O_NOFOLLOW : 0));
	if (fd >= 0) {
		(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
	}
	if (n <= 0 || path[0] != '/')
		return add_tree(x, at, pm->tree_fd, pm->source_is_dir, below, e);
	path[n] = '\0';
	return add_key(x, at, arena_printf(&x->arena, "%s%s%s", path, below[0] ? "/" : "", below),
		       e);
}

static int bind_mount(struct restore *x, const struct snapshot_mount *m, struct err *e)
{
	for (size_t i = x->plan.mounts_n; i-- > 0;) {
		const struct plan_mount *pm = &x->plan.mounts[i];

		if (pm->kind == PLAN_MOUNT_BIND && !pm->link_target && pm->words.bind &&
		    streq(pm->destination, m->source))
			return add_bind(x, m->at, i, m->below, e);
	}
	return err_set(e, ERR_INVALID, EINVAL,
		       "the checkpoint needs a mount at '%.150s', and config.json has no bind "
		       "there",
		       m->source);
}

/* Of another runtime's images: every bind where the spec says, the masks as runc has them. */
static int foreign_mounts(struct restore *x, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < x->plan.mounts_n && r == 0; i++) {
		const struct plan_mount *pm = &x->plan.mounts[i];

		if (pm->kind == PLAN_MOUNT_BIND && !pm->link_target)
			r = pm->words.bind ? add_bind(x, pm->destination, i, "", e)
					   : add_tree(x, pm->destination, pm->tree_fd,
						      pm->source_is_dir, "", e);
		for (size_t k = 0; pm->kind == PLAN_MOUNT_CGROUP && k < pm->cgroups_n && r == 0;
		     k++)
			r = add_tree(x,
				     arena_printf(&x->arena, "%s/%s", pm->destination,
						  pm->cgroups[k].name),
				     pm->cgroups[k].tree_fd, true, "", e);
	}
	return r < 0 ? r : add_key(x, "/dev/null", "/dev/null", e);
}

static int collect(struct restore *x, struct err *e)
{
	int r = 0;

	if (!x->snap)
		return foreign_mounts(x, e);
	for (size_t i = 0; i < x->snap->mounts_n && r == 0; i++) {
		const struct snapshot_mount *m = &x->snap->mounts[i];

		if (streq(m->source, SNAPSHOT_FROM_DEVICE))
			r = device_mount(x, m, e);
		else if (streq(m->source, SNAPSHOT_FROM_CGROUP))
			r = cgroup_mount(x, m, e);
		else
			r = bind_mount(x, m, e);
	}
	return r;
}

/* The earlier mount of the plan that the destination lies in; NULL: the root itself. */
static const struct plan_mount *mount_over(const struct plan *p, size_t at, const char **ret_rest)
{
	const char *d = p->mounts[at].destination;
	const struct plan_mount *best = NULL;
	size_t best_n = 0;

	for (size_t i = 0; i < at; i++) {
		const char *over = p->mounts[i].destination;
		size_t n = strlen(over);

		while (n && over[n - 1] == '/')
			n--;
		if (n > best_n && strncmp(d, over, n) == 0 && d[n] == '/') {
			best = &p->mounts[i];
			best_n = n;
		}
	}
	*ret_rest = d + best_n;
	return best;
}

/* CRIU restores what is in a tmpfs, but makes no mount point in the root file system. */
static int make_mount_points(struct restore *x, struct err *e)
{
	const struct plan *p = &x->plan;

	for (size_t i = 0; i < p->mounts_n; i++) {
		const struct plan_mount *pm = &p->mounts[i];
		const char *rest;
		const struct plan_mount *over = mount_over(p, i, &rest);
		int base = over ? over->tree_fd : p->root_fd;
		auto_fd int fd = FD_NONE;

		if (pm->link_target || (over && (over->kind != PLAN_MOUNT_BIND || base < 0)))
			continue;
		fd = pm->kind == PLAN_MOUNT_BIND && !pm->source_is_dir
			     ? path_make_file(base, rest, 0644)
			     : path_make_dir(base, rest, 0755);
		if (fd < 0)
			return err_sys(e, -fd, "mount at '%.200s'", pm->destination);
	}
	return 0;
}

/* CRIU binds the root as it finds it: read-only when it shall be that. */
static int protect_root(struct restore *x, struct err *e)
{
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY };
	const struct spec_root *root = x->b->spec->root;
	int r = root && root->readonly ? mount_change(x->plan.root_fd, "", false, &ro) : 0;

	return r < 0 ? err_sys(e, -r, "root.readonly") : 0;
}

int restore_mounts(struct restore *x, struct err *e)
{
	int r = collect(x, e);

	r = r < 0 ? r : make_mount_points(x, e);
	return r < 0 ? r : protect_root(x, e);
}
