/* SPDX-License-Identifier: Apache-2.0 */
/* One more process enters a container's cgroups, or those below them that it was told. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/groups_systemd.h"

/* Where to below each place: by its index. */
struct targets {
	char path[CGROUP_HIERARCHIES_MAX][CGROUP_PATH_MAX]; /* "": the container's own */
	bool named[CGROUP_HIERARCHIES_MAX]; /* by its controller: it must be there */
};

static int check_path(struct str path, char ret_clean[static CGROUP_PATH_MAX], struct err *e)
{
	for (struct str rest = path; rest.p;) {
		if (str_is(str_cut(rest, '/', &rest), ".."))
			return err_set(e, ERR_INVALID, EINVAL,
				       "--cgroup: bad sub cgroup path: %.*s is not a sub cgroup "
				       "path: `..` components are not allowed",
				       (int) path.n, path.p);
	}
	while (path.n && (path.p[0] == '/' || path.p[0] == '.')) {
		/* "/", "." and "./x": from the container's own cgroup on. */
		if (path.p[0] == '.' && path.n > 1 && path.p[1] != '/')
			break;
		path.p++;
		path.n--;
	}
	ret_clean[0] = '\0';
	if (path.n && cgroup_path_clean(path, ret_clean) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--cgroup: bad sub cgroup path: %.*s is not a sub cgroup path: a "
			       "path below the container's own is expected",
			       (int) path.n, path.p);
	return 0;
}

static bool serves(const struct groups_place *p, struct str controller)
{
	unsigned bit = cgroup_controller_of(controller);

	if (bit)
		return (p->controllers & bit) != 0;
	return !p->unified && (str_is(controller, p->name) || str_is(controller, p->dir));
}

/* "memory:a/b", "cpu,cpuacct:c" for these hierarchies of v1; "a/b" for all. */
static int parse(const struct groups *g, const char *sub, struct targets *t, struct err *e)
{
	struct str path, names = str_cut(str_of(sub), ':', &path);
	char clean[CGROUP_PATH_MAX];
	int r = check_path(path.p ? path : names, clean, e);

	for (size_t i = 0; i < g->n && r == 0 && !path.p; i++)
		(void) snprintf(t->path[i], sizeof(t->path[i]), "%s", clean);
	while (r == 0 && path.p && names.p) {
		struct str name = str_cut(names, ',', &names);
		bool known = false;

		for (size_t i = 0; i < g->n; i++) {
			if (g->at[i].dir_fd < 0 || !serves(&g->at[i], name))
				continue;
			known = t->named[i] = true;
			(void) snprintf(t->path[i], sizeof(t->path[i]), "%s", clean);
		}
		if (!known)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--cgroup '%s': unknown controller '%.*s'", sub,
				       (int) name.n, name.p);
	}
	return r;
}

/* In the words that callers of runc know. */
static int attach_failed(const struct groups_place *p, const char *sub, pid_t pid, int r,
			 struct err *e)
{
	return err_set(e, r == -ENOENT ? ERR_NOT_FOUND : ERR_CONFLICT, -r,
		       "exec failed: unable to start container process: adding pid %d to "
		       "cgroups /sys/fs/cgroup/%s/%s%s%s/cgroup.procs: %s",
		       pid, p->dir, p->path, sub[0] ? "/" : "", sub,
		       r == -ENOENT  ? "no such file or directory"
		       : r == -EBUSY ? "device or resource busy"
				     : strerror(-r));
}

static int enter(const struct groups_place *p, const char *sub, pid_t pid)
{
	char text[24];
	auto_fd int dir = openat(p->dir_fd, sub[0] ? sub : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void) snprintf(text, sizeof(text), "%d", pid);
	return dir < 0 ? -errno : cgroup_write(dir, "cgroup.procs", text);
}

/*
 * A v2 cgroup that gives controllers to its children holds no processes any more: the container
 * made some of its own. Then beside its init, if that is still below what is ours.
 */
static int enter_beside(const struct groups_place *p, pid_t init, pid_t pid)
{
	auto_buf struct buf text = BUF_INIT(1 << 16);
	char file[40];

	(void) snprintf(file, sizeof(file), "/proc/%d/cgroup", init);
	if (init <= 0 || file_read(AT_FDCWD, file, &text) < 0)
		return -EBUSY;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest);
		size_t n = strlen(p->path);
		char sub[CGROUP_PATH_MAX];

		if (line.n < 4 + n || memcmp(line.p, "0::/", 4) != 0 ||
		    memcmp(line.p + 4, p->path, n) != 0 || line.p[4 + n] != '/')
			continue;
		if (cgroup_path_clean((struct str){ line.p + 5 + n, line.n - 5 - n }, sub) < 0)
			return -EBUSY;
		return enter(p, sub, pid);
	}
	return -EBUSY;
}

int groups_attach(const struct groups *g, pid_t pid, pid_t init, const char *const *subs,
		  size_t subs_n, struct err *e)
{
	auto_free struct targets *t = calloc(1, sizeof(*t));
	const struct groups_place *missing = NULL;
	const char *missing_path = "";
	bool found = false;

	if (!t)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < subs_n; i++) {
		int r = parse(g, subs[i], t, e);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < g->n; i++) {
		const struct groups_place *p = &g->at[i];
		int r;

		if (p->dir_fd < 0)
			continue;
		r = enter(p, t->path[i], pid);
		found = found || (r == 0 && t->path[i][0]);
		if (r == -ENOENT && t->path[i][0] && !t->named[i]) {
			/* Made in some hierarchies only: in the others it stays above. */
			missing = p;
			missing_path = t->path[i];
			r = enter(p, "", pid);
		} else if (r == -EBUSY && p->unified && !subs_n) {
			r = enter_beside(p, init, pid);
		} else if ((r == -EACCES || r == -EPERM) && !subs_n && !g->unit &&
			   groups_tolerant(g->rootless)) {
			/* From a session beside the one it was started in a user may not move into
			 * it: as with runc the process stays where its caller is. */
			r = 0;
		}
		/* Between cgroups of others the kernel lets only systemd move processes. */
		if ((r == -EACCES || r == -EPERM) && g->unit && p->unified)
			r = groups_systemd_attach(g, pid, t->path[i], e);
		else if (r < 0)
			r = attach_failed(p, t->path[i], pid, r, e);
		if (r < 0)
			return r;
	}
	return missing && !found ? attach_failed(missing, missing_path, pid, -ENOENT, e) : 0;
}
