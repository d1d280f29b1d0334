/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/state.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "engine/host.h"
#include "fmt/spec.h"

#define ID_MAX	     128
#define STATE_FILE   "status"
#define STATE_MAX    (1u << 20) /* without the spec */
#define LOCK_WAIT    (60 * NSEC_PER_SEC)
#define LOCK_NAP     (2 * NSEC_PER_MSEC)
#define REMOVE_DEPTH 8

int container_check_id(const char *id, struct err *e)
{
	size_t n = strlen(id);

	if (n == 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid container ID format: it cannot be empty");
	if (n > ID_MAX)
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid container ID format: '%.32s...': longer than %d bytes", id,
			       ID_MAX);
	for (size_t i = 0; i < n; i++) {
		char c = id[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '+' || c == '-' || c == '.'))
			return err_set(
				e, ERR_INVALID, EINVAL,
				"invalid container ID format: '%s': invalid character '%c': "
				"only letters, digits, '_', '+', '-' and '.' may stand in it",
				id, c < ' ' || c > '~' ? '?' : c);
	}
	if (id[0] == '.')
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid container ID format: '%s' begins with a dot", id);
	return 0;
}

/*
 * A user's own directory may stand where others can write (/tmp): what somebody else put there,
 * or may write to, is not taken.
 */
static int check_private(const struct runtime *rt, int fd, struct err *e)
{
	struct stat st;

	if (!rt->root_private)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "the state directory '%s'", rt->root);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(e, ERR_DENIED, EPERM,
			       "the state directory '%s' is not safe: it belongs to user %u and "
			       "has mode %o; set XDG_RUNTIME_DIR or give --root",
			       rt->root, st.st_uid, st.st_mode & 07777);
	return 0;
}

/* ROOT, made when it is missing and `make`. */
static int open_root(struct runtime *rt, bool make, struct err *e)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (rt->root_private ? O_NOFOLLOW : 0);
	int fd = open(rt->root, flags);

	if (fd < 0 && errno == ENOENT && make) {
		int r = dir_make_all(rt->root, rt->root_private ? 0700 : 0711);

		if (r < 0)
			return err_sys(e, -r, "make the state directory '%s' (--root)", rt->root);
		fd = open(rt->root, flags);
		/* Whoever cleans up old files in there leaves what is sticky alone (XDG base
		 * directory specification). */
		if (fd >= 0 && rt->root_private)
			(void) fchmod(fd, 0700 | S_ISVTX);
	}
	if (fd < 0)
		return err_sys(e, errno, "open the state directory '%s' (--root)", rt->root);
	if (check_private(rt, fd, e) < 0) {
		close_fd(&fd);
		errno = EPERM;
		return -EPERM;
	}
	return fd;
}

static int missing(const char *id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, ENOENT, "container does not exist: '%s'", id);
}

/* Whether the directory we hold is still the one of that name, or was deleted meanwhile. */
static bool still_there(int root_fd, const char *id, int dir_fd)
{
	struct stat held, now;

	return fstat(dir_fd, &held) == 0 && fstatat(root_fd, id, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_ino == now.st_ino && held.st_dev == now.st_dev;
}

static int lock(int dir_fd, const char *id, struct err *e)
{
	nsec_t deadline = clock_deadline(LOCK_WAIT);
	struct timespec nap = { .tv_nsec = LOCK_NAP };

	while (flock(dir_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock the state of container '%s'", id);
		if (clock_mono() >= deadline)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "container '%s' is being changed by another process that "
				       "does not end",
				       id);
		(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
	return 0;
}

static const char *owner_name(struct arena *a)
{
	if (geteuid() == 0) /* the usual one, without reading the user database */
		return "root";
	/* The file itself: a static program cannot load the libraries of other databases. */
	auto_file FILE *f = fopen("/etc/passwd", "re");

	for (struct passwd *pw; f && (pw = fgetpwent(f));) {
		if (pw->pw_uid == geteuid())
			return arena_strdup(a, pw->pw_name);
	}
	return arena_printf(a, "%u", geteuid());
}

static void write_state(struct buf *out, const struct container *c)
{
	struct json_writer w = JSON_WRITER(out);
	char created[CLOCK_RFC3339_MAX];

	clock_rfc3339(c->created, created);
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", c->oci_version);
	json_w_string(&w, "id", c->id);
	json_w_string(&w, "bundle", c->bundle);
	json_w_string(&w, "rootfs", c->rootfs);
	json_w_string(&w, "engine", c->engine);
	json_w_string(&w, "owner", c->owner);
	json_w_string(&w, "created", created);
	if (c->annotations)
		json_w_value(&w, "annotations", c->annotations);
	json_w_end(&w);
}

static int put(int dir_fd, const char *name, struct str text)
{
	auto_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
				0600);

	return fd < 0 ? -errno : fd_write_all(fd, text.p, text.n);
}

static int remove_tree(int parent_fd, const char *name, unsigned depth)
{
	auto_dir DIR *d = dir_open(parent_fd, name);

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *de; (de = dir_next(d));) {
		if (unlinkat(dirfd(d), de->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if ((errno != EISDIR && errno != EPERM) || depth == 0)
			return -errno;
		int r = remove_tree(dirfd(d), de->d_name, depth - 1);

		if (r < 0)
			return r;
	}
	return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int container_new(struct runtime *rt, const char *id, const char *bundle, const char *engine,
		  const struct spec *s, const struct json *config, struct str config_text,
		  struct container *ret_c, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	auto_buf struct buf text = BUF_INIT(STATE_MAX + JSON_TEXT_MAX);
	int r = container_check_id(id, e);

	if (r < 0)
		return r;
	auto_fd int root = open_root(rt, true, e);

	if (root < 0)
		return root;
	if (mkdirat(root, id, 0700) < 0)
		return errno == EEXIST ? err_set(e, ERR_CONFLICT, EEXIST,
						 "container with given ID already exists: '%s' in "
						 "'%s'",
						 id, rt->root)
				       : err_sys(e, errno, "make '%s/%s'", rt->root, id);
	c.dir_fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = c.dir_fd < 0 ? err_sys(e, errno, "open '%s/%s'", rt->root, id) : lock(c.dir_fd, id, e);
	if (r == 0 && !still_there(root, id, c.dir_fd))
		r = err_set(e, ERR_CONFLICT, EBUSY,
			    "container '%s' was deleted while it was created", id);
	if (r < 0) {
		/* Nothing is in it yet: another's of that name would not be empty. */
		(void) unlinkat(root, id, AT_REMOVEDIR);
		return r;
	}
	c.id = id;
	c.bundle = bundle;
	c.engine = engine;
	c.oci_version = s->oci_version;
	c.created = clock_wall();
	c.owner = owner_name(rt->arena);
	c.annotations = json_get(config, "annotations");
	c.rootfs = !s->root ? ""
		   : s->root->path[0] == '/'
			   ? s->root->path
			   : arena_printf(rt->arena, "%s/%s", bundle, s->root->path);
	write_state(&text, &c);
	buf_addc(&text, '\n');
	buf_addstr(&text, config_text);
	r = !buf_ok(&text) || !c.rootfs || !c.owner ? -ENOMEM
						    : put(c.dir_fd, STATE_FILE, buf_str(&text));
	if (r < 0) {
		(void) err_sys(e, -r, "write the state of container '%s' to '%s'", id, rt->root);
		(void) remove_tree(root, id, 0); /* the first failure is the one to tell */
		return -1;
	}
	*ret_c = c;
	c = CONTAINER_INIT;
	return 0;
}

/* The state file, or its first line and maybe more: config.json can be a hundred times as long. */
static int read_text(int dir_fd, const char *file, bool spec, struct buf *ret_text)
{
	auto_fd int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char some[2048];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (!spec && (n = read(fd, some, sizeof(some))) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		buf_add(ret_text, some, n < 0 ? 0 : (size_t) n);
		if (n > 0 && memchr(some, '\n', (size_t) n))
			break;
	}
	return spec ? fd_read_all(fd, ret_text) : buf_error(ret_text);
}

/* One of the two parts of the state file: the line, or the spec after it. */
static int read_json(struct runtime *rt, const char *id, int dir_fd, const char *file, bool spec,
		     const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX + JSON_TEXT_MAX);
	struct str config, line;
	int r = read_text(dir_fd, file, spec, &text);

	if (r < 0)
		return err_sys(e, -r, "read '%s/%s/%s'", rt->root, id, STATE_FILE);
	line = str_cut(buf_str(&text), '\n', &config);
	r = json_parse(rt->arena, !spec ? line : config.p ? config : STR(""), ret_v, e);
	return r < 0 ? err_ctx(e, "read '%s/%s/%s'", rt->root, id, STATE_FILE) : 0;
}

static int read_state(struct runtime *rt, struct container *c, int dir_fd, const char *file,
		      struct err *e)
{
	const struct json *v;
	const char *created;
	int r = read_json(rt, c->id, dir_fd, file, false, &v, e);

	if (r < 0)
		return r;
	c->oci_version = json_string(json_get(v, "ociVersion"));
	c->bundle = json_string(json_get(v, "bundle"));
	c->rootfs = json_string(json_get(v, "rootfs"));
	c->engine = json_string(json_get(v, "engine"));
	c->owner = json_string(json_get(v, "owner"));
	created = json_string(json_get(v, "created"));
	c->annotations = json_get(v, "annotations");
	if (!c->oci_version || !c->bundle || !c->rootfs || !c->engine || !c->owner || !created ||
	    clock_parse(str_of(created), &c->created) < 0)
		return err_set(e, ERR_INTERNAL, 0,
			       "'%s/%s/" STATE_FILE
			       "' is not what was written: remove the container "
			       "with delete --force",
			       rt->root, c->id);
	return 0;
}

/* Not even its description is there: what callers print of it is empty. */
static void describe_nothing(struct container *c)
{
	c->bundle = c->rootfs = c->owner = c->oci_version = "";
	c->engine = "container";
	c->created = 0;
}

static int load_instance(struct container *c, struct err *e)
{
	const struct engine_ops *ops = engine_find(c->engine);
	struct engine_caps caps = { 0 };
	struct host h;

	if (!ops)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "container '%s' was created by the engine '%s', which this build "
			       "does not have",
			       c->id, c->engine);
	int r = host_probe(&h, e);

	if (r == 0)
		r = ops->probe(&h, &caps, e);
	if (r < 0)
		return r;
	c->in = instance_new(ops, &caps);
	if (!c->in)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = engine_load(c->in, c->dir_fd, e);
	if (r == 0)
		c->state = c->in->state;
	return r;
}

int container_open(struct runtime *rt, const char *id, enum container_open how,
		   struct container *ret_c, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	int r = container_check_id(id, e);

	if (r < 0)
		return r;
	auto_fd int root = open_root(rt, false, e);

	if (root < 0)
		return errno == ENOENT ? missing(id, e) : root;
	c.id = id;
	c.dir_fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (c.dir_fd < 0)
		return errno == ENOENT ? missing(id, e)
				       : err_sys(e, errno, "open '%s/%s'", rt->root, id);
	if (how != CONTAINER_LOOK) {
		r = lock(c.dir_fd, id, e);
		if (r < 0)
			return r;
		if (!still_there(root, id, c.dir_fd))
			return missing(id, e);
	}
	r = read_state(rt, &c, c.dir_fd, STATE_FILE, e);
	if (r < 0 && how == CONTAINER_END) { /* the engine's own files may still be whole */
		describe_nothing(&c);
		r = 0;
	}
	if (r == 0)
		r = load_instance(&c, e);
	if (r < 0) {
		/* Cut short before the engine saved anything, or not that far yet: whoever creates
		 * it holds the lock. */
		bool unfinished = e->kind == ERR_NOT_FOUND || e->sys == ENOENT;
		bool locked = how == CONTAINER_CHANGE || flock(c.dir_fd, LOCK_SH | LOCK_NB) == 0;

		if (locked && !still_there(root, id, c.dir_fd))
			return missing(id, e); /* deleted while we looked */
		if (!unfinished && how != CONTAINER_END)
			return r;
		c.state = locked ? ENGINE_FAILED : ENGINE_CREATING;
		if (how == CONTAINER_LOOK && locked)
			(void) flock(c.dir_fd, LOCK_UN);
		if (!c.owner)
			describe_nothing(&c);
		instance_forget(TAKE(c.in));
	}
	*ret_c = c;
	c = CONTAINER_INIT;
	return 0;
}

void container_unlock(const struct container *c)
{
	(void) flock(c->dir_fd, LOCK_UN);
}

int container_relock(struct runtime *rt, const struct container *c, struct err *e)
{
	auto_fd int root = open_root(rt, false, e);
	int r = root < 0 ? root : lock(c->dir_fd, c->id, e);

	return r < 0 ? r : still_there(root, c->id, c->dir_fd);
}

/* Words without a space first; of the two paths the length of one. */
const char *container_note(struct runtime *rt, const struct container *c)
{
	if (!c->oci_version[0] || strchr(c->oci_version, ' ') || !c->owner[0] ||
	    strchr(c->owner, ' '))
		return NULL;
	return arena_printf(rt->arena, "%s %s %lld %s %d %zu %s%s", c->oci_version, c->engine,
			    (long long) c->created, c->owner, c->annotations ? 1 : 0,
			    strlen(c->bundle), c->bundle, c->rootfs);
}

static bool read_note(struct runtime *rt, const char *note, bool annotations, struct container *c)
{
	struct str word[6], rest = str_of(note);
	uint64_t created, bundle;

	for (size_t i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = str_cut(rest, ' ', &rest);
	if (!rest.p || num_parse_u64(word[2], 0, INT64_MAX, &created) < 0 ||
	    num_parse_u64(word[5], 0, rest.n, &bundle) < 0 ||
	    (annotations && !str_is(word[4], "0")))
		return false;
	c->oci_version = arena_dup(rt->arena, word[0]);
	c->engine = arena_dup(rt->arena, word[1]);
	c->created = (nsec_t) created;
	c->owner = arena_dup(rt->arena, word[3]);
	c->bundle = arena_dup(rt->arena, (struct str){ rest.p, bundle });
	c->rootfs = rest.p + bundle; /* in the arena, too */
	return c->oci_version && c->engine && c->owner && c->bundle;
}

int container_show(struct runtime *rt, int root_fd, const char *id, enum container_part part,
		   struct container *ret_c, struct err *e)
{
	struct container c = CONTAINER_INIT;
	char file[ID_MAX + 1 + sizeof(STATE_FILE)];
	const struct engine_ops *usual = engine_find("container"), *ops;
	struct engine_look l = { 0 };
	bool looked;
	int r = container_check_id(id, e);

	if (r < 0)
		return r;
	c.id = id;
	looked = usual && engine_look(usual, root_fd, id, rt->arena, &l, e) == 0;
	if (!looked || !l.note || part == CONTAINER_WHOLE ||
	    !read_note(rt, l.note, part == CONTAINER_ANNOTATED, &c)) {
		(void) snprintf(file, sizeof(file), "%s/" STATE_FILE, id);
		r = read_state(rt, &c, root_fd, file, e);
		ops = r < 0 ? NULL : engine_find(c.engine);
		/* Whatever is unusual about it is found out in the usual way. */
		if (!ops || ((!looked || ops->look != usual->look) &&
			     engine_look(ops, root_fd, id, rt->arena, &l, e) < 0))
			return container_open(rt, id, CONTAINER_LOOK, ret_c, e);
	}
	c.state = l.state;
	c.pid = l.pid;
	*ret_c = c;
	return 0;
}

int container_cache(const struct runtime *rt)
{
	int fd = open(rt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? FD_NONE : fd;
}

int container_spec(struct runtime *rt, const struct container *c, const struct spec **ret_s,
		   struct err *e)
{
	const struct json *v;
	int r = read_json(rt, c->id, c->dir_fd, STATE_FILE, true, &v, e);

	return r < 0 ? r : spec_decode(rt->arena, v, ret_s, e);
}

void container_remove(struct runtime *rt, struct container *c)
{
	struct err e;
	int root = open_root(rt, false, &e);

	if (root >= 0) {
		/* The state goes with the rest; an empty directory of that name can be left only
		 * by a full stop in between, and delete takes it again. */
		(void) remove_tree(root, c->id, REMOVE_DEPTH);
		(void) close(root);
	}
	container_close(c);
}

void container_close(struct container *c)
{
	instance_forget(c->in);
	close_fd(&c->dir_fd);
	*c = CONTAINER_INIT;
}

const char *container_status(const struct container *c)
{
	return c->state == ENGINE_FAILED || c->state == ENGINE_STOPPING
		       ? engine_state_name(ENGINE_STOPPED)
		       : engine_state_name(c->state);
}

pid_t container_pid(const struct container *c)
{
	bool alive = c->state == ENGINE_CREATED || c->state == ENGINE_RUNNING ||
		     c->state == ENGINE_PAUSED;

	return !alive ? 0 : c->in ? c->in->pid : c->pid;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

int container_ids(struct runtime *rt, const char ***ret_ids, size_t *ret_n, struct err *e)
{
	const char **ids = NULL;
	size_t n = 0;
	auto_dir DIR *d = dir_open(AT_FDCWD, rt->root);

	if (!d && errno != ENOENT)
		return err_sys(e, errno, "open the state directory '%s' (--root)", rt->root);
	for (struct dirent *de; d && (de = dir_next(d));) {
		struct err ignored;

		if (de->d_type != DT_DIR || container_check_id(de->d_name, &ignored) < 0)
			continue;
		const char **slot = arena_push(rt->arena, &ids, &n, sizeof(*ids));

		if (!slot || !(*slot = arena_strdup(rt->arena, de->d_name)))
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	if (n > 1)
		qsort(ids, n, sizeof(*ids), by_name);
	*ret_ids = ids;
	*ret_n = n;
	return 0;
}
