/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `image bootstrap`: an image from Debian's packages, by mmdebstrap. Reproducible: times are
 * clamped to the start of the day (or SOURCE_DATE_EPOCH), mmdebstrap sorts its tar and removes what
 * differs from run to run, and what it copies from the host (names, resolvers) is removed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/shown.h"
#include "svc/image.h"
#include "svc/image_make.h"
#include "svc/image_parts.h"
#include "svc/svc.h"
#include "sys/ns.h"

#define DAY	 86400
#define ARGS_MAX 48
#define LOG_KEPT 3000 /* bytes of mmdebstrap's last words in an error */

struct bootstrap {
	const struct svc_image_bootstrap *req;
	struct arena arena;
	char *argv[ARGS_MAX];
	size_t argc;
	char *env[12];
	int64_t epoch;
	char suite[64];
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static bool is_word(struct str s, const char *extra)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(extra, c)))
			return false;
	}
	return s.n > 0 && s.p[0] != '-';
}

/* "debian:bookworm", "debian" (stable), or a suite alone. */
static int parse_base(struct bootstrap *b, struct err *e)
{
	struct str suite = {}, distro = str_cut(str_of(b->req->base), ':', &suite);

	if (!suite.p)
		suite = str_is(distro, "debian") ? STR("stable") : distro;
	else if (!str_is(distro, "debian"))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "'%s': only debian can be bootstrapped, as debian:SUITE "
			       "(debian:bookworm)",
			       shown_of(str_of(b->req->base)).z);
	if (suite.n >= sizeof(b->suite) || !is_word(suite, "-"))
		return err_set(e, ERR_INVALID, EINVAL, "'%s': no suite of Debian",
			       shown_of(str_of(b->req->base)).z);
	(void) snprintf(b->suite, sizeof(b->suite), "%.*s", (int) suite.n, suite.p);
	return 0;
}

static int arg(struct bootstrap *b, char *z, struct err *e)
{
	if (!z)
		return no_memory(e);
	if (b->argc + 1 >= ARGS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "too many arguments for mmdebstrap");
	b->argv[b->argc++] = z;
	return 0;
}

/* Packages, sorted and each once: the same set gives the same image and the same name. */
static int packages(struct bootstrap *b, char **ret_list, struct err *e)
{
	const char *names[256];
	size_t n = 0;
	struct str rest = str_of(b->req->include ? b->req->include : "");
	char *list;

	while (rest.p && rest.n) {
		size_t len = 0;
		struct str word;

		while (len < rest.n && !strchr(", \t\n", rest.p[len]))
			len++;
		word = (struct str){ rest.p, len };
		rest = len < rest.n ? (struct str){ rest.p + len + 1, rest.n - len - 1 }
				    : (struct str){};
		if (!len)
			continue;
		if (!is_word(word, "+.-:~="))
			return err_set(e, ERR_INVALID, EINVAL, "'%s' is no name of a package",
				       shown_of(word).z);
		if (n == ARRAY_SIZE(names))
			return err_set(e, ERR_EXHAUSTED, E2BIG, "more than %zu packages",
				       ARRAY_SIZE(names));
		names[n] = arena_dup(&b->arena, word);
		if (!names[n])
			return no_memory(e);
		for (size_t i = n++; i > 0 && strcmp(names[i - 1], names[i]) > 0; i--) {
			const char *swap = names[i];

			names[i] = names[i - 1];
			names[i - 1] = swap;
		}
	}
	list = arena_strdup(&b->arena, "");
	for (size_t i = 0; i < n && list; i++)
		if (i == 0 || !streq(names[i], names[i - 1]))
			list = arena_printf(&b->arena, "%s%s%s", list, *list ? "," : "", names[i]);
	*ret_list = list;
	return list ? 0 : no_memory(e);
}

static int make_args(struct bootstrap *b, const char *list, const char *out, const char *tmp,
		     struct err *e)
{
	/* What differs from host to host or run to run, beside what mmdebstrap removes itself. */
	static const char *const hooks[] = {
		"--customize-hook=rm -rf \"$1\"/etc/hostname \"$1\"/etc/resolv.conf "
		"\"$1\"/etc/hosts",
		"--customize-hook=rm -rf \"$1\"/var/cache/apt/* \"$1\"/var/lib/apt/lists/* "
		"\"$1\"/var/cache/debconf/*-old \"$1\"/var/lib/dpkg/*-old",
		"--customize-hook=find \"$1\"/var/log -type f -exec truncate -s 0 {} +",
		"--customize-hook=rm -rf \"$1\"/tmp/* \"$1\"/var/tmp/* \"$1\"/run/*",
		"--customize-hook=rm -f \"$1\"/var/cache/ldconfig/aux-cache \"$1\"/var/lib/systemd/"
		"random-seed \"$1\"/etc/.pwd.lock",
		/* What nobody reads in a container. */
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-include=/usr/share/doc/*/copyright",
		/* update-alternatives fails for want of the directory, as in java's packages. */
		"--essential-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p "
		"\"$1\"/usr/share/man/man$n; done",
		"--aptopt=Acquire::Languages \"none\"",
	};
	static const char *const proxies[] = { "http_proxy", "https_proxy", "no_proxy" };
	struct arena *a = &b->arena;
	const char *variant = b->req->variant ? b->req->variant : "minbase";
	size_t n = 0;
	int r;

	if (!is_word(str_of(variant), "-"))
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no variant of mmdebstrap",
			       shown_of(str_of(variant)).z);
	r = arg(b, arena_strdup(a, "mmdebstrap"), e);
	if (r == 0)
		r = arg(b, arena_strdup(a, "--mode=root"), e);
	if (r == 0)
		r = arg(b, arena_strdup(a, "--format=tar"), e);
	if (r == 0)
		r = arg(b, arena_printf(a, "--variant=%s", variant), e);
	if (r == 0 && *list)
		r = arg(b, arena_printf(a, "--include=%s", list), e);
	for (size_t i = 0; i < ARRAY_SIZE(hooks) && r == 0; i++)
		r = arg(b, arena_strdup(a, hooks[i]), e);
	if (r == 0)
		r = arg(b, arena_strdup(a, b->suite), e);
	if (r == 0)
		r = arg(b, arena_strdup(a, out), e);
	if (r == 0 && b->req->mirror)
		r = b->req->mirror[0] == '-' ? err_set(e, ERR_INVALID, EINVAL, "'%s' is no mirror",
						       shown_of(str_of(b->req->mirror)).z)
					     : arg(b, arena_strdup(a, b->req->mirror), e);
	if (r < 0)
		return r;
	b->env[n++] = arena_strdup(a, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
				      "/sbin:/bin");
	b->env[n++] = arena_strdup(a, "LC_ALL=C.UTF-8");
	b->env[n++] = arena_strdup(a, "HOME=/root");
	b->env[n++] = arena_strdup(a, "DEBIAN_FRONTEND=noninteractive");
	b->env[n++] = arena_printf(a, "SOURCE_DATE_EPOCH=%lld", (long long) b->epoch);
	b->env[n++] = arena_printf(a, "TMPDIR=%s", tmp);
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
		const char *value = secure_getenv(proxies[i]);

		if (value)
			b->env[n++] = arena_printf(a, "%s=%s", proxies[i], value);
	}
	for (size_t i = 0; i < n; i++)
		if (!b->env[i])
			return no_memory(e);
	return 0;
}

/*
 * In a mount and a pid namespace of its own: nothing it mounts or starts outlives it, however it
 * ends. In a group of its own: ^C ends this program, and with it mmdebstrap.
 */
[[gnu::noreturn]] static void child(const struct bootstrap *b, int null_fd, int log_fd)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || dup2(null_fd, 0) < 0 ||
	    dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(125);
	(void) umask(022);
	(void) execvpe(b->argv[0], b->argv, b->env);
	_exit(errno == ENOENT ? 127 : 126);
}

static void last_words(int log_fd, char *to, size_t n)
{
	off_t size = lseek(log_fd, 0, SEEK_END);
	ssize_t got = size < 0 ? -1
			       : pread(log_fd, to, n - 1,
				       size > (off_t) n - 1 ? size - (off_t) n + 1 : 0);
	char *line;

	to[got < 0 ? 0 : got] = '\0';
	/* The reason is in lines that begin with E:. */
	line = strstr(to, "\nE: ");
	if (line)
		memmove(to, line + 1, strlen(line));
	for (char *p = to; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
}

static int run(const struct bootstrap *b, int log_fd, struct err *e)
{
	auto_fd int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char words[LOG_KEPT];
	int status, code, pidfd = FD_NONE;
	pid_t pid;

	if (null_fd < 0)
		return err_sys(e, errno, "open /dev/null");
	pid = ns_clone(CLONE_NEWNS | CLONE_NEWPID, FD_NONE, &pidfd);
	if (pid < 0)
		return err_sys(e, -pid, "start mmdebstrap");
	if (pid == 0)
		child(b, null_fd, log_fd);
	close_fd(&pidfd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for mmdebstrap");
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (code == 0)
		return 0;
	if (code == 127)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "mmdebstrap is not installed: apt-get install mmdebstrap");
	last_words(log_fd, words, sizeof(words));
	return err_set(e, ERR_REMOTE, 0, "mmdebstrap failed with %d: %.400s", code, words);
}

/* "debian:bookworm"; with packages "debian:bookworm-nginx-curl"; what does not fit is cut. */
static int default_name(struct bootstrap *b, const char *list, char ret[static REFERENCE_MAX],
			struct err *e)
{
	char text[REFERENCE_TAG_MAX + 16];
	size_t n;

	(void) snprintf(text, sizeof(text), "debian:%.60s%s%.60s", b->suite, *list ? "-" : "",
			list);
	n = strlen(text);
	for (char *p = text + 7; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_", *p))
			*p = '-';
	while (n > 8 && text[n - 1] == '-')
		text[--n] = '\0';
	return image_stored_name(text, ret, e);
}

static int bootstrap(struct svc *s, struct bootstrap *b, struct content *content,
		     struct svc_image_result *ret_result, struct err *e)
{
	struct path_text tmp = paths_tmp(&s->paths);
	char dir[CONTENT_NAME_MAX], log[CONTENT_NAME_MAX], name[REFERENCE_MAX];
	auto_fd int log_fd = FD_NONE, tar_fd = FD_NONE;
	const char *work, *out;
	char *list = NULL;
	struct image_tree t = { .content = content,
				.changes = b->req->changes,
				.changes_n = b->req->changes_n,
				.created = b->epoch * NSEC_PER_SEC };
	int r = packages(b, &list, e);

	if (r == 0)
		r = b->req->name ? image_stored_name(b->req->name, name, e)
				 : default_name(b, list, name, e);
	if (r < 0)
		return r;
	content_tmp_name(content, "bootstrap", dir);
	work = arena_printf(&b->arena, "%s/%s", tmp.z, dir);
	out = arena_printf(&b->arena, "%s/%s/root.tar", tmp.z, dir);
	if (!work || !out)
		return no_memory(e);
	r = make_args(b, list, out, work, e);
	if (r < 0)
		return r;
	if (mkdirat(content->tmp_fd, dir, 0755) < 0)
		return err_sys(e, errno, "make %s", work);
	if (b->req->log_fd < 0) {
		log_fd = content_tmp_file(content, log, e);
		r = log_fd < 0 ? log_fd : 0;
		if (r == 0)
			content_tmp_drop(content, log);
	}
	if (r == 0)
		r = run(b, log_fd >= 0 ? log_fd : b->req->log_fd, e);
	if (r == 0) {
		tar_fd = open(out, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (tar_fd < 0)
			r = err_sys(e, errno, "open what mmdebstrap made");
	}
	if (r == 0) {
		static const char *const shell[] = { "CMD [\"/bin/bash\"]",
						     "ENV PATH=/usr/local/sbin:/usr/local/bin:"
						     "/usr/sbin:/usr/bin:/sbin:/bin" };
		const char **changes = arena_array(&b->arena, b->req->changes_n + 2,
						   sizeof(*changes));

		if (!changes) {
			r = no_memory(e);
		} else {
			memcpy(changes, shell, sizeof(shell));
			for (size_t i = 0; i < b->req->changes_n; i++)
				changes[2 + i] = b->req->changes[i];
			t.changes = changes;
			t.changes_n = b->req->changes_n + 2;
			t.fd = tar_fd;
			t.name = name;
			t.created_by = arena_printf(&b->arena,
						    "atoll image bootstrap debian:%s%s%s", b->suite,
						    *list ? " --include " : "", list);
			r = image_from_tree(s, &t, ret_result, e);
		}
	}
	content_tmp_drop(content, dir);
	return r;
}

int svc_image_bootstrap(struct svc *s, const struct svc_image_bootstrap *req,
			struct svc_image_result *ret_result, struct err *e)
{
	auto_content struct content content = { .layers_fd = FD_NONE,
						.blobs_fd = FD_NONE,
						.tmp_fd = FD_NONE };
	struct bootstrap b = { .req = req, .arena = ARENA_INIT(1u << 20) };
	int64_t now = clock_wall() / NSEC_PER_SEC;
	int r;

	image_result_init(ret_result);
	r = image_epoch(now - now % DAY, &b.epoch, e);
	if (r == 0)
		r = parse_base(&b, e);
	if (r == 0)
		r = svc_store(s, e);
	if (r == 0)
		r = content_open(&content, s->store, CONTENT_ADD, e);
	if (r == 0)
		r = bootstrap(s, &b, &content, ret_result, e);
	arena_fini(&b.arena);
	return r < 0 ? err_ctx(e, "bootstrap %s", shown_of(str_of(req->base)).z) : 0;
}
