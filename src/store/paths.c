/* SPDX-License-Identifier: Apache-2.0 */
#include "store/paths.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/home.h"
#include "base/str.h"

#define STATE_DEFAULT "/run/atoll"

/* Collapse "//" and "/./"; ".." is refused, because it would not survive a changed link. */
static int path_clean(const char *path, char *ret, size_t max, const char *what, struct err *e)
{
	struct str rest = str_of(path);
	size_t n = 0;

	while (rest.p) {
		struct str part = str_cut(rest, '/', &rest);

		if (part.n == 0 || str_is(part, "."))
			continue;
		if (str_is(part, ".."))
			return err_set(e, ERR_INVALID, EINVAL, "%s '%s': '..' is not allowed", what,
				       path);
		if (n + 1 + part.n + 1 > max)
			return err_set(e, ERR_INVALID, ENAMETOOLONG,
				       "%s '%.40s...': longer than %zu bytes", what, path, max - 1);
		ret[n++] = '/';
		memcpy(ret + n, part.p, part.n);
		n += part.n;
	}
	if (n == 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s '%s': not a directory of its own", what,
			       path);
	ret[n] = '\0';
	return 0;
}

static int directory_init(char ret[static PATHS_MAX], const char *given, const char *variable,
			  const char *fallback, struct err *e)
{
	const char *what = variable;
	char joined[4096 + PATHS_MAX];

	if (!given || !*given)
		given = secure_getenv(variable);
	if (!given || !*given)
		given = fallback;
	if (given[0] != '/') {
		char cwd[4096];

		if (!getcwd(cwd, sizeof(cwd)))
			return err_sys(e, errno, "current directory");
		int n = snprintf(joined, sizeof(joined), "%s/%s", cwd, given);
		if (n < 0 || (size_t) n >= sizeof(joined))
			return err_set(e, ERR_INVALID, ENAMETOOLONG, "%s is too long", what);
		given = joined;
	}
	return path_clean(given, ret, PATHS_MAX, what, e);
}

/* XDG base directory specification; without a login manager's directory one in /tmp. */
static void user_state(char ret_state[static PATHS_MAX])
{
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	char made[40];
	struct stat st;

	(void) snprintf(made, sizeof(made), "/run/user/%u", geteuid());
	if (run && run[0] == '/')
		(void) snprintf(ret_state, PATHS_MAX, "%s/atoll", run);
	else if (lstat(made, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		(void) snprintf(ret_state, PATHS_MAX, "%s/atoll", made);
	else
		(void) snprintf(ret_state, PATHS_MAX, "/tmp/atoll-%u", geteuid());
}

int paths_init(struct paths *p, const char *root, const char *state, struct err *e)
{
	char state_default[PATHS_MAX] = STATE_DEFAULT;
	struct home_text root_default = home_root_default();
	int r;

	if (geteuid() != 0)
		user_state(state_default);
	r = directory_init(p->root, root, "ATOLL_ROOT", root_default.z, e);
	if (r < 0)
		return r;
	return directory_init(p->state, state, "ATOLL_STATE", state_default, e);
}

static int make_below(const char *top, const char *const *names, const mode_t *modes, size_t n,
		      struct err *e)
{
	int r = dir_make_all(top, 0711);

	if (r < 0)
		return err_sys(e, -r, "make the directory '%s'", top);
	for (size_t i = 0; i < n; i++) {
		char path[PATHS_FULL_MAX];

		(void) snprintf(path, sizeof(path), "%s/%s", top, names[i]);
		if (mkdir(path, modes[i]) < 0 && errno != EEXIST)
			return err_sys(e, errno, "make the directory '%s'", path);
	}
	return 0;
}

int paths_make(const struct paths *p, struct err *e)
{
	static const char *const root_names[] = { "blobs",   "blobs/sha256", "layers",
						  "volumes", "workloads",    "tmp" };
	/* Layers, workloads and volumes hold setuid programs of whoever runs in them, and their
	 * names are no secret: not for the host's other users (CVE-2021-41103). */
	static const mode_t root_modes[] = { 0700, 0700, 0700, 0700, 0700, 0700 };
	static const char *const state_names[] = { "workloads" };
	static const mode_t state_modes[] = { 0700 };
	struct path_text last = paths_tmp(p);
	int r;

	/* The last one made is there: so are all before it. */
	if (access(last.z, F_OK) < 0) {
		r = make_below(p->root, root_names, root_modes, 6, e);
		if (r < 0)
			return r;
	}
	struct path_text runs = paths_runs(p);
	if (access(runs.z, F_OK) < 0)
		return make_below(p->state, state_names, state_modes, 1, e);
	return 0;
}

[[gnu::format(printf, 2, 3)]] static struct path_text below(const char *top, const char *fmt, ...)
{
	struct path_text t;
	va_list ap;
	int n = snprintf(t.z, sizeof(t.z), "%s/", top);

	assert(n > 0 && n <= PATHS_MAX);
	va_start(ap, fmt);
	int m = vsnprintf(t.z + n, sizeof(t.z) - (size_t) n, fmt, ap);
	va_end(ap);
	/* Ids and names are checked where they come in: a cut path would name something else. */
	assert(m >= 0 && (size_t) m < sizeof(t.z) - (size_t) n);
	return t;
}

struct path_text paths_db(const struct paths *p)
{
	return below(p->root, "atoll.db");
}

struct path_text paths_lock(const struct paths *p)
{
	return below(p->root, "atoll.lock");
}

struct path_text paths_tmp(const struct paths *p)
{
	return below(p->root, "tmp");
}

struct path_text paths_blobs(const struct paths *p)
{
	return below(p->root, "blobs/sha256");
}

struct path_text paths_layers(const struct paths *p)
{
	return below(p->root, "layers");
}

struct path_text paths_layer(const struct paths *p, const char *hex)
{
	return below(p->root, "layers/%s", hex);
}

struct path_text paths_disks(const struct paths *p)
{
	return below(p->root, "disks");
}

struct path_text paths_snapshots(const struct paths *p)
{
	return below(p->root, "snapshots");
}

struct path_text paths_volumes(const struct paths *p)
{
	return below(p->root, "volumes");
}

struct path_text paths_volume(const struct paths *p, const char *name)
{
	return below(p->root, "volumes/%s", name);
}

struct path_text paths_advisories(const struct paths *p)
{
	return below(p->root, "advisories");
}

struct path_text paths_kernels(const struct paths *p)
{
	return below(p->root, "kernels");
}

struct path_text paths_workloads(const struct paths *p)
{
	return below(p->root, "workloads");
}

struct path_text paths_workload(const struct paths *p, const char *id)
{
	return below(p->root, "workloads/%s", id);
}

struct path_text paths_aside(const struct paths *p, const char *id)
{
	return below(p->root, "tmp/" PATHS_ASIDE "%s", id);
}

struct path_text paths_log(const struct paths *p, const char *id)
{
	return below(p->root, "workloads/%s/workload.log", id);
}

struct path_text paths_checkpoints(const struct paths *p, const char *id)
{
	return below(p->root, "workloads/%s/checkpoints", id);
}

struct path_text paths_runs(const struct paths *p)
{
	return below(p->state, "workloads");
}

struct path_text paths_run(const struct paths *p, const char *id)
{
	return below(p->state, "workloads/%s", id);
}
