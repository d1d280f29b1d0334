/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "sys/enclose.h"
#include "sys/filter.h"
#include "sys/mount.h"

#define FILES_MORE 64 /* open at once, besides what is kept */
/* A kernel, what it expands to, its modules, the initramfs of them; buffers grow by doubling. */
#define MEMORY_MAX ((rlim_t) 4 << 30)
#define FILE_MAX   ((rlim_t) 1 << 30) /* the cache's own bound */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static const struct seccomp_rule calls[] = {
	/* bytes */
	FILTER_CALL(read),
	FILTER_CALL(write),
	FILTER_CALL(writev),
	FILTER_CALL(pread64),
	FILTER_CALL(lseek),
	FILTER_CALL(ftruncate),
	FILTER_CALL(close),
	/* the modules, the cache: by descriptor */
	FILTER_CALL(openat),
	FILTER_CALL(openat2),
	FILTER_CALL(fstat),
	FILTER_CALL(newfstatat),
	FILTER_CALL(getdents64),
	FILTER_CALL(fcntl),
	FILTER_CALL(flock),
	FILTER_CALL(mkdirat),
	FILTER_CALL(unlinkat),
	FILTER_CALL(renameat),
	FILTER_CALL(linkat),
	FILTER_CALL(symlinkat),
	FILTER_CALL(utimensat),
};

struct directory {
	int *fd; /* of the caller */
	bool read_only, detached;
};

/* A mount of what *fd is, in its place. -errno: none can be had from here. */
static int detach(struct directory *d)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
		       (d->read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
		.userns_fd = FD_NONE,
	};
	auto_fd int clone = mount_clone(*d->fd, "", true);
	int r = clone < 0 ? clone : mount_change(clone, "", true, &change);

	if (r < 0)
		return r;
	close_fd(d->fd);
	*d->fd = take_fd(&clone);
	d->detached = true;
	return 0;
}

/*
 * The same directory as the caller's new mount namespace has it: only what is mounted there can be
 * cloned by an ordinary user.
 */
static int open_again(int *fd)
{
	char link[sizeof("/proc/self/fd/") + 11], path[PATH_MAX];
	struct stat was, is;
	ssize_t n;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
	n = readlink(link, path, sizeof(path));
	if (n < 0 || (size_t) n == sizeof(path))
		return n < 0 ? -errno : -ENAMETOOLONG;
	path[n] = '\0';
	auto_fd int again = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (again < 0 || fstat(again, &is) < 0 || fstat(*fd, &was) < 0)
		return -errno;
	if (is.st_dev != was.st_dev || is.st_ino != was.st_ino)
		return -ESTALE;
	close_fd(fd);
	*fd = take_fd(&again);
	return 0;
}

static int limit(size_t kept)
{
	const rlim_t files_max = kept + FILES_MORE;
	const struct rlimit none = { 0, 0 }, files = { files_max, files_max },
			    size = { FILE_MAX, FILE_MAX }, memory = { MEMORY_MAX, MEMORY_MAX };
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return -errno;
	if (now.rlim_max > files_max && setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_FSIZE, &now) < 0 ||
	    (now.rlim_max > FILE_MAX && setrlimit(RLIMIT_FSIZE, &size) < 0))
		return -errno;
	/* The sanitizer's shadow memory counts as data. */
	if (getrlimit(RLIMIT_DATA, &now) < 0 ||
	    (!SANITIZED && now.rlim_max > MEMORY_MAX && setrlimit(RLIMIT_DATA, &memory) < 0))
		return -errno;
	return 0;
}

/* Whoever may clones what was opened in the old namespace; others what is in the new one. */
static int enclose_dirs(struct directory *dirs, size_t n, struct err *e)
{
	int r;

	for (size_t i = 0; i < n; i++)
		(void) detach(&dirs[i]); /* else below */
	r = enclose_namespaces(e);
	for (size_t i = 0; i < n && r == 0; i++) {
		int failed = dirs[i].detached ? 0 : open_again(dirs[i].fd);

		if (failed == 0 && !dirs[i].detached)
			failed = detach(&dirs[i]);
		if (failed < 0)
			r = err_sys(e, -failed, "confine a directory");
	}
	return r;
}

static int give_up(struct err *e)
{
	const struct filter_table tables[] = { filter_common, FILTER_TABLE(calls) };
	int r = enclose_caps(0, e);

	if (r < 0)
		return r;
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return filter_set(tables, ARRAY_SIZE(tables), e);
}

int confine_enter(int *read_fd, int *write_fd, const int *keep, size_t keep_n, struct err *e)
{
	struct directory dirs[] = { { .fd = read_fd, .read_only = true }, { .fd = write_fd } };
	auto_free int *all = calloc(keep_n + ARRAY_SIZE(dirs), sizeof(*all));
	int death_signal = 0, r;

	if (!all)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	/* A change of credentials may forget the signal for the parent's death. */
	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "see what the death of the parent means");
	r = enclose_dirs(dirs, ARRAY_SIZE(dirs), e);
	r = r < 0 ? r : enclose_root(e);
	if (r < 0)
		return r;
	if (keep_n)
		memcpy(all, keep, keep_n * sizeof(*all));
	all[keep_n] = *read_fd;
	all[keep_n + 1] = *write_fd;
	enclose_fds(0, all, keep_n + ARRAY_SIZE(dirs));
	r = limit(keep_n);
	if (r < 0)
		return err_sys(e, -r, "set limits");
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_sys(e, errno, "keep the signal of the parent's death");
	return give_up(e);
}
