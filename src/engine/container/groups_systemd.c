/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/groups_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "engine/container/groups_limits.h"
#include "engine/container/systemd.h"
#include "fmt/spec.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define PROPERTIES_MAX (1u << 20)	   /* bytes */
#define ANSWER_WITHIN  (25 * NSEC_PER_SEC) /* all of one conversation */
#define UNDO_WITHIN    (5 * NSEC_PER_SEC)
#define FEW_PROCESSES  8 /* a limit that the keeper's one matters to */

/* ---- whose manager --------------------------------------------------------------------- */

/* The root of a user namespace has the manager of the user it is outside, where it has a session.
 */
static bool users_manager(void)
{
	const char *bus = secure_getenv("DBUS_SESSION_BUS_ADDRESS");
	const char *run = secure_getenv("XDG_RUNTIME_DIR");

	return geteuid() != 0 || (ns_in_user() && ((bus && bus[0]) || (run && run[0])));
}

/* ---- the keeper ------------------------------------------------------------------------ */

static int start_keeper(struct groups_unit *u, struct err *e)
{
	pid_t parent = getpid();

	u->keeper = ns_clone(0, FD_NONE, &u->keeper_fd);
	if (u->keeper == 0)
		keeper_child(parent);
	return u->keeper < 0 ? err_sys(e, -u->keeper, "clone3 of a first process for %s", u->name)
			     : 0;
}

static void end_keeper(struct groups_unit *u)
{
	if (u->keeper_fd < 0)
		return;
	(void) pidfd_kill(u->keeper_fd, SIGKILL); /* gone already: as wanted */
	(void) pidfd_poll(u->keeper_fd, NSEC_NEVER);
	(void) pidfd_reap(u->keeper_fd, NULL);
	close_fd(&u->keeper_fd);
}

void groups_unit_free(struct groups_unit *u)
{
	if (!u)
		return;
	end_keeper(u);
	free(u);
}

/* ---- places ---------------------------------------------------------------------------- */

/* The cgroup of a process in one hierarchy, from the text of its /proc/PID/cgroup. */
static int path_in(struct str text, const char *name, char ret_path[static CGROUP_PATH_MAX])
{
	for (struct str rest = text; rest.p && rest.n > 0;) {
		struct str path = str_cut(rest, '\n', &rest);

		(void) str_cut(path, ':', &path);
		if (str_is(str_cut(path, ':', &path), name))
			return cgroup_path_clean(path, ret_path);
	}
	return -ENOENT;
}

static bool is_of(const char *path, const char *unit)
{
	const char *slash = strrchr(path, '/');

	return streq(slash ? slash + 1 : path, unit);
}

/* Where systemd keeps its units: its own v1 hierarchy, or the unified one. */
static int path_of_unit(struct str text, const char *unit, char ret_path[static CGROUP_PATH_MAX],
			struct err *e)
{
	static const char *const names[] = { "", "name=systemd" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (path_in(text, names[i], ret_path) == 0 && is_of(ret_path, unit))
			return 0;
	}
	return err_set(e, ERR_REMOTE, EPROTO,
		       "systemd started %s, but not with our process in it: is it another pid "
		       "namespace's systemd?",
		       unit);
}

/* Whether we may move processes from where we are to there: the kernel asks at the fork of both. */
static bool may_enter(const struct cgroup_hierarchy *h, const char *path)
{
	char file[CGROUP_PATH_MAX + 16];
	size_t common = 0, i = 0;

	for (;; i++) {
		bool end_a = !h->own[i] || h->own[i] == '/', end_b = !path[i] || path[i] == '/';

		if (end_a && end_b)
			common = i;
		if (h->own[i] != path[i] || !path[i])
			break;
	}
	(void) snprintf(file, sizeof(file), "%.*s%scgroup.procs", (int) common, path,
			common ? "/" : "");
	return faccessat(h->root_fd, file, W_OK, AT_EACCESS) == 0;
}

static unsigned controllers_of(int dir_fd, unsigned otherwise)
{
	char text[512];
	unsigned all = 0;

	if (cgroup_read(dir_fd, "cgroup.controllers", text, sizeof(text)) < 0)
		return otherwise;
	for (struct str rest = str_trim(str_of(text)); rest.p && rest.n > 0;)
		all |= cgroup_controller_of(str_cut(rest, ' ', &rest));
	return all;
}

/* A cgroup below the scope's for the container: the keeper first, as no other may hold processes.
 */
static int make_sub(const struct cgroup_hierarchy *h, struct groups_place *p, pid_t keeper,
		    const char *sub)
{
	char path[2 * CGROUP_PATH_MAX], pid[16];
	size_t made;

	(void) snprintf(path, sizeof(path), "%s/%s", p->path, sub);
	free(p->path);
	p->path = str_dup(str_of(path));
	if (!p->path)
		return -ENOMEM;
	close_fd(&p->dir_fd);
	p->dir_fd = cgroup_make(h, p->path, 0, &made);
	(void) snprintf(pid, sizeof(pid), "%d", keeper);
	int r = p->dir_fd < 0 ? p->dir_fd : cgroup_write(p->dir_fd, "cgroup.procs", pid);

	if (r < 0 || !h->unified)
		return r;
	close_fd(&p->dir_fd);
	p->dir_fd = cgroup_make(h, p->path, h->controllers, &made);
	return p->dir_fd < 0 ? p->dir_fd : 0;
}

static int take_place(struct groups *g, size_t i, struct str own, const char *unit_path,
		      const char *sub, unsigned needed, struct err *e)
{
	const struct cgroup_hierarchy *h = &g->layout.at[i];
	struct groups_place *p = &g->at[i];
	char path[CGROUP_PATH_MAX];
	size_t made;

	/* v1 hierarchies that systemd leaves alone get a cgroup of the same path. */
	if (path_in(own, h->name, path) < 0 || !is_of(path, g->unit->name))
		(void) snprintf(path, sizeof(path), "%s", unit_path);
	p->unified = h->unified;
	p->name = h->name;
	p->dir = h->dir;
	p->path = str_dup(str_of(path));
	if (!p->path)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	p->dir_fd = cgroup_make(h, p->path, 0, &made);
	int r = p->dir_fd < 0 ? p->dir_fd : 0;

	/* Controllers that systemd has no word for (hugetlb, rdma) it leaves alone, too. */
	if (r == 0 && h->unified)
		needed &= h->controllers & ~controllers_of(p->dir_fd, h->controllers);
	if (r == 0 && h->unified && needed) {
		close_fd(&p->dir_fd);
		p->dir_fd = cgroup_make(h, p->path, needed, &made);
		r = p->dir_fd < 0 ? p->dir_fd : 0;
	}
	if (r == 0 && sub[0])
		r = make_sub(h, p, g->unit->keeper, sub);
	if ((r == -EACCES || r == -EPERM || r == -EROFS) && g->unit->user && !h->unified) {
		close_fd(&p->dir_fd);
		return 0; /* of the machine's hierarchies a user has only the session's */
	}
	if (r < 0)
		return err_sys(e, -r, "the cgroup /sys/fs/cgroup/%s/%s of %s", h->dir, p->path,
			       g->unit->name);
	p->made = true;
	p->controllers = h->unified ? controllers_of(p->dir_fd, h->controllers) : h->controllers;
	if (h->unified && g->n == 1 && !may_enter(h, p->path))
		g->unit->placed = true;
	/* The usual way in, where the init can go it: as in groups.c. */
	p->enter_fd = openat(p->dir_fd, h->unified ? "cgroup.procs" : "tasks",
			     O_WRONLY | O_CLOEXEC);
	return 0;
}

static int take_places(struct groups *g, const char *sub, unsigned needed, struct err *e)
{
	auto_buf struct buf own = BUF_INIT(1u << 16);
	char file[40], path[CGROUP_PATH_MAX];

	(void) snprintf(file, sizeof(file), "/proc/%d/cgroup", g->unit->keeper);
	int r = file_read(AT_FDCWD, file, &own);

	if (r < 0)
		return err_sys(e, -r, "read %s", file);
	r = path_of_unit(buf_str(&own), g->unit->name, path, e);
	for (size_t i = 0; i < g->n && r == 0; i++)
		r = take_place(g, i, buf_str(&own), path, sub, needed, e);
	return r;
}

/* ---- the life of the scope ------------------------------------------------------------- */

static bool few_processes(const struct spec_resources *r)
{
	return r && r->pids && r->pids->limit_set && r->pids->limit >= 0 &&
	       r->pids->limit < FEW_PROCESSES;
}

/*
 * A unit of that name without processes is nobody's: one that failed, or one that systemd does not
 * know to be empty, as its first process ended in the moment it was started.
 */
static int start(struct systemd *s, const char *unit, struct str properties, struct err *e)
{
	struct err first, again;
	int r = systemd_start(s, unit, properties, &first);

	if (r < 0 && first.kind == ERR_CONFLICT && systemd_clear(s, unit, &again) == 0)
		r = systemd_start(s, unit, properties, &first);
	if (r == 0)
		return 0;
	*e = first;
	return first.kind == ERR_CONFLICT
		       ? err_ctx(e,
				 "the unit %s is in use: by another container of that name "
				 "('systemctl status' tells)",
				 unit)
		       : r;
}

/* What to ask for, before anything is asked. */
static int properties(const struct groups *g, const struct groups_options *o,
		      const struct unit_names *n, struct buf *b, struct err *e)
{
	bool v1 = !g->layout.at[0].unified || g->n > 1;

	unit_put_start(b, o, n, v1);
	int r = g->unit->user ? 0 : unit_put_devices(b, o->resources, true, e);

	r = r < 0 ? r : unit_put_annotations(b, o, e);
	return r < 0 || buf_ok(b) ? r : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/*
 * What systemd knows of the limits, and after it what it wrote less exactly than it was, or set
 * back as it has no word for it.
 */
static int tell(struct systemd *s, const struct groups *g, const struct spec_resources *r,
		struct str told, struct err *e)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_CPU);
	struct spec_resources exact = { 0 };
	char quota[64] = "";

	if (p && p->unified && cgroup_read(p->dir_fd, "cpu.max", quota, sizeof(quota)) < 0)
		quota[0] = 0;
	int res = systemd_set(s, g->unit->name, told, e);

	if (res < 0 || !r)
		return res;
	if (quota[0]) {
		quota[strcspn(quota, "\n")] = 0;
		res = groups_put(p, "cpu.max", quota, "linux.resources.cpu.quota", e);
	} else {
		exact.cpu = r->cpu;
	}
	exact.unified = r->unified;
	exact.unified_n = r->unified_n;
	return res < 0 ? res : groups_limits_apply(g, &exact, false, e);
}

static int make(struct groups *g, const struct groups_options *o, const struct unit_names *n,
		struct systemd *s, struct buf *b, bool *ret_started, struct err *e)
{
	unit_put_process(b, g->unit->keeper);
	int r = buf_ok(b) ? start(s, n->unit, buf_str(b), e)
			  : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	*ret_started = true;
	g->unit->asked = false;
	r = take_places(g, n->sub, groups_needed(o->resources), e);
	g->unit->placed = g->unit->placed || (g->n == 1 && few_processes(o->resources));
	r = r < 0 ? r : groups_limits_apply(g, o->resources, true, e);
	if (r < 0)
		return r;
	buf_clear(b);
	unit_put_limits(b, g, o->resources);
	return b->n == 0 ? 0 : tell(s, g, o->resources, buf_str(b), e);
}

int groups_systemd_make(const struct groups_options *o, struct groups **ret_g, struct err *e)
{
	auto_buf struct buf b = BUF_INIT(PROPERTIES_MAX);
	auto_systemd struct systemd *s = NULL;
	bool user = users_manager(), started = false;
	struct unit_names n;
	int r = unit_names_of(o, user, &n, e);

	if (r < 0)
		return r;
	auto_groups struct groups *g = groups_new(e);

	if (!g)
		return -ENOMEM;
	if (g->n == 0)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "cgroups by systemd: no control groups are mounted here");
	g->unit = calloc(1, sizeof(*g->unit));
	if (!g->unit)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	memcpy(g->unit->name, n.unit, sizeof(g->unit->name));
	g->unit->user = user;
	g->rootless = o->rootless;
	g->unit->keeper_fd = FD_NONE;
	r = properties(g, o, &n, &b, e);
	/* Killed from here on, we leave a unit that only its name leads to. */
	g->unit->asked = true;
	r = r < 0 || o->state_fd <= STDERR_FILENO ? r : groups_save(g, o->state_fd, e);
	g->saved = false;
	r = r < 0 ? r : systemd_open(user, clock_deadline(ANSWER_WITHIN), &s, e);
	r = r < 0 ? r : start_keeper(g->unit, e);
	if (r < 0)
		return r;
	r = make(g, o, &n, s, &b, &started, e);
	if (r < 0) {
		struct err ignored;

		/* The first error is the one to tell. One that was not started is another's, or,
		 * when systemd does not answer, ends by itself without its keeper. */
		if (!started)
			groups_unit_free(TAKE(g->unit));
		(void) groups_remove(g, clock_deadline(UNDO_WITHIN), &ignored);
		return r;
	}
	*ret_g = TAKE(g);
	return 0;
}

bool groups_placed(const struct groups *g)
{
	return g->unit && g->unit->placed;
}

int groups_place(const struct groups *g, pid_t pid, struct err *e)
{
	return groups_attach(g, pid, 0, NULL, 0, e);
}

void groups_arrived(struct groups *g)
{
	if (g->unit)
		end_keeper(g->unit);
}

int groups_systemd_update(const struct groups *g, const struct spec_resources *r, struct err *e)
{
	auto_buf struct buf b = BUF_INIT(PROPERTIES_MAX);
	auto_systemd struct systemd *s = NULL;

	unit_put_limits(&b, g, r);
	int res = g->unit->user ? 0 : unit_put_devices(&b, r, false, e);

	if (res < 0 || b.n == 0)
		return res;
	if (!buf_ok(&b))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	res = systemd_open(g->unit->user, clock_deadline(ANSWER_WITHIN), &s, e);
	return res < 0 ? res : tell(s, g, r, buf_str(&b), e);
}

/* The cgroup of the container below its unit's, with a '/' before it: "/sub/more", or "". */
static void below_unit(const struct groups *g, const char *sub, char *ret_path, size_t size)
{
	const char *path = g->at[0].path ? g->at[0].path : "", *at = strstr(path, g->unit->name);

	at = at ? at + strlen(g->unit->name) : "";
	(void) snprintf(ret_path, size, "%s%s%s", at, sub && sub[0] ? "/" : "", sub ? sub : "");
}

int groups_systemd_attach(const struct groups *g, pid_t pid, const char *sub, struct err *e)
{
	auto_systemd struct systemd *s = NULL;
	char below[2 * CGROUP_PATH_MAX];
	int r = systemd_open(g->unit->user, clock_deadline(ANSWER_WITHIN), &s, e);

	if (r < 0)
		return r;
	below_unit(g, sub, below, sizeof(below));
	return systemd_attach(s, g->unit->name, below, pid, e);
}

int groups_systemd_stop(struct groups *g, nsec_t deadline, struct err *e)
{
	auto_systemd struct systemd *s = NULL;

	end_keeper(g->unit);
	int r = systemd_open(g->unit->user, deadline, &s, e);

	if (r == 0)
		r = g->unit->asked ? systemd_clear(s, g->unit->name, e)
				   : systemd_stop(s, g->unit->name, e);
	/* One that was only asked for has no processes of ours: what is left of it, if it is not
	 * another's, the next of that name sweeps away. */
	return g->unit->asked ? 0 : r;
}

void groups_unit_save(const struct groups_unit *u, struct buf *b)
{
	buf_addf(b, "%s%s:%s\n", u->asked ? "?" : "@", u->user ? "user" : "system", u->name);
}

struct groups_unit *groups_unit_load(struct str line)
{
	struct str name, kind = str_cut(line, ':', &name);
	struct groups_unit *u;

	bool asked = str_starts(kind, "?");

	if (kind.n > 0)
		kind = (struct str){ kind.p + 1, kind.n - 1 };
	if (!name.p || name.n == 0 || name.n >= sizeof(u->name) ||
	    (!str_is(kind, "system") && !str_is(kind, "user")))
		return NULL;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	memcpy(u->name, name.p, name.n);
	u->user = str_is(kind, "user");
	u->asked = asked;
	u->keeper_fd = FD_NONE;
	return u;
}
