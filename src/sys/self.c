/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/self.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/mount.h"

#define SELF	 "/proc/self/exe"
#define SELF_DIR "ATOLL_SELF_DIR"

/* A copy in memory that nobody can change: for a file of the user's own, who may not clone mounts.
 */
static int sealed_copy(void)
{
	auto_fd int from = open(SELF, O_RDONLY | O_CLOEXEC), to = FD_NONE;
	struct stat st;
	off_t at = 0;

	/* Another's file he could not write either. */
	if (from < 0 || fstat(from, &st) < 0 ||
	    (st.st_uid != geteuid() && faccessat(from, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0))
		return -EACCES;
	to = memfd_create("atoll-self", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	while (to >= 0 && at < st.st_size) {
		if (sendfile(to, from, &at, (size_t) (st.st_size - at)) <= 0)
			return -EIO;
	}
	if (to < 0 ||
	    fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(&to);
}

/* Where its file is, for the program that is executed from a mount or copy without a name. */
static void leave_word(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink(SELF, path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash && slash > path) {
		*slash = '\0';
		(void) setenv(SELF_DIR, path, 1); /* without it siblings are not found */
	}
}

int self_sibling(const char *name, char ret_path[static PATH_MAX])
{
	static const char *const places[] = { "", "../libexec/atoll/" };
	const char *as = (const char *) (uintptr_t) getauxval(AT_EXECFN), *dir = NULL;
	char own[PATH_MAX];

	if (as && strncmp(as, "/dev/fd/", 8) == 0)
		dir = secure_getenv(SELF_DIR);
	if (!dir) {
		ssize_t n = readlink(SELF, own, sizeof(own) - 1);

		if (n < 0)
			return -errno;
		own[n] = '\0';
		char *slash = strrchr(own, '/');

		if (slash)
			*slash = '\0';
		dir = own;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int n = snprintf(ret_path, PATH_MAX, "%s/%s%s", dir, places[i], name);

		if (n > 0 && n < PATH_MAX && access(ret_path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* What the mount that runs was executed by: it was left open over the exec, and now closes with the
 * next. */
static int executed_by(const char *name)
{
	uint32_t fd;

	return num_parse_u32(str_of(name), 3, INT32_MAX, &fd) == 0 &&
			       fcntl((int) fd, F_SETFD, FD_CLOEXEC) == 0
		       ? (int) fd
		       : FD_NONE;
}

int self_protect(char *const *argv)
{
	const char *as = (const char *) (uintptr_t) getauxval(AT_EXECFN);
	struct mount_change ro = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	struct statvfs fs;
	auto_fd int own = FD_NONE, fd = FD_NONE;

	/* By descriptor: this is the second time. The kernel names such a process after it. */
	if (as && strncmp(as, "/dev/fd/", 8) == 0) {
		const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;

		(void) prctl(PR_SET_NAME, slash ? slash + 1 : argv[0] ? argv[0] : "");
		return executed_by(as + 8);
	}
	own = open(SELF, O_PATH | O_CLOEXEC); /* once: ways through procfs are long */
	if (own < 0 || (fstatvfs(own, &fs) == 0 && (fs.f_flag & ST_RDONLY)))
		return FD_NONE;
	/* Whoever closes the last descriptor of a detached mount waits until it is gone. */
	fd = open_tree(own, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	if (fd < 0 && errno == EPERM)
		fd = sealed_copy();
	else if (fd >= 0 && mount_change(fd, "", false, &ro) < 0)
		return FD_NONE;
	if (fd < 0)
		return FD_NONE;
	leave_word();
	/* Mount or copy have no name and live as long as the process that runs from them. */
	(void) syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return FD_NONE;
}
