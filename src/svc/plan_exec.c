/* SPDX-License-Identifier: Apache-2.0 */
/* The process section of an exec: what the workload runs as, with what the caller changes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "store/workload.h"
#include "svc/inside.h"
#include "svc/plan.h"
#include "svc/plan_process.h"

static bool overridden(const struct plan_exec *x, const char *pair)
{
	size_t n = strcspn(pair, "=");

	for (size_t i = 0; i < x->env_n; i++) {
		if (strcspn(x->env[i], "=") == n && memcmp(x->env[i], pair, n) == 0)
			return true;
	}
	return false;
}

static void env_write(struct json_writer *w, const struct json *process, const struct plan_exec *x,
		      const char *home, bool homeless)
{
	const struct json *env = json_get(process, "env");

	json_w_array(w, "env");
	for (size_t i = 0; env && env->type == JSON_ARRAY && i < env->n; i++) {
		const char *pair = json_string(&env->items[i]);

		if (!pair || overridden(x, pair) ||
		    ((home || homeless) && strncmp(pair, "HOME=", 5) == 0) ||
		    (x->tty && strncmp(pair, "TERM=", 5) == 0))
			continue;
		json_w_string(w, NULL, pair);
	}
	if (home && !overridden(x, "HOME="))
		json_w_string(w, NULL, home);
	if (x->tty && !overridden(x, "TERM="))
		json_w_string(w, NULL, "TERM=xterm");
	for (size_t i = 0; i < x->env_n; i++) {
		if (strchr(x->env[i], '='))
			json_w_string(w, NULL, x->env[i]);
	}
	json_w_end(w);
}

/* The user of an exec by the files the workload sees now. */
static int user_write(struct json_writer *w, const struct workload_record *record,
		      const struct plan_exec *x, struct arena *a, const char **ret_home,
		      struct err *e)
{
	struct account user;
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/%d/root", record->status.pid);
	auto_fd int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, errno, "open the root of workload '%s'", record->name);
	int r = accounts_find(root_fd, x->user, NULL, 0, a, &user, e);
	if (r < 0)
		return r;
	plan_user_write(w, &user);
	*ret_home = arena_printf(a, "HOME=%s", user.home);
	return *ret_home ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int read_process(struct svc *s, const char *id, struct arena *a,
			const struct json **ret_process, struct err *e)
{
	struct path_text dir = paths_workload(&s->paths, id);
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	auto_fd int fd = open(dir.z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct json *root;
	int r = fd < 0 ? -errno : file_read(fd, "config.json", &text);

	if (r < 0)
		return err_sys(e, -r, "read the plan of workload %.12s", id);
	r = json_parse(a, buf_str(&text), &root, e);
	if (r < 0)
		return err_ctx(e, "plan of workload %.12s", id);
	*ret_process = json_get(root, "process");
	return 0;
}

int plan_exec_write(struct svc *s, const char *id, const struct plan_exec *x, struct arena *a,
		    struct buf *out, struct err *e)
{
	static const char *const kept[] = { "rlimits", "apparmorProfile", "selinuxLabel",
					    "oomScoreAdj", "noNewPrivileges" };
	struct json_writer w = JSON_WRITER(out);
	struct workload_record record;
	const struct json *process = NULL;
	const char *home = NULL;
	bool inside, user = x->user && *x->user;
	int r = svc_store(s, e);

	if (r >= 0)
		r = store_workload_find(s->store, id, a, &record, e);
	if (r >= 0)
		r = read_process(s, record.id, a, &process, e);
	if (r < 0)
		return r;
	if (x->argv_n == 0)
		return err_set(e, ERR_INVALID, EINVAL, "no command given");
	json_w_object(&w, NULL);
	json_w_bool(&w, "terminal", x->tty);
	/* Where users are looked up in there, so is their home. */
	inside = json_get(json_get(process, "user"), "username") || inside_here(&record);
	if (user && inside) {
		plan_names_write(&w, x->user, NULL, 0);
	} else if (user) {
		r = user_write(&w, &record, x, a, &home, e);
		if (r < 0)
			return r;
	} else {
		json_w_value(&w, "user", json_get(process, "user"));
	}
	json_w_array(&w, "args");
	for (size_t i = 0; i < x->argv_n; i++)
		json_w_string(&w, NULL, x->argv[i]);
	json_w_end(&w);
	env_write(&w, process, x, home, user && inside);
	if (x->workdir && *x->workdir)
		json_w_string(&w, "cwd", x->workdir);
	else
		json_w_value(&w, "cwd", json_get(process, "cwd"));
	if (x->privileged) {
		struct workload_config all = { .privileged = true };
		const char **names;
		uint64_t caps;

		r = plan_caps(s, &all, &caps, e);
		if (r >= 0)
			r = plan_cap_names(caps, a, &names, e);
		if (r < 0)
			return r;
		plan_caps_write(&w, (const char *const *) names);
	} else if (json_get(process, "capabilities")) {
		json_w_value(&w, "capabilities", json_get(process, "capabilities"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (json_get(process, kept[i]))
			json_w_value(&w, kept[i], json_get(process, kept[i]));
	}
	json_w_end(&w);
	if (!buf_ok(out))
		return err_sys(e, -buf_error(out), "write the plan of an exec");
	return 0;
}
