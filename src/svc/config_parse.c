/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages of docker's create flags. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "svc/config.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

bool config_name_ok(const char *name)
{
	size_t n = 0;

	for (; name[n]; n++) {
		char c = name[n];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9');

		if (!word && (n == 0 || (c != '_' && c != '.' && c != '-')))
			return false;
	}
	return n >= 1 && n <= 128;
}

/* Absolute, without "." and "..", without a trailing slash; in the arena. */
static int clean_target(struct arena *a, const char *flag, const char *text, const char **ret,
			struct err *e)
{
	struct str rest = str_of(text);
	auto_buf struct buf out = BUF_INIT(PATH_MAX);

	if (text[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: '%s' is no absolute path in the workload", flag, text);
	while (rest.p) {
		struct str part = str_cut(rest, '/', &rest);

		if (part.n == 0 || str_is(part, "."))
			continue;
		if (str_is(part, "..")) {
			while (out.n > 0 && out.p[out.n - 1] != '/')
				out.n--;
			if (out.n > 0)
				out.n--;
			continue;
		}
		buf_addc(&out, '/');
		buf_addstr(&out, part);
	}
	if (!buf_ok(&out))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "%s: '%.60s...' is too long", flag,
			       text);
	if (out.n == 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s: the target cannot be '/'", flag);
	*ret = arena_dup(a, buf_str(&out));
	return *ret ? 0 : no_memory(e);
}

static int host_path(struct arena *a, const char *text, const char **ret, struct err *e)
{
	char cwd[PATH_MAX];

	if (text[0] == '/') {
		*ret = arena_strdup(a, text);
		return *ret ? 0 : no_memory(e);
	}
	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(e, errno, "current directory");
	*ret = arena_printf(a, "%s/%s", cwd, text);
	return *ret ? 0 : no_memory(e);
}

static bool is_propagation(struct str s)
{
	static const char *const words[] = { "private", "rprivate", "slave",
					     "rslave",	"shared",   "rshared" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_is(s, words[i]))
			return true;
	}
	return false;
}

static int volume_option(struct arena *a, struct str o, const char *text, struct mount_config *m,
			 struct err *e)
{
	if (str_is(o, "ro"))
		m->read_only = true;
	else if (str_is(o, "rw"))
		m->read_only = false;
	else if (str_is(o, "nocopy"))
		m->no_copy = true;
	else if (str_is(o, "z") || str_is(o, "Z") || str_is(o, "rbind") ||
		 str_is(o, "consistent") || str_is(o, "cached") || str_is(o, "delegated"))
		; /* labels of SELinux, which workloads do not have, and macOS' caches */
	else if (str_is(o, "bind"))
		m->non_recursive = true;
	else if (is_propagation(o))
		m->propagation = arena_dup(a, o);
	else
		return err_set(e, ERR_INVALID, EINVAL,
			       "-v '%s': unknown option '%.*s'; there are: ro, rw, nocopy, bind, "
			       "rbind, z, Z, [r]private, [r]slave, [r]shared",
			       text, (int) o.n, o.p);
	return 0;
}

int config_parse_volume(struct arena *a, const char *text, struct mount_config *ret, struct err *e)
{
	struct mount_config m = { .kind = MOUNT_VOLUME };
	struct str rest, options = {};
	struct str first = str_cut(str_of(text), ':', &rest);
	const char *target;

	if (rest.p) {
		struct str second = str_cut(rest, ':', &options);
		target = arena_dup(a, second);
		m.source = arena_dup(a, first);
		if (!m.source)
			return no_memory(e);
	} else {
		target = arena_dup(a, first);
	}
	if (!target)
		return no_memory(e);
	if (m.source && !*m.source)
		return err_set(e, ERR_INVALID, EINVAL, "-v '%s': the source is empty", text);
	if (m.source && (m.source[0] == '/' || m.source[0] == '.')) {
		int r = host_path(a, m.source, &m.source, e);
		if (r < 0)
			return r;
		m.kind = MOUNT_BIND;
		m.create_source = true;
	} else if (m.source && !config_name_ok(m.source)) {
		return err_set(e, ERR_INVALID, EINVAL,
			       "-v '%s': '%s' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a "
			       "host path begins with / or .",
			       text, m.source);
	}
	int r = clean_target(a, "-v", target, &m.target, e);
	while (r >= 0 && options.p)
		r = volume_option(a, str_cut(options, ',', &options), text, &m, e);
	if (r < 0)
		return r;
	*ret = m;
	return 0;
}

static int parse_bool(const char *flag, struct str key, struct str value, bool *ret, struct err *e)
{
	if (!value.p || str_is(value, "1") || str_is(value, "true"))
		*ret = true;
	else if (str_is(value, "0") || str_is(value, "false"))
		*ret = false;
	else
		return err_set(e, ERR_INVALID, EINVAL, "%s: %.*s takes true or false, not '%.*s'",
			       flag, (int) key.n, key.p, (int) value.n, value.p);
	return 0;
}

/* One key=value of --mount. */
static int mount_option(struct arena *a, struct str key, struct str value, struct mount_config *m,
			struct err *e)
{
	static const char flag[] = "--mount";
	uint32_t mode;

	if (str_is(key, "type")) {
		if (str_is(value, "bind"))
			m->kind = MOUNT_BIND;
		else if (str_is(value, "volume"))
			m->kind = MOUNT_VOLUME;
		else if (str_is(value, "tmpfs"))
			m->kind = MOUNT_TMPFS;
		else
			return err_set(
				e, ERR_INVALID, EINVAL,
				"--mount: unknown type '%.*s'; there are: bind, volume, tmpfs",
				(int) value.n, value.p);
	} else if (str_is(key, "source") || str_is(key, "src")) {
		m->source = arena_dup(a, value);
	} else if (str_is(key, "target") || str_is(key, "dst") || str_is(key, "destination")) {
		m->target = arena_dup(a, value);
	} else if (str_is(key, "readonly") || str_is(key, "ro")) {
		return parse_bool(flag, key, value, &m->read_only, e);
	} else if (str_is(key, "volume-nocopy")) {
		return parse_bool(flag, key, value, &m->no_copy, e);
	} else if (str_is(key, "bind-nonrecursive")) {
		return parse_bool(flag, key, value, &m->non_recursive, e);
	} else if (str_is(key, "bind-propagation") && is_propagation(value)) {
		m->propagation = arena_dup(a, value);
	} else if (str_is(key, "tmpfs-size")) {
		if (num_parse_bytes(value, &m->tmpfs_size) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--mount: tmpfs-size '%.*s' is no size", (int) value.n,
				       value.p);
	} else if (str_is(key, "tmpfs-mode")) {
		if (num_parse_octal(value, 07777, &mode) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--mount: tmpfs-mode '%.*s' is no octal mode", (int) value.n,
				       value.p);
		m->tmpfs_mode = mode;
		m->tmpfs_mode_set = true;
	} else if (!str_is(key, "consistency") && !str_is(key, "volume-driver")) {
		return err_set(e, ERR_INVALID, EINVAL,
			       "--mount: unknown or wrong '%.*s'; there are: type, source, target, "
			       "readonly, bind-propagation, bind-nonrecursive, volume-nocopy, "
			       "tmpfs-size, tmpfs-mode",
			       (int) key.n, key.p);
	}
	return 0;
}

int config_parse_mount(struct arena *a, const char *text, struct mount_config *ret, struct err *e)
{
	struct mount_config m = { .kind = MOUNT_VOLUME };
	struct str rest = str_of(text);
	int r = 0;

	while (r >= 0 && rest.p) {
		struct str value, field = str_cut(rest, ',', &rest);
		struct str key = str_cut(field, '=', &value);
		r = mount_option(a, key, value, &m, e);
	}
	if (r < 0)
		return r;
	if (!m.target)
		return err_set(e, ERR_INVALID, EINVAL, "--mount '%s': no target is given", text);
	r = clean_target(a, "--mount", m.target, &m.target, e);
	if (r < 0)
		return r;
	if (m.kind == MOUNT_BIND && (!m.source || m.source[0] != '/'))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--mount '%s': a bind takes an absolute host path as its source",
			       text);
	if (m.kind == MOUNT_VOLUME && m.source && !*m.source)
		m.source = NULL;
	if (m.kind == MOUNT_VOLUME && m.source && !config_name_ok(m.source))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--mount '%s': '%s' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+)",
			       text, m.source);
	if (m.kind == MOUNT_TMPFS && m.source)
		return err_set(e, ERR_INVALID, EINVAL, "--mount '%s': a tmpfs takes no source",
			       text);
	*ret = m;
	return 0;
}

int config_parse_tmpfs(struct arena *a, const char *text, struct mount_config *ret, struct err *e)
{
	struct mount_config m = { .kind = MOUNT_TMPFS };
	struct str options;
	const char *target = arena_dup(a, str_cut(str_of(text), ':', &options));

	if (!target)
		return no_memory(e);
	int r = clean_target(a, "--tmpfs", target, &m.target, e);
	if (r < 0)
		return r;
	m.tmpfs_options = options.p ? arena_dup(a, options) : NULL;
	*ret = m;
	return 0;
}

static const char *const ulimit_names[] = { "as",     "core",	"cpu",	      "data",
					    "fsize",  "locks",	"memlock",    "msgqueue",
					    "nice",   "nofile", "nproc",      "rss",
					    "rtprio", "rttime", "sigpending", "stack" };

static int parse_limit(struct str s, int64_t *ret)
{
	if (str_is(s, "-1") || str_is(s, "unlimited")) {
		*ret = -1;
		return 0;
	}
	return num_parse_i64(s, 0, INT64_MAX, ret);
}

int config_parse_ulimit(struct arena *a, const char *text, struct ulimit_config *ret, struct err *e)
{
	struct str limits, hard;
	struct str name = str_cut(str_of(text), '=', &limits);
	struct ulimit_config u = { .name = arena_dup(a, name) };
	bool known = false;

	if (!u.name)
		return no_memory(e);
	for (size_t i = 0; i < ARRAY_SIZE(ulimit_names); i++)
		known = known || streq(u.name, ulimit_names[i]);
	if (!known) {
		const char *near = str_nearest(u.name, ulimit_names, ARRAY_SIZE(ulimit_names));
		return err_set(e, ERR_INVALID, EINVAL, "--ulimit '%s': no such limit '%s'%s%s%s",
			       text, u.name, near ? "; did you mean '" : "", near ? near : "",
			       near ? "'?" : "");
	}
	struct str soft = limits.p ? str_cut(limits, ':', &hard) : (struct str){};
	if (!limits.p || parse_limit(soft, &u.soft) < 0 ||
	    parse_limit(hard.p ? hard : soft, &u.hard) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--ulimit '%s': write it NAME=SOFT[:HARD], numbers or -1", text);
	if (u.hard != -1 && (u.soft == -1 || u.soft > u.hard))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--ulimit '%s': the soft limit is above the hard one", text);
	*ret = u;
	return 0;
}

static const char *const restart_names[] = { "no", "on-failure", "always", "unless-stopped" };

const char *restart_kind_name(uint32_t kind)
{
	return kind < ARRAY_SIZE(restart_names) ? restart_names[kind] : "no";
}

int config_parse_publish(struct arena *a, const char *text, struct port_config *ret, struct err *e)
{
	struct port_config p = {};
	struct str protocol, ports = str_cut(str_of(text), '/', &protocol);
	struct str rest, first = str_cut(ports, ':', &rest), second = {}, third = {};
	struct in_addr address;
	bool ok = rest.p != NULL;

	if (ok)
		second = str_cut(rest, ':', &third);
	if (third.p) { /* the first one is an address */
		p.address = arena_dup(a, first);
		if (!p.address)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		ok = inet_pton(AF_INET, p.address, &address) == 1;
		first = second;
		second = third;
	}
	p.udp = protocol.p && str_is(protocol, "udp");
	ok = ok && (!protocol.p || p.udp || str_is(protocol, "tcp")) &&
	     num_parse_u32(first, 1, 65535, &p.host) == 0 &&
	     num_parse_u32(second, 1, 65535, &p.guest) == 0;
	if (!ok)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--publish '%s': write it [ADDRESS:]PORT:PORT[/tcp|/udp], an IPv4 "
			       "address and single ports",
			       text);
	*ret = p;
	return 0;
}

int config_parse_restart(const char *text, uint32_t *ret_kind, uint32_t *ret_max, struct err *e)
{
	struct str count, name = str_cut(str_of(text), ':', &count);
	uint32_t max = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(restart_names); i++) {
		if (!str_is(name, restart_names[i]))
			continue;
		if (count.p && i != RESTART_ON_FAILURE)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--restart '%s': only on-failure takes a number", text);
		if (count.p && num_parse_u32(count, 0, INT32_MAX, &max) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--restart '%s': the number of restarts is no number", text);
		*ret_kind = i;
		*ret_max = max;
		return 0;
	}
	if (*text == '\0') {
		*ret_kind = RESTART_NO;
		*ret_max = 0;
		return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL,
		       "--restart '%s': no such policy; there are: no, on-failure[:N], always, "
		       "unless-stopped",
		       text);
}

int config_parse_signal(const char *text, int *ret_signo, struct err *e)
{
	uint32_t number;
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;

	if (num_parse_u32(str_of(text), 1, 64, &number) >= 0) {
		*ret_signo = (int) number;
		return 0;
	}
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*ret_signo = i;
			return 0;
		}
	}
	/* The C library keeps the first two for itself: its SIGRTMIN is the kernel's plus two. */
	struct str offset = str_of(name);
	bool min = strncasecmp(name, "RTMIN", 5) == 0, max = strncasecmp(name, "RTMAX", 5) == 0;
	if (min || max) {
		number = 0;
		offset = (struct str){ name + 5, offset.n - 5 };
		if (offset.n == 0 || (offset.p[0] == (min ? '+' : '-') &&
				      num_parse_u32((struct str){ offset.p + 1, offset.n - 1 }, 0,
						    30, &number) >= 0)) {
			*ret_signo = min ? 34 + (int) number : 64 - (int) number;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, EINVAL, "no such signal: '%s'", text);
}
