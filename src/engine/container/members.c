/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/members.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"

/* The namespace a process is in, as the kernel numbers them. */
static int pid_namespace(int proc, const char *pid, struct stat *ret_st)
{
	char path[40];

	(void) snprintf(path, sizeof(path), "%.16s/ns/pid", pid);
	return fstatat(proc, path, ret_st, 0) < 0 ? -errno : 0;
}

int members_of(pid_t init, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, "/proc");
	struct stat own, st;
	size_t n = 0;
	char name[16];
	int r;

	if (!d)
		return err_sys(e, errno, "/proc");
	(void) snprintf(name, sizeof(name), "%d", (int) init);
	r = pid_namespace(dirfd(d), name, &st);
	if (r == 0)
		r = pid_namespace(dirfd(d), "self", &own);
	if (r < 0)
		return err_sys(e, -r, "the pid namespace of process %d", (int) init);
	if (st.st_ino == own.st_ino && st.st_dev == own.st_dev)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the container has no cgroup and shares the pid namespace: its "
			       "processes are not known");
	own = st;
	for (struct dirent *de; (de = dir_next(d));) {
		uint32_t pid;

		if (num_parse_u32(str_of(de->d_name), 1, INT32_MAX, &pid) < 0 ||
		    pid_namespace(dirfd(d), de->d_name, &st) < 0 || st.st_ino != own.st_ino ||
		    st.st_dev != own.st_dev)
			continue;
		if (n < max)
			ret_pids[n] = (pid_t) pid;
		n++;
	}
	*ret_n = n;
	return 0;
}
