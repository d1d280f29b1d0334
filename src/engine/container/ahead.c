/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the mounts the creator makes while the init is at work on its namespaces: new file
 * systems that belong to none of those; detached mounts where something goes into them. Where one
 * cannot be made so, the init makes it in its turn, and says what is wrong with it: nothing here
 * fails.
 */
#include "engine/container/ahead.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/child.h"
#include "engine/container/plan.h"

static bool is_dev(const char *destination)
{
	return streq(destination, "/dev") || streq(destination, "/dev/");
}

/* Whether all that is made in /dev is made in that mount, and nothing else is put there before. */
static bool fills_dev(const struct plan *p, size_t dev)
{
	static const char *const usual[] = { "/dev/pts", "/dev/shm", "/dev/mqueue" };
	const struct spec_linux *l = &p->spec->linux_;

	if (!p->make_dev || p->bind_devices || p->device_trees)
		return false;
	for (size_t i = 0; i < p->mounts_n; i++) {
		const char *at = p->mounts[i].destination;
		bool known = strncmp(at, "/dev", strlen("/dev")) != 0 || i == dev;

		for (size_t k = 0; k < ARRAY_SIZE(usual) && !known; k++)
			known = streq(at, usual[k]);
		if (!known || at[0] != '/' || strstr(at, "..") || strstr(at, "//") || at[1] == '\0')
			return false;
	}
	for (size_t i = 0; i < l->devices_n; i++) {
		if (!devices_name(l->devices[i].path))
			return false;
	}
	return true;
}

void ahead_plan(struct plan *p)
{
	size_t n = 0;

	p->ahead_dev = p->mounts_n;
	/* A file system belongs to the user namespace it is made in. */
	if (!p->groups_due || p->new_user || p->join_user)
		return;
	for (size_t i = 0; i < p->mounts_n && n < AHEAD_MAX; i++) {
		struct plan_mount *pm = &p->mounts[i];
		const struct mount_words *w = &pm->words;
		bool tmpfs = streq(pm->fstype, "tmpfs"), devpts = streq(pm->fstype, "devpts");

		if (pm->kind == PLAN_MOUNT_CGROUP)
			pm->ahead = true;
		else
			pm->ahead = pm->kind == PLAN_MOUNT_NEW && !w->copy_up &&
				    ((tmpfs && mount_has_mode(pm)) || devpts);
		n += pm->ahead;
		if (pm->ahead && tmpfs && is_dev(pm->destination) && fills_dev(p, i))
			p->ahead_dev = i;
	}
}

/* The mount itself is the init's, in its turn, unless something is put into it here. */
static int make_new(struct plan *p, const struct plan_mount *pm)
{
	int fs = mount_file_system(pm->fstype, pm->words.data, pm->words.data_n, NULL);

	return plan_own(p, fs);
}

static int make_dev(struct plan *p, const struct plan_mount *pm)
{
	/* As rootfs_child.c: read-only once all is in it. */
	return plan_own(p, mount_new(pm->fstype, pm->words.data, pm->words.data_n,
				     pm->words.set & ~(uint64_t) MOUNT_ATTR_RDONLY, NULL));
}

/* With a directory for each hierarchy, and that in it where the kernel lets (Linux 6.15). */
static int make_cgroup(struct plan *p, struct plan_mount *pm)
{
	int fd = plan_own(p, cgroup_tmpfs());
	size_t attached = 0;

	for (size_t i = 0; fd >= 0 && i < pm->cgroups_n; i++) {
		if (cgroup_directory(fd, pm->cgroups[i].name) < 0)
			return FD_NONE;
		if (attached == i &&
		    mount_attach(pm->cgroups[i].tree_fd, fd, pm->cgroups[i].name) == 0)
			attached++;
	}
	if (fd >= 0 && attached == pm->cgroups_n)
		pm->cgroups_n = 0;
	return fd;
}

void ahead_make(struct plan *p)
{
	mode_t old = umask(0);
	struct err ignored;

	for (size_t i = 0; i < p->mounts_n; i++) {
		struct plan_mount *pm = &p->mounts[i];

		if (!pm->ahead)
			continue;
		if (pm->kind == PLAN_MOUNT_CGROUP)
			pm->ahead_fd = make_cgroup(p, pm);
		else if (pm->kind == PLAN_MOUNT_NEW)
			pm->ahead_fd = i == p->ahead_dev ? make_dev(p, pm) : make_new(p, pm);
		if (i == p->ahead_dev && pm->ahead_fd >= 0)
			p->dev_filled = devices_fill_in(p, pm->ahead_fd, &ignored) == 0;
	}
	(void) umask(old);
}
