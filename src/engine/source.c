/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/source.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/auto.h"

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

int source_check(int fd, const char *path, const char *who, struct err *e)
{
	static const long kernels[] = { PROC_SUPER_MAGIC,    SYSFS_MAGIC,	 CGROUP_SUPER_MAGIC,
					CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, MQUEUE_MAGIC,
					DEBUGFS_MAGIC,	     TRACEFS_MAGIC,	 BPF_FS_MAGIC,
					SECURITYFS_MAGIC,    NSFS_MAGIC };
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, errno, "mount source '%.200s'", path);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "%s cannot have the host's device '%.200s'", who, path);
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
		if ((long) fs.f_type == kernels[i])
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "%s cannot have '%.200s': that is the host's kernel's", who,
				       path);
	}
	return 0;
}
