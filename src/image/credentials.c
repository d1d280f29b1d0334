/* SPDX-License-Identifier: Apache-2.0 */
#include "image/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/home.h"
#include "fmt/base64.h"
#include "fmt/json.h"
#include "fmt/shown.h"
#include "sys/spawn.h"

#define FILE_MAX ((size_t) 1 << 20)

/* As docker's helpers are told of an identity token. */
#define TOKEN_USER "<token>"

struct path {
	char z[1024];
};

static struct path docker_file(void)
{
	const char *dir = secure_getenv("DOCKER_CONFIG");
	struct path p;

	if (dir && *dir)
		(void) snprintf(p.z, sizeof(p.z), "%s/config.json", dir);
	else
		(void) snprintf(p.z, sizeof(p.z), "%s/.docker/config.json", home_user());
	return p;
}

static const char *only_file(void)
{
	const char *file = secure_getenv("REGISTRY_AUTH_FILE");

	return file && *file ? file : NULL;
}

/* Where a user may be known: of these, in this order. */
static size_t places(struct path ret[static 3])
{
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	size_t n = 0;

	if (only_file()) {
		(void) snprintf(ret[0].z, sizeof(ret[0].z), "%s", only_file());
		return 1;
	}
	if (run && *run == '/')
		(void) snprintf(ret[n++].z, sizeof(ret->z), "%s/containers/auth.json", run);
	else if (geteuid() == 0)
		(void) snprintf(ret[n++].z, sizeof(ret->z), "/run/containers/0/auth.json");
	(void) snprintf(ret[n++].z, sizeof(ret->z), "%s/.config/containers/auth.json", home_user());
	ret[n++] = docker_file();
	return n;
}

/* 1: it is there. */
static int read_json(struct arena *a, const char *path, const struct json **ret_root, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(FILE_MAX);
	int r = file_read(AT_FDCWD, path, &text);

	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && str_trim(buf_str(&text)).n == 0))
		return 0;
	if (r < 0)
		return err_sys(e, -r, "read %s", path);
	r = json_parse(a, buf_str(&text), ret_root, e);
	if (r == 0 && (*ret_root)->type != JSON_OBJECT)
		r = err_set(e, ERR_INVALID, EINVAL, "no object");
	return r < 0 ? err_ctx(e, "%s", path) : 1;
}

/* ---- helpers: docker-credential-NAME get|store|erase ---- */

static bool is_name(const char *z)
{
	if (!*z || strlen(z) > 64)
		return false;
	for (; *z; z++)
		if (!(*z >= 'a' && *z <= 'z') && !(*z >= 'A' && *z <= 'Z') &&
		    !(*z >= '0' && *z <= '9') && *z != '-' && *z != '_' && *z != '.')
			return false;
	return true;
}

static int run_helper(const char *path, const char *verb, struct str in, struct buf *ret_out,
		      int *ret_status, struct err *e)
{
	char name[] = "docker-credential", word[16];
	char *argv[] = { name, word, NULL };
	int to[2] = { FD_NONE, FD_NONE }, from[2] = { FD_NONE, FD_NONE }, r = 0;
	struct spawn s = SPAWN_INIT;
	pid_t pid;

	(void) snprintf(word, sizeof(word), "%s", verb);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		r = err_sys(e, errno, "make a pipe");
	s.path = path;
	s.argv = argv;
	s.stdio[0] = to[0];
	s.stdio[1] = from[1];
	s.stdio[2] = STDERR_FILENO;
	if (r == 0 && (r = spawn_process(&s, &pid, NULL)) < 0)
		r = err_sys(e, -r, "start %s", path);
	close_fd(&to[0]);
	close_fd(&from[1]);
	if (r == 0) {
		/* A few bytes: they fit into the pipe. One that does not read them says no. */
		(void) fd_write_all(to[1], in.p, in.n);
		close_fd(&to[1]);
		r = fd_read_all(from[0], ret_out);
		if (r < 0)
			r = err_sys(e, -r, "hear from %s", path);
		while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
			;
	}
	close_fd(&to[1]);
	close_fd(&from[0]);
	return r;
}

static int helper_path(const char *helper, char ret_path[static SPAWN_PATH_MAX], struct err *e)
{
	char name[96];
	int r;

	if (!is_name(helper))
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no name of a credential helper",
			       shown_of(str_of(helper)).z);
	(void) snprintf(name, sizeof(name), "docker-credential-%s", helper);
	r = spawn_find(name, ret_path);
	return r < 0 ? err_set(e, ERR_NOT_FOUND, ENOENT, "the credential helper %s is not in PATH",
			       name)
		     : 0;
}

static int set(struct registry_login *to, struct str user, struct str secret, struct err *e)
{
	if (user.n >= sizeof(to->user) || secret.n >= sizeof(to->secret) ||
	    memchr(user.p, '\0', user.n) || (secret.n && memchr(secret.p, '\0', secret.n)))
		return err_set(e, ERR_INVALID, EINVAL, "a user name or password is too long");
	memcpy(to->user, user.p, user.n);
	to->user[user.n] = '\0';
	if (secret.n)
		memcpy(to->secret, secret.p, secret.n);
	to->secret[secret.n] = '\0';
	return 0;
}

static int set_identity(struct registry_login *to, struct str user, const char *token,
			struct err *e)
{
	int r = *token ? set(to, user, str_of(token), e)
		       : err_set(e, ERR_INVALID, EINVAL, "an empty identity token");

	to->identity = r == 0;
	return r;
}

/* 1: it knows one. */
static int ask_helper(const char *helper, const char *key, struct registry_login *ret,
		      struct err *e)
{
	auto_buf struct buf out = BUF_INIT(FILE_MAX);
	struct arena a = ARENA_INIT(4 * FILE_MAX);
	char path[SPAWN_PATH_MAX];
	const struct json *root = NULL;
	const char *user = NULL, *secret = NULL;
	int status = 0, r = helper_path(helper, path, e);

	r = r < 0 ? r : run_helper(path, "get", str_of(key), &out, &status, e);
	if (r < 0)
		return r;
	if (status != 0) { /* it says so on standard output, and is no worse for it */
		if (strstr(buf_z(&out), "not found"))
			return 0;
		return err_set(e, ERR_REMOTE, EIO, "%s get: %s", path, shown_of(buf_str(&out)).z);
	}
	if (json_parse(&a, buf_str(&out), &root, e) == 0) {
		user = json_string(json_get(root, "Username"));
		secret = json_string(json_get(root, "Secret"));
	}
	if (!user || !secret)
		r = err_set(e, ERR_REMOTE, EPROTO, "%s answers nonsense", path);
	else if (streq(user, TOKEN_USER))
		r = set_identity(ret, STR(""), secret, e);
	else
		r = set(ret, str_of(user), str_of(secret), e);
	arena_fini(&a);
	return r < 0 ? r : 1;
}

/* ---- looking ---- */

/* What docker calls its own registry. */
static const char *key_of(const char *host)
{
	return streq(host, "docker.io") ? "https://index.docker.io/v1/" : host;
}

static bool names_host(struct str key, const char *host)
{
	struct str rest;

	if (str_starts(key, "https://"))
		key = (struct str){ key.p + 8, key.n - 8 };
	else if (str_starts(key, "http://"))
		key = (struct str){ key.p + 7, key.n - 7 };
	key = str_cut(key, '/', &rest);
	if (str_is(key, "index.docker.io") || str_is(key, "registry-1.docker.io"))
		return streq(host, "docker.io");
	return str_is(key, host);
}

/* Of the keys the one that names most of HOST/REPOSITORY; or the host in an older way. */
static const struct json *find(const struct json *of, const char *host, const char *repository)
{
	const struct json *found = NULL;
	char whole[2 * REFERENCE_NAME_MAX + 2];
	size_t best = 0;

	if (!of || of->type != JSON_OBJECT)
		return NULL;
	(void) snprintf(whole, sizeof(whole), "%s/%s", host, repository);
	for (size_t i = 0; i < of->members_n; i++) {
		struct str key = of->members[i].key;
		bool within = key.n <= strlen(whole) && memcmp(whole, key.p, key.n) == 0 &&
			      (whole[key.n] == '/' || !whole[key.n]);

		if (within ? key.n >= best : best == 0 && names_host(key, host)) {
			found = &of->members[i].value;
			best = within ? key.n : 0;
		}
	}
	return found;
}

static int decode_auth(const struct json *entry, struct registry_login *ret, struct err *e)
{
	auto_buf struct buf both = BUF_INIT(REGISTRY_USER_MAX + REGISTRY_SECRET_MAX);
	const char *auth = json_string(json_get(entry, "auth"));
	const char *identity = json_string(json_get(entry, "identitytoken"));
	struct str user, secret;

	if (identity && !*identity)
		identity = NULL;
	if ((!auth || !*auth) && identity)
		return set_identity(ret, STR(""), identity, e) < 0 ? -EINVAL : 1;
	if (!auth || !*auth)
		return 0;
	if (base64_read(str_of(auth), &both) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "auth is no base64");
	user = str_cut(buf_str(&both), ':', &secret);
	if (!secret.p || !user.n)
		return err_set(e, ERR_INVALID, EINVAL, "auth is no USER:PASSWORD");
	if (identity)
		return set_identity(ret, user, identity, e) < 0 ? -EINVAL : 1;
	return set(ret, user, secret, e) < 0 ? -EINVAL : 1;
}

static int find_in(const struct json *root, const char *host, const char *repository,
		   struct registry_login *ret, struct err *e)
{
	const char *helper = json_string(find(json_get(root, "credHelpers"), host, ""));
	const struct json *entry;
	int r;

	if (helper)
		return ask_helper(helper, key_of(host), ret, e);
	entry = find(json_get(root, "auths"), host, repository);
	r = entry ? decode_auth(entry, ret, e) : 0;
	helper = json_string(json_get(root, "credsStore"));
	return r == 0 && helper && *helper ? ask_helper(helper, key_of(host), ret, e) : r;
}

int credentials_find(const char *host, const char *repository, struct registry_login *ret,
		     struct err *e)
{
	struct path all[3];
	size_t n = places(all);
	int r = 0;

	*ret = (struct registry_login){};
	for (size_t i = 0; i < n && r == 0; i++) {
		struct arena a = ARENA_INIT(4 * FILE_MAX);
		const struct json *root = NULL;

		r = read_json(&a, all[i].z, &root, e);
		if (r > 0) {
			r = find_in(root, host, repository, ret, e);
			if (r < 0)
				(void) err_ctx(e, "%s: %s", all[i].z, host);
		}
		arena_fini(&a);
	}
	return r < 0 ? r : 0;
}

/* ---- keeping ---- */

/* All that is there stays as it is, but for the host's entry in auths. */
static void write_auths(struct json_writer *w, const struct json *old, const char *key,
			const struct registry_login *login)
{
	json_w_object(w, "auths");
	for (size_t i = 0; old && old->type == JSON_OBJECT && i < old->members_n; i++)
		if (!str_is(old->members[i].key, key))
			json_w_value(w, old->members[i].key.p, &old->members[i].value);
	if (login) {
		struct buf both = BUF_INIT(REGISTRY_USER_MAX + REGISTRY_SECRET_MAX);
		struct buf text = BUF_INIT(2 * (REGISTRY_USER_MAX + REGISTRY_SECRET_MAX));

		buf_addf(&both, "%s:%s", login->user, login->identity ? "" : login->secret);
		base64_write(&text, buf_str(&both));
		json_w_object(w, key);
		json_w_string(w, "auth", buf_z(&text));
		if (login->identity)
			json_w_string(w, "identitytoken", login->secret);
		json_w_end(w);
		buf_fini(&both);
		buf_fini(&text);
	}
	json_w_end(w);
}

static int replace(const char *path, const struct json *root, const char *key,
		   const struct registry_login *login, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(4 * FILE_MAX);
	struct json_writer w = JSON_WRITER_PRETTY(&text, 4);
	char dir[1024];
	const char *slash = strrchr(path, '/');
	auto_fd int fd = FD_NONE;
	int r = 0;

	json_w_object(&w, NULL);
	write_auths(&w, json_get(root, "auths"), key, login);
	for (size_t i = 0; root && i < root->members_n; i++)
		if (!str_is(root->members[i].key, "auths"))
			json_w_value(&w, root->members[i].key.p, &root->members[i].value);
	json_w_end(&w);
	buf_addc(&text, '\n');
	if (!buf_ok(&text))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	(void) snprintf(dir, sizeof(dir), "%.*s", slash ? (int) (slash - path) : 1,
			slash ? path : ".");
	if (*dir)
		r = dir_make_all(dir, 0700);
	if (r == 0) {
		fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno
			   : file_replace(fd, slash ? slash + 1 : path, buf_str(&text), 0600, true);
	}
	return r < 0 ? err_sys(e, -r, "write %s", path) : 0;
}

static int store(const char *helper, const char *key, const struct registry_login *login,
		 struct err *e)
{
	auto_buf struct buf in = BUF_INIT(4 * REGISTRY_SECRET_MAX), out = BUF_INIT(FILE_MAX);
	struct json_writer w = JSON_WRITER(&in);
	char path[SPAWN_PATH_MAX];
	int status = 0, r = helper_path(helper, path, e);

	json_w_object(&w, NULL);
	json_w_string(&w, "ServerURL", key);
	json_w_string(&w, "Username", login->identity ? TOKEN_USER : login->user);
	json_w_string(&w, "Secret", login->secret);
	json_w_end(&w);
	r = r < 0 ? r : run_helper(path, "store", buf_str(&in), &out, &status, e);
	if (r == 0 && status != 0)
		r = err_set(e, ERR_REMOTE, EIO, "%s store: %s", path, shown_of(buf_str(&out)).z);
	return r;
}

static const char *helper_of(const struct json *root, const char *host)
{
	const char *helper = json_string(find(json_get(root, "credHelpers"), host, ""));

	if (!helper)
		helper = json_string(json_get(root, "credsStore"));
	return helper && *helper ? helper : NULL;
}

static struct path kept_in(void)
{
	struct path p = docker_file();

	if (only_file())
		(void) snprintf(p.z, sizeof(p.z), "%s", only_file());
	return p;
}

int credentials_keep(const char *host, const struct registry_login *login,
		     char ret_where[static 512], struct err *e)
{
	struct arena a = ARENA_INIT(4 * FILE_MAX);
	struct path file = kept_in();
	const struct json *root = NULL;
	const char *helper;
	int r = read_json(&a, file.z, &root, e);

	if (r >= 0) {
		helper = helper_of(root, host);
		(void) snprintf(ret_where, 512, "%s%s", helper ? "docker-credential-" : "",
				helper ? helper : file.z);
		r = helper ? store(helper, key_of(host), login, e)
			   : replace(file.z, root, key_of(host), login, e);
	}
	arena_fini(&a);
	return r;
}

int credentials_forget(const char *host, bool *ret_known, char ret_where[static 512], struct err *e)
{
	struct arena a = ARENA_INIT(4 * FILE_MAX);
	auto_buf struct buf out = BUF_INIT(FILE_MAX);
	struct path file = kept_in();
	const struct json *root = NULL;
	char path[SPAWN_PATH_MAX];
	const char *helper = NULL;
	int status = 0, r = read_json(&a, file.z, &root, e);

	*ret_known = false;
	if (r > 0)
		helper = helper_of(root, host);
	(void) snprintf(ret_where, 512, "%s%s", helper ? "docker-credential-" : "",
			helper ? helper : file.z);
	if (helper) {
		r = helper_path(helper, path, e);
		r = r < 0 ? r : run_helper(path, "erase", str_of(key_of(host)), &out, &status, e);
		*ret_known = r == 0 && status == 0;
	} else if (r > 0) {
		*ret_known = json_get(json_get(root, "auths"), key_of(host)) != NULL;
		r = *ret_known ? replace(file.z, root, key_of(host), NULL, e) : 0;
	}
	arena_fini(&a);
	return r < 0 ? r : 0;
}
