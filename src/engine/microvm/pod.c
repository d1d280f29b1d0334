/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "engine/container/groups.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/microvm.h"
#include "fmt/spec.h"
#include "proto/shares.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/unix.h"

#define MEMBERS	     "members"
#define SANDBOX	     "sandbox"
#define CGROUP	     "cgroup"
#define ID_MAX	     128
#define LIBPOD_ID    64 /* hexadecimal digits */
#define TEXT_MAX     (64u << 10)
#define LOCK_NAP     (2 * NSEC_PER_MSEC)
#define SHARE_WITHIN (30 * NSEC_PER_SEC)

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

	return n > 0 && n <= ID_MAX && !id[n] && id[0] != '.';
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

static void member_path(char ret[static 160], const char *id)
{
	(void) snprintf(ret, 160, MEMBERS "/%.128s", id);
}

static bool is_member(int dir_fd, const char *id)
{
	char path[160];

	member_path(path, id);
	return id_good(id) && faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The names of the shares that it uses. */
static int write_member(const struct microvm *m, struct str text, struct err *e)
{
	auto_fd int dir = openat(m->machine_fd, MEMBERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : file_replace(dir, m->id, text, 0600, false);

	return r < 0 ? err_sys(e, -r, "write '%s/" MEMBERS "/%s'", m->pod_path, m->id) : 0;
}

bool pod_has_sandbox(const struct microvm *m)
{
	return faccessat(m->machine_fd, SANDBOX, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The sandbox whose directory is left has ended, or has not: its own record says. */
static int check_sandbox(const struct microvm *m, const struct pod_name *n, struct err *e)
{
	if (n->role == POD_SANDBOX && faccessat(m->machine_fd, MEMBERS, F_OK, 0) == 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "the pod '%.128s' has a machine already: its containers must be "
			       "deleted before it gets another sandbox",
			       n->id);
	return 0;
}

static int enter(struct microvm *m, const struct pod_name *n, struct err *e)
{
	int r = check_sandbox(m, n, e);

	if (r < 0)
		return r;
	if (mkdirat(m->machine_fd, MEMBERS, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make '%s/" MEMBERS "'", m->pod_path);
	r = write_member(m, STR(""), e);
	if (r < 0 || n->role != POD_SANDBOX)
		return r;
	r = file_replace(m->machine_fd, SANDBOX, str_of(m->id), 0600, false);
	return r < 0 ? err_sys(e, -r, "write '%s/" SANDBOX "'", m->pod_path) : 0;
}

int pod_enter(struct microvm *m, const struct pod_name *n, nsec_t deadline, int *ret_lock,
	      struct err *e)
{
	auto_fd int fd = FD_NONE;
	int r = open_locked(m->pod_path, true, deadline, &fd, e);

	if (r < 0)
		return r;
	/* Another description of it: what is handed on must not hold the lock. */
	close_fd(&m->machine_fd);
	m->machine_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->machine_fd < 0)
		return err_sys(e, errno, "open the pod's directory '%s'", m->pod_path);
	r = enter(m, n, e);
	if (r == 0)
		*ret_lock = take_fd(&fd);
	return r;
}

/* ---- namespaces -------------------------------------------------------------------------- */

/* Whose proxy "/proc/PID/ns/pid" is of: the second word of its command line. */
static bool proxy_of(const char *path, char ret_id[static 129])
{
	auto_buf struct buf text = BUF_INIT(4096);
	struct str rest, pid = str_cut(str_of(path + strlen("/proc/")), '/', &rest);
	char file[40];
	const char *id;
	uint32_t n;

	if (!str_is(rest, "ns/pid") || num_parse_u32(pid, 1, INT32_MAX, &n) < 0)
		return false;
	(void) snprintf(file, sizeof(file), "/proc/%u/cmdline", n);
	if (file_read(AT_FDCWD, file, &text) < 0)
		return false;
	id = memchr(text.p, 0, text.n);
	if (!id || !memchr(id + 1, 0, text.n - (size_t) (id + 1 - text.p)))
		return false;
	(void) snprintf(ret_id, 129, "%s", id + 1);
	return true;
}

int pod_pids_of(const struct microvm *m, char ret_id[static 129], struct err *e)
{
	const char *path = m->spec->linux_.ns[SPEC_NS_PID].path;
	auto_buf struct buf text = BUF_INIT(ID_MAX);

	ret_id[0] = '\0';
	if (!path)
		return 0;
	if (strncmp(path, "/proc/", 6) == 0) {
		if (proxy_of(path, ret_id) && is_member(m->machine_fd, ret_id))
			return 0;
	} else if (file_read(m->machine_fd, SANDBOX, &text) == 0) { /* pinned: the pod's own */
		(void) snprintf(ret_id, 129, "%s", buf_z(&text));
		return 0;
	}
	ret_id[0] = '\0';
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "a microvm cannot join the pid namespace '%.100s': it is no container's of "
		       "this pod",
		       path);
}

/* ---- shares ------------------------------------------------------------------------------ */

int pod_name_shares(struct microvm *m, struct guest *g, struct err *e)
{
	for (size_t i = 0; i < g->shares_n; i++) {
		struct guest_share *s = &g->shares[i];

		s->name = arena_printf(&m->arena, "%llx-%llx-%llx%s%s", (unsigned long long) s->dev,
				       (unsigned long long) s->ino, (unsigned long long) s->mount,
				       s->read_only ? "-ro" : "", s->recursive ? "-r" : "");
		if (!s->name)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	return 0;
}

static int dial(int dir_fd)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" POD_FILES, dir_fd);
	return unix_connect(path, SOCK_SEQPACKET, 0);
}

/* As the server does with those it gets at its start; it has no right to by now. */
static int confine_share(const struct guest_share *s, struct err *e)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
		       (s->read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
		.userns_fd = FD_NONE,
	};
	int r = s->cloned ? mount_change(s->fd, "", true, &change) : 0;

	return r < 0 ? err_sys(e, -r, "confine the share of '%.200s'", s->destination) : 0;
}

static int add_one(int sock, const struct guest_share *s, nsec_t deadline, struct err *e)
{
	struct shares_request q = { .type = SHARES_ADD, .read_only = s->read_only };
	int r = confine_share(s, e);

	if (r < 0)
		return r;
	(void) snprintf(q.name, sizeof(q.name), "%s", s->name);
	r = shares_ask(sock, &q, s->fd, deadline);
	return r < 0 && r != -EEXIST /* another container's as well */
		       ? err_sys(e, -r, "share '%.200s' with the pod's machine", s->destination)
		       : 0;
}

int pod_add_shares(struct microvm *m, const struct guest *g, nsec_t deadline, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	int r;

	for (size_t i = 0; i < g->shares_n; i++) {
		buf_addstr(&text, str_of(g->shares[i].name));
		buf_addc(&text, '\n');
	}
	/* First, so that they are taken away again. */
	r = buf_ok(&text) ? write_member(m, buf_str(&text), e)
			  : err_sys(e, buf_error(&text) == -ENOMEM ? ENOMEM : E2BIG,
				    "names of the shares");
	if (r < 0)
		return r;
	auto_fd int sock = dial(m->machine_fd);

	if (sock == -ECONNREFUSED || sock == -ENOENT)
		return err_set(e, ERR_CONFLICT, -sock, "the pod's machine is not running");
	if (sock < 0)
		return err_sys(e, -sock, "connect to the pod's file server");
	for (size_t i = 0; r == 0 && i < g->shares_n; i++)
		r = add_one(sock, &g->shares[i], deadline, e);
	return r;
}

/* ---- out of it --------------------------------------------------------------------------- */

/* Whether a member's list has the name; the number of members in *ret_n. */
static bool used_by_others(int dir_fd, struct str name, size_t *ret_n)
{
	auto_dir DIR *d = dir_open(dir_fd, MEMBERS);
	bool used = false;

	*ret_n = 0;
	for (struct dirent *de; d && (de = dir_next(d));) {
		auto_buf struct buf text = BUF_INIT(TEXT_MAX);

		++*ret_n;
		if (!name.n || file_read(dirfd(d), de->d_name, &text) < 0)
			continue;
		for (struct str rest = buf_str(&text); rest.p && !used;)
			used = str_eq(str_cut(rest, '\n', &rest), name);
	}
	return used;
}

static void remove_shares(const struct microvm *m, struct str names)
{
	auto_fd int sock = names.n ? dial(m->machine_fd) : FD_NONE;
	const struct timespec nap = { .tv_nsec = LOCK_NAP };
	nsec_t deadline = clock_deadline(SHARE_WITHIN);
	size_t n;

	while (sock >= 0 && names.p && names.n) { /* else the machine has ended, and the server */
		struct str name = str_cut(names, '\n', &names);
		struct shares_request q = { .type = SHARES_REMOVE };
		int r;

		if (!name.n || name.n >= sizeof(q.name) || used_by_others(m->machine_fd, name, &n))
			continue;
		memcpy(q.name, name.p, name.n);
		while ((r = shares_ask(sock, &q, FD_NONE, deadline)) == -EBUSY &&
		       clock_mono() < deadline)
			(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
		if (r < 0 && r != -ENOENT && r != -EPIPE && r != -ECONNRESET)
			log_warn("a share of the pod '%s' stays: %s", m->pod_path, strerror(-r));
		if (r < 0 && r != -ENOENT && r != -EBUSY)
			return;
	}
}

int pod_note_cgroup(const struct microvm *m, const char *path, struct err *e)
{
	int r = file_replace(m->machine_fd, CGROUP, str_of(path ? path : ""), 0600, false);

	return r < 0 ? err_sys(e, -r, "write '" CGROUP "' of the pod") : 0;
}

/* Those of a holder whose making was cut short; with processes in them they are another's. */
static void remove_cgroups(const struct microvm *m)
{
	auto_buf struct buf path = BUF_INIT(GROUPS_PATH_MAX);
	auto_groups struct groups *g = NULL;
	struct groups_options o = {};
	struct err e = {};
	char id[160];

	if (file_read(m->machine_fd, CGROUP, &path) < 0)
		return;
	(void) snprintf(id, sizeof(id), POD_HOLDER "%s", strrchr(m->pod_path, '/') + 1);
	o.id = id;
	o.path = path.n ? buf_z(&path) : NULL;
	if (groups_find(&o, &g, &e) == 0)
		(void) groups_remove(g, clock_mono(), &e);
}

/* A machine that is nobody's, with its holder. */
static void end_machine(const struct microvm *m)
{
	struct instance *in = instance_new(&microvm_ops, &m->in.caps);
	struct err e = {};

	if (!in)
		return;
	if (microvm_load(in, m->machine_fd, &e) == 0)
		instance_free(in);
	else
		instance_forget(in); /* there was none */
	remove_cgroups(m);
}

static void remove_directory(const struct microvm *m)
{
	auto_dir DIR *d = NULL;

	(void) unlinkat(m->machine_fd, MEMBERS, AT_REMOVEDIR);
	d = dir_open(m->machine_fd, ".");
	for (struct dirent *de; d && (de = dir_next(d));)
		(void) unlinkat(dirfd(d), de->d_name, 0);
	if (rmdir(m->pod_path) < 0 && errno != ENOENT)
		log_warn("the pod's directory '%s' stays: %s", m->pod_path, strerror(errno));
}

void pod_leave(struct microvm *m, nsec_t deadline)
{
	auto_buf struct buf names = BUF_INIT(TEXT_MAX);
	auto_fd int fd = FD_NONE;
	struct err e = {};
	char path[160];
	size_t n;

	if (open_locked(m->pod_path, false, deadline, &fd, &e) < 0) {
		if (e.sys != ENOENT)
			log_warn("%s", e.msg);
		return;
	}
	if (m->machine_fd < 0)
		m->machine_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->machine_fd < 0)
		return;
	member_path(path, m->id);
	if (file_read(m->machine_fd, path, &names) < 0)
		buf_clear(&names);
	(void) unlinkat(m->machine_fd, path, 0);
	remove_shares(m, buf_str(&names));
	(void) used_by_others(m->machine_fd, STR(""), &n);
	if (n)
		return;
	end_machine(m);
	remove_directory(m);
}
