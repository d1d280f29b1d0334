/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/kernel.h"
#include "engine/microvm/microvm.h"
#include "fmt/spec.h"
#include "sys/mount.h"

static const char *const to_read[] = { "virtio_blk", "erofs", "overlay" };
static const char *const to_write[] = { "ext4" };

/* The first of these modules that the kernel lacks; NULL: none. */
static const char *lacks(const struct prepared *p, const char *const *names, size_t n)
{
	struct str rest = str_of(p->lacks);

	while (rest.p) {
		struct str one = str_cut(rest, ' ', &rest);

		for (size_t i = 0; i < n; i++) {
			if (str_eq(one, str_of(names[i])))
				return names[i];
		}
	}
	return NULL;
}

/*
 * The root is read by the guest from a disk, which is one exit for many blocks and one cache for
 * many machines. Whoever looks into its proxy's root from the host sees the image's files, and
 * cannot change them: the guest would not see it.
 */
int disks_use(struct guest *g, const struct bundle *b, const struct prepared *kernel, struct err *e)
{
	const struct mount_change change = { .set = MOUNT_ATTR_RDONLY, .userns_fd = FD_NONE };
	bool upper = b->root_upper_fd > 0 && !b->spec->root->readonly;
	const char *missing = kernel ? lacks(kernel, to_read, ARRAY_SIZE(to_read)) : NULL;
	int r = 0;

	if (kernel && !missing && upper)
		missing = lacks(kernel, to_write, ARRAY_SIZE(to_write));
	if (upper && (missing || b->root_disk_fd <= 0))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the workload's files are on a disk of its own, for which %s %s: "
			       "choose another kernel with 'atoll kernel use'",
			       missing ? "the machine's kernel lacks" : "there is no disk of",
			       missing ? missing : "its image");
	if (b->root_disk_fd <= 0 || missing || (!upper && !b->spec->root->readonly) ||
	    (!upper && g->shares[0].view_fd < 0))
		return 0;
	if (g->shares[0].view_fd >= 0)
		r = mount_change(g->shares[0].view_fd, "", false, &change);
	if (r < 0)
		return err_sys(e, -r, "make the root file system read-only");
	g->disk_fd = b->root_disk_fd;
	if (upper)
		g->upper_fd = b->root_upper_fd;
	return 0;
}

int microvm_can_root_upper(nsec_t deadline, struct err *e)
{
	struct kernel_files files = KERNEL_FILES_INIT;
	auto_fd int kernels = FD_NONE, fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	struct kernel kernel;
	const char *missing = NULL;
	int r;

	if (fuse < 0)
		return err_set(e, ERR_UNSUPPORTED, errno,
			       "/dev/fuse cannot be opened, by which a machine's files are seen");
	r = kernels_open(NULL, &kernels, e);
	r = r < 0 ? r : kernel_pick(kernels, NULL, &kernel, e);
	r = r < 0 ? r : kernel_prepare(kernels, &kernel, deadline, &files, e);
	if (r == 0) {
		missing = lacks(&files.record, to_read, ARRAY_SIZE(to_read));
		if (!missing)
			missing = lacks(&files.record, to_write, ARRAY_SIZE(to_write));
	}
	kernel_files_fini(&files);
	return r < 0 || !missing ? r
				 : err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
					   "the machine's kernel lacks %s", missing);
}
