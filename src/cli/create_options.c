/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/create_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "cli/pull.h"
#include "svc/ahead.h"

#define PAIRS_FILE_MAX (1u << 20) /* bytes of an --env-file */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "the command line is too long");
}

static int append(struct cli *c, struct option_list *to, const char *text, struct err *e)
{
	const char **slot = arena_push(&c->arena, &to->items, &to->n, sizeof(*to->items));

	if (!slot || !text)
		return no_memory(e);
	*slot = text;
	return 0;
}

int add_env(struct cli *c, const char *text, struct option_list *to, struct err *e)
{
	const char *value;

	if (!*text || *text == '=')
		return err_set(e, ERR_INVALID, EINVAL, "invalid environment variable: '%.100s'",
			       text);
	if (strchr(text, '='))
		return append(c, to, text, e);
	value = secure_getenv(text);
	return value ? append(c, to, arena_printf(&c->arena, "%s=%s", text, value), e) : 0;
}

static int add_line(struct cli *c, const char *path, size_t number, struct str line, bool env,
		    struct option_list *to, struct err *e)
{
	char *text;

	while (line.n && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.n--;
	}
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (!line.n || line.p[0] == '#')
		return 0;
	if (memchr(line.p, 0, line.n))
		return err_set(e, ERR_INVALID, EINVAL, "%s:%zu: a NUL byte", path, number);
	for (size_t i = 0; i < line.n && line.p[i] != '='; i++)
		if (line.p[i] == ' ' || line.p[i] == '\t')
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s:%zu: a blank in a variable's name", path, number);
	text = arena_dup(&c->arena, line);
	if (!text)
		return no_memory(e);
	if (env ? add_env(c, text, to, e) < 0 : append(c, to, text, e) < 0)
		return err_ctx(e, "%s:%zu", path, number);
	return 0;
}

int read_pairs_file(struct cli *c, const char *path, bool env, struct option_list *to,
		    struct err *e)
{
	auto_buf struct buf text = BUF_INIT(PAIRS_FILE_MAX);
	int r = file_read(AT_FDCWD, path, &text);
	struct str rest, line;

	if (r < 0)
		return err_sys(e, -r, "read '%s'", path);
	rest = (struct str){ buf_z(&text), text.n };
	for (size_t number = 1; rest.p; number++) {
		line = str_cut(rest, '\n', &rest);
		r = add_line(c, path, number, line, env, to, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The lists of files first, then the single flags over them, as docker orders them. */
static int merge_files(struct cli *c, const struct option_list *files,
		       const struct option_list *given, bool env, struct option_list *ret,
		       struct err *e)
{
	int r = 0;

	*ret = (struct option_list){ 0 };
	for (size_t i = 0; i < files->n && r == 0; i++)
		r = read_pairs_file(c, files->items[i], env, ret, e);
	for (size_t i = 0; i < given->n && r == 0; i++)
		r = env ? add_env(c, given->items[i], ret, e) : append(c, ret, given->items[i], e);
	return r;
}

static int make_pairs(struct cli *c, const struct option_list *l, const char *flag,
		      bool value_needed, struct json_pair **ret, size_t *ret_n, struct err *e)
{
	struct json_pair *pairs = cli_pairs(c, l);

	if (!pairs)
		return no_memory(e);
	for (size_t i = 0; i < l->n; i++)
		if (!*pairs[i].key || (value_needed && !strchr(l->items[i], '=')))
			return err_set(e, ERR_INVALID, EINVAL, "--%s '%.100s': write KEY=VALUE",
				       flag, l->items[i]);
	/* The last of several with one key stands, in the place of the first. */
	*ret_n = 0;
	for (size_t i = 0; i < l->n; i++) {
		size_t at = 0;

		while (at < *ret_n && !streq(pairs[at].key, pairs[i].key))
			at++;
		pairs[at] = pairs[i];
		*ret_n += at == *ret_n;
	}
	*ret = pairs;
	return 0;
}

static int make_mounts(struct cli *c, const struct create_options *o, struct workload_config *w,
		       struct err *e)
{
	static int (*const parse[])(struct arena *, const char *, struct mount_config *,
				    struct err *) = { config_parse_volume, config_parse_mount,
						      config_parse_tmpfs };
	const struct option_list *lists[] = { &o->volume, &o->mount, &o->tmpfs };

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		for (size_t i = 0; i < lists[k]->n; i++) {
			struct mount_config *m = arena_push(&c->arena, &w->mounts, &w->mounts_n,
							    sizeof(*m));
			int r = m ? parse[k](&c->arena, lists[k]->items[i], m, e) : no_memory(e);

			if (r < 0)
				return r;
		}
	return 0;
}

static int make_ulimits(struct cli *c, const struct option_list *l, struct workload_config *w,
			struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		struct ulimit_config *u = arena_push(&c->arena, &w->ulimits, &w->ulimits_n,
						     sizeof(*u));
		int r = u ? config_parse_ulimit(&c->arena, l->items[i], u, e) : no_memory(e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int make_health(struct cli *c, const struct create_options *o, struct workload_config *w,
		       struct err *e)
{
	bool any = o->health_cmd || o->health_interval || o->health_timeout ||
		   o->health_start_period || o->health_retries;

	if (o->no_healthcheck && any)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--no-healthcheck conflicts with --health-* options");
	w->no_healthcheck = o->no_healthcheck;
	if (o->health_cmd) {
		const char **test = arena_array(&c->arena, 3, sizeof(*test));

		if (!test)
			return no_memory(e);
		test[0] = "CMD-SHELL";
		test[1] = o->health_cmd;
		w->health.test = test;
		w->health.test_n = 2;
	}
	w->health.interval_ns = o->health_interval;
	w->health.timeout_ns = o->health_timeout;
	w->health.start_period_ns = o->health_start_period;
	w->health.retries = (uint32_t) o->health_retries;
	return 0;
}

static void make_resources(const struct create_options *o, struct resources_config *r)
{
	r->memory = (uint64_t) o->memory;
	r->memory_swap = o->memory_swap;
	r->memory_reservation = (uint64_t) o->memory_reservation;
	r->nano_cpus = (uint64_t) o->cpus;
	r->cpu_shares = (uint64_t) o->cpu_shares;
	r->cpu_period = (uint64_t) o->cpu_period;
	r->cpu_quota = o->cpu_quota;
	r->cpuset_cpus = o->cpuset_cpus;
	r->cpuset_mems = o->cpuset_mems;
	r->pids_limit = o->pids_limit;
	r->blkio_weight = (uint64_t) o->blkio_weight;
	r->swappiness_set = o->swappiness_set && o->swappiness >= 0;
	r->swappiness = r->swappiness_set ? (uint32_t) o->swappiness : 0;
	r->oom_kill_disable = o->oom_kill_disable;
	r->cpus_max = (uint64_t) o->cpus_max;
	r->memory_max = (uint64_t) o->memory_max;
	rate_options_into(&o->rates, r);
}

/* docker's; of its drivers' words the one that every driver has. */
static int make_storage(const struct option_list *l, struct workload_config *w, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		struct str value, key = str_cut(str_of(l->items[i]), '=', &value);

		if (!str_is(key, "size"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "--storage-opt '%.100s': only size=BYTES is known",
				       l->items[i]);
		if (num_parse_bytes(value, &w->disk_size) < 0 || w->disk_size == 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--storage-opt '%.100s': write size=10G", l->items[i]);
	}
	return 0;
}

/* What is copied as it is. */
static void make_plain(const struct create_options *o, struct workload_config *w)
{
	w->name = o->name;
	w->isolation = o->isolation;
	w->hostname = o->hostname;
	w->require = o->require;
	w->domainname = o->domainname;
	w->user = o->user;
	w->workdir = o->workdir;
	w->tty = o->tty;
	w->open_stdin = o->interactive;
	w->auto_remove = o->rm;
	w->init = o->init;
	w->read_only = o->read_only;
	w->privileged = o->privileged;
	w->oom_score_adj_set = o->oom_score_adj_set;
	w->oom_score_adj = o->oom_score_adj;
	w->shm_size = (uint64_t) o->shm_size;
	w->cgroup_parent = o->cgroup_parent;
	w->pid_mode = o->pid;
	w->ipc_mode = o->ipc;
	w->uts_mode = o->uts;
	w->userns_mode = o->userns;
	w->cgroupns_mode = o->cgroupns;
	w->network = o->network;
	w->stop_signal = o->stop_signal;
	w->stop_timeout_s = o->stop_timeout_set ? o->stop_timeout : -1;
	w->log_driver = o->log_driver;
#define LIST(to, from)                                                                             \
	do {                                                                                       \
		w->to = o->from.items;                                                             \
		w->to##_n = o->from.n;                                                             \
	} while (0)
	LIST(volumes_from, volumes_from);
	LIST(publish, publish);
	LIST(devices, device);
	LIST(device_rules, device_rule);
	LIST(cap_add, cap_add);
	LIST(cap_drop, cap_drop);
	LIST(security_opt, security_opt);
	LIST(group_add, group_add);
	LIST(dns, dns);
	LIST(dns_search, dns_search);
	LIST(dns_options, dns_option);
	LIST(extra_hosts, add_host);
#undef LIST
	make_resources(o, &w->resources);
}

static int make_command(struct cli *c, const struct create_options *o, struct option_args args,
			struct workload_config *w, struct err *e)
{
	const char **command = arena_array(&c->arena, args.n + 1, sizeof(*command));
	const char **entrypoint = arena_array(&c->arena, 2, sizeof(*entrypoint));

	if (!command || !entrypoint)
		return no_memory(e);
	w->image = args.argv[0];
	for (size_t i = 1; i < args.n; i++)
		command[i - 1] = args.argv[i];
	if (args.n > 1)
		w->command = command;
	w->command_n = args.n - 1;
	w->entrypoint_set = o->entrypoint_set;
	if (o->entrypoint_set && *o->entrypoint) {
		entrypoint[0] = o->entrypoint;
		w->entrypoint = entrypoint;
		w->entrypoint_n = 1;
	}
	return 0;
}

/* What is always fetched is so now; what is missing is missed first. */
static int check_pull(struct cli *c, const struct create_options *o, const char *image,
		      struct err *e)
{
	const struct pull_request q = { .image = image, .quiet = o->quiet, .fd = STDERR_FILENO };
	const char *name;

	if (!o->pull || streq(o->pull, "missing") || streq(o->pull, "never"))
		return 0;
	if (streq(o->pull, "always"))
		return pull_image(c, &q, &name, e);
	return err_set(e, ERR_INVALID, EINVAL, "--pull '%.60s': always, missing or never", o->pull);
}

int create_config(struct cli *c, const struct create_options *o, struct option_args args,
		  struct workload_config *ret, struct err *e)
{
	struct workload_config w = WORKLOAD_CONFIG_INIT;
	struct option_list env, labels;
	int r;

	make_plain(o, &w);
	r = make_command(c, o, args, &w, e);
	if (r == 0)
		r = check_pull(c, o, w.image, e);
	if (r == 0)
		r = merge_files(c, &o->env_file, &o->env, true, &env, e);
	if (r == 0)
		r = merge_files(c, &o->label_file, &o->label, false, &labels, e);
	if (r == 0)
		r = make_pairs(c, &labels, "label", false, &w.labels, &w.labels_n, e);
	if (r == 0)
		r = make_pairs(c, &o->annotation, "annotation", true, &w.annotations,
			       &w.annotations_n, e);
	if (r == 0)
		r = make_pairs(c, &o->sysctl, "sysctl", true, &w.sysctls, &w.sysctls_n, e);
	if (r == 0)
		r = make_pairs(c, &o->log_opt, "log-opt", true, &w.log_options, &w.log_options_n,
			       e);
	if (r == 0)
		r = make_storage(&o->storage_opt, &w, e);
	if (r == 0)
		r = make_mounts(c, o, &w, e);
	if (r == 0)
		r = make_ulimits(c, &o->ulimit, &w, e);
	if (r == 0)
		r = make_health(c, o, &w, e);
	if (r == 0 && o->restart)
		r = config_parse_restart(o->restart, &w.restart, &w.restart_max, e);
	if (r == 0 && o->rm && w.restart != RESTART_NO)
		r = err_set(e, ERR_INVALID, EINVAL, "conflicting options: --restart and --rm");
	if (r < 0)
		return r;
	w.env = env.items;
	w.env_n = env.n;
	*ret = w;
	return 0;
}

int cidfile_check(const char *path, struct err *e)
{
	if (path && access(path, F_OK) == 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "container ID file found, make sure the other container isn't "
			       "running or delete %s",
			       path);
	return 0;
}

int cidfile_write(const char *path, const char *id, struct err *e)
{
	auto_fd int fd = FD_NONE;
	int r;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, errno, "create the container ID file '%s'", path);
	r = fd_write_all(fd, id, strlen(id));
	return r < 0 ? err_sys(e, -r, "write the container ID file '%s'", path) : 0;
}

int create_workload(struct cli *c, const struct create_options *o, const struct workload_config *w,
		    bool foreground, struct ahead *ahead, char ret_id[static WORKLOAD_ID_MAX],
		    struct err *e)
{
	int r = workload_create(&c->svc, w, foreground, ahead, ret_id, e);

	if (r >= 0 || e->kind != ERR_NOT_FOUND || o->from_snapshot)
		return r;
	if (ahead) { /* the shim of this try is none of the next one's */
		const bool short_lived = ahead->short_lived;

		ahead_fini(ahead);
		*ahead = AHEAD_INIT;
		ahead->short_lived = short_lived;
	}
	r = pull_missing(c, w->image, o->pull, o->quiet, e);
	return r > 0 ? workload_create(&c->svc, w, foreground, ahead, ret_id, e) : -1;
}
