/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of mounts, opened and cloned while the host is in reach. A bind's clone gets all its
 * attributes here, before anybody can see it: there is no moment in which it is writable first.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/container/plan.h"

static uint64_t default_propagation(const struct spec *s)
{
	const char *word = s->linux_.rootfs_propagation;

	if (word && (streq(word, "shared") || streq(word, "rshared")))
		return MS_SHARED;
	if (word && (streq(word, "private") || streq(word, "rprivate")))
		return MS_PRIVATE;
	return MS_SLAVE;
}

/* For the init, which has other descriptors of the same places. */
static const char *absolute(struct plan *p, const struct bundle *b, const char *path)
{
	const char *dir;

	if (path[0] == '/')
		return path;
	dir = b->bundle_path ? b->bundle_path
			     : plan_path_of(p, b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD);
	return dir ? arena_printf(p->a, "%s/%s", dir, path) : NULL;
}

int plan_root_ready(const struct plan *p, int fd, const char *path, struct err *e)
{
	struct mount_change c = { .propagation = default_propagation(p->spec) };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR, "root file system '%s': not a directory",
			       path);
	/*
	 * As a slave it still sees what the host mounts below; never a peer, or the container's
	 * own mounts would appear on the host. "shared" is restored when all is mounted.
	 */
	c.propagation = c.propagation == MS_SHARED ? MS_SLAVE : c.propagation;
	r = mount_change(fd, "", true, &c);
	return r < 0 ? err_sys(e, -r, "root file system '%s': propagation", path) : 0;
}

int plan_root(struct plan *p, const struct bundle *b, struct err *e)
{
	const char *path = b->root_fd >= 0 ? "" : b->spec->root ? b->spec->root->path : NULL;
	int from = b->root_fd >= 0 ? b->root_fd : b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	int r;

	if (!path)
		return err_set(e, ERR_INVALID, EINVAL, "root: missing from config.json");
	r = mount_clone(from, path, true);
	if (r == -EPERM && b->root_fd < 0) {
		p->late = true;
		p->root_source = absolute(p, b, path);
		return p->root_source ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	if (r == -EINVAL && b->root_fd >= 0)
		r = fcntl(b->root_fd, F_DUPFD_CLOEXEC, 3); /* a detached mount: taken as it is */
	p->root_fd = plan_own(p, r);
	if (p->root_fd < 0)
		return err_sys(e, -p->root_fd, "root file system '%s'", path);
	return plan_root_ready(p, p->root_fd, path, e);
}

/*
 * /sys of the host, bound read-only for a user who has no sysfs of his own: what is mounted below,
 * the cgroups he may write, is part of it (CVE-2023-25809).
 */
static bool sysfs_read_only(const struct plan *p, const struct plan_mount *pm)
{
	struct statfs fs;

	return pm->words.rec_bind && (pm->words.set & MOUNT_ATTR_RDONLY) &&
	       fstatfs(pm->tree_fd, &fs) == 0 && fs.f_type == SYSFS_MAGIC &&
	       (p->process.joined_user || ns_in_user());
}

static int id_holder(const struct plan *p, const struct spec_mount *m, struct err *e)
{
	struct ns_map uids[64], gids[64];
	const struct spec_id_map *u = m->uid_maps_n ? m->uid_maps : p->spec->linux_.uid_maps;
	const struct spec_id_map *g = m->gid_maps_n ? m->gid_maps : p->spec->linux_.gid_maps;
	size_t un = m->uid_maps_n ? m->uid_maps_n : p->spec->linux_.uid_maps_n;
	size_t gn = m->gid_maps_n ? m->gid_maps_n : p->spec->linux_.gid_maps_n;
	int fd;

	/* A namespace that exists maps as it maps. */
	if (!un && !gn && p->join_user) {
		fd = fcntl(p->join_fd[SPEC_NS_USER], F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? err_sys(e, errno, "the joined user namespace") : fd;
	}
	if (!un || !gn || un > ARRAY_SIZE(uids) || gn > ARRAY_SIZE(gids))
		return err_set(e, ERR_INVALID, EINVAL,
			       "mount at '%.100s': idmap needs 1 to 64 uid and gid mappings",
			       m->destination);
	for (size_t i = 0; i < un; i++)
		uids[i] = (struct ns_map){ u[i].container_id, u[i].host_id, u[i].size };
	for (size_t i = 0; i < gn; i++)
		gids[i] = (struct ns_map){ g[i].container_id, g[i].host_id, g[i].size };
	fd = ns_user_holder(uids, un, gids, gn);
	if (fd < 0)
		return err_sys(e, -fd, "mount at '%.100s': user namespace for the idmap",
			       m->destination);
	return fd;
}

/* Once a mount is in a user namespace's hands, what its source forbids stays forbidden. */
#define LOCKED (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static uint64_t attributes_of(int fd)
{
	static const struct {
		unsigned long flag;
		uint64_t attr;
	} map[] = {
		{ ST_RDONLY, MOUNT_ATTR_RDONLY },	  { ST_NOSUID, MOUNT_ATTR_NOSUID },
		{ ST_NODEV, MOUNT_ATTR_NODEV },		  { ST_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ ST_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	};
	struct statfs fs;
	uint64_t attr = 0;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		attr |= (unsigned long) fs.f_flags & map[i].flag ? map[i].attr : 0;
	return attr | ((unsigned long) fs.f_flags & ST_NOATIME	  ? MOUNT_ATTR_NOATIME
		       : (unsigned long) fs.f_flags & ST_RELATIME ? MOUNT_ATTR_RELATIME
								  : MOUNT_ATTR_STRICTATIME);
}

/*
 * As mount(2) does it, and with it all callers' expectations: no word about the mount keeps what
 * the source has; any word makes the list complete, all it does not name is off. Access times are
 * a list of their own. For a user namespace what is off implicitly stays as it is, and what is
 * off explicitly is refused, as the kernel would.
 */
static int bind_change(const struct plan *p, const struct plan_mount *pm,
		       struct mount_change *ret_c, struct err *e)
{
	const uint64_t times = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
	const struct mount_words *w = &pm->words;
	struct mount_change c = { .set = w->set, .clear = w->clear };
	bool locked = p->new_user || p->join_user;
	uint64_t have = locked ? attributes_of(pm->tree_fd) : 0, want;

	*ret_c = c;
	if (!w->touched)
		return 0;
	c.clear |= (LOCKED | MOUNT_ATTR_NOSYMFOLLOW) & ~w->set & ~(have & LOCKED & ~w->clear);
	c.clear &= ~(uint64_t) MOUNT_ATTR_NODIRATIME; /* by itself it means nothing */
	if ((w->clear & MOUNT_ATTR__ATIME) || (w->set & MOUNT_ATTR_NODIRATIME)) {
		c.clear |= MOUNT_ATTR__ATIME | (~w->set & MOUNT_ATTR_NODIRATIME);
		want = c.set & times; /* MOUNT_ATTR_RELATIME is 0 */
		if (locked && want != (have & times))
			c.clear |= UINT64_C(1) << 63;
	}
	if ((locked && (w->clear & have & LOCKED)) || c.clear >> 63)
		return err_set(e, ERR_DENIED, EPERM,
			       "unable to start container process: error during container init: "
			       "error mounting to rootfs at \"%.100s\": options that the source "
			       "does not have cannot be set for a user namespace: operation not "
			       "permitted",
			       pm->destination);
	*ret_c = c;
	return 0;
}

int plan_idmap(const struct plan_mount *pm, int tree_fd, struct err *e)
{
	struct mount_change map = { .set = MOUNT_ATTR_IDMAP, .userns_fd = pm->idmap_fd };
	int r = mount_change(tree_fd, "", pm->words.idmap_rec, &map);

	return r < 0 ? err_sys(e, -r, "mount at '%.100s': its file system cannot be idmapped",
			       pm->destination)
		     : 0;
}

bool plan_idmap_asked(const struct plan *p, const struct plan_mount *pm)
{
	return p->answers && (p->new_user || p->join_user) && pm->late_source && pm->idmap_fd >= 0;
}

int plan_bind_ready(const struct plan *p, const struct plan_mount *pm, struct err *e)
{
	const struct spec_mount *m = pm->spec;
	const struct mount_words *w = &pm->words;
	struct mount_change own, rec = { .set = w->rec_set, .clear = w->rec_clear };
	struct mount_change base = { .propagation = default_propagation(p->spec) };
	struct mount_change asked = { .propagation = w->propagation };
	int r = bind_change(p, pm, &own, e);

	if (r < 0)
		return r;
	if (w->idmap && p->late)
		return err_set(e, ERR_UNSUPPORTED, EPERM,
			       "mount at '%.100s': idmapped mounts of the host's file systems need "
			       "root",
			       m->destination);
	if (sysfs_read_only(p, pm))
		rec.set |= MOUNT_ATTR_RDONLY;
	if (pm->idmap_fd >= 0 && !plan_idmap_asked(p, pm)) {
		r = plan_idmap(pm, pm->tree_fd, e);
		if (r < 0)
			return r;
	}
	/* What is asked for the whole clone is done to what the source is, a peer of the host's or
	 * not: "rshared" after a step that made it private would be shared with nobody. */
	bool users = p->new_user || p->join_user;
	bool whole = !users && asked.propagation && (w->propagation_rec || !w->rec_bind);

	/* The root of a user namespace mounts as it likes: never to be seen by the host. */
	if (users && base.propagation == MS_SHARED)
		base.propagation = MS_SLAVE;
	if (base.propagation != MS_SHARED && !whole)
		r = mount_change(pm->tree_fd, "", true, &base);
	if (r == 0 && asked.propagation && (whole || asked.propagation != base.propagation))
		r = mount_change(pm->tree_fd, "", w->propagation_rec, &asked);
	if (r == 0 && (rec.set || rec.clear))
		r = mount_change(pm->tree_fd, "", true, &rec);
	if (r == 0 && (own.set || own.clear))
		r = mount_change(pm->tree_fd, "", false, &own);
	if (r == -EINVAL && (own.clear & MOUNT_ATTR_NOSYMFOLLOW)) { /* Linux 5.14 has it */
		own.clear &= ~(uint64_t) MOUNT_ATTR_NOSYMFOLLOW;
		r = mount_change(pm->tree_fd, "", false, &own);
	}
	return r < 0 ? err_sys(e, -r, "mount at '%.100s': attributes", pm->destination) : 0;
}

/* `copy-symlink`: a source that is a link becomes the same link in the container. */
static int plan_link(struct plan *p, int from, const struct spec_mount *m, struct plan_mount *pm,
		     struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, m->source, target, sizeof(target) - 1);

	if (n < 0)
		return 0; /* no link: an ordinary bind */
	target[n] = '\0';
	pm->link_target = arena_strdup(p->a, target);
	return pm->link_target ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* The rest of `path` below `dir`, or NULL. */
static const char *below(const char *dir, const char *path)
{
	size_t n = dir ? strlen(dir) : 0;

	return n > 1 && strncmp(path, dir, n) == 0 && path[n] == '/' ? path + n : NULL;
}

static int plan_bind(struct plan *p, const struct bundle *b, const struct spec_mount *m,
		     struct plan_mount *pm, struct err *e)
{
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	auto_fd int at = FD_NONE;
	struct stat st;
	int r = 0;

	pm->kind = PLAN_MOUNT_BIND;
	if (!m->source || !m->source[0])
		return err_set(e, ERR_INVALID, EINVAL, "mount at '%.100s': a bind without a source",
			       m->destination);
	for (size_t i = 0; i < m->options_n && !pm->link_target; i++) {
		if (streq(m->options[i], "copy-symlink"))
			r = plan_link(p, from, m, pm, e);
	}
	if (r < 0 || pm->link_target)
		return r;
	if (p->late) {
		pm->source = absolute(p, b, m->source);
		return pm->source ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	if (pm->words.idmap) {
		pm->idmap_fd = plan_own(p, id_holder(p, m, e));
		if (pm->idmap_fd < 0)
			return pm->idmap_fd;
	}
	/* What is mounted before may be part of it: looked up when that is there. */
	pm->late_source = below(p->host_root, m->source);
	if (pm->late_source)
		return 0;
	at = openat(from, m->source,
		    O_PATH | O_CLOEXEC | (pm->words.src_nofollow ? O_NOFOLLOW : 0));
	if (at < 0)
		return err_sys(e, errno, "mount source '%.200s' (for '%.100s')", m->source,
			       m->destination);
	if (fstat(at, &st) < 0)
		return err_sys(e, errno, "mount source '%.200s'", m->source);
	pm->source_is_dir = S_ISDIR(st.st_mode);
	pm->tree_fd = plan_own(p, mount_clone(at, "", pm->words.rec_bind));
	if (pm->tree_fd < 0)
		return err_sys(e, -pm->tree_fd, "mount source '%.200s' (for '%.100s')", m->source,
			       m->destination);
	return plan_bind_ready(p, pm, e);
}

int plan_cgroup_ready(const struct plan_mount *pm, const struct plan_cgroup *pc, struct err *e)
{
	struct mount_change c = { .set = pm->words.set | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					 MOUNT_ATTR_NOEXEC,
				  .clear = pm->words.clear,
				  .propagation = MS_PRIVATE };
	int r;

	if (pc->only_to_look) {
		c.set |= MOUNT_ATTR_RDONLY;
		c.clear &= ~(uint64_t) MOUNT_ATTR_RDONLY;
	}
	r = mount_change(pc->tree_fd, "", true, &c);
	return r < 0 ? err_sys(e, -r, "mount at '%.100s': cgroup %s", pm->destination, pc->name)
		     : 0;
}

void plan_cgroups_done(const struct plan *p, struct plan_mount *pm)
{
	const struct groups *g = p->groups;

	/* One unified hierarchy is mounted itself, without a tmpfs around it. */
	if (g->n == 1 && g->at[0].unified && pm->cgroups_n == 1) {
		pm->kind = PLAN_MOUNT_BIND;
		pm->source_is_dir = true;
		pm->tree_fd = pm->cgroups[0].tree_fd;
	}
}

/* Options of the whole hierarchy stay what the host gave it; what is none of them is refused. */
static int check_unified(const struct plan_mount *pm, struct err *e)
{
	static const char *const known[] = { "nsdelegate",
					     "favordynmods",
					     "memory_localevents",
					     "memory_recursiveprot",
					     "memory_hugetlb_accounting",
					     "pids_localevents" };

	for (size_t i = 0; i < pm->words.data_n; i++) {
		bool found = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found = found || streq(pm->words.data[i].key, known[k]);
		if (!found)
			return err_set(e, ERR_INVALID, EINVAL,
				       "mount at '%.100s': option '%.60s' of cgroup2: Invalid "
				       "argument",
				       pm->destination, pm->words.data[i].key);
	}
	return 0;
}

/*
 * A descriptor that was opened before its process went to another mount namespace (cgroups that a
 * shim prepared) cannot be cloned there: then the same directory by its path.
 */
static int clone_group(const struct groups *g, size_t i, int dir, bool callers)
{
	int r = mount_clone(dir, "", false);
	auto_fd int again = FD_NONE;
	char path[PATH_MAX];
	struct stat a, b;

	if (r != -EINVAL)
		return r;
	(void) snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", g->layout.at[i].dir,
			callers ? g->layout.at[i].own : g->at[i].path);
	again = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (again < 0 || fstat(dir, &a) < 0 || fstat(again, &b) < 0 || a.st_dev != b.st_dev ||
	    a.st_ino != b.st_ino)
		return r;
	return mount_clone(again, "", false);
}

/*
 * The container's own cgroup in every hierarchy. A clone of its directory serves with and without
 * a cgroup namespace: in a new one that directory is the root. Where it has none, the caller's
 * own, in which it is, to look at.
 */
static int cgroup_sources(struct plan *p, struct plan_mount *pm, struct err *e)
{
	const struct groups *g = p->groups;

	for (size_t i = 0; i < g->n; i++) {
		struct plan_cgroup *pc = &pm->cgroups[pm->cgroups_n];
		auto_fd int own = FD_NONE;
		int dir = g->at[i].dir_fd, r;

		if (dir < 0)
			dir = own = cgroup_open(&g->layout.at[i], g->layout.at[i].own);
		if (dir < 0)
			continue;
		*pc = (struct plan_cgroup){ .name = g->layout.at[i].dir,
					    .tree_fd = FD_NONE,
					    .place = i,
					    .only_to_look = own >= 0 };
		pm->cgroups_n++;
		if (p->late) {
			pc->path = plan_path_of(p, dir);
			if (!pc->path)
				return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
			continue;
		}
		pc->tree_fd = plan_own(p, clone_group(g, i, dir, own >= 0));
		r = pc->tree_fd < 0 ? err_sys(e, -pc->tree_fd, "mount at '%.100s': cgroup %s",
					      pm->destination, pc->name)
				    : plan_cgroup_ready(pm, pc, e);
		if (r < 0)
			return r;
	}
	if (!p->late)
		plan_cgroups_done(p, pm);
	return 0;
}

static int plan_cgroup_mount(struct plan *p, const struct spec_mount *m, struct plan_mount *pm,
			     struct err *e)
{
	const struct groups *g = p->groups;

	pm->kind = PLAN_MOUNT_CGROUP;
	if (!g || g->n == 0)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "mount at '%.100s': there are no control groups to mount",
			       m->destination);
	if (g->n == 1 && g->at[0].unified) {
		int r = check_unified(pm, e);

		if (r < 0)
			return r;
	}
	pm->cgroups = arena_array(p->a, g->n, sizeof(*pm->cgroups));
	if (!pm->cgroups)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	/* A unified one alone is there from the beginning, and becomes another kind of mount. */
	return p->groups_due && !(g->n == 1 && g->at[0].unified) ? 0 : cgroup_sources(p, pm, e);
}

int plan_cgroups(struct plan *p, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < p->mounts_n && r == 0; i++) {
		if (p->mounts[i].kind == PLAN_MOUNT_CGROUP && p->mounts[i].cgroups_n == 0)
			r = cgroup_sources(p, &p->mounts[i], e);
	}
	return r;
}

/*
 * linux.mountLabel: all files of a new file system have that label, unless the kernel gives its own
 * kinds theirs. By which option is for crun's annotation to say. An mqueue is made with its ipc
 * namespace: it takes no option, but its root a label; what its queues have is the policy's.
 */
static void add_label(const struct plan *p, struct plan_mount *pm)
{
	static const char *const own[] = { "proc", "sysfs" };
	const char *label = p->spec->linux_.mount_label;
	const char *kind = spec_annotation(p->spec, "run.oci.mount_context_type");

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (streq(pm->fstype, own[i]))
			return;
	}
	if (!label || !label[0])
		return;
	pm->label = label;
	pm->relabel = streq(pm->fstype, "mqueue");
	if (pm->relabel && !(p->all_flags & CLONE_NEWIPC))
		pm->label = NULL; /* the caller's own */
	else if (!pm->relabel)
		pm->words.data[pm->words.data_n++] = (struct mount_option){
			.key = kind && kind[0] ? kind : "context", .value = label, .fd = FD_NONE
		};
}

static int plan_mount(struct plan *p, const struct bundle *b, const struct spec_mount *m,
		      struct plan_mount *pm, struct err *e)
{
	int r = mount_words_parse(p->a, m, &pm->words, e);

	if (r < 0)
		return r;
	/* Callers of runc also name it by its place on the host. */
	pm->destination = below(p->host_root, m->destination);
	if (!pm->destination)
		pm->destination = m->destination;
	pm->idmap_fd = pm->ahead_fd = FD_NONE;
	pm->fstype = m->type ? m->type : "bind";
	pm->tree_fd = FD_NONE;
	pm->spec = m;
	if (pm->words.bind)
		return plan_bind(p, b, m, pm, e);
	if (streq(pm->fstype, "cgroup") || streq(pm->fstype, "cgroup2"))
		return plan_cgroup_mount(p, m, pm, e);
	pm->kind = PLAN_MOUNT_NEW;
	add_label(p, pm);
	/* The name shown in mountinfo; file systems with a real source need it. */
	if (m->source && m->source[0]) {
		pm->words.data[pm->words.data_n++] =
			(struct mount_option){ .key = "source", .value = m->source, .fd = FD_NONE };
	}
	return 0;
}

static bool is_dev(const char *destination)
{
	return streq(destination, "/dev") || streq(destination, "/dev/");
}

int plan_mounts(struct plan *p, const struct bundle *b, struct err *e)
{
	const struct spec *s = b->spec;

	p->mounts = arena_array(p->a, s->mounts_n + 1, sizeof(*p->mounts));
	if (!p->mounts)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	p->make_dev = true;
	if (b->root_fd < 0 && s->root && s->root->path[0] == '/')
		p->host_root = s->root->path;
	else if (b->root_fd < 0 && s->root && b->bundle_path)
		p->host_root = arena_printf(p->a, "%s/%s", b->bundle_path, s->root->path);
	for (size_t i = 0; i < s->mounts_n; i++) {
		int r = plan_mount(p, b, &s->mounts[i], &p->mounts[i], e);

		if (r < 0)
			return r;
		if (p->mounts[i].kind == PLAN_MOUNT_BIND && is_dev(s->mounts[i].destination))
			p->make_dev = false;
	}
	p->mounts_n = s->mounts_n;
	p->bind_devices = p->new_user || p->join_user;
	return 0;
}
