/* SPDX-License-Identifier: Apache-2.0 */
/* RUN: a workload of the image so far, whose changes become a layer. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/shown.h"
#include "svc/attach.h"
#include "svc/build_parts.h"
#include "svc/tree_end.h"
#include "svc/workload.h"
#include "sys/path.h"

#define MOUNTS_MAX   32
#define SOCKET_AGENT "/run/buildkit/ssh_agent.0"
#define CACHE_VOLUME "build-cache-"

struct run {
	const char **argv; /* what is executed */
	size_t argv_n;
	const char **env;
	size_t env_n;
	const char *network;
	struct mount_config mounts[MOUNTS_MAX];
	size_t mounts_n;
	bool cache_alone; /* sharing=locked */
	int cache_lock;	  /* owned */
	char id[WORKLOAD_ID_MAX];
	struct tree_root upper; /* owned, from the workload's end on */
	int upper_fd;
};

/* ---- what stays behind when this process is killed ---- */

/* A child that removes the workload whose id it was told, unless it is told another or none. */
struct build_guard {
	pid_t pid;
	int fd;
	bool failed;
};

[[gnu::noreturn]] static void guard(const struct svc *s, int fd)
{
	char id[WORKLOAD_ID_MAX] = "", next[WORKLOAD_ID_MAX], self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int null;

	/* Nobody takes what it holds by the way for a sign that the builder lives. */
	if (setsid() < 0 || n < 0 || dup2(fd, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(1);
	fd = 3;
	self[n] = '\0';
	while ((n = read(fd, next, sizeof(next))) == (ssize_t) sizeof(next) ||
	       (n < 0 && errno == EINTR))
		if (n > 0)
			memcpy(id, next, sizeof(id));
	if (!id[0])
		_exit(0);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(1);
	(void) execl(self, "atoll", "--root", s->paths.root, "--state", s->paths.state, "rm", "-f",
		     "-v", id, (char *) NULL);
	_exit(1);
}

static int guard_start(struct builder *b, struct err *e)
{
	struct build_guard *g = arena_alloc(&b->arena, sizeof(*g));
	int fds[2];

	if (!g || pipe2(fds, O_CLOEXEC) < 0)
		return g ? err_sys(e, errno, "make a pipe") : build_no_memory(e);
	g->pid = fork();
	if (g->pid == 0) {
		(void) close(fds[1]);
		guard(b->svc, fds[0]);
	}
	(void) close(fds[0]);
	if (g->pid < 0) {
		(void) close(fds[1]);
		return err_sys(e, errno, "fork");
	}
	g->fd = fds[1];
	b->guard = g;
	return 0;
}

/* "" : nothing is left. One atomic write. */
static void guard_tell(struct builder *b, const char id[static WORKLOAD_ID_MAX])
{
	if (b->guard && write(b->guard->fd, id, WORKLOAD_ID_MAX) != WORKLOAD_ID_MAX)
		b->guard->failed = true; /* it was killed: then nobody watches */
}

void build_run_end(struct builder *b)
{
	if (!b->guard)
		return;
	close_fd(&b->guard->fd);
	while (waitpid(b->guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	b->guard = NULL;
}

/* ---- --mount ---- */

struct mount_words {
	const char *type, *target, *source, *from, *id, *sharing, *env, *size;
	bool read_only, read_write, required;
};

static int parse_mount(struct builder *b, const char *text, struct mount_words *m, struct err *e)
{
	struct str rest = str_of(text);

	*m = (struct mount_words){ .type = "bind" };
	while (rest.p) {
		struct str value, word = str_cut(rest, ',', &rest),
				  key = str_cut(word, '=', &value);
		const char *z = arena_dup(&b->arena, value.p ? value : STR("true"));
		const char **to = str_is(key, "type") ? &m->type
				  : str_is(key, "target") || str_is(key, "dst") ||
						  str_is(key, "destination")
					  ? &m->target
				  : str_is(key, "source") || str_is(key, "src") ? &m->source
				  : str_is(key, "from")				? &m->from
				  : str_is(key, "id")				? &m->id
				  : str_is(key, "sharing")			? &m->sharing
				  : str_is(key, "env")				? &m->env
				  : str_is(key, "size")				? &m->size
										: NULL;
		bool *flag = str_is(key, "ro") || str_is(key, "readonly")    ? &m->read_only
			     : str_is(key, "rw") || str_is(key, "readwrite") ? &m->read_write
			     : str_is(key, "required")			     ? &m->required
									     : NULL;

		if (!z)
			return build_no_memory(e);
		if (to)
			*to = z;
		else if (flag)
			*flag = streq(z, "true") || streq(z, "1");
		else
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "--mount: '%s' is unsupported", shown_of(word).z);
	}
	return 0;
}

static int wants_target(const struct mount_words *m, struct err *e)
{
	return m->target ? 0
			 : err_set(e, ERR_INVALID, EINVAL,
				   "--mount=type=%.20s wants target=", m->type);
}

static struct mount_config *next_mount(struct run *q, const char *target, struct err *e)
{
	struct mount_config *to;

	if (q->mounts_n == MOUNTS_MAX) {
		(void) err_set(e, ERR_EXHAUSTED, E2BIG, "more than %d --mount", MOUNTS_MAX);
		return NULL;
	}
	to = &q->mounts[q->mounts_n++];
	*to = (struct mount_config){ .target = target };
	return to;
}

/* Of the context alone. What is copied into the key is what is seen. */
static int mount_bind(struct builder *b, struct run *q, const struct mount_words *m,
		      struct hash *key, struct err *e)
{
	struct mount_config *to;
	int r = wants_target(m, e);

	if (r < 0)
		return r;
	if (m->from)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--mount=type=bind,from=%.60s: of a stage or an image is "
			       "unsupported: use COPY --from",
			       m->from);
	if (m->read_write)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--mount=type=bind,rw: is unsupported: use COPY");
	if (b->context_fd < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--mount=type=bind: there is no context");
	r = build_hash_tree(b, b->context_fd, m->source ? m->source : ".", true, key, e);
	to = r < 0 ? NULL : next_mount(q, m->target, e);
	if (!to)
		return -EINVAL;
	auto_fd int fd = path_open_in(b->context_fd, m->source ? m->source : ".",
				      O_PATH | O_CLOEXEC, 0);
	char name[64], path[PATH_MAX];
	ssize_t n;

	(void) snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(name, path, sizeof(path) - 1);
	if (n < 0)
		return err_sys(e, fd < 0 ? -fd : errno, "--mount: open '%.100s'", m->source);
	path[n] = '\0';
	to->kind = MOUNT_BIND;
	to->source = arena_strdup(&b->arena, path);
	to->read_only = true;
	return to->source ? 0 : build_no_memory(e);
}

static int mount_cache(struct builder *b, struct run *q, const struct mount_words *m, struct err *e)
{
	const char *id = m->id ? m->id : m->target;
	struct mount_config *to;
	char hex[DIGEST_HEX_MAX];
	struct digest d;
	int r = wants_target(m, e);

	if (r < 0)
		return r;
	if (m->from || m->source || (m->sharing && streq(m->sharing, "private")))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--mount=type=cache with from, source or sharing=private is "
			       "unsupported");
	if (m->sharing && !streq(m->sharing, "shared") && !streq(m->sharing, "locked"))
		return err_set(e, ERR_INVALID, EINVAL, "sharing=%.40s: shared, private or locked",
			       m->sharing);
	q->cache_alone = q->cache_alone || (m->sharing && streq(m->sharing, "locked"));
	d = hash_of(str_of(id));
	digest_hex(&d, hex);
	to = next_mount(q, m->target, e);
	if (!to)
		return -E2BIG;
	to->kind = MOUNT_VOLUME;
	to->read_only = m->read_only;
	to->source = arena_printf(&b->arena, CACHE_VOLUME "%.16s", hex);
	return to->source ? 0 : build_no_memory(e);
}

static int add_env(struct builder *b, struct run *q, const char *name, const char *value,
		   struct err *e)
{
	const char **to = arena_push(&b->arena, &q->env, &q->env_n, sizeof(*to));

	if (!to || !(*to = arena_printf(&b->arena, "%s=%s", name, value)))
		return build_no_memory(e);
	return 0;
}

static int secret_env(struct builder *b, struct run *q, const char *name, const char *path,
		      struct err *e)
{
	auto_buf struct buf text = BUF_INIT((size_t) 1 << 20);
	int r = file_read(AT_FDCWD, path, &text);

	if (r < 0)
		return err_sys(e, -r, "read the secret '%s'", path);
	if (memchr(buf_z(&text), '\0', text.n))
		return err_set(e, ERR_INVALID, EINVAL, "the secret '%s' is no text", path);
	return add_env(b, q, name, buf_z(&text), e);
}

/* Bytes of a secret are in no key: what comes of them is not theirs. */
static int mount_secret(struct builder *b, struct run *q, const struct mount_words *m,
			struct err *e)
{
	const char *id = m->id ? m->id : m->target ? strrchr(m->target, '/') : NULL, *path = NULL;
	struct mount_config *to;

	id = id && *id == '/' ? id + 1 : id;
	if (!id || !*id)
		return err_set(e, ERR_INVALID, EINVAL, "--mount=type=secret wants id= or target=");
	for (size_t i = 0; i < b->req->secrets_n; i++)
		if (streq(b->req->secrets[i].id, id))
			path = b->req->secrets[i].path;
	if (!path)
		return m->required ? err_set(e, ERR_NOT_FOUND, ENOENT,
					     "the secret '%.60s' is required: give it by --secret "
					     "id=%.60s,src=FILE",
					     id, id)
				   : 0;
	if (m->env && secret_env(b, q, m->env, path, e) < 0)
		return -EINVAL;
	if (m->env && !m->target)
		return 0;
	to = next_mount(q, m->target ? m->target : arena_printf(&b->arena, "/run/secrets/%s", id),
			e);
	if (!to)
		return -E2BIG;
	to->kind = MOUNT_BIND;
	to->source = path;
	to->read_only = true;
	return to->target ? 0 : build_no_memory(e);
}

static int mount_ssh(struct builder *b, struct run *q, const struct mount_words *m, struct err *e)
{
	const char *agent = secure_getenv("SSH_AUTH_SOCK"),
		   *target = m->target ? m->target : SOCKET_AGENT;
	struct mount_config *to;

	if (!agent || !*agent)
		return m->required ? err_set(e, ERR_NOT_FOUND, ENOENT,
					     "--mount=type=ssh: there is no agent (SSH_AUTH_SOCK)")
				   : 0;
	to = next_mount(q, target, e);
	if (!to)
		return -E2BIG;
	to->kind = MOUNT_BIND;
	to->source = agent;
	return add_env(b, q, "SSH_AUTH_SOCK", target, e);
}

static int mount_tmpfs(struct builder *b, struct run *q, const struct mount_words *m, struct err *e)
{
	struct mount_config *to;
	int r = wants_target(m, e);

	(void) b;
	to = r < 0 ? NULL : next_mount(q, m->target, e);
	if (!to)
		return -EINVAL;
	to->kind = MOUNT_TMPFS;
	if (m->size && num_parse_bytes(str_of(m->size), &to->tmpfs_size) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "size=%.40s is no size", m->size);
	return 0;
}

static int add_mount(struct builder *b, struct run *q, const char *text, struct hash *key,
		     struct err *e)
{
	struct mount_words m;
	int r = parse_mount(b, text, &m, e);

	if (r < 0)
		return r;
	if (streq(m.type, "bind"))
		return mount_bind(b, q, &m, key, e);
	if (streq(m.type, "cache"))
		return mount_cache(b, q, &m, e);
	if (streq(m.type, "secret"))
		return mount_secret(b, q, &m, e);
	if (streq(m.type, "ssh"))
		return mount_ssh(b, q, &m, e);
	if (streq(m.type, "tmpfs"))
		return mount_tmpfs(b, q, &m, e);
	return err_set(e, ERR_INVALID, EINVAL,
		       "--mount=type=%.40s: bind, cache, secret, ssh or tmpfs", m.type);
}

static int take_flags(struct builder *b, const struct build_state *st, struct run *q,
		      const struct containerfile_step *s, struct hash *key, struct err *e)
{
	int r = 0;

	q->network = b->req->network ? b->req->network : "host";
	for (size_t i = 0; i < s->flags_n && r == 0; i++) {
		const char *name = s->flags[i].key, *value;

		r = build_word(b, st, str_of(s->flags[i].value), &value, e);
		if (r < 0)
			return r;
		if (streq(name, "mount")) {
			r = add_mount(b, q, value, key, e);
		} else if (streq(name, "network")) {
			if (!streq(value, "default") && !streq(value, "none") &&
			    !streq(value, "host"))
				return err_set(e, ERR_INVALID, EINVAL,
					       "--network=%.40s: default, none or host", value);
			if (!streq(value, "default"))
				q->network = value;
		} else {
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "RUN --%.60s is unsupported",
				       name);
		}
	}
	return r;
}

/* ---- what is executed ---- */

/* The here-documents follow the lines they stand in, for the shell; one alone is the script. */
static const char *script(struct builder *b, const struct containerfile_step *s, struct err *e)
{
	auto_buf struct buf text = BUF_INIT((size_t) 4 << 20);
	const char *z;

	if (s->heredocs_n == 1 && str_starts(s->rest, "<<") && !memchr(s->rest.p, ' ', s->rest.n)) {
		if (str_starts(s->heredocs[0].text, "#!")) {
			(void) err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "RUN: a here-document with an interpreter of its own is "
				       "unsupported: put it into a file by COPY");
			return NULL;
		}
		buf_addstr(&text, s->heredocs[0].text);
	} else {
		buf_addstr(&text, s->rest);
		for (size_t i = 0; i < s->heredocs_n; i++) {
			buf_addc(&text, '\n');
			buf_addstr(&text, s->heredocs[i].text);
			buf_adds(&text, s->heredocs[i].name);
		}
		if (s->heredocs_n)
			buf_addc(&text, '\n');
	}
	z = buf_ok(&text) ? arena_strdup(&b->arena, buf_z(&text)) : NULL;
	if (!z)
		(void) build_no_memory(e);
	return z;
}

static int take_argv(struct builder *b, const struct build_state *st, struct run *q,
		     const struct containerfile_step *s, struct err *e)
{
	static const char *const usual[] = { "/bin/sh", "-c" };
	const char *const *shell = st->run.shell_n ? st->run.shell : usual;
	size_t n = st->run.shell_n ? st->run.shell_n : ARRAY_SIZE(usual);

	if (s->words && !s->words_n)
		return err_set(e, ERR_INVALID, EINVAL, "RUN wants a command");
	if (s->words) {
		q->argv = s->words;
		q->argv_n = s->words_n;
		return 0;
	}
	q->argv = arena_array(&b->arena, n + 2, sizeof(*q->argv));
	if (!q->argv)
		return build_no_memory(e);
	memcpy(q->argv, shell, n * sizeof(*q->argv));
	q->argv[n] = script(b, s, e);
	q->argv_n = n + 1;
	return q->argv[n] ? 0 : -ENOMEM;
}

/* As docker's history tells it: "RUN |1 VERSION=3 make", with the values of ARG. */
static const char *step_text(struct builder *b, const struct build_state *st,
			     const struct containerfile_step *s)
{
	auto_buf struct buf text = BUF_INIT((size_t) 4 << 20);
	size_t n = 0;

	for (size_t i = 0; i < st->args_n; i++)
		n += st->args[i].value != NULL;
	if (!n)
		return s->text;
	buf_addf(&text, "RUN |%zu", n);
	for (size_t i = 0; i < st->args_n; i++)
		if (st->args[i].value)
			buf_addf(&text, " %s=%s", st->args[i].key, st->args[i].value);
	buf_adds(&text, s->text + strlen("RUN"));
	return buf_ok(&text) ? arena_strdup(&b->arena, buf_z(&text)) : NULL;
}

/* ARG's values are in its environment. */
static int take_env(struct builder *b, const struct build_state *st, struct run *q, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < st->args_n && r == 0; i++) {
		const struct json_pair *arg = &st->args[i];

		if (!arg->value)
			continue;
		r = add_env(b, q, arg->key, arg->value, e);
	}
	/* The image's own win, as in all that is run of it. */
	for (size_t i = 0; i < st->run.env_n && r == 0; i++) {
		const char **to = arena_push(&b->arena, &q->env, &q->env_n, sizeof(*to));

		if (!to)
			return build_no_memory(e);
		*to = st->run.env[i];
	}
	return r;
}

/* ---- the workload ---- */

static int make_config(struct builder *b, const struct build_state *st, struct run *q,
		       struct workload_config *ret, struct err *e)
{
	struct workload_config c = WORKLOAD_CONFIG_INIT;

	(void) e;
	c.image = st->image->id_text;
	c.isolation = b->req->isolation;
	c.entrypoint_set = true;
	c.entrypoint = q->argv;
	c.entrypoint_n = q->argv_n;
	c.env = q->env;
	c.env_n = q->env_n;
	c.workdir = st->run.working_dir;
	c.user = st->run.user;
	c.network = q->network;
	c.extra_hosts = (const char **) (uintptr_t) b->req->extra_hosts;
	c.extra_hosts_n = b->req->extra_hosts_n;
	c.mounts = q->mounts;
	c.mounts_n = q->mounts_n;
	c.attach_stdout = c.attach_stderr = true;
	c.volatile_root = true; /* what is kept of it is synced as a layer */
	c.no_healthcheck = true;
	c.log_driver = "none";
	*ret = c;
	return 0;
}

static int run_it(struct builder *b, struct run *q, struct err *e)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct attach_options a = ATTACH_OPTIONS_INIT;
	struct shim_exited end;
	int r = workload_start(b->svc, q->id, NULL, &a, &conn, NULL, e);

	r = r < 0 ? r : session_copy(&conn, FD_NONE, b->req->out, &end, e);
	if (r == 0 && end.code != 0)
		r = err_set(e, ERR_REMOTE, 0, "RUN ended with status %u%s", (unsigned int) end.code,
			    end.oom ? ": out of memory" : "");
	return r;
}

static int take_upper(struct builder *b, struct run *q, struct err *e)
{
	struct workload_detail look;
	int r = workload_look(b->svc, q->id, false, &b->arena, &look, e);

	r = r < 0 ? r : tree_upper(b->svc, &look.info.record, false, &q->upper, e);
	return r < 0 ? r : tree_root_dir(&q->upper, &q->upper_fd, e);
}

/* Of a directory that hides what is below it in the layers beneath. */
static bool is_opaque(int fd)
{
	char value[4];

	return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) > 0 ||
	       fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) > 0;
}

/* An empty directory that says nothing which the image's own does not say. */
static bool says_nothing(int dir, const char *name, int had)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat now, before;

	return fd >= 0 && fstat(fd, &now) == 0 && fstat(had, &before) == 0 &&
	       S_ISDIR(before.st_mode) && now.st_mode == before.st_mode &&
	       now.st_uid == before.st_uid && now.st_gid == before.st_gid && !is_opaque(fd);
}

/*
 * Where something was mounted there is an empty file or directory now, which the image had not: it
 * is none of the step's. Of the directories on its way those go that are empty, too.
 */
static void remove_stub(int upper_fd, const char *target, int image_fd)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", target) >= (int) sizeof(path))
		return;
	while (path[0] && !streq(path, "/")) {
		auto_fd int had = path_open_in(image_fd, path, O_PATH | O_CLOEXEC, 0);
		const char *name;
		auto_fd int dir = path_parent(upper_fd, path, false, 0, &name);
		char *slash = strrchr(path, '/');
		struct stat seen;

		if (dir < 0 || !slash || fstatat(dir, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
			return;
		if (S_ISDIR(seen.st_mode) ? (had >= 0 && !says_nothing(dir, name, had)) ||
						    unlinkat(dir, name, AT_REMOVEDIR) < 0
					  : had >= 0 || !S_ISREG(seen.st_mode) ||
						    seen.st_size != 0 || unlinkat(dir, name, 0) < 0)
			return;
		*slash = '\0';
	}
}

static void remove_stubs(struct builder *b, struct build_state *st, const struct run *q)
{
	static const char *const own[] = { "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
					   "/dev",	 "/proc",	  "/sys" };
	struct image *im;
	auto_fd int image_fd = FD_NONE;
	struct err none;

	/* An image of nothing has no tree. */
	if (st->image->row.chains_n && build_from(b, st->image->id_text, &image_fd, &im, &none) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		remove_stub(q->upper_fd, own[i], image_fd);
	for (size_t i = 0; i < q->mounts_n; i++)
		remove_stub(q->upper_fd, q->mounts[i].target, image_fd);
}

/*
 * The directory goes to the content, and the workload, which ends here, gets another one. That of a
 * machine is its disk's, and is packed and unpacked.
 */
static int give_upper(struct builder *b, struct run *q, char ret_tmp[static CONTENT_NAME_MAX],
		      struct err *e)
{
	const struct path_text dir = paths_workload(&b->svc->paths, q->id);
	char path[PATHS_FULL_MAX + 8];

	if (q->upper.inside.files.upper_fd >= 0)
		return 0;
	(void) snprintf(path, sizeof(path), "%s/upper", dir.z);
	content_tmp_name(&b->content, "layer", ret_tmp);
	if (renameat(AT_FDCWD, path, b->content.tmp_fd, ret_tmp) < 0) {
		ret_tmp[0] = '\0';
		return err_sys(e, errno, "keep what RUN wrote");
	}
	return mkdir(path, 0755) < 0 ? err_sys(e, errno, "make '%s'", path) : 0;
}

static int make_upper(struct builder *b, struct build_state *st, void *user, int *ret_upper_fd,
		      char ret_tmp[static CONTENT_NAME_MAX], struct err *e)
{
	struct run *q = user;
	const struct digest lock = hash_of(STR("build caches"));
	struct workload_config c;
	int r = b->guard ? 0 : guard_start(b, e);

	if (r == 0 && q->cache_alone) {
		q->cache_lock = content_lock(&b->content, &lock, e);
		r = q->cache_lock < 0 ? q->cache_lock : 0;
	}
	r = r < 0 ? r : make_config(b, st, q, &c, e);
	r = r < 0 ? r : workload_create(b->svc, &c, true, NULL, q->id, e);
	if (r < 0)
		return r;
	guard_tell(b, q->id);
	r = run_it(b, q, e);
	r = r < 0 ? r : take_upper(b, q, e);
	close_fd(&q->cache_lock);
	if (r < 0)
		return r;
	remove_stubs(b, st, q);
	*ret_upper_fd = q->upper_fd;
	return give_upper(b, q, ret_tmp, e);
}

static void end_run(struct builder *b, struct run *q)
{
	static const char nobody[WORKLOAD_ID_MAX];
	struct err e;

	close_fd(&q->cache_lock);
	close_fd(&q->upper_fd);
	tree_root_fini(&q->upper);
	if (!q->id[0])
		return;
	if (workload_rm(b->svc, q->id, true, true, &e) < 0)
		svc_notice(b->svc, "the workload of a RUN stays: %s", e.msg);
	guard_tell(b, nobody);
}

int build_run(struct builder *b, struct build_state *st, const struct containerfile_step *s,
	      struct err *e)
{
	struct run *q = arena_alloc(&b->arena, sizeof(*q));
	struct build_layer_work w = { .make_upper = make_upper, .user = q };
	const char *text;
	int r;

	if (!q)
		return build_no_memory(e);
	q->cache_lock = q->upper_fd = FD_NONE;
	q->upper = TREE_ROOT_INIT;
	hash_init(&w.extra);
	for (size_t i = 0; i < s->heredocs_n; i++)
		hash_add(&w.extra, s->heredocs[i].text.p, s->heredocs[i].text.n + 1);
	r = take_env(b, st, q, e);
	r = r < 0 ? r : take_flags(b, st, q, s, &w.extra, e);
	r = r < 0 ? r : take_argv(b, st, q, s, e);
	text = r < 0 ? NULL : step_text(b, st, s);
	if (r == 0)
		r = text ? build_layer_step(b, st, text, &w, e) : build_no_memory(e);
	end_run(b, q);
	return r;
}
