/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the init of an ordinary user's container does in its creator's place, who may not clone
 * mounts: opening their sources.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/child.h"
#include "engine/container/groups.h"
#include "engine/container/plan.h"

static int open_root(struct plan *p, struct err *e)
{
	int fd = mount_clone(AT_FDCWD, p->root_source, true);

	if (fd < 0)
		return err_sys(e, -fd, "root file system '%.300s'", p->root_source);
	p->root_fd = fd;
	return plan_root_ready(p, fd, p->root_source, e);
}

static int open_bind(struct plan *p, struct plan_mount *m, struct err *e)
{
	auto_fd int at = open(m->source,
			      O_PATH | O_CLOEXEC | (m->words.src_nofollow ? O_NOFOLLOW : 0));
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return err_sys(e, errno, "mount source '%.200s' (for '%.100s')", m->source,
			       m->destination);
	m->source_is_dir = S_ISDIR(st.st_mode);
	m->tree_fd = mount_clone(at, "", m->words.rec_bind);
	if (m->tree_fd == -EINVAL && !m->words.rec_bind)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"mount source '%.150s' (for '%.100s'): other mounts stand below it, "
			"and a user namespace must not uncover what is under them: use rbind",
			m->source, m->destination);
	if (m->tree_fd < 0)
		return err_sys(e, -m->tree_fd, "mount source '%.200s' (for '%.100s')", m->source,
			       m->destination);
	return plan_bind_ready(p, m, e);
}

static int open_cgroups(struct plan *p, struct plan_mount *m, struct err *e)
{
	for (size_t i = 0; i < m->cgroups_n; i++) {
		struct plan_cgroup *c = &m->cgroups[i];
		int r;

		c->tree_fd = mount_clone(AT_FDCWD, c->path, false);
		r = c->tree_fd < 0 ? err_sys(e, -c->tree_fd, "mount at '%.100s': '%.200s'",
					     m->destination, c->path)
				   : plan_cgroup_ready(m, c, e);
		if (r < 0)
			return r;
	}
	plan_cgroups_done(p, m);
	return 0;
}

int late_sources(struct plan *p, struct err *e)
{
	int r = open_root(p, e);

	for (size_t i = 0; i < p->mounts_n && r == 0; i++) {
		struct plan_mount *m = &p->mounts[i];

		if (m->kind == PLAN_MOUNT_BIND && m->source)
			r = open_bind(p, m, e);
		else if (m->kind == PLAN_MOUNT_CGROUP)
			r = open_cgroups(p, m, e);
	}
	return r;
}
