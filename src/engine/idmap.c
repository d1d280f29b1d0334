/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"

#include "sys/caps.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

/* They ask the user database, which may be somewhere in a network. */
#define HELPER_WITHIN (60 * NSEC_PER_SEC)
#define ARGV_MAX      (1u << 20)

struct kind {
	enum ns_map_kind kind;
	const char *key;    /* of the spec */
	const char *helper; /* program */
	const char *granted;
	unsigned cap; /* that lets one map what is not one's own */
};

static const struct kind uids = { NS_MAP_UID, "linux.uidMappings", "newuidmap", "/etc/subuid",
				  CAP_SETUID };
static const struct kind gids = { NS_MAP_GID, "linux.gidMappings", "newgidmap", "/etc/subgid",
				  CAP_SETGID };

/* Where administrators put what runs with more rights: not the caller's PATH. */
static int find_helper(const char *name, char ret_path[static 64])
{
	static const char *const dirs[] = { "/usr/bin",		"/bin",
					    "/usr/sbin",	"/sbin",
					    "/usr/local/bin",	"/usr/local/sbin",
					    "/run/wrappers/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		(void) snprintf(ret_path, 64, "%s/%s", dirs[i], name);
		if (access(ret_path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static char **helper_argv(struct arena *a, const char *path, pid_t pid, const struct ns_map *m,
			  size_t n)
{
	char **argv = arena_array(a, 3 * n + 3, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[0] = arena_strdup(a, path);
	argv[1] = arena_printf(a, "%d", (int) pid);
	for (size_t i = 0; i < n; i++) {
		argv[2 + 3 * i] = arena_printf(a, "%u", m[i].inside);
		argv[3 + 3 * i] = arena_printf(a, "%u", m[i].outside);
		argv[4 + 3 * i] = arena_printf(a, "%u", m[i].count);
	}
	for (size_t i = 0; i < 2 + 3 * n; i++) {
		if (!argv[i])
			return NULL;
	}
	return argv;
}

static int helper_failed(const struct kind *k, const char *path, const siginfo_t *info, int err_fd,
			 struct err *e)
{
	bool barred = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	char text[240] = "", how[40];
	ssize_t n = pread(err_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	for (char *c = text; *c; c++)
		*c = *c == '\n' ? (c[1] ? ' ' : '\0') : *c;
	(void) snprintf(how, sizeof(how), "%s %d",
			info->si_code == CLD_EXITED ? "exit status" : "killed by signal",
			info->si_status);
	return err_set(e, ERR_DENIED, EPERM, "%s: %s: %s (%s)", k->key, path, text[0] ? text : how,
		       barred ? "no_new_privs is set: helpers that are setuid have no power"
		       : k->kind == NS_MAP_UID
			       ? "ids that are not the user's own are granted in /etc/subuid"
			       : "ids that are not the user's own are granted in "
				 "/etc/subgid");
}

static int run_helper(const struct kind *k, struct arena *a, pid_t pid, const struct ns_map *m,
		      size_t n, struct err *e)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	auto_fd int err_fd = memfd_create("atoll-idmap-stderr", MFD_CLOEXEC), pidfd = FD_NONE;
	struct spawn s = SPAWN_INIT;
	siginfo_t info = {};
	char path[64];
	pid_t child = 0;
	int r;

	if (find_helper(k->helper, path) < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "%s: more than the user's own id is mapped, for which the helper %s "
			       "is needed: install it (Debian's package is uidmap) and grant the "
			       "ids in %s, or map the own id alone",
			       k->key, k->helper, k->granted);
	if (err_fd < 0)
		return err_sys(e, errno, "%s: memfd", k->key);
	s.path = path;
	s.argv = helper_argv(a, path, pid, m, n);
	s.env = (char *const *) (uintptr_t) env;
	s.stdio[2] = err_fd;
	if (!s.argv)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = spawn_process(&s, &child, &pidfd);
	if (r < 0)
		return err_sys(e, -r, "%s: %s", k->key, path);
	r = pidfd_poll(pidfd, clock_deadline(HELPER_WITHIN));
	if (r <= 0) {
		(void) pidfd_kill(pidfd, SIGKILL); /* refused where it is setuid; it ends alone */
		return r < 0 ? err_sys(e, -r, "%s: %s", k->key, path)
			     : err_set(e, ERR_TIMEOUT, ETIMEDOUT, "%s: %s does not end", k->key,
				       path);
	}
	r = pidfd_reap(pidfd, &info);
	if (r < 0)
		return err_sys(e, -r, "%s: %s", k->key, path);
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		return 0;
	return helper_failed(k, path, &info, err_fd, e);
}

static int write_one(const struct kind *k, struct arena *a, pid_t pid, const struct ns_map *m,
		     size_t n, uint32_t own, struct err *e)
{
	bool own_alone = n == 1 && m[0].count == 1 && m[0].outside == own;
	bool privileged = caps_effective(k->cap);
	int r = 0;

	if (!privileged && !own_alone)
		return run_helper(k, a, pid, m, n, e);
	if (!privileged && k->kind == NS_MAP_GID)
		r = ns_deny_setgroups(pid);
	r = r < 0 ? r : ns_write_map(pid, k->kind, m, n);
	if (r == -EPERM && privileged)
		return err_set(e, ERR_DENIED, EPERM,
			       "%s: the kernel refuses it (are all of these ids mapped in the "
			       "user namespace of the caller?)",
			       k->key);
	return r < 0 ? err_sys(e, -r, "%s", k->key) : 0;
}

int idmap_write(pid_t pid, const struct ns_map *uid_maps, size_t uids_n,
		const struct ns_map *gid_maps, size_t gids_n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARGV_MAX);
	int r = write_one(&uids, &a, pid, uid_maps, uids_n, geteuid(), e);

	return r < 0 ? r : write_one(&gids, &a, pid, gid_maps, gids_n, getegid(), e);
}
