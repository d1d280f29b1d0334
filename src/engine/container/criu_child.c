/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/criu_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "engine/container/groups.h"
#include "sys/mount.h"

static int join_groups(const struct criu_child *x, struct err *e)
{
	size_t place = 0;
	char byte;
	int r;

	if (x->gate_fd >= 0 && read(x->gate_fd, &byte, 1) != 1)
		return err_set(e, ERR_INTERNAL, EPIPE, "the maker of the container is gone");
	r = x->groups ? groups_enter(x->groups, false, &place) : 0;

	if (r < 0)
		return err_sys(e, -r, "entering the cgroup '%s' of %s", x->groups->at[place].path,
			       x->groups->at[place].dir);
	if (x->new_cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, errno, "making a cgroup namespace");
	return 0;
}

static int make_yard(const struct criu_child *x, int *ret_fd, struct err *e)
{
	static const struct mount_option options[] = {
		{ .key = "mode", .value = "700", .fd = FD_NONE },
		{ .key = "source", .value = "restore", .fd = FD_NONE },
	};
	struct mount_change slave = { .propagation = MS_SLAVE };
	struct mount_change shared = { .propagation = MS_SHARED };
	auto_fd int fd = FD_NONE;
	int r;

	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, errno, "making a mount namespace");
	/*
	 * Nothing of this goes to the host; but each mount has a group of its own: CRIU gives what
	 * was a slave of the host's its source's propagation, and takes none from a private one.
	 */
	r = mount_change(AT_FDCWD, "/", true, &slave);
	r = r < 0 ? r : mount_change(AT_FDCWD, "/", true, &shared);
	fd = r < 0 ? r : mount_new("tmpfs", options, ARRAY_SIZE(options), 0, NULL);
	r = fd < 0 ? fd : mount_attach(fd, AT_FDCWD, x->yard);
	if (r < 0)
		return err_sys(e, -r, "a place for the container's mounts at '%.200s'", x->yard);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int put_tree(int yard, const char *name, const struct criu_tree *t)
{
	struct mount_change shared = { .propagation = MS_SHARED };
	auto_fd int file = FD_NONE;
	int r;

	if (t->is_dir) {
		if (mkdirat(yard, name, 0755) < 0)
			return -errno;
	} else {
		file = openat(yard, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (file < 0)
			return -errno;
	}
	r = mount_attach(t->fd, yard, name);
	return r < 0 ? r : mount_change(t->fd, "", true, &shared);
}

static int fill_yard(const struct criu_child *x, struct err *e)
{
	struct criu_tree root = { x->root_fd, true };
	auto_fd int yard = FD_NONE;
	int r = make_yard(x, &yard, e);

	if (r < 0)
		return r;
	r = put_tree(yard, CRIU_YARD_ROOT, &root);
	if (r < 0)
		return err_sys(e, -r, "root file system");
	for (size_t i = 0; i < x->trees_n; i++) {
		char name[24];

		(void) snprintf(name, sizeof(name), CRIU_YARD_TREE, i);
		r = put_tree(yard, name, &x->trees[i]);
		if (r < 0)
			return err_sys(e, -r, "mount %zu of the container", i);
	}
	return 0;
}

/* Everything up first, out of the way of the numbers to be filled. */
static int arrange(const struct criu_child *x, int *report_fd)
{
	int moved[3 + CRIU_FDS_MAX], total = 3 + (int) x->fds_n;

	if (x->fds_n > CRIU_FDS_MAX)
		return -E2BIG;
	for (int i = 0; i < total; i++) {
		moved[i] = fcntl(i < 3 ? x->stdio[i] : x->fds[i - 3], F_DUPFD_CLOEXEC, total + 1);
		if (moved[i] < 0)
			return -errno;
	}
	*report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, total + 1);
	if (*report_fd < 0)
		return -errno;
	for (int i = 0; i < total; i++) {
		if (dup2(moved[i], i) < 0)
			return -errno;
	}
	return close_range((unsigned) total, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

void criu_child(const struct criu_child *x)
{
	static char name[] = "criu", mode[] = "swrk", fd[] = "3";
	char *argv[] = { name, mode, fd, NULL };
	int report_fd = x->report_fd, r;
	struct err e = {};
	sigset_t none;

	/* Half a container is none: it ends with its maker. */
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if (x->own_group)
		(void) setpgid(0, 0);
	r = join_groups(x, &e);
	r = r < 0 ? r : fill_yard(x, &e);
	if (r == 0) {
		r = arrange(x, &report_fd);
		if (r == 0) {
			(void) execve(x->path, argv, environ);
			r = -errno;
		}
		(void) err_sys(&e, -r, "starting '%.200s'", x->path);
	}
	(void) !write(report_fd, &e, sizeof(e)); /* nobody left to tell */
	_exit(127);
}
