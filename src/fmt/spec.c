/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of config.json's outer parts: process, mounts, hooks, linux. */
#include "fmt/spec.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "fmt/spec_tables.h"

/* The value of a word in a table; INVALID naming what was there. */
static int word_value(const struct spec_word *t, size_t n, const struct json *v, const char *path,
		      uint64_t *ret_v, struct err *e)
{
	const char *z = json_string(v);

	for (size_t i = 0; z && i < n; i++) {
		if (streq(t[i].word, z)) {
			*ret_v = t[i].value;
			return 0;
		}
	}
	if (!z)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be a string", path);
	return err_set(e, ERR_INVALID, EINVAL, "%s: '%.60s' is none of those known here", path, z);
}

static int word_value32(const struct spec_word *t, size_t n, const struct json *v, const char *path,
			uint32_t *ret_v, struct err *e)
{
	uint64_t u = 0;
	int r = word_value(t, n, v, path, &u, e);

	if (r == 0)
		*ret_v = (uint32_t) u;
	return r;
}

/* Flags: an array of words, or-ed. */
static int word_flags(const struct spec_word *t, size_t n, const struct json *v, const char *path,
		      uint64_t *ret_v, struct err *e)
{
	uint64_t all = 0;

	if (v->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an array", path);
	for (size_t i = 0; i < v->n; i++) {
		uint64_t one = 0;
		int r = word_value(t, n, &v->items[i], path, &one, e);

		if (r < 0)
			return r;
		all |= one;
	}
	*ret_v = all;
	return 0;
}

static int no_memory(const char *path, struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: too large", path);
}

int spec_decode_ids(struct arena *a, const struct json *v, void *to, const char *path,
		    struct err *e)
{
	struct spec_ids *ids = to;

	if (v->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an array of numbers", path);
	ids->v = arena_array(a, v->n ? v->n : 1, sizeof(*ids->v));
	if (!ids->v)
		return no_memory(path, e);
	for (size_t i = 0; i < v->n; i++) {
		uint64_t u = 0;

		if (json_u64(&v->items[i], &u) < 0 || u >= UINT32_MAX)
			return err_set(e, ERR_INVALID, ERANGE,
				       "%s[%zu]: not an id from 0 to 4294967294", path, i);
		ids->v[i] = (uint32_t) u;
	}
	ids->n = v->n;
	return 0;
}

/* process */

static const char *const cap_names[SPEC_CAP_N] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

int spec_cap_number(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (int i = 0; i < SPEC_CAP_N; i++) {
		if (strcasecmp(name, cap_names[i] + 4) == 0)
			return i;
	}
	return -EINVAL;
}

const char *spec_cap_name(unsigned number)
{
	return number < SPEC_CAP_N ? cap_names[number] : NULL;
}

static int decode_caps(struct arena *a, const struct json *v, void *to, const char *path,
		       struct err *e)
{
	static const char *const keys[] = { "bounding", "effective", "inheritable", "permitted",
					    "ambient" };
	struct spec_caps *c = arena_alloc(a, sizeof(*c));
	uint64_t *sets[5];

	if (!c)
		return no_memory(path, e);
	if (v->type != JSON_OBJECT)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an object", path);
	sets[0] = &c->bounding;
	sets[1] = &c->effective;
	sets[2] = &c->inheritable;
	sets[3] = &c->permitted;
	sets[4] = &c->ambient;
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
		const struct json *list = json_get(v, keys[k]);

		if (!list || list->type == JSON_NULL)
			continue;
		if (list->type != JSON_ARRAY)
			return err_set(e, ERR_INVALID, EINVAL, "%s.%s: must be an array", path,
				       keys[k]);
		for (size_t i = 0; i < list->n; i++) {
			const char *name = json_string(&list->items[i]);
			int number = name ? spec_cap_number(name) : -EINVAL;

			if (!name)
				return err_set(e, ERR_INVALID, EINVAL,
					       "%s.%s[%zu]: must be a string", path, keys[k], i);
			/* Specification 1.1: what the runtime cannot map is a warning. */
			if (number < 0)
				c->unknown = c->unknown ? c->unknown : name;
			else
				*sets[k] |= UINT64_C(1) << number;
		}
	}
	*(struct spec_caps **) to = c;
	return 0;
}

const struct spec_word spec_rlimit_words[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static int decode_rlimit_type(struct arena *, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	return word_value32(spec_rlimit_words, ARRAY_SIZE(spec_rlimit_words), v, path, to, e);
}

const struct spec_word spec_policy_words[] = {
	{ "SCHED_OTHER", 0 }, { "SCHED_FIFO", 1 }, { "SCHED_RR", 2 },	    { "SCHED_BATCH", 3 },
	{ "SCHED_ISO", 4 },   { "SCHED_IDLE", 5 }, { "SCHED_DEADLINE", 6 },
};

static int decode_policy(struct arena *, const struct json *v, void *to, const char *path,
			 struct err *e)
{
	return word_value32(spec_policy_words, ARRAY_SIZE(spec_policy_words), v, path, to, e);
}

const struct spec_word spec_sched_flag_words[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};

static int decode_sched_flags(struct arena *, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	return word_flags(spec_sched_flag_words, ARRAY_SIZE(spec_sched_flag_words), v, path, to, e);
}

const struct spec_word spec_io_class_words[] = {
	{ "IOPRIO_CLASS_RT", 1 },
	{ "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 },
};

static int decode_io_class(struct arena *, const struct json *v, void *to, const char *path,
			   struct err *e)
{
	return word_value32(spec_io_class_words, ARRAY_SIZE(spec_io_class_words), v, path, to, e);
}

static const struct json_field size_fields[] = {
	JSON_U32_FIELD(struct spec_console_size, height, "height", 0, UINT16_MAX, 0),
	JSON_U32_FIELD(struct spec_console_size, width, "width", 0, UINT16_MAX, 0),
};
static const struct json_table size_table = JSON_TABLE(struct spec_console_size, size_fields,
						       JSON_UNKNOWN_IGNORE);

/* uid and gid -1 mean "unchanged" to the kernel: a config must not reach that (CVE-2024-40635). */
static const struct json_field user_fields[] = {
	JSON_U32_FIELD(struct spec_user, uid, "uid", 0, UINT32_MAX - 1, 0),
	JSON_U32_FIELD(struct spec_user, gid, "gid", 0, UINT32_MAX - 1, 0),
	JSON_U32_OPT(struct spec_user, umask, umask_set, "umask", 0, 0777),
	JSON_CUSTOM_FIELD(struct spec_user, additional_gids, "additionalGids", spec_decode_ids, 0),
	JSON_STRING_FIELD(struct spec_user, username, "username", 0),
	JSON_STRINGS_FIELD(struct spec_user, group_names, group_names_n, "groupNames", 0),
};
static const struct json_table user_table = JSON_TABLE(struct spec_user, user_fields,
						       JSON_UNKNOWN_IGNORE);

static int decode_user(struct arena *a, const struct json *v, void *to, const char *path,
		       struct err *e)
{
	return json_decode(a, v, &user_table, to, path, e);
}

static const struct json_field rlimit_fields[] = {
	JSON_CUSTOM_FIELD(struct spec_rlimit, resource, "type", decode_rlimit_type, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_rlimit, soft, "soft", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_rlimit, hard, "hard", 0, UINT64_MAX, JSON_REQUIRED),
};
static const struct json_table rlimit_table = JSON_TABLE(struct spec_rlimit, rlimit_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field scheduler_fields[] = {
	JSON_CUSTOM_FIELD(struct spec_scheduler, policy, "policy", decode_policy, JSON_REQUIRED),
	JSON_I64_FIELD(struct spec_scheduler, nice, "nice", -20, 19, 0),
	JSON_I64_FIELD(struct spec_scheduler, priority, "priority", INT32_MIN, INT32_MAX, 0),
	JSON_CUSTOM_FIELD(struct spec_scheduler, flags, "flags", decode_sched_flags, 0),
	JSON_U64_OPT(struct spec_scheduler, runtime, runtime_set, "runtime", 0, UINT64_MAX),
	JSON_U64_OPT(struct spec_scheduler, deadline, deadline_set, "deadline", 0, UINT64_MAX),
	JSON_U64_FIELD(struct spec_scheduler, period, "period", 0, UINT64_MAX, 0),
};
static const struct json_table scheduler_table = JSON_TABLE(struct spec_scheduler, scheduler_fields,
							    JSON_UNKNOWN_IGNORE);

static const struct json_field io_fields[] = {
	JSON_CUSTOM_FIELD(struct spec_io_priority, class, "class", decode_io_class, JSON_REQUIRED),
	JSON_I64_FIELD(struct spec_io_priority, priority, "priority", 0, 7, 0),
};
static const struct json_table io_table = JSON_TABLE(struct spec_io_priority, io_fields,
						     JSON_UNKNOWN_IGNORE);

static const struct json_field affinity_fields[] = {
	JSON_STRING_FIELD(struct spec_cpu_affinity, initial, "initial", 0),
	JSON_STRING_FIELD(struct spec_cpu_affinity, final, "final", 0),
};
static const struct json_table affinity_table = JSON_TABLE(struct spec_cpu_affinity,
							   affinity_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field process_fields[] = {
	JSON_BOOL_FIELD(struct spec_process, terminal, "terminal", 0),
	JSON_OBJECT_FIELD(struct spec_process, console_size, "consoleSize", &size_table, 0),
	JSON_CUSTOM_FIELD(struct spec_process, user, "user", decode_user, 0),
	JSON_STRINGS_FIELD(struct spec_process, args, args_n, "args", 0),
	JSON_STRINGS_FIELD(struct spec_process, env, env_n, "env", 0),
	JSON_STRING_FIELD(struct spec_process, cwd, "cwd", 0),
	JSON_ARRAY_FIELD(struct spec_process, rlimits, rlimits_n, "rlimits", &rlimit_table, 0),
	JSON_CUSTOM_FIELD(struct spec_process, caps, "capabilities", decode_caps, 0),
	JSON_BOOL_FIELD(struct spec_process, no_new_privileges, "noNewPrivileges", 0),
	JSON_I64_OPT(struct spec_process, oom_score_adj, oom_score_adj_set, "oomScoreAdj", -1000,
		     1000),
	JSON_STRING_FIELD(struct spec_process, apparmor_profile, "apparmorProfile", 0),
	JSON_STRING_FIELD(struct spec_process, selinux_label, "selinuxLabel", 0),
	JSON_OBJECT_FIELD(struct spec_process, scheduler, "scheduler", &scheduler_table, 0),
	JSON_OBJECT_FIELD(struct spec_process, io_priority, "ioPriority", &io_table, 0),
	JSON_OBJECT_FIELD(struct spec_process, exec_cpu_affinity, "execCPUAffinity",
			  &affinity_table, 0),
};
static const struct json_table process_table = JSON_TABLE(struct spec_process, process_fields,
							  JSON_UNKNOWN_IGNORE);

static int check_process(const struct spec_process *p, const char *path, struct err *e)
{
	uint32_t seen = 0;

	if (!p->args_n)
		return err_set(e, ERR_INVALID, EINVAL, "%s.args: must not be empty", path);
	if (!p->cwd || !p->cwd[0])
		return err_set(e, ERR_INVALID, EINVAL, "%s.cwd: Cwd property must not be empty",
			       path);
	if (p->cwd[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s.cwd: Cwd must be an absolute path, not '%.100s'", path, p->cwd);
	for (size_t i = 0; i < p->rlimits_n; i++) {
		uint32_t bit = 1u << p->rlimits[i].resource;

		if (seen & bit)
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s.rlimits[%zu]: the same limit twice", path, i);
		if (p->rlimits[i].soft > p->rlimits[i].hard)
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s.rlimits[%zu]: soft is above hard", path, i);
		seen |= bit;
	}
	return 0;
}

/* mounts and hooks */

static const struct json_field id_map_fields[] = {
	JSON_U32_FIELD(struct spec_id_map, container_id, "containerID", 0, UINT32_MAX - 1, 0),
	JSON_U32_FIELD(struct spec_id_map, host_id, "hostID", 0, UINT32_MAX - 1, 0),
	JSON_U32_FIELD(struct spec_id_map, size, "size", 1, UINT32_MAX, JSON_REQUIRED),
};
static const struct json_table id_map_table = JSON_TABLE(struct spec_id_map, id_map_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field mount_fields[] = {
	JSON_STRING_FIELD(struct spec_mount, destination, "destination", JSON_REQUIRED),
	JSON_STRING_FIELD(struct spec_mount, source, "source", 0),
	JSON_STRING_FIELD(struct spec_mount, type, "type", 0),
	JSON_STRINGS_FIELD(struct spec_mount, options, options_n, "options", 0),
	JSON_ARRAY_FIELD(struct spec_mount, uid_maps, uid_maps_n, "uidMappings", &id_map_table, 0),
	JSON_ARRAY_FIELD(struct spec_mount, gid_maps, gid_maps_n, "gidMappings", &id_map_table, 0),
};
static const struct json_table mount_table = JSON_TABLE(struct spec_mount, mount_fields,
							JSON_UNKNOWN_IGNORE);

static const struct json_field hook_fields[] = {
	JSON_STRING_FIELD(struct spec_hook, path, "path", JSON_REQUIRED),
	JSON_STRINGS_FIELD(struct spec_hook, args, args_n, "args", 0),
	JSON_STRINGS_FIELD(struct spec_hook, env, env_n, "env", 0),
	JSON_I64_FIELD(struct spec_hook, timeout, "timeout", 0, INT32_MAX, 0),
};
static const struct json_table hook_table = JSON_TABLE(struct spec_hook, hook_fields,
						       JSON_UNKNOWN_IGNORE);

static const char *const hook_keys[SPEC_HOOK_N_] = {
	[SPEC_HOOK_PRESTART] = "prestart",
	[SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
	[SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart",
	[SPEC_HOOK_POSTSTOP] = "poststop",
};

const char *spec_hook_name(enum spec_hook_kind k)
{
	return hook_keys[k];
}

#define HOOK_LIST_FIELD(n_, key_)                                                                  \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_ARRAY,                                            \
		.offset = (n_) * sizeof(struct spec_hook_list) +                                   \
			  offsetof(struct spec_hook_list, v),                                      \
		.count_offset = (n_) * sizeof(struct spec_hook_list) +                             \
				offsetof(struct spec_hook_list, n),                                \
		.present_offset = JSON_NONE, .table = &hook_table                                  \
	}
static const struct json_field hooks_fields[] = {
	HOOK_LIST_FIELD(SPEC_HOOK_PRESTART, "prestart"),
	HOOK_LIST_FIELD(SPEC_HOOK_CREATE_RUNTIME, "createRuntime"),
	HOOK_LIST_FIELD(SPEC_HOOK_CREATE_CONTAINER, "createContainer"),
	HOOK_LIST_FIELD(SPEC_HOOK_START_CONTAINER, "startContainer"),
	HOOK_LIST_FIELD(SPEC_HOOK_POSTSTART, "poststart"),
	HOOK_LIST_FIELD(SPEC_HOOK_POSTSTOP, "poststop"),
};
static const struct json_table hooks_table = JSON_TABLE(struct spec_hook_list, hooks_fields,
							JSON_UNKNOWN_IGNORE);

static int decode_hooks(struct arena *a, const struct json *v, void *to, const char *path,
			struct err *e)
{
	struct spec_hook_list *lists = to;
	int r = json_decode(a, v, &hooks_table, to, path, e);

	if (r < 0)
		return r;
	for (int k = 0; k < SPEC_HOOK_N_; k++) {
		for (size_t i = 0; i < lists[k].n; i++) {
			if (lists[k].v[i].path[0] != '/')
				return err_set(e, ERR_INVALID, EINVAL,
					       "%s.%s[%zu].path: must be absolute, not '%.100s'",
					       path, hook_keys[k], i, lists[k].v[i].path);
		}
	}
	return 0;
}

/* linux */

static const struct spec_word ns_words[] = {
	{ "user", SPEC_NS_USER },	{ "mount", SPEC_NS_MOUNT }, { "pid", SPEC_NS_PID },
	{ "network", SPEC_NS_NETWORK }, { "ipc", SPEC_NS_IPC },	    { "uts", SPEC_NS_UTS },
	{ "cgroup", SPEC_NS_CGROUP },	{ "time", SPEC_NS_TIME },
};

const char *spec_ns_name(enum spec_ns_type t)
{
	return ns_words[t].word; /* the table is in the order of the enum */
}

static int decode_namespaces(struct arena *, const struct json *v, void *to, const char *path,
			     struct err *e)
{
	struct spec_ns *ns = to;

	if (v->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an array", path);
	for (size_t i = 0; i < v->n; i++) {
		const struct json *p = json_get(&v->items[i], "path");
		uint64_t t = 0;
		char at[100];
		int r;

		(void) snprintf(at, sizeof(at), "%s[%zu].type", path, i);
		r = word_value(ns_words, ARRAY_SIZE(ns_words), json_get(&v->items[i], "type"), at,
			       &t, e);
		if (r < 0)
			return r;
		if (ns[t].present)
			return err_set(e, ERR_INVALID, EINVAL, "%s: '%s' twice", path,
				       spec_ns_name((enum spec_ns_type) t));
		if (p && p->type != JSON_NULL && !json_string(p))
			return err_set(e, ERR_INVALID, EINVAL, "%s[%zu].path: must be a string",
				       path, i);
		ns[t].present = true;
		ns[t].path = p && json_string(p) && json_string(p)[0] ? json_string(p) : NULL;
		if (ns[t].path && ns[t].path[0] != '/')
			return err_set(e, ERR_INVALID, EINVAL, "%s[%zu].path: must be absolute",
				       path, i);
	}
	return 0;
}

static int decode_device_type(struct arena *, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	static const struct spec_word words[] = {
		{ "c", 'c' }, { "u", 'c' }, { "b", 'b' }, { "p", 'p' }
	};
	uint64_t u = 0;
	int r = word_value(words, ARRAY_SIZE(words), v, path, &u, e);

	if (r == 0)
		*(char *) to = (char) u;
	return r;
}

static const struct json_field device_fields[] = {
	JSON_STRING_FIELD(struct spec_device, path, "path", JSON_REQUIRED),
	JSON_CUSTOM_FIELD(struct spec_device, type, "type", decode_device_type, JSON_REQUIRED),
	JSON_I64_FIELD(struct spec_device, major, "major", 0, (1 << 12) - 1, 0),
	JSON_I64_FIELD(struct spec_device, minor, "minor", 0, (1 << 20) - 1, 0),
	JSON_U32_OPT(struct spec_device, file_mode, file_mode_set, "fileMode", 0, UINT32_MAX),
	JSON_U32_OPT(struct spec_device, uid, uid_set, "uid", 0, UINT32_MAX - 1),
	JSON_U32_OPT(struct spec_device, gid, gid_set, "gid", 0, UINT32_MAX - 1),
};
static const struct json_table device_table = JSON_TABLE(struct spec_device, device_fields,
							 JSON_UNKNOWN_IGNORE);

static int decode_personality(struct arena *, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	static const struct spec_word words[] = { { "LINUX", PER_LINUX },
						  { "LINUX32", PER_LINUX32 } };
	struct spec_linux *l = to;
	const struct json *flags = json_get(v, "flags");
	int r = word_value32(words, ARRAY_SIZE(words), json_get(v, "domain"), path, &l->personality,
			     e);

	if (r < 0)
		return r;
	if (flags && flags->type == JSON_ARRAY && flags->n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "%s.flags: the specification defines none", path);
	l->personality_set = true;
	return 0;
}

/* A custom field whose decoder gets the whole struct. */
#define WHOLE_FIELD(key_, decode_)                                                                 \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_CUSTOM, .offset = 0, .count_offset = JSON_NONE,   \
		.present_offset = JSON_NONE, .decode = (decode_)                                   \
	}

static int decode_policy_mode(struct arena *, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	static const struct spec_word words[] = {
		{ "MPOL_DEFAULT", MPOL_DEFAULT },
		{ "MPOL_PREFERRED", MPOL_PREFERRED },
		{ "MPOL_BIND", MPOL_BIND },
		{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
		{ "MPOL_LOCAL", MPOL_LOCAL },
		{ "MPOL_PREFERRED_MANY", 5 },	   /* Linux 5.15, newer than some headers */
		{ "MPOL_WEIGHTED_INTERLEAVE", 6 }, /* Linux 6.9 */
	};

	struct spec_memory_policy *m = to;
	int r = word_value32(words, ARRAY_SIZE(words), v, path, &m->mode, e);

	m->mode_set = r == 0;
	return r < 0 ? err_ctx(e, "invalid memory policy mode") : 0;
}

static int decode_policy_flags(struct arena *, const struct json *v, void *to, const char *path,
			       struct err *e)
{
	static const struct spec_word words[] = {
		{ "MPOL_F_NUMA_BALANCING", 1u << 13 },
		{ "MPOL_F_RELATIVE_NODES", 1u << 14 },
		{ "MPOL_F_STATIC_NODES", 1u << 15 },
	};
	uint64_t u = 0;
	int r = word_flags(words, ARRAY_SIZE(words), v, path, &u, e);

	if (r < 0)
		return err_ctx(e, "invalid memory policy flag");
	*(uint32_t *) to = (uint32_t) u;
	return 0;
}

static const struct json_field policy_fields[] = {
	WHOLE_FIELD("mode", decode_policy_mode),
	JSON_CUSTOM_FIELD(struct spec_memory_policy, flags, "flags", decode_policy_flags, 0),
	JSON_STRING_FIELD(struct spec_memory_policy, nodes, "nodes", 0),
};
static const struct json_table policy_table = JSON_TABLE(struct spec_memory_policy, policy_fields,
							 JSON_UNKNOWN_IGNORE);

static int decode_net_devices(struct arena *a, const struct json *v, void *to, const char *path,
			      struct err *e)
{
	struct spec_linux *l = to;

	if (v->type != JSON_OBJECT)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an object", path);
	l->net_devices = arena_array(a, v->members_n ? v->members_n : 1, sizeof(*l->net_devices));
	if (!l->net_devices)
		return no_memory(path, e);
	for (size_t i = 0; i < v->members_n; i++) {
		const struct json_member *m = &v->members[i];
		const struct json *name = json_get(&m->value, "name");

		if (m->value.type != JSON_OBJECT || (name && !json_string(name)))
			return err_set(e, ERR_INVALID, EINVAL, "%s.%.40s: must be an object", path,
				       m->key.p);
		l->net_devices[i] = (struct spec_net_device){ m->key.p, json_string(name) };
	}
	l->net_devices_n = v->members_n;
	return 0;
}

static const struct json_field rdt_fields[] = {
	JSON_STRING_FIELD(struct spec_intel_rdt, clos_id, "closID", 0),
	JSON_STRING_FIELD(struct spec_intel_rdt, l3_cache_schema, "l3CacheSchema", 0),
	JSON_STRING_FIELD(struct spec_intel_rdt, mem_bw_schema, "memBwSchema", 0),
	JSON_STRINGS_FIELD(struct spec_intel_rdt, schemata, schemata_n, "schemata", 0),
	JSON_BOOL_FIELD(struct spec_intel_rdt, enable_monitoring, "enableMonitoring", 0),
};
static const struct json_table rdt_table = JSON_TABLE(struct spec_intel_rdt, rdt_fields,
						      JSON_UNKNOWN_IGNORE);

static int decode_offset(struct arena *, const struct json *v, void *to, const char *path,
			 struct err *e)
{
	struct spec_time_offset *o = to;
	const struct json *secs = json_get(v, "secs"), *nsecs = json_get(v, "nanosecs");
	uint64_t n = 0;

	if (v->type != JSON_OBJECT || (secs && json_i64(secs, &o->secs) < 0) ||
	    (nsecs && (json_u64(nsecs, &n) < 0 || n > 999999999)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: must be { secs: integer, nanosecs: 0 to 999999999 }", path);
	o->nanosecs = (uint32_t) n;
	o->set = true;
	return 0;
}

static int decode_offsets(struct arena *a, const struct json *v, void *to, const char *path,
			  struct err *e)
{
	static const struct json_field fields[] = {
		JSON_CUSTOM_FIELD(struct spec_linux, monotonic, "monotonic", decode_offset, 0),
		JSON_CUSTOM_FIELD(struct spec_linux, boottime, "boottime", decode_offset, 0),
	};
	static const struct json_table table = JSON_TABLE(struct spec_linux, fields,
							  JSON_UNKNOWN_REFUSE);

	return json_decode(a, v, &table, to, path, e);
}

static const struct json_field linux_fields[] = {
	JSON_CUSTOM_FIELD(struct spec_linux, ns, "namespaces", decode_namespaces, 0),
	JSON_ARRAY_FIELD(struct spec_linux, uid_maps, uid_maps_n, "uidMappings", &id_map_table, 0),
	JSON_ARRAY_FIELD(struct spec_linux, gid_maps, gid_maps_n, "gidMappings", &id_map_table, 0),
	JSON_MAP_FIELD(struct spec_linux, sysctl, sysctl_n, "sysctl", 0),
	JSON_OBJECT_FIELD(struct spec_linux, resources, "resources", &spec_resources_table, 0),
	JSON_STRING_FIELD(struct spec_linux, cgroups_path, "cgroupsPath", 0),
	JSON_ARRAY_FIELD(struct spec_linux, devices, devices_n, "devices", &device_table, 0),
	WHOLE_FIELD("netDevices", decode_net_devices),
	JSON_OBJECT_FIELD(struct spec_linux, seccomp, "seccomp", &spec_seccomp_table, 0),
	JSON_STRING_FIELD(struct spec_linux, rootfs_propagation, "rootfsPropagation", 0),
	JSON_STRINGS_FIELD(struct spec_linux, masked_paths, masked_paths_n, "maskedPaths", 0),
	JSON_STRINGS_FIELD(struct spec_linux, readonly_paths, readonly_paths_n, "readonlyPaths", 0),
	JSON_STRING_FIELD(struct spec_linux, mount_label, "mountLabel", 0),
	JSON_OBJECT_FIELD(struct spec_linux, intel_rdt, "intelRdt", &rdt_table, 0),
	JSON_OBJECT_FIELD(struct spec_linux, memory_policy, "memoryPolicy", &policy_table, 0),
	WHOLE_FIELD("personality", decode_personality),
	WHOLE_FIELD("timeOffsets", decode_offsets),
};
static const struct json_table linux_table = JSON_TABLE(struct spec_linux, linux_fields,
							JSON_UNKNOWN_IGNORE);

static int decode_linux(struct arena *a, const struct json *v, void *to, const char *path,
			struct err *e)
{
	return json_decode(a, v, &linux_table, to, path, e);
}

static int decode_vm(struct arena *, const struct json *, void *to, const char *, struct err *)
{
	((struct spec *) to)->has_vm = true;
	return 0;
}

static const struct json_field root_fields[] = {
	JSON_STRING_FIELD(struct spec_root, path, "path", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct spec_root, readonly, "readonly", 0),
};
static const struct json_table root_table = JSON_TABLE(struct spec_root, root_fields,
						       JSON_UNKNOWN_IGNORE);

static const struct json_field spec_fields[] = {
	JSON_STRING_FIELD(struct spec, oci_version, "ociVersion", JSON_REQUIRED),
	JSON_OBJECT_FIELD(struct spec, process, "process", &process_table, 0),
	JSON_OBJECT_FIELD(struct spec, root, "root", &root_table, 0),
	JSON_STRING_FIELD(struct spec, hostname, "hostname", 0),
	JSON_STRING_FIELD(struct spec, domainname, "domainname", 0),
	JSON_ARRAY_FIELD(struct spec, mounts, mounts_n, "mounts", &mount_table, 0),
	JSON_CUSTOM_FIELD(struct spec, hooks, "hooks", decode_hooks, 0),
	JSON_MAP_FIELD(struct spec, annotations, annotations_n, "annotations", 0),
	JSON_CUSTOM_FIELD(struct spec, linux_, "linux", decode_linux, 0),
	WHOLE_FIELD("vm", decode_vm),
};
static const struct json_table spec_table = JSON_TABLE(struct spec, spec_fields,
						       JSON_UNKNOWN_IGNORE);

int spec_decode(struct arena *a, const struct json *root, const struct spec **ret_s, struct err *e)
{
	struct spec *s = arena_alloc(a, sizeof(*s));
	int r;

	if (!s)
		return no_memory("config.json", e);
	r = json_decode(a, root, &spec_table, s, "", e);
	if (r < 0)
		return r;
	if (strncmp(s->oci_version, "1.", 2) != 0)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "ociVersion: '%.40s' is not 1.x, the version served here",
			       s->oci_version);
	r = s->process ? check_process(s->process, "process", e) : 0;
	if (r < 0)
		return r;
	*ret_s = s;
	return 0;
}

int spec_process_decode(struct arena *a, const struct json *v, const struct spec_process **ret_p,
			struct err *e)
{
	struct spec_process *p = arena_alloc(a, sizeof(*p));
	int r;

	if (!p)
		return no_memory("process", e);
	r = json_decode(a, v, &process_table, p, "process", e);
	r = r < 0 ? r : check_process(p, "process", e);
	if (r < 0)
		return r;
	*ret_p = p;
	return 0;
}

int spec_mounts_decode(struct arena *a, const struct json *v, const struct spec_mount **ret_v,
		       size_t *ret_n, struct err *e)
{
	struct spec_mount *m;

	if (v->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "mounts: must be an array");
	m = arena_array(a, v->n ? v->n : 1, sizeof(*m));
	if (!m)
		return no_memory("mounts", e);
	for (size_t i = 0; i < v->n; i++) {
		char path[40];
		int r;

		(void) snprintf(path, sizeof(path), "mounts[%zu]", i);
		r = json_decode(a, &v->items[i], &mount_table, &m[i], path, e);
		if (r < 0)
			return r;
	}
	*ret_v = m;
	*ret_n = v->n;
	return 0;
}

int spec_resources_decode(struct arena *a, const struct json *v,
			  const struct spec_resources **ret_r, struct err *e)
{
	struct spec_resources *res = arena_alloc(a, sizeof(*res));
	int r;

	if (!res)
		return no_memory("resources", e);
	r = json_decode(a, v, &spec_resources_table, res, "resources", e);
	if (r < 0)
		return r;
	*ret_r = res;
	return 0;
}

const char *spec_annotation(const struct spec *s, const char *key)
{
	for (size_t i = 0; i < s->annotations_n; i++) {
		if (streq(s->annotations[i].key, key))
			return s->annotations[i].value;
	}
	return NULL;
}
