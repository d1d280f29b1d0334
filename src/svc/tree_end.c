/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/tree_end.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "svc/bundle.h"
#include "svc/config.h"
#include "sys/fdpass.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/process.h"

#define LINKS_MAX 40 /* as the kernel's */

enum part { PART_SEEN, PART_LAYERS, PART_UPPER };

static int open_inside(struct svc *s, const struct workload_record *w, enum part part, bool hold,
		       struct tree_root *ret, struct err *e)
{
	struct tree_root t = TREE_ROOT_INIT;
	const struct engine_files *f = &t.inside.files;
	int r = inside_open(s, w, hold, &t.inside, e);

	if (r < 0)
		return r;
	/* Nothing but its layers is there of a workload that does not run. */
	t.fd = fcntl(part == PART_UPPER			 ? f->upper_fd
		     : part == PART_SEEN && !t.inside.in ? f->root_fd
							 : f->layers_fd,
		     F_DUPFD_CLOEXEC, 3);
	if (t.fd < 0) {
		r = err_sys(e, errno, "the files of workload '%s'", w->name);
		tree_root_fini(&t);
		return r;
	}
	*ret = t;
	return 0;
}

/* What was made from a snapshot has its files from when it is started. */
static int check_begun(struct svc *s, const struct workload_record *w, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	struct workload_config c;
	const char *json;
	int r;

	if (w->status.started)
		return 0;
	r = store_workload_config(s->store, w->id, &a, &json, e);
	r = r < 0 ? r : workload_config_read(&a, str_of(json), &c, e);
	if (r < 0 || !c.snapshot)
		return r;
	return err_set(e, ERR_CONFLICT, EBUSY,
		       "workload '%s' has no files before it goes on from snapshot '%.100s': start "
		       "it first",
		       w->name, c.snapshot);
}

int tree_layers(struct svc *s, const struct workload_record *w, struct tree_root *ret,
		struct err *e)
{
	*ret = TREE_ROOT_INIT;
	if (check_begun(s, w, e) < 0)
		return -1;
	return inside_needed(s, w) ? open_inside(s, w, PART_LAYERS, false, ret, e)
				   : bundle_root(s, w, true, &ret->fd, e);
}

int tree_upper(struct svc *s, const struct workload_record *w, bool hold, struct tree_root *ret,
	       struct err *e)
{
	struct path_text path = paths_workload(&s->paths, w->id);

	*ret = TREE_ROOT_INIT;
	if (check_begun(s, w, e) < 0)
		return -1;
	if (inside_needed(s, w))
		return open_inside(s, w, PART_UPPER, hold, ret, e);
	auto_fd int dir = open(path.z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ret->fd = dir < 0 ? -1 : openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->fd < 0) {
		ret->fd = FD_NONE;
		return err_sys(e, errno, "open the layer of workload '%s'", w->name);
	}
	return 0;
}

int tree_root(struct svc *s, const struct workload_record *w, bool read_only, struct tree_root *ret,
	      struct err *e)
{
	auto_fd int mnt = FD_NONE, root = FD_NONE;
	char path[64];

	*ret = TREE_ROOT_INIT;
	if (check_begun(s, w, e) < 0)
		return -1;
	if (inside_needed(s, w))
		return open_inside(s, w, PART_SEEN, false, ret, e);
	if (inside_here(w) && process_alive(w->status.pid, w->status.pid_ident))
		return open_inside(s, w, PART_SEEN, false, ret, e);
	if (w->status.pid <= 0)
		return bundle_root(s, w, read_only, &ret->fd, e);
	(void) snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int) w->status.pid);
	mnt = open(path, O_RDONLY | O_CLOEXEC);
	(void) snprintf(path, sizeof(path), "/proc/%d/root", (int) w->status.pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Opened, then checked: the pid may have become another's in between. */
	if (mnt < 0 || root < 0 || !process_alive(w->status.pid, w->status.pid_ident))
		return bundle_root(s, w, read_only, &ret->fd, e);
	ret->mnt_fd = take_fd(&mnt);
	ret->fd = take_fd(&root);
	return 0;
}

void tree_root_fini(struct tree_root *t)
{
	close_fd(&t->fd);
	close_fd(&t->mnt_fd);
	inside_close(&t->inside);
}

/*
 * In a child, which may change its mount namespace: the kernel makes a copy of a mount only within
 * the namespace it is in. A detached root is in none and is put into the child's own first.
 */
static int send_dir(const struct tree_root *root, int dir_fd, int sock)
{
	char ok = 0;
	int fd;

	if (root->mnt_fd >= 0) {
		if (setns(root->mnt_fd, CLONE_NEWNS) < 0)
			return -errno;
	} else {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			return -errno;
		fd = mount_attach(root->inside.files.top_fd >= 0 ? root->inside.files.top_fd
								 : root->fd,
				  AT_FDCWD, "/proc"); /* a directory every host has */
		if (fd < 0)
			return fd;
	}
	fd = mount_clone(dir_fd, "", false);
	return fd < 0 ? fd : fdpass_send(sock, &ok, 1, &fd, 1);
}

static int fetch_dir(const struct tree_root *root, int dir_fd, int *ret_fd, struct err *e)
{
	auto_fd int mine = FD_NONE, its = FD_NONE;
	int sv[2], status, fd;
	size_t n = 0;
	ssize_t got;
	pid_t pid;
	char ok;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "make a socket pair");
	mine = sv[0];
	its = sv[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid == 0)
		_exit(-send_dir(root, dir_fd, its));
	close_fd(&its);
	got = fdpass_recv(mine, &ok, 1, &fd, 1, &n);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got != 1 || n != 1)
		return err_sys(e,
			       WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EIO,
			       "reach the workload's mounts");
	*ret_fd = fd;
	return 0;
}

int tree_root_dir(const struct tree_root *t, int *ret_fd, struct err *e)
{
	auto_fd int fd = openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open the workload's files");
	if (t->inside.files.top_fd >= 0)
		return fetch_dir(t, fd, ret_fd, e);
	*ret_fd = take_fd(&fd);
	return 0;
}

void tree_end_fini(struct tree_end *t)
{
	close_fd(&t->parent_fd);
}

/* The last component of a cleaned path, and the path before it. */
static const char *split(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return path;
	*slash = 0;
	return slash + 1;
}

/* One link at the end is replaced by what it points to. *ret_more: look again. */
static int follow_link(const struct tree_end *t, const char *dir, struct arena *a,
		       const char **path, bool *ret_more)
{
	char target[4096];
	ssize_t n;

	*ret_more = false;
	if (!t->found || !S_ISLNK(t->st.st_mode))
		return 0;
	n = readlinkat(t->parent_fd, t->name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	*path = target[0] == '/' ? arena_strdup(a, target) : arena_printf(a, "%s/%s", dir, target);
	*ret_more = true;
	return *path ? 0 : -ENOMEM;
}

/* "a//b/./" becomes "/a/b": without blank and "." components; ".." stays for the kernel. */
static char *clean(const char *path, struct arena *a)
{
	char *text = arena_alloc(a, strlen(path) + 2), *to = text;

	for (struct str rest = str_of(path); text && rest.p;) {
		struct str part = str_cut(rest, '/', &rest);

		if (!part.n || str_is(part, "."))
			continue;
		*to++ = '/';
		memcpy(to, part.p, part.n);
		to += part.n;
	}
	return text;
}

static int find_once(int root_fd, const char *path, struct arena *a, struct tree_end *t,
		     const char **ret_dir, struct err *e)
{
	char *dir = clean(path, a);
	const char *name;

	if (!dir)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	name = split(dir);
	close_fd(&t->parent_fd);
	if (streq(name, "..")) { /* its own name is not known from here */
		*(char *) (dir + strlen(dir)) = '/';
		name = "";
	}
	t->parent_fd = path_open_in(root_fd, *dir ? dir : ".", O_PATH | O_DIRECTORY, 0);
	if (t->parent_fd < 0) {
		int sys = -t->parent_fd;

		t->parent_fd = FD_NONE;
		return err_sys(e, sys, "find '%s'", path);
	}
	t->name = name;
	t->found = fstatat(t->parent_fd, name, &t->st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0;
	if (!t->found && errno != ENOENT)
		return err_sys(e, errno, "look at '%s'", path);
	*ret_dir = dir;
	return 0;
}

int tree_end_find(int root_fd, const char *path, bool follow, struct arena *a, struct tree_end *ret,
		  struct err *e)
{
	struct tree_end t = TREE_END_INIT;
	struct str whole = str_of(path);
	const char *dir = "", *at = path;
	bool more = true;
	int r = 0;

	t.content = str_is(whole, ".") || str_ends(whole, "/.");
	t.want_dir = t.content || str_ends(whole, "/");
	for (unsigned links = 0; more && r == 0; links++) {
		if (links == LINKS_MAX)
			r = err_sys(e, ELOOP, "find '%s'", path);
		if (r == 0)
			r = find_once(root_fd, at, a, &t, &dir, e);
		if (r < 0)
			break;
		if (links == 0)
			t.last = *t.name ? t.name : "/";
		more = false;
		if (follow || t.want_dir) {
			r = follow_link(&t, dir, a, &at, &more);
			if (r < 0)
				r = err_sys(e, -r, "follow '%s'", path);
		}
	}
	if (r < 0) {
		tree_end_fini(&t);
		return r;
	}
	*ret = t;
	return 0;
}

int tree_end_open_dir(const struct tree_end *t, bool parent, const struct tree_root *root,
		      int *ret_fd, struct err *e)
{
	auto_fd int fd = openat(t->parent_fd, !parent && *t->name ? t->name : ".",
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open the directory '%s'", t->last);
	if (root)
		return fetch_dir(root, fd, ret_fd, e);
	*ret_fd = take_fd(&fd);
	return 0;
}
