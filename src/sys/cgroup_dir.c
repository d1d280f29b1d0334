/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups as directories: making, entering, listing, freezing and removing one. */
#include "sys/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"

/* Deeper trees than a container can need are left alone rather than recursed into for ever. */
#define DEPTH_MAX 128

/* The sticky bit marks a parent as made by us, from its first moment on. */
#define PARENT_MODE (S_ISVTX | 0755)

static void nap(nsec_t ns)
{
	struct timespec t = { .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };

	(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/*
 * A v1 cpuset without cpus or mems takes no process. New ones are born empty: they inherit here
 * what the directory above has. `empty`: it surely is.
 */
static int cpuset_inherit(int parent_fd, int dir_fd, bool empty)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char mine[4096], above[4096];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int r = empty ? 0 : cgroup_read(dir_fd, files[i], mine, sizeof(mine));

		if (r < 0)
			return r;
		if (!empty && str_trim(str_of(mine)).n > 0)
			continue;
		r = cgroup_read(parent_fd, files[i], above, sizeof(above));
		if (r < 0)
			return r;
		r = cgroup_write(dir_fd, files[i], above);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Let the children of a v2 cgroup have these controllers, as far as it can give them. One that has
 * processes cannot, and must not be made to: where the kernel agrees (cpu, pids) it turns threaded,
 * and its children take no process any more. The root alone has no type, and may.
 */
static void enable_controllers(int dir_fd, unsigned want)
{
	char all[256] = "", text[512];
	size_t n = 0;

	if (cgroup_read(dir_fd, "cgroup.subtree_control", text, sizeof(text)) < 0)
		return;
	for (struct str rest = str_trim(str_of(text)); rest.p && rest.n > 0;)
		want &= ~cgroup_controller_of(str_cut(rest, ' ', &rest));
	for (unsigned bit = 1; bit != 0 && bit <= want; bit <<= 1) {
		if (want & bit)
			n += (size_t) snprintf(all + n, sizeof(all) - n, "%s+%s", n ? " " : "",
					       cgroup_controller_name(bit, true));
	}
	if (n > 0 && faccessat(dir_fd, "cgroup.type", F_OK, 0) == 0 &&
	    cgroup_read(dir_fd, "cgroup.procs", text, sizeof(text)) != 0)
		return;
	if (n == 0 || cgroup_write(dir_fd, "cgroup.subtree_control", all) == 0)
		return;
	/* One that is not available fails the whole write: the others still go. */
	for (unsigned bit = 1; bit != 0 && bit <= want; bit <<= 1) {
		char one[40];

		if (!(want & bit))
			continue;
		(void) snprintf(one, sizeof(one), "+%s", cgroup_controller_name(bit, true));
		(void) cgroup_write(dir_fd, "cgroup.subtree_control", one);
	}
}

int cgroup_make(const struct cgroup_hierarchy *h, const char *path, unsigned want, size_t *ret_made)
{
	bool steps = (h->unified && want) || (!h->unified && (h->controllers & CGROUP_CPUSET));
	int above = h->root_fd; /* owned when it is not root_fd */
	size_t made = 0;

	if (!steps) { /* the usual case: the parents are there, one call makes it */
		bool fresh = mkdirat(h->root_fd, path, 0755) == 0;

		if (fresh || errno == EEXIST) {
			int fd = openat(h->root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

			if (fd < 0)
				return -errno;
			*ret_made = fresh ? 1 : 0;
			return fd;
		}
		if (errno != ENOENT)
			return -errno;
	}
	for (struct str rest = str_of(path); rest.p;) {
		struct str part = str_cut(rest, '/', &rest);
		char name[NAME_MAX + 1];
		bool fresh = false;
		int r = 0;

		if (part.n == 0 || part.n > NAME_MAX)
			return -EINVAL;
		memcpy(name, part.p, part.n);
		name[part.n] = 0;
		if (h->unified && want)
			enable_controllers(above, want);
		fresh = mkdirat(above, name, rest.p ? PARENT_MODE : 0755) == 0;
		if (fresh)
			made++;
		else if (errno != EEXIST)
			r = -errno;
		int fd = r < 0 ? FD_NONE
			       : openat(above, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (r == 0 && fd < 0)
			r = -errno;
		if (r == 0 && !h->unified && (h->controllers & CGROUP_CPUSET))
			r = cpuset_inherit(above, fd, fresh && above == h->root_fd);
		/*
		 * A write into a cpuset has the kernel walk through all that are beside it, their
		 * tasks too: a parent of our own bears its children with what they need.
		 */
		if (r == 0 && fresh && rest.p && !h->unified && (h->controllers & CGROUP_CPUSET))
			(void) cgroup_write(fd, "cgroup.clone_children", "1");
		if (above != h->root_fd)
			(void) close(above);
		if (r < 0) {
			close_fdp(&fd);
			return r;
		}
		above = fd;
	}
	*ret_made = made;
	return above;
}

int cgroup_open(const struct cgroup_hierarchy *h, const char *path)
{
	int fd = openat(h->root_fd, path[0] ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

bool cgroup_may_enter(const struct cgroup_hierarchy *h, const char *path)
{
	char procs[CGROUP_PATH_MAX + 16];
	size_t same = 0, end = 0;

	for (; h->own[same] && h->own[same] == path[same]; same++) {
		if (h->own[same] == '/')
			end = same;
	}
	/* One of them ends where the other goes on with a new component, or both end. */
	if ((!h->own[same] || h->own[same] == '/') && (!path[same] || path[same] == '/'))
		end = same;
	(void) snprintf(procs, sizeof(procs), "%.*s%scgroup.procs", (int) end, path,
			end ? "/" : "");
	return faccessat(h->root_fd, procs, W_OK, AT_EACCESS) == 0;
}

static int pids_of(int dir_fd, pid_t *pids, size_t max, size_t *n)
{
	auto_buf struct buf text = BUF_INIT(16u << 20);
	int r = file_read(dir_fd, "cgroup.procs", &text);

	if (r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP)
		return 0; /* removed meanwhile, or a threaded one: its domain lists the process */
	if (r < 0)
		return r;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest);
		uint32_t pid;

		/* 0 stands for one outside of our pid namespace. */
		if (num_parse_u32(line, 1, INT32_MAX, &pid) < 0)
			continue;
		if (*n < max)
			pids[*n] = (pid_t) pid;
		(*n)++;
	}
	return 0;
}

static int pids_walk(int dir_fd, unsigned depth, pid_t *pids, size_t max, size_t *n)
{
	int r = pids_of(dir_fd, pids, max, n);

	if (r < 0 || depth == 0)
		return r;
	auto_dir DIR *d = dir_open(dir_fd, ".");

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *de; (de = dir_next(d));) {
		if (de->d_type != DT_DIR)
			continue;
		auto_fd int sub = openat(dirfd(d), de->d_name,
					 O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (sub < 0)
			continue;
		r = pids_walk(sub, depth - 1, pids, max, n);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_pids(int dir_fd, bool deep, pid_t *ret_pids, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r = pids_walk(dir_fd, deep ? DEPTH_MAX : 0, ret_pids, max, &n);

	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

int cgroup_frozen(int dir_fd, bool unified)
{
	char text[256];
	int r = cgroup_read(dir_fd, unified ? "cgroup.freeze" : "freezer.state", text,
			    sizeof(text));

	if (r < 0)
		return r;
	if (unified && text[0] == '1')
		return 1;
	if (!unified)
		return strncmp(text, "THAWED", 6) == 0 ? 0 : 1;
	/* An ancestor that is frozen freezes us too. */
	uint64_t frozen = 0;

	r = cgroup_read(dir_fd, "cgroup.events", text, sizeof(text));
	if (r < 0)
		return r;
	return cgroup_stat_get(text, "frozen", &frozen) == 0 && frozen ? 1 : 0;
}

static int freeze_v1(int dir_fd, bool frozen, nsec_t deadline)
{
	const char *want = frozen ? "FROZEN" : "THAWED";
	nsec_t wait = 50000; /* ns; it has no event to wait for, so ask with growing gaps */

	for (unsigned round = 0;; round++) {
		char text[32];
		/* Writing it again makes the kernel look at tasks that were not ready to stop. */
		int r = cgroup_write(dir_fd, "freezer.state", want);

		if (r == 0)
			r = cgroup_read(dir_fd, "freezer.state", text, sizeof(text));
		if (r < 0)
			return r;
		if (strncmp(text, want, 6) == 0)
			return 0;
		if (clock_mono() >= deadline)
			return -ETIMEDOUT;
		nap(wait);
		if (wait < 10 * NSEC_PER_MSEC)
			wait *= 2;
		/* A task that clones while it freezes can stay half-way until it is let go once. */
		if (frozen && round % 20 == 19)
			(void) cgroup_write(dir_fd, "freezer.state", "THAWED");
	}
}

static int freeze_v2(int dir_fd, bool frozen, nsec_t deadline)
{
	auto_fd int events = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (events < 0)
		return -errno;
	int r = cgroup_write(dir_fd, "cgroup.freeze", frozen ? "1" : "0");

	if (r < 0)
		return r;
	for (;;) {
		char text[256];
		uint64_t now = 0, populated = 0;
		ssize_t n = pread(events, text, sizeof(text) - 1, 0);

		if (n < 0)
			return -errno;
		text[n] = 0;
		r = cgroup_stat_get(text, "frozen", &now);
		if (r < 0)
			return r;
		(void) cgroup_stat_get(text, "populated", &populated);
		/* An empty one counts as frozen at once. Thawed below a frozen parent never comes.
		 */
		if ((now != 0) == frozen || (frozen && !populated))
			return 0;
		struct pollfd p = { .fd = events, .events = POLLPRI };

		if (clock_mono() >= deadline)
			return -ETIMEDOUT;
		if (poll(&p, 1, clock_poll_ms(deadline)) < 0 && errno != EINTR)
			return -errno;
	}
}

int cgroup_freeze(int dir_fd, bool unified, bool frozen, nsec_t deadline)
{
	return unified ? freeze_v2(dir_fd, frozen, deadline) : freeze_v1(dir_fd, frozen, deadline);
}

static int remove_at(int parent_fd, const char *name, unsigned depth)
{
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	if (depth == 0)
		return -EBUSY;
	auto_dir DIR *d = dir_open(parent_fd, name);

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *de; (de = dir_next(d));) {
		if (de->d_type != DT_DIR)
			continue;
		int r = remove_at(dirfd(d), de->d_name, depth - 1);

		if (r < 0)
			return r;
	}
	return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

void cgroup_remove_parents(const struct cgroup_hierarchy *h, const char *path)
{
	auto_free char *at = str_dup(str_of(path));
	struct stat st;
	char *slash;

	while (at && (slash = strrchr(at, '/'))) {
		*slash = 0;
		if (fstatat(h->root_fd, at, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue; /* a creation that was cut short did not get so far */
			return;
		}
		if (!(st.st_mode & S_ISVTX) || unlinkat(h->root_fd, at, AT_REMOVEDIR) < 0)
			return; /* not ours, or others are in it */
	}
}

int cgroup_remove(const struct cgroup_hierarchy *h, const char *path)
{
	return path[0] ? remove_at(h->root_fd, path, DEPTH_MAX) : -EINVAL;
}
