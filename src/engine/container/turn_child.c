/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Since Linux 6.8 mountinfo, statmount and listmount sort mounts by their unique ids, which tell
 * when each was made, and its readers take that for the order of config.json. What was made before
 * its turn (sources of binds, ahead.c) is made again in it: a clone is attached in its place.
 *
 * Only a mount of our own namespace can be cloned: the first one is attached where nobody else
 * looks, and goes away with the host's root, in the same grace period of the kernel's.
 */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/child.h"
#include "engine/container/plan.h"

/* Of the init itself: hooks that run before the host's root is left see others. */
#define SPOT_DIRECTORY "/proc/self/ns"
#define SPOT_FILE      "/proc/self/limits"

void turn_begin(struct plan *p)
{
	/* A namespace that somebody else is in keeps what is attached; so does a chroot. */
	p->turns = (p->clone_flags & CLONE_NEWNS) && !p->no_pivot && mount_sorted(p->root_fd);
	p->turn = PLAN_MADE_BEFORE;
}

bool turn_passed(struct plan *p, enum plan_made made)
{
	if (p->turns && p->turn > made)
		return true;
	p->turn = made;
	return false;
}

bool turn_aside(int fd, bool is_dir)
{
	return mount_attach(fd, AT_FDCWD, is_dir ? SPOT_DIRECTORY : SPOT_FILE) == 0;
}

int turn_again(int fd, bool unbindable, bool rec)
{
	/* What is unmounted below a peer of the host's would be unmounted there, too. */
	static const struct mount_change alone = { .propagation = MS_PRIVATE };
	static const struct mount_change kept = { .propagation = MS_UNBINDABLE };
	auto_fd int again = FD_NONE;

	if (unbindable && mount_change(fd, "", rec, &alone) < 0)
		return fd;
	again = mount_clone(fd, "", true);
	if (again < 0 || mount_change(fd, "", true, &alone) < 0 ||
	    (unbindable && mount_change(again, "", rec, &kept) < 0)) {
		if (unbindable) /* as it was a moment ago, by the same call */
			(void) mount_change(fd, "", rec, &kept);
		return fd;
	}
	return take_fd(&again);
}
