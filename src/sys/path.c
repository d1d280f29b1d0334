/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"

#define RETRIES	  128 /* openat2 gives EAGAIN when a rename raced with ".." */
#define LINKS_MAX 40  /* as the kernel's own limit */

int path_open_how(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t) (unsigned) (flags | O_CLOEXEC),
		.mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};

	for (int i = 0; i < RETRIES; i++) {
		long fd = syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));

		if (fd >= 0)
			return (int) fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int path_open_in(int root, const char *path, int flags, mode_t mode)
{
	return path_open_how(root, path, flags, mode, 0);
}

struct walk {
	char done[PATH_MAX]; /* what exists, as given: the kernel resolves it again in the root */
	char rest[PATH_MAX];
	int links;
};

/* Drop the first component of w->rest into `name`; false at the end. */
static bool next_component(struct walk *w, char name[static NAME_MAX + 2])
{
	const char *p = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(p, "/");

	if (n == 0)
		return false;
	n = n > NAME_MAX + 1 ? NAME_MAX + 1 : n;
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(w->rest, p + n, strlen(p + n) + 1);
	return true;
}

static int append(char done[static PATH_MAX], const char *name)
{
	size_t n = strlen(done), k = strlen(name);

	if (n + 1 + k + 1 > PATH_MAX)
		return -ENAMETOOLONG;
	done[n] = '/';
	memcpy(done + n + 1, name, k + 1);
	return 0;
}

/* A dangling link in the way: its text goes in front of the rest. */
static int follow(struct walk *w, int parent, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
	size_t k = strlen(w->rest);

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t) n + 1 + k + 1 > sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n + 1, w->rest, k + 1);
	memcpy(w->rest, target, (size_t) n);
	w->rest[n] = '/';
	if (target[0] == '/')
		w->done[0] = '\0';
	return 0;
}

/*
 * Walk to the directory w->rest names, making what is missing. Each step opens the path so far
 * anew in the root, then acts in that directory by one name that is no link.
 */
static int walk_make(int root, struct walk *w, mode_t mode, int *ret_fd)
{
	auto_fd int here = path_open_in(root, "/", O_PATH | O_DIRECTORY, 0);
	char name[NAME_MAX + 2];

	if (here < 0)
		return here;
	while (next_component(w, name)) {
		char before[PATH_MAX];
		int next, r;

		if (streq(name, "."))
			continue;
		memcpy(before, w->done, strlen(w->done) + 1);
		r = append(w->done, name);
		if (r < 0)
			return r;
		next = path_open_in(root, w->done, O_PATH | O_DIRECTORY, 0);
		if (next == -ENOENT && !streq(name, "..")) {
			struct stat st;

			if (fstatat(here, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    S_ISLNK(st.st_mode)) {
				memcpy(w->done, before, strlen(before) + 1);
				r = follow(w, here, name);
				if (r < 0)
					return r;
				next = path_open_in(root, w->done[0] ? w->done : "/",
						    O_PATH | O_DIRECTORY, 0);
			} else {
				if (mkdirat(here, name, mode) < 0 && errno != EEXIST)
					return -errno;
				next = path_open_how(here, name, O_PATH | O_DIRECTORY | O_NOFOLLOW,
						     0, RESOLVE_NO_SYMLINKS);
			}
		}
		if (next < 0)
			return next;
		close_fd(&here);
		here = next;
	}
	*ret_fd = take_fd(&here);
	return 0;
}

static int walk_start(struct walk *w, const char *path, size_t n)
{
	w->done[0] = '\0';
	w->links = 0;
	if (n >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, path, n);
	w->rest[n] = '\0';
	return 0;
}

/* Where only the last component is missing, as it mostly is; else -ENOENT. */
static int make_last(int root, const char *path, mode_t mode)
{
	const char *name = NULL;
	auto_fd int parent = path_parent(root, path, false, 0, &name);

	if (parent < 0 || streq(name, ".") || streq(name, "..") || mkdirat(parent, name, mode) < 0)
		return -ENOENT;
	return path_open_how(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			     RESOLVE_NO_SYMLINKS);
}

int path_make_dir(int root, const char *path, mode_t mode)
{
	struct walk w;
	int fd = path_open_in(root, path, O_PATH | O_DIRECTORY, 0), r;

	if (fd == -ENOENT)
		fd = make_last(root, path, mode);
	if (fd != -ENOENT)
		return fd;
	r = walk_start(&w, path, strlen(path));
	r = r < 0 ? r : walk_make(root, &w, mode, &fd);
	return r < 0 ? r : fd;
}

int path_parent(int root, const char *path, bool make, mode_t mode, const char **ret_name)
{
	size_t n = strlen(path);
	const char *name;
	struct walk w;
	int fd = FD_NONE, r;

	while (n && path[n - 1] == '/')
		n--;
	for (name = path + n; name > path && name[-1] != '/'; name--)
		;
	if (n == 0 || name[0] == '\0' || strncmp(name, "..", n - (size_t) (name - path)) == 0 ||
	    path[n] == '/')
		return -EINVAL;
	r = walk_start(&w, path, (size_t) (name - path));
	if (r < 0)
		return r;
	if (make)
		r = walk_make(root, &w, mode, &fd);
	else
		r = fd = path_open_in(root, w.rest[0] ? w.rest : "/", O_PATH | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	*ret_name = name;
	return fd;
}

int path_make_file(int root, const char *path, mode_t mode)
{
	char at[PATH_MAX];
	int fd = path_open_in(root, path, O_PATH, 0);

	if (fd != -ENOENT)
		return fd;
	if (strlen(path) >= sizeof(at))
		return -ENAMETOOLONG;
	memcpy(at, path, strlen(path) + 1);
	/* A dangling link names where the file shall be, in the root; follow a bounded number. */
	for (int i = 0; i < LINKS_MAX; i++) {
		char target[PATH_MAX];
		const char *name = NULL;
		auto_fd int parent = path_parent(root, at, true, 0755, &name);
		auto_fd int made = FD_NONE;
		ssize_t n;

		if (parent < 0)
			return parent;
		made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
			      mode);
		if (made >= 0)
			return path_open_how(parent, name, O_PATH | O_NOFOLLOW, 0,
					     RESOLVE_NO_SYMLINKS);
		if (errno != EEXIST)
			return -errno;
		n = readlinkat(parent, name, target, sizeof(target) - 1);
		if (n < 0)
			return errno == EINVAL ? path_open_in(root, at, O_PATH, 0) : -errno;
		target[n] = '\0';
		if (target[0] == '/') {
			memcpy(at, target, (size_t) n + 1);
		} else {
			size_t keep = (size_t) (name - at);

			if (keep + (size_t) n + 1 > sizeof(at))
				return -ENAMETOOLONG;
			memcpy(at + keep, target, (size_t) n + 1);
		}
	}
	return -ELOOP;
}
