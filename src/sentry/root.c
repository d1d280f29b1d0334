/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/root.h"

#include <string.h>

#include "base/num.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/mqueue.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/sysfs.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"
#include "proto/sentry.h"
#include "sentry/copyup.h"
#include "sentry/place.h"
#include "sentry/settings.h"

/* How long what is known of a share's names and attributes is taken for true. */
#define VALID_ROOT (4 * NSEC_PER_SEC)
#define VALID_BIND NSEC_PER_SEC

struct making {
	const struct path *root;
	const struct root_files *files;
	bool console; /* a terminal will stand on /dev/console */
	struct err *e;
};

static int fail(const struct making *m, int r, const char *what, const char *path)
{
	return err_sys(m->e, -r, "%s '%s'", what, path);
}

static struct walk from_root(const struct making *m)
{
	return (struct walk){ .root = m->root, .start = m->root, .who = &place_root };
}

/* ---- how ---- */

struct wish {
	unsigned int flags; /* MNT_* */
	bool copy_up;
	struct memfs_options tmpfs;
	struct devpts_options devpts;
};

static const struct {
	const char *name;
	unsigned int set, clear;
} flags[] = {
	{ "ro", MNT_READONLY, 0 },
	{ "rw", 0, MNT_READONLY },
	{ "nosuid", MNT_NOSUID, 0 },
	{ "suid", 0, MNT_NOSUID },
	{ "nodev", MNT_NODEV, 0 },
	{ "dev", 0, MNT_NODEV },
	{ "noexec", MNT_NOEXEC, 0 },
	{ "exec", 0, MNT_NOEXEC },
	{ "noatime", MNT_NOATIME, 0 },
	{ "atime", 0, MNT_NOATIME },
	{ "nodiratime", MNT_NODIRATIME, 0 },
	{ "diratime", 0, MNT_NODIRATIME },
	{ "nosymfollow", MNT_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, MNT_NOSYMFOLLOW },
	{ "rro", MNT_READONLY, 0 },
	{ "rnosuid", MNT_NOSUID, 0 },
	{ "rnodev", MNT_NODEV, 0 },
	{ "rnoexec", MNT_NOEXEC, 0 },
	{ "rnoatime", MNT_NOATIME, 0 },
	/* What is so anyway. */
	{ "defaults", 0, 0 },
	{ "async", 0, 0 },
	{ "relatime", 0, 0 },
	{ "strictatime", 0, 0 },
	{ "silent", 0, 0 },
	{ "newinstance", 0, 0 },
	{ "notmpcopyup", 0, 0 },
	/* There is one space of mounts: nothing comes from another one, or goes there. */
	{ "private", 0, 0 },
	{ "rprivate", 0, 0 },
	{ "slave", 0, 0 },
	{ "rslave", 0, 0 },
	{ "shared", 0, 0 },
	{ "rshared", 0, 0 },
};

static bool flag_option(const char *option, struct wish *w)
{
	for (size_t n = 0; n < countof(flags); n++) {
		if (strcmp(option, flags[n].name) != 0)
			continue;
		w->flags = (w->flags | flags[n].set) & ~flags[n].clear;
		return true;
	}
	return false;
}

/* -ENOENT: not one of tmpfs. */
static int tmpfs_option(const char *option, struct str key, struct wish *w)
{
	static const char *const own[] = { "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid" };
	int r;

	if (str_is(key, "tmpcopyup")) {
		w->copy_up = true;
		return 0;
	}
	r = memfs_parse(option, &w->tmpfs);
	for (size_t n = 0; n < countof(own); n++) {
		if (str_is(key, own[n]))
			return r;
	}
	return r < 0 ? -ENOENT : 0;
}

static int devpts_option(struct str key, struct str value, struct devpts_options *o)
{
	if (str_is(key, "mode"))
		return num_parse_octal(value, 0777, &o->mode);
	if (str_is(key, "ptmxmode"))
		return num_parse_octal(value, 0777, &o->ptmx_mode);
	if (str_is(key, "gid"))
		return num_parse_u32(value, 0, UINT32_MAX - 1, &o->gid);
	return -ENOENT;
}

/* -ENOENT: not one of proc: everybody sees all processes. */
static int proc_option(struct str key, struct str value)
{
	if (str_is(key, "hidepid") && value.p)
		return str_is(value, "0") || str_is(value, "off") ? 0 : -ENOENT;
	return -ENOENT;
}

enum type { TYPE_TMPFS, TYPE_PROC, TYPE_SYSFS, TYPE_DEVPTS, TYPE_CGROUP, TYPE_MQUEUE };

static const struct {
	const char *name;
	enum type type;
} types[] = {
	{ "tmpfs", TYPE_TMPFS },   { "proc", TYPE_PROC },     { "sysfs", TYPE_SYSFS },
	{ "devpts", TYPE_DEVPTS }, { "cgroup", TYPE_CGROUP }, { "cgroup2", TYPE_CGROUP },
	{ "mqueue", TYPE_MQUEUE },
};

static int parse_options(const struct making *m, const struct spec_mount *s, enum type type,
			 struct wish *w)
{
	for (size_t n = 0; n < s->options_n; n++) {
		struct str value, key = str_cut(str_of(s->options[n]), '=', &value);
		int r = -ENOENT;

		if (flag_option(s->options[n], w))
			continue;
		if (type == TYPE_TMPFS)
			r = tmpfs_option(s->options[n], key, w);
		else if (type == TYPE_DEVPTS && value.p)
			r = devpts_option(key, value, &w->devpts);
		else if (type == TYPE_PROC)
			r = proc_option(key, value);
		if (r == -ENOENT)
			return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "config.json: mount '%s': a sandbox has no option '%s'",
				       s->destination, s->options[n]);
		if (r < 0)
			return err_set(m->e, ERR_INVALID, EINVAL,
				       "config.json: mount '%s': option '%s' cannot be",
				       s->destination, s->options[n]);
	}
	return 0;
}

static struct super *super_of(enum type type, const struct wish *w)
{
	switch (type) {
	case TYPE_TMPFS:
		return memfs_new(&w->tmpfs);
	case TYPE_PROC:
		return proc_new();
	case TYPE_SYSFS:
		return sysfs_new();
	case TYPE_DEVPTS:
		return devpts_new(&w->devpts);
	case TYPE_CGROUP:
		return cgroupfs_new();
	case TYPE_MQUEUE:
		return mqueue_super();
	}
	return NULL;
}

/* ---- mounts ---- */

/* A space of its own for as long as it is filled. */
static int fill_from(const struct path *from, struct super *s)
{
	struct mount_space *space = mount_space_new(s, 0, "tmpfs");
	int r = -ENOMEM;

	if (space) {
		r = copyup(from, &(struct path){ space->root, space->root->root });
		mount_space_unref(space);
	}
	return r;
}

static int put_on(const struct making *m, const char *destination, struct super *s,
		  const char *source, bool copy_up, struct mount **ret)
{
	struct path at = {};
	int r = s ? place_make(m->root, destination, &at) : -ENOMEM;

	if (r == 0 && copy_up)
		r = fill_from(&at, s);
	if (r == 0)
		r = mount_add(&at, s->root, 0, source, ret);
	path_unref(&at);
	if (s)
		super_leave(s);
	return r < 0 ? fail(m, r, "config.json: mount on", destination) : 0;
}

/* What every container finds in /dev. */
static int fill_dev(const struct making *m)
{
	struct walk w = from_root(m);
	struct path at;
	int r = walk(&w, "/dev", WALK_FOLLOW | WALK_DIRECTORY, &at);

	if (r == 0) {
		r = devices_fill(&at, &place_root);
		if (r == 0 && m->console)
			r = names_create(&w, "/dev/console", S_IFREG | 0600, 0, NULL);
		path_unref(&at);
	}
	return r < 0 ? fail(m, r, "make devices in", "/dev") : 0;
}

/* ---- shares that are bound ---- */

static bool is_bind(const struct spec_mount *s)
{
	bool told = s->type && strcmp(s->type, "bind") == 0;

	for (size_t n = 0; n < s->options_n; n++)
		told = told || strcmp(s->options[n], "bind") == 0 ||
		       strcmp(s->options[n], "rbind") == 0;
	return told;
}

/* Where a file is to be mounted: one, in directories that are made, too. */
static int file_place(const struct making *m, const char *destination, struct path *ret)
{
	const char *last = strrchr(destination, '/');
	struct walk w = from_root(m);
	char dir[PATH_ROOM];
	struct path at;
	size_t len = last ? (size_t) (last - destination) : 0;
	int r = walk(&w, destination, WALK_FOLLOW, ret);

	if (r != -ENOENT)
		return r;
	if (!last || len >= sizeof(dir))
		return -EINVAL;
	memcpy(dir, destination, len);
	dir[len] = '\0';
	r = place_make(m->root, len ? dir : "/", &at);
	if (r < 0)
		return r;
	path_unref(&at);
	r = names_create(&w, destination, S_IFREG | 0644, 0, NULL);
	return r < 0 ? r : walk(&w, destination, WALK_FOLLOW, ret);
}

/* rbind: a share has no mounts of its own to leave out. */
static int bind_options(const struct making *m, const struct spec_mount *s, struct wish *w)
{
	for (size_t n = 0; n < s->options_n; n++) {
		const char *option = s->options[n];

		if (strcmp(option, "bind") == 0 || strcmp(option, "rbind") == 0 ||
		    flag_option(option, w))
			continue;
		return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: mount '%s': a sandbox's bind has no option '%s'",
			       s->destination, option);
	}
	return 0;
}

static int open_share(const struct making *m, const struct fuse_share *share, struct super **ret)
{
	int r;

	if (!m->files->gofer)
		return err_set(m->e, ERR_INVALID, EINVAL,
			       "share '%s': there is no --gofer to ask for it", share->name);
	r = fuse_new(m->files->gofer, share, ret);
	if (r == -ENOENT)
		return err_set(m->e, ERR_NOT_FOUND, ENOENT, "the gofer has no share '%s'",
			       share->name);
	return r < 0 ? err_sys(m->e, -r, "open the share '%s'", share->name) : 0;
}

static int add_bind(const struct making *m, const struct spec_mount *s, size_t number)
{
	struct fuse_share share = { .valid = VALID_BIND };
	const struct root_files *f = m->files;
	struct wish w = {};
	struct path at = {};
	struct super *super;
	int r;

	for (size_t n = 0; n < f->binds_n; n++)
		if (f->binds[n].mount == number)
			share.name = f->binds[n].share;
	if (!share.name)
		return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: mount '%s': no --bind names the share that is bound",
			       s->destination);
	if (s->uid_maps_n || s->gid_maps_n)
		return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: mount '%s': a sandbox has no mapped mounts",
			       s->destination);
	r = bind_options(m, s, &w);
	if (r == 0)
		r = open_share(m, &share, &super);
	if (r < 0)
		return r;
	r = inode_is(super->root->inode, S_IFDIR) ? place_make(m->root, s->destination, &at)
						  : file_place(m, s->destination, &at);
	if (r == 0)
		r = mount_add(&at, super->root, w.flags, share.name, NULL);
	path_unref(&at);
	super_leave(super);
	return r < 0 ? fail(m, r, "config.json: bind on", s->destination) : 0;
}

/* The pod's. */
static int add_shm(const struct making *m, const struct spec_mount *s)
{
	struct path at = {};
	struct wish w = {};
	int r = m->files->shm ? bind_options(m, s, &w) : -ENOENT;

	if (r < 0)
		return m->files->shm ? r : fail(m, r, "config.json: mount on", s->destination);
	r = place_make(m->root, s->destination, &at);
	if (r == 0)
		r = mount_add(&at, m->files->shm->dentry, w.flags, "shm", NULL);
	path_unref(&at);
	return r < 0 ? fail(m, r, "config.json: mount on", s->destination) : 0;
}

static int add_mount(const struct making *m, const struct spec_mount *s, size_t number)
{
	struct wish w = { .tmpfs.mode = 01777, .devpts = { .mode = 0600, .ptmx_mode = 0666 } };
	bool dev = strcmp(s->destination, "/dev") == 0;
	struct mount *mount = NULL;
	size_t n = 0;
	int r;

	while (n < countof(types) && (!s->type || strcmp(s->type, types[n].name) != 0))
		n++;
	if (is_bind(s))
		return add_bind(m, s, number);
	if (s->type && strcmp(s->type, SENTRY_POD_SHM) == 0)
		return add_shm(m, s);
	if (n == countof(types))
		return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: mount '%s': a sandbox has no mounts of type '%s'",
			       s->destination, s->type ? s->type : "none");
	if (s->uid_maps_n || s->gid_maps_n)
		return err_set(m->e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: mount '%s': a sandbox has no mapped mounts",
			       s->destination);
	r = parse_options(m, s, types[n].type, &w);
	if (r == 0)
		r = put_on(m, s->destination, super_of(types[n].type, &w),
			   s->source ? s->source : types[n].name, w.copy_up, &mount);
	if (r == 0 && dev && types[n].type == TYPE_TMPFS)
		r = fill_dev(m);
	/* Filled first, read-only then. */
	if (r == 0)
		mount->flags = w.flags;
	return r;
}

/* ---- paths that are less than they were ---- */

static int read_only(const struct making *m, const char *path)
{
	struct walk w = from_root(m);
	struct path at;
	int r = walk(&w, path, WALK_FOLLOW, &at);

	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		r = mount_add(&at, at.dentry, at.mount->flags | MNT_READONLY, path, NULL);
		path_unref(&at);
	}
	return r < 0 ? fail(m, r, "config.json: make read-only", path) : 0;
}

/* Over a directory an empty one, over a file one like /dev/null. */
static int mask(const struct making *m, const char *path)
{
	struct walk w = from_root(m);
	struct path at, null = {};
	struct super *empty = NULL;
	int r = walk(&w, path, WALK_FOLLOW, &at);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fail(m, r, "config.json: mask", path);
	if (inode_is(at.dentry->inode, S_IFDIR)) {
		empty = memfs_new(&(struct memfs_options){ .mode = 0755 });
		r = empty ? mount_add(&at, empty->root, MNT_READONLY, "tmpfs", NULL) : -ENOMEM;
	} else {
		r = walk(&w, "/dev/null", WALK_FOLLOW, &null);
		if (r == 0)
			r = mount_add(&at, null.dentry, MNT_READONLY, "tmpfs", NULL);
	}
	if (empty)
		super_leave(empty);
	path_unref(&null);
	path_unref(&at);
	return r < 0 ? fail(m, r, "config.json: mask", path) : 0;
}

static int restrict_paths(const struct making *m, const struct spec *s)
{
	const struct spec_linux *l = &s->linux_;
	int r = 0;

	for (size_t n = 0; r == 0 && n < l->readonly_paths_n; n++)
		r = read_only(m, l->readonly_paths[n]);
	for (size_t n = 0; r == 0 && n < l->masked_paths_n; n++)
		r = mask(m, l->masked_paths[n]);
	return r;
}

/* ---- all of it ---- */

static int add_mounts(const struct making *m, const struct spec *s)
{
	static const char *options[] = { "nosuid", "mode=755" };
	static const struct spec_mount plain_dev = { .destination = "/dev",
						     .type = "tmpfs",
						     .options = options,
						     .options_n = countof(options) };
	bool dev = false;
	int r = 0;

	for (size_t n = 0; n < s->mounts_n; n++)
		dev = dev || strcmp(s->mounts[n].destination, "/dev") == 0;
	if (!dev)
		r = add_mount(m, &plain_dev, SIZE_MAX);
	for (size_t n = 0; r == 0 && n < s->mounts_n; n++)
		r = add_mount(m, &s->mounts[n], n);
	return r;
}

static int open_image(struct erofs_source *image, struct super **ret, struct err *e)
{
	int r = erofs_new(image, ret);

	if (r == -EINVAL || r == -EUCLEAN)
		return err_set(e, ERR_INVALID, -r, "--root: %s",
			       r == -EINVAL ? "this is no EROFS image" : "the image is damaged");
	if (r == -EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--root: the image has features that a sandbox does not read");
	return r < 0 ? err_sys(e, -r, "--root: read the image") : 0;
}

/* Nothing of an image is ever written to: a tmpfs is over it. */
static int over_image(const struct making *m, struct super **ret)
{
	struct super *lower;
	int r = open_image(m->files->image, &lower, m->e);

	if (r < 0)
		return r;
	*ret = memfs_new(&(struct memfs_options){ .below = lower->root->inode });
	super_leave(lower);
	return *ret ? 0 : err_set(m->e, ERR_EXHAUSTED, ENOMEM, "no memory for the root's files");
}

static int of_share(const struct making *m, struct super **ret)
{
	const struct fuse_share share = { .name = m->files->share,
					  .valid = VALID_ROOT,
					  .own = true };
	int r = open_share(m, &share, ret);

	if (r == 0 && !inode_is((*ret)->root->inode, S_IFDIR)) {
		super_leave(*ret);
		r = err_set(m->e, ERR_INVALID, ENOTDIR, "--root: the share '%s' is no directory",
			    share.name);
	}
	return r;
}

/* What binds are named for. */
static int check_binds(const struct making *m, const struct spec *s)
{
	const struct root_files *f = m->files;

	for (size_t n = 0; n < f->binds_n; n++)
		if (f->binds[n].mount >= s->mounts_n || !is_bind(&s->mounts[f->binds[n].mount]))
			return err_set(m->e, ERR_INVALID, EINVAL,
				       "--bind %u=%s: mount number %u of config.json is no bind",
				       f->binds[n].mount, f->binds[n].share, f->binds[n].mount);
	return 0;
}

int root_make(const struct spec *s, const struct root_files *files, struct mount_space **ret_space,
	      struct path *ret_root, struct err *e)
{
	struct making m = {
		.root = ret_root, .files = files, .console = s->process->terminal, .e = e
	};
	struct mount_space *space;
	struct super *root;
	int r = check_binds(&m, s);

	if (r == 0)
		r = files->image ? over_image(&m, &root) : of_share(&m, &root);
	if (r < 0)
		return r;
	space = mount_space_new(root, 0, files->image ? "overlay" : files->share);
	super_leave(root);
	if (!space)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the root's files");
	*ret_root = (struct path){ space->root, space->root->root };
	path_ref(ret_root);
	r = settings_sysctl(s, e);
	if (r == 0)
		r = add_mounts(&m, s);
	if (r == 0)
		r = settings_devices(s, ret_root, e);
	if (r == 0)
		r = restrict_paths(&m, s);
	/* With all mount points in it. */
	if (r == 0 && s->root && s->root->readonly)
		space->root->flags |= MNT_READONLY;
	if (r < 0) {
		path_unref(ret_root);
		mount_space_unref(space);
		return r;
	}
	*ret_space = space;
	return 0;
}
