/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/groups.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "engine/container/groups_limits.h"
#include "engine/container/groups_systemd.h"
#include "sys/ns.h"

#define SYSTEMD_SEES_WITHIN (5 * NSEC_PER_SEC) /* that a unit is empty */

#define STATE_FILE "cgroups"

/* How often a directory is made anew because a neighbour's clean-up took a parent away. */
#define RACE_RETRIES 64

static int path_of(const struct groups_options *o, char ret_path[static CGROUP_PATH_MAX],
		   bool *ret_absolute, struct err *e)
{
	const char *path = o->path && o->path[0] ? o->path : NULL;
	int r = cgroup_path_clean(str_of(path ? path : o->id), ret_path);

	if (r < 0)
		return err_set(e, ERR_INVALID, -r,
			       "linux.cgroupsPath '%s': must name a cgroup without '.' or '..'",
			       path ? path : o->id);
	*ret_absolute = path && path[0] == '/';
	return 0;
}

/* `dir/base` or the only one that is not empty. Gives. */
static char *join(const char *dir, const char *base)
{
	char text[2 * CGROUP_PATH_MAX];

	(void) snprintf(text, sizeof(text), "%s%s%s", dir, dir[0] && base[0] ? "/" : "", base);
	return str_dup(str_of(text));
}

/* The part before the last component; "" for one component. Gives. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return str_dup((struct str){ path, slash ? (size_t) (slash - path) : 0 });
}

/*
 * On a pure v2 machine a cgroup with processes cannot give controllers to its children: the
 * caller's own usually is one. Then the container becomes its neighbour.
 */
static char *relative_base(const struct cgroup_hierarchy *h, unsigned want)
{
	char text[512];

	if (!h->unified || !want || !h->own[0])
		return str_dup(str_of(h->own));
	auto_fd int fd = cgroup_open(h, h->own);

	if (fd >= 0 && cgroup_read(fd, "cgroup.subtree_control", text, sizeof(text)) >= 0) {
		unsigned have = 0;

		for (struct str rest = str_trim(str_of(text)); rest.p && rest.n > 0;)
			have |= cgroup_controller_of(str_cut(rest, ' ', &rest));
		if ((want & ~have) == 0)
			return str_dup(str_of(h->own));
	}
	return parent_of(h->own);
}

static int check_unused(const struct groups_place *p, struct err *e)
{
	pid_t pid;
	size_t n = 0;

	if ((p->unified || (p->controllers & CGROUP_FREEZER)) &&
	    cgroup_frozen(p->dir_fd, p->unified) > 0)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "container's cgroup unexpectedly frozen: /sys/fs/cgroup/%s/%s",
			       p->dir, p->path);
	if (cgroup_pids(p->dir_fd, true, &pid, 1, &n) == 0 && n > 0)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "container's cgroup is not empty: %zu process(es) found in "
			       "/sys/fs/cgroup/%s/%s",
			       n, p->dir, p->path);
	return 0;
}

static int make_dir(const struct cgroup_hierarchy *h, const char *path, unsigned want,
		    size_t *ret_made)
{
	int r = -ENOENT;

	for (int i = 0; i < RACE_RETRIES && (r == -ENOENT || r == -ENODEV); i++)
		r = cgroup_make(h, path, want, ret_made);
	return r;
}

static bool denied(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

bool groups_tolerant(enum rootless r)
{
	return r == ROOTLESS_TRUE || (r == ROOTLESS_AUTO && (geteuid() != 0 || ns_in_user()));
}

/* The directory of one place; an ordinary user's neighbour may be refused where a child is not. */
static int make_at(struct groups_place *p, const struct cgroup_hierarchy *h, const char *path,
		   bool absolute, unsigned want, enum rootless rootless, size_t *ret_made)
{
	auto_free char *base = absolute ? str_dup(STR("")) : relative_base(h, want);
	int r;

	p->path = base ? join(base, path) : NULL;
	if (!p->path)
		return -ENOMEM;
	r = make_dir(h, p->path, want, ret_made);
	if (denied(r) && h->unified && !absolute && !streq(base, h->own) &&
	    groups_tolerant(rootless)) {
		free(p->path);
		p->path = join(h->own, path);
		if (!p->path)
			return -ENOMEM;
		r = make_dir(h, p->path, want, ret_made);
	}
	if (r < 0 || !h->unified || geteuid() == 0 || cgroup_may_enter(h, p->path))
		return r;
	(void) close(r);
	if (*ret_made)
		(void) cgroup_remove(h, p->path); /* ours and empty */
	cgroup_remove_parents(h, p->path);
	return -EACCES;
}

/* What the cgroups above it give it: the machine may have more. */
static unsigned given(const struct groups_place *p, const struct cgroup_hierarchy *h)
{
	char text[512];
	unsigned got = 0;

	if (!h->unified || geteuid() == 0 ||
	    cgroup_read(p->dir_fd, "cgroup.controllers", text, sizeof(text)) < 0)
		return h->controllers;
	for (struct str rest = str_trim(str_of(text)); rest.p && rest.n > 0;)
		got |= cgroup_controller_of(str_cut(rest, ' ', &rest));
	return got;
}

static int make_place(struct groups *g, size_t i, const struct groups_options *o, const char *path,
		      bool absolute, unsigned want, struct err *e)
{
	const struct cgroup_hierarchy *h = &g->layout.at[i];
	struct groups_place *p = &g->at[i];
	size_t made = 0;

	p->unified = h->unified;
	p->name = h->name;
	p->dir = h->dir;
	p->dir_fd = make_at(p, h, path, absolute, want, o->rootless, &made);
	if (!p->path)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (denied(p->dir_fd) && groups_tolerant(o->rootless)) {
		cgroup_remove_parents(h, p->path); /* those it came to make */
		g->denied = true; /* a limit that needs it is refused when it is written */
		return 0;
	}
	if (p->dir_fd < 0)
		return err_sys(e, -p->dir_fd, "make the cgroup /sys/fs/cgroup/%s/%s", h->dir,
			       p->path);
	p->made = true;
	p->controllers = given(p, h);
	if (made == 0) {
		p->made = false;
		int r = check_unused(p, e);

		if (r < 0) {
			close_fd(&p->dir_fd); /* what the undo kills or thaws is not in there */
			return r;
		}
		p->made = true; /* a leftover, or prepared for us: it goes with the container */
	}
	/*
	 * A thread that moves itself by "0" in v1's `tasks` needs no lock over all thread groups
	 * (Linux 5.5: cgroup_procs_write_start). `cgroup.procs` takes it, and with it waits for an
	 * RCU grace period: 10 to 25 ms. Whoever enters has one thread: it is the same.
	 */
	p->enter_fd = openat(p->dir_fd, h->unified ? "cgroup.procs" : "tasks",
			     O_WRONLY | O_CLOEXEC);
	if (p->enter_fd >= 0)
		return 0;
	if (denied(-errno) && groups_tolerant(o->rootless)) {
		close_fd(&p->dir_fd);
		p->made = made > 0; /* ours and empty, or never ours */
		g->denied = true;
		return 0;
	}
	return err_sys(e, errno, "open /sys/fs/cgroup/%s/%s/cgroup.procs", h->dir, p->path);
}

struct groups *groups_new(struct err *e)
{
	struct groups *g = calloc(1, sizeof(*g));
	int r;

	if (!g) {
		(void) err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(g->at); i++)
		g->at[i].dir_fd = g->at[i].enter_fd = FD_NONE;
	r = cgroup_layout_open(&g->layout);
	if (r < 0) {
		(void) err_sys(e, -r, "read the control groups of this machine");
		free(g);
		return NULL;
	}
	g->n = g->layout.n;
	g->rootless = ROOTLESS_AUTO;
	return g;
}

/* What a v2 hierarchy should be asked to give: all of a pure one, of a hybrid one the needed. */
static unsigned wanted(const struct groups *g, size_t i, const struct spec_resources *r)
{
	const struct cgroup_hierarchy *h = &g->layout.at[i];
	bool pure = g->layout.n == 1;

	if (!h->unified)
		return 0;
	return h->controllers & (pure ? ~0u : groups_needed(r));
}

static int make_places(struct groups *g, const struct groups_options *o, bool unified,
		       struct err *e)
{
	char path[CGROUP_PATH_MAX];
	bool absolute;
	int r = path_of(o, path, &absolute, e);

	for (size_t i = 0; i < g->n && r == 0; i++) {
		if (g->layout.at[i].unified == unified)
			r = make_place(g, i, o, path, absolute, wanted(g, i, o->resources), e);
	}
	return r;
}

int groups_begin(const struct groups_options *o, struct groups **ret_g, struct err *e)
{
	if (o->systemd)
		return groups_systemd_make(o, ret_g, e);
	auto_groups struct groups *g = groups_new(e);

	if (!g)
		return -ENOMEM;
	g->rootless = o->rootless;
	g->begun = true;
	int r = make_places(g, o, true, e);

	if (r < 0) {
		struct err ignored;

		(void) groups_remove(g, clock_deadline(NSEC_PER_SEC), &ignored);
		return r;
	}
	*ret_g = TAKE(g);
	return 0;
}

int groups_finish(struct groups *g, const struct groups_options *o, struct err *e)
{
	if (!g->begun) /* systemd made all at once */
		return 0;
	int r = make_places(g, o, false, e);

	g->begun = false;
	/* Where it shall be was said: then it must be there somewhere. */
	if (r == 0 && g->denied && o->path && o->path[0] && !groups_any(g))
		r = err_set(e, ERR_DENIED, EACCES,
			    "linux.cgroupsPath '%s': no permission to make it in any hierarchy; an "
			    "ordinary user needs a cgroup delegated to him, or none named",
			    o->path);
	return r < 0 ? r : groups_limits_apply(g, o->resources, true, e);
}

int groups_make(const struct groups_options *o, struct groups **ret_g, struct err *e)
{
	auto_groups struct groups *g = NULL;
	int r = groups_begin(o, &g, e);

	if (r < 0)
		return r;
	r = groups_finish(g, o, e);
	if (r < 0) {
		struct err ignored;

		/* The first error is the one to tell; nothing runs in there yet. */
		(void) groups_remove(g, clock_deadline(NSEC_PER_SEC), &ignored);
		return r;
	}
	*ret_g = TAKE(g);
	return 0;
}

int groups_find(const struct groups_options *o, struct groups **ret_g, struct err *e)
{
	char path[CGROUP_PATH_MAX];
	bool absolute;
	int r = path_of(o, path, &absolute, e);

	if (r < 0)
		return r;
	auto_groups struct groups *g = groups_new(e);

	if (!g)
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		const struct cgroup_hierarchy *h = &g->layout.at[i];
		struct groups_place *p = &g->at[i];
		auto_free char *above = parent_of(h->own);

		p->unified = h->unified;
		p->name = h->name;
		p->dir = h->dir;
		p->controllers = h->controllers;
		p->path = join(absolute ? "" : h->own, path);
		if (!p->path || !above)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		p->dir_fd = cgroup_open(h, p->path);
		if (p->dir_fd == -ENOENT && !absolute && h->unified) {
			free(p->path);
			p->path = join(above, path);
			if (!p->path)
				return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
			p->dir_fd = cgroup_open(h, p->path);
		}
		p->made = true;
	}
	*ret_g = TAKE(g);
	return 0;
}

int groups_none(struct groups **ret_g, struct err *e)
{
	struct groups *g = groups_new(e);

	if (!g)
		return -ENOMEM;
	*ret_g = g;
	return 0;
}

void groups_free(struct groups *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(g->at); i++) {
		close_fd(&g->at[i].dir_fd);
		close_fd(&g->at[i].enter_fd);
		free(g->at[i].path);
	}
	cgroup_layout_fini(&g->layout);
	groups_unit_free(g->unit);
	free(g);
}

const struct groups_place *groups_place_of(const struct groups *g, unsigned controller)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].dir_fd >= 0 && (g->at[i].controllers & controller))
			return &g->at[i];
	}
	return NULL;
}

const struct groups_place *groups_unified(const struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].dir_fd >= 0 && g->at[i].unified)
			return &g->at[i];
	}
	return NULL;
}

bool groups_any(const struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].dir_fd >= 0)
			return true;
	}
	return false;
}

int groups_clone_fd(const struct groups *g)
{
	const struct groups_place *p = groups_placed(g) ? NULL : groups_unified(g);

	return p ? p->dir_fd : FD_NONE;
}

bool groups_open(struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct groups_place *p = &g->at[i];

		if (p->dir_fd < 0 || p->unified || p->enter_fd >= 0)
			continue;
		p->enter_fd = openat(p->dir_fd, "tasks", O_WRONLY | O_CLOEXEC);
		if (p->enter_fd < 0)
			return false;
	}
	return true;
}

int groups_enter(const struct groups *g, bool cloned_into, size_t *ret_place)
{
	if (groups_placed(g))
		return 0; /* it is in */
	for (size_t i = 0; i < g->n; i++) {
		const struct groups_place *p = &g->at[i];

		if (p->enter_fd < 0 || (cloned_into && p->unified))
			continue;
		*ret_place = i;
		if (write(p->enter_fd, "0", 1) < 0)
			return -errno;
	}
	return 0;
}

int groups_update(const struct groups *g, const struct spec_resources *r, struct err *e)
{
	int res = groups_limits_apply(g, r, false, e);

	return res < 0 || !g->unit ? res : groups_systemd_update(g, r, e);
}

/*
 * systemd learns that a unit is empty from the file cgroup.events, and does not when the directory
 * goes before it has looked: where it could not be asked to stop the unit, it is left to remove it.
 */
static void await_systemd(const struct groups *g, nsec_t deadline)
{
	for (size_t i = 0; i < g->n; i++) {
		nsec_t wait = NSEC_PER_MSEC;

		while (g->at[i].made && clock_mono() < deadline) {
			auto_fd int dir = cgroup_open(&g->layout.at[i], g->at[i].path);

			if (dir < 0)
				break;
			groups_await(0, &wait, deadline);
		}
	}
}

int groups_remove(struct groups *g, nsec_t deadline, struct err *e)
{
	struct err unit;
	int stopped = g->unit ? groups_systemd_stop(g, deadline, &unit) : 0;
	nsec_t sees_within = clock_deadline(SYSTEMD_SEES_WITHIN);

	if (stopped < 0)
		await_systemd(g, sees_within < deadline ? sees_within : deadline);

	for (size_t i = 0; i < g->n; i++) {
		struct groups_place *p = &g->at[i];
		const struct cgroup_hierarchy *h = &g->layout.at[i];
		nsec_t wait = NSEC_PER_MSEC / 10;

		if (!p->made)
			continue;
		for (;;) {
			int r = cgroup_remove(h, p->path);
			pid_t pid = 0;
			size_t n = 0;

			if (r == 0)
				break;
			if (r != -EBUSY)
				return err_sys(e, -r, "remove the cgroup /sys/fs/cgroup/%s/%s",
					       p->dir, p->path);
			auto_fd int dir = cgroup_open(h, p->path);

			if (dir >= 0)
				(void) cgroup_pids(dir, true, &pid, 1, &n);
			if (clock_mono() >= deadline)
				return err_set(e, ERR_CONFLICT, EBUSY,
					       "remove the cgroup /sys/fs/cgroup/%s/%s: %zu "
					       "process(es) in it, such as %d",
					       p->dir, p->path, n, pid);
			groups_await(n > 0 ? pid : 0, &wait, deadline);
		}
		close_fd(&p->enter_fd);
		close_fd(&p->dir_fd);
		p->made = false;
		cgroup_remove_parents(h, p->path);
	}
	if (stopped < 0) /* all is gone, but systemd may not have noticed */
		*e = unit;
	return stopped;
}

int groups_save(struct groups *g, int state_fd, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(64 << 10);

	if (g->saved)
		return 0;
	if (g->unit)
		groups_unit_save(g->unit, &text);
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].made)
			buf_addf(&text, "%s:%s\n", g->at[i].name, g->at[i].path);
	}
	int r = buf_error(&text);

	if (r == 0)
		r = file_replace(state_fd, STATE_FILE, buf_str(&text), 0600, false);
	g->saved = r == 0;
	return r < 0 ? err_sys(e, -r, "write %s of the container's state", STATE_FILE) : 0;
}

static bool load_line(struct groups *g, struct str line)
{
	/* A v1 name may hold a colon in no version of the kernel: the first one ends it. */
	struct str path, name = str_cut(line, ':', &path);
	char clean[CGROUP_PATH_MAX];

	if (line.n > 0 && (line.p[0] == '@' || line.p[0] == '?') && !g->unit) {
		g->unit = groups_unit_load(line);
		return g->unit != NULL;
	}
	if (!path.p || cgroup_path_clean(path, clean) < 0)
		return false;
	for (size_t i = 0; i < g->n; i++) {
		struct groups_place *p = &g->at[i];
		const struct cgroup_hierarchy *h = &g->layout.at[i];

		if (!str_is(name, h->name) || p->path)
			continue;
		p->path = str_dup(str_of(clean));
		if (!p->path)
			return false;
		p->unified = h->unified;
		p->name = h->name;
		p->dir = h->dir;
		p->dir_fd = cgroup_open(h, p->path);
		p->made = true;
		p->controllers = p->dir_fd >= 0 ? h->controllers : 0;
	}
	return true; /* a hierarchy that is no longer mounted holds nothing of ours either */
}

int groups_load(int state_fd, struct groups **ret_g, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(64 << 10);
	int r = file_read(state_fd, STATE_FILE, &text);

	if (r < 0)
		return err_sys(e, -r, "read %s of the container's state", STATE_FILE);
	auto_groups struct groups *g = groups_new(e);

	if (!g)
		return -ENOMEM;
	g->saved = true;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		if (!load_line(g, str_cut(rest, '\n', &rest)))
			return err_set(e, ERR_INTERNAL, 0,
				       "read %s of the container's state: not what was written",
				       STATE_FILE);
	}
	*ret_g = TAKE(g);
	return 0;
}
