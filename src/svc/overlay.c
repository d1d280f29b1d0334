/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "sys/mount.h"
#include "sys/ns.h"

/*
 * What an upper directory holds is whole, whatever the kernel does by itself (some distributions'
 * have these on): a layer is made of it.
 */
static const struct mount_option whole[] = {
	{ .key = "redirect_dir", .value = "off" },
	{ .key = "metacopy", .value = "off" },
};

/* By which marks, and which not: those of a user namespace exclude the options of `whole`. */
static size_t put_marks(struct mount_option opts[static ARRAY_SIZE(whole)])
{
	if (ns_in_user()) {
		opts[0] = (struct mount_option){ .key = "userxattr" };
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		opts[i] = whole[i];
	return ARRAY_SIZE(whole);
}

/*
 * The same mount by option strings, for kernels before 6.13, whose overlay takes no descriptors.
 * fsconfig bounds a value at 255 bytes, so the names are the shortest there are: the descriptors'
 * numbers, seen from /proc/self/fd. That is room for 60 layers and more.
 */
static int overlay_by_names(const int *layers, size_t n, int upper, int work, bool thrown_away)
{
	auto_buf struct buf lower = BUF_INIT(255);
	char upper_name[16], work_name[16];
	struct mount_option opts[4 + ARRAY_SIZE(whole)] = {};
	size_t opts_n = 0;

	for (size_t i = 0; i < n; i++)
		buf_addf(&lower, "%s%d", i ? ":" : "", layers[i]);
	if (!buf_ok(&lower))
		return -E2BIG;
	(void) snprintf(upper_name, sizeof(upper_name), "%d", upper);
	(void) snprintf(work_name, sizeof(work_name), "%d", work);
	opts[opts_n++] = (struct mount_option){ .key = "lowerdir", .value = buf_z(&lower) };
	if (upper >= 0) {
		opts[opts_n++] = (struct mount_option){ .key = "upperdir", .value = upper_name };
		opts[opts_n++] = (struct mount_option){ .key = "workdir", .value = work_name };
	}
	if (thrown_away)
		opts[opts_n++] = (struct mount_option){ .key = "volatile" };
	opts_n += put_marks(opts + opts_n);
	auto_fd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || chdir("/proc/self/fd") < 0)
		return -errno;
	int fd = mount_new("overlay", opts, opts_n, 0, NULL);
	if (fchdir(here) < 0) {
		int r = -errno;

		if (fd >= 0)
			(void) close(fd);
		return r;
	}
	return fd;
}

int overlay_mount(const int *layers, size_t n, int upper, int work, bool thrown_away, int *ret_fd,
		  struct err *e)
{
	auto_free struct mount_option *opts = calloc(n + 3 + ARRAY_SIZE(whole), sizeof(*opts));
	char why[MOUNT_WHY_MAX] = "";
	size_t opts_n = 0;

	if (!opts)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		opts[opts_n++] =
			(struct mount_option){ .key = "lowerdir+", .is_fd = true, .fd = layers[i] };
	if (upper >= 0) {
		opts[opts_n++] =
			(struct mount_option){ .key = "upperdir", .is_fd = true, .fd = upper };
		opts[opts_n++] =
			(struct mount_option){ .key = "workdir", .is_fd = true, .fd = work };
	}
	opts_n += put_marks(opts + opts_n);
	if (thrown_away) {
		opts[opts_n++] = (struct mount_option){ .key = "volatile" };
		/* Marks of a start before this one: the kernel refuses what a crash may have left
		 * half written, and this machine has not crashed since, or the record would be
		 * gone. */
		(void) unlinkat(work, "work/incompat/volatile/dirty", 0);
		(void) unlinkat(work, "work/incompat/volatile", AT_REMOVEDIR);
	}
	int fd = mount_new("overlay", opts, opts_n, 0, why);
	/* Before 6.5, whose overlay knows the old mount interface only, EOPNOTSUPP says that. */
	if (fd == -EINVAL || fd == -EOPNOTSUPP)
		fd = overlay_by_names(layers, n, upper, work, thrown_away);
	if (fd == -E2BIG)
		return err_set(e, ERR_UNSUPPORTED, E2BIG,
			       "an image of %zu layers needs Linux 6.13: merge some of them "
			       "(atoll export, atoll import)",
			       n);
	if (fd < 0)
		return err_sys(e, -fd, "mount the root file system (overlay of %zu layers)%s%s", n,
			       *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
}
