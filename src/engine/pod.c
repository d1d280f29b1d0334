/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "sys/path.h"

#define MEMBERS	   "members"
#define SANDBOX	   "sandbox"
#define LIBPOD_ID  64 /* hexadecimal digits */
#define TEXT_MAX   (64u << 10)
#define CPU_PERIOD 100000
#define LOCK_NAP   (2 * NSEC_PER_MSEC)

/* ---- which pod --------------------------------------------------------------------------- */

static const struct {
	const char *role, *sandbox, *id;
} known[] = {
	{ "io.kubernetes.cri.container-type", "sandbox", "io.kubernetes.cri.sandbox-id" },
	{ "io.kubernetes.cri-o.ContainerType", "sandbox", "io.kubernetes.cri-o.SandboxID" },
	{ "io.kubernetes.docker.type", "podsandbox", "io.kubernetes.sandbox.id" },
};

/* As of a container: it is the name of a directory. */
static bool id_good(const char *id)
{
	size_t n = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+-");

	return n > 0 && n < POD_ID_SIZE && !id[n] && id[0] != '.';
}

/* "libpod_pod_" and the pod's id within a slice's name, or the id alone as a directory. */
static bool is_libpod_pod(struct str name)
{
	static const char prefix[] = "libpod_pod_";
	const char *at = memmem(name.p, name.n, prefix, sizeof(prefix) - 1);
	size_t n = 0;

	if (at) {
		at += sizeof(prefix) - 1;
		name = (struct str){ at, name.n - (size_t) (at - name.p) };
	}
	while (n < name.n && strchr("0123456789abcdef", name.p[n]))
		n++;
	return n == LIBPOD_ID &&
	       (at ? str_is((struct str){ name.p + n, name.n - n }, ".slice") : n == name.n);
}

/*
 * podman's own container of a pod has no annotation that says so, but its cgroup is in the pod's:
 * "PARENT/POD/libpod-ID", or "PARENT-libpod_pod_POD.slice:libpod:ID" with systemd.
 */
static bool is_libpod_sandbox(const struct spec *s)
{
	const char *manager = spec_annotation(s, "io.container.manager");
	const char *path = s->linux_.cgroups_path;
	const char *end;
	struct str name;

	if (!manager || !streq(manager, "libpod") || !path)
		return false;
	end = strchr(path, ':');
	end = end ? end : strrchr(path, '/');
	if (!end)
		return false;
	name = (struct str){ path, (size_t) (end - path) };
	for (size_t i = name.n; i > 0; i--)
		if (name.p[i - 1] == '/') {
			name = (struct str){ name.p + i, name.n - i };
			break;
		}
	return is_libpod_pod(name);
}

int pod_find(const struct spec *s, struct pod_name *ret_name, struct err *e)
{
	*ret_name = (struct pod_name){ .role = POD_NONE };
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *role = spec_annotation(s, known[i].role);
		const char *id = spec_annotation(s, known[i].id);

		if (!role || !*role)
			continue;
		if (!streq(role, known[i].sandbox) && !streq(role, "container"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "annotation %s: '%.60s': must be '%s' or 'container'",
				       known[i].role, role, known[i].sandbox);
		/* Docker and CRI-O call a container of no pod one, too. */
		if (!id || !*id)
			continue;
		if (!id_good(id))
			return err_set(e, ERR_INVALID, EINVAL,
				       "annotation %s: '%.60s' is no id of a pod", known[i].id, id);
		*ret_name = (struct pod_name){ .role = streq(role, known[i].sandbox) ? POD_SANDBOX
										     : POD_MEMBER,
					       .id = id };
		return 0;
	}
	if (is_libpod_sandbox(s))
		*ret_name = (struct pod_name){ .role = POD_SANDBOX, .bounded = true };
	return 0;
}

int pod_number(const struct spec *s, const char *key, uint64_t max, uint64_t *ret, struct err *e)
{
	const char *text = spec_annotation(s, key);

	/* "-1" and "0" are no limit. */
	if (!text || !*text || streq(text, "-1"))
		return 0;
	return num_parse_u64(str_of(text), 0, max, ret) < 0
		       ? err_set(e, ERR_INVALID, EINVAL, "annotation %s: '%.60s' is no number", key,
				 text)
		       : 0;
}

int pod_size(const struct spec *s, struct pod_size *ret, struct err *e)
{
	struct pod_size v = {};
	int r = pod_number(s, "io.kubernetes.cri.sandbox-memory", INT64_MAX >> 1, &v.memory, e);

	r = r < 0 ? r
		  : pod_number(s, "io.kubernetes.cri.sandbox-cpu-quota", INT64_MAX, &v.quota, e);
	r = r < 0 ? r
		  : pod_number(s, "io.kubernetes.cri.sandbox-cpu-period", INT64_MAX, &v.period, e);
	r = r < 0 ? r
		  : pod_number(s, "io.kubernetes.cri.sandbox-cpu-shares", 1u << 18, &v.shares, e);
	if (r < 0)
		return r;
	v.period = v.period ? v.period : CPU_PERIOD;
	*ret = v;
	return 0;
}

/* ---- its directory ----------------------------------------------------------------------- */

static int lock(int fd, const char *path, nsec_t deadline, struct err *e)
{
	struct timespec nap = { .tv_nsec = LOCK_NAP };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock the pod '%s'", path);
		if (clock_mono() >= deadline)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "the pod '%s' is being changed by another process that does "
				       "not end",
				       path);
		(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
	return 0;
}

/* Locked, and still the one of that name. make: it need not be there; -ENOENT else. */
static int open_locked(const char *path, bool make, nsec_t deadline, int *ret_fd, struct err *e)
{
	for (;;) {
		int r = make ? dir_make_all(path, 0700) : 0;
		struct stat held, now;

		if (r < 0)
			return err_sys(e, -r, "make the pod's directory '%s'", path);
		auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0 && errno == ENOENT && make)
			continue;
		if (fd < 0)
			return err_sys(e, errno, "open the pod's directory '%s'", path);
		r = lock(fd, path, deadline, e);
		if (r < 0)
			return r;
		if (fstat(fd, &held) == 0 && lstat(path, &now) == 0 && held.st_ino == now.st_ino &&
		    held.st_dev == now.st_dev) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
		if (!make)
			return err_sys(e, ENOENT, "open the pod's directory '%s'", path);
	}
}

#define MEMBER_PATH 160

static void member_path(char ret[static MEMBER_PATH], const char *id)
{
	(void) snprintf(ret, MEMBER_PATH, MEMBERS "/%.128s", id);
}

bool pod_has_member(int dir_fd, const char *id)
{
	char path[MEMBER_PATH];

	member_path(path, id);
	return id_good(id) && faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int pod_write_member(const struct pod_place *p, struct str text, struct err *e)
{
	auto_fd int dir = openat(p->fd, MEMBERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : file_replace(dir, p->id, text, 0600, false);

	return r < 0 ? err_sys(e, -r, "write '%s/" MEMBERS "/%s'", p->path, p->id) : 0;
}

int pod_read_member(const struct pod_place *p, struct buf *text)
{
	char path[MEMBER_PATH];

	member_path(path, p->id);
	return file_read(p->fd, path, text);
}

void pod_remove_member(const struct pod_place *p)
{
	char path[MEMBER_PATH];

	member_path(path, p->id);
	(void) unlinkat(p->fd, path, 0); /* it may be gone */
}

bool pod_has_sandbox(int dir_fd)
{
	return faccessat(dir_fd, SANDBOX, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int pod_sandbox(int dir_fd, char ret_id[static POD_ID_SIZE])
{
	auto_buf struct buf text = BUF_INIT(POD_ID_SIZE);
	int r = file_read(dir_fd, SANDBOX, &text);

	if (r < 0)
		return r;
	(void) snprintf(ret_id, POD_ID_SIZE, "%s", buf_z(&text));
	return 0;
}

/* The sandbox whose directory is left has ended, or has not: its own record says. */
static int check_sandbox(int dir_fd, const struct pod_name *n, const char *kernel, struct err *e)
{
	if (n->role == POD_SANDBOX && faccessat(dir_fd, MEMBERS, F_OK, 0) == 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "the pod '%.128s' has %s already: its containers must be deleted "
			       "before it gets another sandbox",
			       n->id, kernel);
	return 0;
}

static int enter(const struct pod_place *p, const struct pod_name *n, const char *kernel,
		 struct err *e)
{
	int r = check_sandbox(p->fd, n, kernel, e);

	if (r < 0)
		return r;
	if (mkdirat(p->fd, MEMBERS, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make '%s/" MEMBERS "'", p->path);
	r = pod_write_member(p, STR(""), e);
	if (r < 0 || n->role != POD_SANDBOX)
		return r;
	r = file_replace(p->fd, SANDBOX, str_of(p->id), 0600, false);
	return r < 0 ? err_sys(e, -r, "write '%s/" SANDBOX "'", p->path) : 0;
}

int pod_enter(const struct pod_place *p, const struct pod_name *n, const char *kernel,
	      nsec_t deadline, int *ret_fd, int *ret_lock, struct err *e)
{
	struct pod_place in = *p;
	auto_fd int lock_fd = FD_NONE, fd = FD_NONE;
	int r = open_locked(p->path, true, deadline, &lock_fd, e);

	if (r < 0)
		return r;
	/* Another description of it: what is handed on must not hold the lock. */
	in.fd = fd = openat(lock_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open the pod's directory '%s'", p->path);
	r = enter(&in, n, kernel, e);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	*ret_lock = take_fd(&lock_fd);
	return 0;
}

int pod_lock(const char *path, nsec_t deadline, int *ret_lock, struct err *e)
{
	return open_locked(path, false, deadline, ret_lock, e);
}

/* ---- its members ------------------------------------------------------------------------- */

/* What begins with a dot is a member's next words, of a process that was killed as it wrote them.
 */
static bool is_member(const char *name)
{
	return name[0] != '.';
}

size_t pod_members(int dir_fd)
{
	auto_dir DIR *d = dir_open(dir_fd, MEMBERS);
	size_t n = 0;

	for (struct dirent *de; d && (de = dir_next(d));)
		n += is_member(de->d_name);
	return n;
}

/* The first line for which `fits`, of any member. */
static bool find_line(int dir_fd, bool (*fits)(struct str line, struct str words), struct str words,
		      struct buf *ret)
{
	auto_dir DIR *d = dir_open(dir_fd, MEMBERS);

	for (struct dirent *de; d && (de = dir_next(d));) {
		auto_buf struct buf text = BUF_INIT(TEXT_MAX);

		if (!is_member(de->d_name) || file_read(dirfd(d), de->d_name, &text) < 0)
			continue;
		for (struct str rest = buf_str(&text); rest.p;) {
			struct str line = str_cut(rest, '\n', &rest);

			if (!fits(line, words))
				continue;
			if (ret)
				buf_addstr(ret, line);
			return true;
		}
	}
	return false;
}

static bool same(struct str line, struct str words)
{
	return str_eq(line, words);
}

static bool begins(struct str line, struct str words)
{
	return line.n >= words.n && memcmp(line.p, words.p, words.n) == 0;
}

bool pod_has_line(int dir_fd, struct str line)
{
	return find_line(dir_fd, same, line, NULL);
}

int pod_rest_of_line(int dir_fd, struct str begin, struct buf *ret)
{
	auto_buf struct buf line = BUF_INIT(TEXT_MAX);

	if (!find_line(dir_fd, begins, begin, &line))
		return -ENOENT;
	buf_addstr(ret, (struct str){ line.p + begin.n, line.n - begin.n });
	return buf_ok(&line) && buf_ok(ret) ? 0 : -ENOMEM;
}

static void remove_files(int dir_fd, const char *name)
{
	auto_dir DIR *d = dir_open(dir_fd, name);

	for (struct dirent *de; d && (de = dir_next(d));)
		(void) unlinkat(dirfd(d), de->d_name, 0);
}

void pod_remove(const struct pod_place *p)
{
	remove_files(p->fd, MEMBERS);
	(void) unlinkat(p->fd, MEMBERS, AT_REMOVEDIR);
	remove_files(p->fd, ".");
	if (rmdir(p->path) < 0 && errno != ENOENT)
		log_warn("the pod's directory '%s' stays: %s", p->path, strerror(errno));
}
