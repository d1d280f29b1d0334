/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/self.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/mount.h"

#define SELF "/proc/self/exe"

void self_protect(char *const *argv)
{
	const char *as = (const char *) (uintptr_t) getauxval(AT_EXECFN);
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	struct statvfs fs;
	auto_fd int fd = FD_NONE;

	/* By descriptor: this is the second time. The kernel names such a process after it. */
	if (as && strncmp(as, "/dev/fd/", 8) == 0) {
		const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;

		(void) prctl(PR_SET_NAME, slash ? slash + 1 : argv[0] ? argv[0] : "");
		return;
	}
	if (statvfs(SELF, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		return;
	fd = open_tree(AT_FDCWD, SELF, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0 || mount_change(fd, "", false, &ro) < 0)
		return;
	/* The mount is attached nowhere and lives as long as the process that runs from it. */
	(void) syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
}
