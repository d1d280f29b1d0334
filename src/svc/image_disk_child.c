/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_disk_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/caps.h"
#include "sys/mount.h"

#define DISK_FD 3

/* Whoever reads an image's files needs to read those of any owner, and nothing else. */
static int drop(void)
{
	const uint64_t keep = UINT64_C(1) << CAP_DAC_READ_SEARCH;
	const struct caps c = { .effective = keep, .permitted = keep };
	int r = caps_bound(keep);

	if (r == 0)
		r = caps_set(&c);
	return r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : r;
}

static int set_up(const struct image_disk_child *c)
{
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
				mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
			? -errno
		: c->tree_fd < 0 ? 0
				 : mount_attach(c->tree_fd, AT_FDCWD, c->place);

	if (r < 0)
		return r;
	/* The disk's own descriptor may be among the numbers that are filled. */
	int disk = fcntl(c->disk_fd, F_DUPFD_CLOEXEC, 10);
	if (disk < 0 || dup2(c->null_fd, 0) < 0 || dup2(c->log_fd, 1) < 0 ||
	    dup2(c->log_fd, 2) < 0 || dup2(disk, DISK_FD) < 0 ||
	    close_range(DISK_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	(void) umask(022);
	return drop();
}

void image_disk_child(const struct image_disk_child *c)
{
	int r = set_up(c);
	const char *why;

	if (r == 0) {
		(void) execve(c->program, c->argv, c->env);
		r = -errno;
	}
	why = strerror(-r);
	(void) !write(c->log_fd, why, strlen(why)); /* the exit status tells too */
	_exit(IMAGE_DISK_CHILD_FAILED);
}
