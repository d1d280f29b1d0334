/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/caps.h"
#include "sys/mount.h"

#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static int by_number(const void *a, const void *b)
{
	return *(const int *) a < *(const int *) b ? -1 : *(const int *) a > *(const int *) b;
}

void jail_close_others(int *keep, size_t keep_n)
{
	unsigned from = 3;

	qsort(keep, keep_n, sizeof(*keep), by_number);
	for (size_t i = 0; i < keep_n; i++) {
		if (keep[i] < (int) from)
			continue;
		if (from < (unsigned) keep[i])
			(void) close_range(from, (unsigned) keep[i] - 1, 0);
		from = (unsigned) keep[i] + 1;
	}
	(void) close_range(from, ~0u, 0);
}

/* An empty root: absolute names lead nowhere. */
static int enter_void(struct err *e)
{
	const struct mount_option opts[] = { { .key = "size", .value = "4k", .fd = FD_NONE },
					     { .key = "mode", .value = "0555", .fd = FD_NONE } };
	char why[MOUNT_WHY_MAX];
	auto_fd int fd = mount_new(
		"tmpfs", opts, ARRAY_SIZE(opts),
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, why);

	if (fd < 0)
		return err_sys(e, -fd, "make an empty root: %s", why);
	if (fchdir(fd) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "enter the empty root");
	return 0;
}

static int take_ids(const struct jail *j, struct err *e)
{
	if (!j->set_ids)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(j->gid, j->gid, j->gid) < 0 ||
	    setresuid(j->uid, j->uid, j->uid) < 0)
		return err_sys(e, errno, "become user %u, group %u", j->uid, j->gid);
	return 0;
}

int jail_enter(const struct jail *j, struct err *e)
{
	const struct rlimit none = { 0, 0 };
	const struct caps nothing = { 0 };
	pid_t parent = getppid();
	bool in_user = false;
	int r, death_signal = 0;

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "ask for the signal of the parent's death");
	if (unshare(SPACES) < 0) {
		in_user = true; /* a namespace of his own gives an ordinary user the others */
		if (unshare(SPACES | CLONE_NEWUSER) < 0)
			return err_sys(e, errno,
				       "make namespaces to be jailed in (--no-jail goes without)");
	}
	if (in_user && j->set_ids)
		return err_set(e, ERR_DENIED, EPERM, "--uid and --gid need privileges");
	if (enter_void(e) < 0)
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "forbid core files");
	r = caps_bound(0);
	if (r < 0)
		return err_sys(e, -r, "give up capabilities");
	if (take_ids(j, e) < 0)
		return -1;
	r = caps_set(&nothing);
	if (r < 0)
		return err_sys(e, -r, "give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	/* A change of credentials forgets it. */
	if (death_signal && prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_sys(e, errno, "set the signal of the parent's death");
	if (death_signal && getppid() != parent)
		return err_set(e, ERR_CONFLICT, ESRCH, "the process that started this has ended");
	return 0;
}
