/* SPDX-License-Identifier: Apache-2.0 */
/* The process section: command line, environment, user, capabilities, limits. */
#include "svc/plan_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "store/workload.h"
#include "sys/caps.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define BIT(n)	     ((uint64_t) 1 << (n))

/* What docker gives a workload that asks for nothing. */
#define CAPS_DEFAULT                                                                               \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) |              \
	 BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) |                   \
	 BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |   \
	 BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int plan_command(const struct workload_config *c, const struct plan_image *image, struct arena *a,
		 const char ***ret_argv, size_t *ret_n, struct err *e)
{
	const char *const *entry = c->entrypoint_set ? c->entrypoint : image->entrypoint;
	size_t entry_n = c->entrypoint_set ? c->entrypoint_n : image->entrypoint_n;
	const char *const *command = c->command;
	size_t command_n = c->command_n, n = 0;

	/* A new entry point does not go with the image's arguments. */
	if (command_n == 0 && !c->entrypoint_set) {
		command = image->command;
		command_n = image->command_n;
	}
	const char **argv = arena_array(a, entry_n + command_n + 1, sizeof(*argv));
	if (!argv)
		return no_memory(e);
	for (size_t i = 0; i < entry_n; i++)
		argv[n++] = entry[i];
	for (size_t i = 0; i < command_n; i++)
		argv[n++] = command[i];
	if (n == 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "no command given, and the image '%s' names none", c->image);
	*ret_argv = argv;
	*ret_n = n;
	return 0;
}

static bool same_key(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strcspn(b, "=") == n && memcmp(a, b, n) == 0;
}

static int env_put(struct arena *a, struct plan_env *env, const char *pair, bool replace,
		   struct err *e)
{
	for (size_t i = 0; i < env->n; i++) {
		if (same_key(env->v[i], pair)) {
			if (replace)
				env->v[i] = pair;
			return 0;
		}
	}
	const char **slot = arena_push(a, &env->v, &env->n, sizeof(*slot));
	if (!slot)
		return no_memory(e);
	*slot = pair;
	return 0;
}

static bool env_has(const struct plan_env *env, const char *key)
{
	for (size_t i = 0; i < env->n; i++) {
		if (same_key(env->v[i], key))
			return true;
	}
	return false;
}

int plan_env(const struct workload_config *c, const struct plan_image *image, const char *hostname,
	     const char *home, struct arena *a, struct plan_env *ret, struct err *e)
{
	struct plan_env env = {};
	const char *host = arena_printf(a, "HOSTNAME=%s", hostname);
	const char *at_home = arena_printf(a, "HOME=%s", home ? home : "");
	int r = host && at_home ? env_put(a, &env, "PATH=" PATH_DEFAULT, true, e) : no_memory(e);

	if (r >= 0)
		r = env_put(a, &env, host, true, e);
	if (r >= 0 && c->tty)
		r = env_put(a, &env, "TERM=xterm", true, e);
	for (size_t i = 0; r >= 0 && i < image->env_n; i++)
		r = env_put(a, &env, image->env[i], true, e);
	for (size_t i = 0; r >= 0 && i < c->env_n; i++)
		r = env_put(a, &env, c->env[i], true, e);
	if (r >= 0 && home && !env_has(&env, "HOME"))
		r = env_put(a, &env, at_home, true, e);
	if (r < 0)
		return r;
	*ret = env;
	return 0;
}

static uint64_t cap_bit(const char *name)
{
	int n = spec_cap_number(name);

	return n < 0 ? 0 : BIT(n);
}

int plan_caps(struct svc *s, const struct workload_config *c, uint64_t *ret_caps, struct err *e)
{
	uint64_t bounding = 0, caps = c->privileged ? UINT64_MAX : CAPS_DEFAULT;
	int r = caps_bounding(&bounding);

	if (r < 0)
		return err_sys(e, -r, "read the capabilities of this process");
	/* As docker: "all" first, whichever list it stands in, then what is named. */
	for (size_t i = 0; i < c->cap_add_n; i++) {
		if (strcasecmp(c->cap_add[i], "all") == 0)
			caps = UINT64_MAX;
	}
	for (size_t i = 0; i < c->cap_drop_n; i++) {
		if (strcasecmp(c->cap_drop[i], "all") == 0)
			caps = 0;
	}
	for (size_t i = 0; i < c->cap_drop_n; i++)
		caps &= ~cap_bit(c->cap_drop[i]);
	for (size_t i = 0; i < c->cap_add_n; i++) {
		uint64_t bit = cap_bit(c->cap_add[i]);

		if (bit & ~bounding)
			svc_notice(s, "capability '%s' cannot be given: this machine withholds it",
				   c->cap_add[i]);
		caps |= bit;
	}
	*ret_caps = caps & bounding;
	return 0;
}

int plan_cap_names(uint64_t caps, struct arena *a, const char ***ret, struct err *e)
{
	const char **names = arena_array(a, SPEC_CAP_N + 1, sizeof(*names));
	size_t n = 0;

	if (!names)
		return no_memory(e);
	for (unsigned i = 0; i < SPEC_CAP_N; i++) {
		if (caps & BIT(i))
			names[n++] = spec_cap_name(i);
	}
	*ret = names;
	return 0;
}

void plan_caps_write(struct json_writer *w, const char *const *names)
{
	/* Nothing inheritable, nothing ambient: CVE-2022-24769. */
	json_w_object(w, "capabilities");
	json_w_strings(w, "bounding", names);
	json_w_strings(w, "effective", names);
	json_w_strings(w, "permitted", names);
	json_w_end(w);
}

void plan_user_write(struct json_writer *w, const struct account *u)
{
	json_w_object(w, "user");
	json_w_u64(w, "uid", u->uid);
	json_w_u64(w, "gid", u->gid);
	if (u->groups_n > 0) {
		json_w_array(w, "additionalGids");
		for (size_t i = 0; i < u->groups_n; i++)
			json_w_u64(w, NULL, u->groups[i]);
		json_w_end(w);
	}
	json_w_end(w);
}

void plan_names_write(struct json_writer *w, const char *user, const char *const *groups,
		      size_t groups_n)
{
	json_w_object(w, "user");
	json_w_u64(w, "uid", 0);
	json_w_u64(w, "gid", 0);
	json_w_string(w, "username", user && *user ? user : "0");
	if (groups_n > 0) {
		json_w_array(w, "groupNames");
		for (size_t i = 0; i < groups_n; i++)
			json_w_string(w, NULL, groups[i]);
		json_w_end(w);
	}
	json_w_end(w);
}

struct limit_name {
	const char *name, *spec;
	int resource;
};
static const struct limit_name limit_names[] = {
	{ "as", "RLIMIT_AS", RLIMIT_AS },
	{ "core", "RLIMIT_CORE", RLIMIT_CORE },
	{ "cpu", "RLIMIT_CPU", RLIMIT_CPU },
	{ "data", "RLIMIT_DATA", RLIMIT_DATA },
	{ "fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "locks", "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "nice", "RLIMIT_NICE", RLIMIT_NICE },
	{ "nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "nproc", "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "rss", "RLIMIT_RSS", RLIMIT_RSS },
	{ "rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "stack", "RLIMIT_STACK", RLIMIT_STACK },
};

/* Raising a hard limit takes CAP_SYS_RESOURCE, which some hosts withhold even from root. */
static void limit_write(struct svc *s, struct json_writer *w, const struct ulimit_config *u,
			bool may_raise)
{
	for (size_t i = 0; i < ARRAY_SIZE(limit_names); i++) {
		const struct limit_name *l = &limit_names[i];
		struct rlimit now;

		if (!streq(l->name, u->name))
			continue;
		uint64_t soft = u->soft < 0 ? UINT64_MAX : (uint64_t) u->soft;
		uint64_t hard = u->hard < 0 ? UINT64_MAX : (uint64_t) u->hard;
		if (!may_raise && getrlimit((__rlimit_resource_t) l->resource, &now) == 0 &&
		    hard > now.rlim_max) {
			svc_notice(s, "--ulimit %s: this machine allows at most %llu; taking that",
				   u->name, (unsigned long long) now.rlim_max);
			hard = now.rlim_max;
			if (soft > hard)
				soft = hard;
		}
		json_w_object(w, NULL);
		json_w_string(w, "type", l->spec);
		json_w_u64(w, "soft", soft);
		json_w_u64(w, "hard", hard);
		json_w_end(w);
		return;
	}
}

/* The host's own: root of a user namespace has another. */
static bool has_sys_resource(void)
{
	auto_buf struct buf map = BUF_INIT(4096);
	struct caps mine = {};

	return caps_get(&mine) >= 0 && (mine.effective & BIT(CAP_SYS_RESOURCE)) &&
	       file_read(AT_FDCWD, "/proc/self/uid_map", &map) >= 0 &&
	       strstr(buf_z(&map), " 4294967295");
}

int64_t plan_oom_score(struct svc *s, int64_t wanted)
{
	auto_buf struct buf own = BUF_INIT(32);
	int64_t now = 0;

	if (wanted < 0 && !has_sys_resource() &&
	    file_read(AT_FDCWD, "/proc/self/oom_score_adj", &own) >= 0 &&
	    num_parse_i64(str_trim(buf_str(&own)), -1000, 1000, &now) == 0 && wanted < now) {
		svc_notice(s,
			   "--oom-score-adj %lld: below %lld takes CAP_SYS_RESOURCE; taking that",
			   (long long) wanted, (long long) now);
		return now;
	}
	return wanted;
}

void plan_limits_write(struct svc *s, struct json_writer *w, const struct workload_config *c)
{
	bool may_raise = has_sys_resource();

	if (c->ulimits_n == 0)
		return;
	json_w_array(w, "rlimits");
	for (size_t i = 0; i < c->ulimits_n; i++)
		limit_write(s, w, &c->ulimits[i], may_raise);
	json_w_end(w);
}

/* Of the flags of --security-opt. */
int plan_security(const struct workload_config *c, struct plan_security *ret, struct err *e)
{
	struct plan_security p = {};

	for (size_t i = 0; i < c->security_opt_n; i++) {
		const char *text = c->security_opt[i];
		size_t n = strcspn(text, "=:");
		const char *value = text[n] ? text + n + 1 : "";
		struct str key = { text, n };

		if (str_is(key, "no-new-privileges"))
			p.no_new_privileges = !streq(value, "false");
		else if (str_is(key, "seccomp"))
			p.seccomp = value;
		else if (str_is(key, "apparmor"))
			p.apparmor = streq(value, "unconfined") ? NULL : value;
		else if (str_is(key, "systempaths") && streq(value, "unconfined"))
			p.unmasked = true;
		else if (str_is(key, "label") && streq(value, "disable"))
			continue;
		else if (str_is(key, "label"))
			return err_set(
				e, ERR_UNSUPPORTED, ENOTSUP,
				"--security-opt '%s': workloads of atoll run get no label of "
				"SELinux: leave it out, or give atoll-runtime a config.json "
				"with process.selinuxLabel and linux.mountLabel",
				text);
		else
			return err_set(e, ERR_INVALID, EINVAL,
				       "--security-opt '%s': there are: seccomp=FILE|unconfined, "
				       "no-new-privileges, apparmor=PROFILE, label=disable, "
				       "systempaths=unconfined",
				       text);
	}
	*ret = p;
	return 0;
}
