/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/enclose.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/mount.h"

#define ROOT_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

int enclose_root(struct err *e)
{
	const struct mount_option opts[] = { { .key = "size", .value = "4k", .fd = FD_NONE },
					     { .key = "mode", .value = "0555", .fd = FD_NONE } };
	char why[MOUNT_WHY_MAX];
	auto_fd int fd = mount_new("tmpfs", opts, ARRAY_SIZE(opts), ROOT_ATTR, why);

	if (fd < 0)
		return err_sys(e, -fd, "make an empty root: %s", why);
	if (fchdir(fd) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "enter the empty root");
	return 0;
}

void enclose_fds(unsigned from, const int *keep, size_t keep_n)
{
	for (;;) {
		unsigned next = (unsigned) INT_MAX + 1; /* no descriptor is as high */

		for (size_t i = 0; i < keep_n; i++)
			if (keep[i] >= 0 && (unsigned) keep[i] >= from && (unsigned) keep[i] < next)
				next = (unsigned) keep[i];
		if (next > from)
			(void) close_range(from, next - 1, 0); /* may be none */
		if (next > INT_MAX)
			return;
		from = next + 1;
	}
}
