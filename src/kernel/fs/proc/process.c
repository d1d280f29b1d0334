/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/proc/tables.h"
#include "kernel/task/cred.h"
#include "kernel/task/oom.h"
#include "kernel/vfs/names.h"

static int comm(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);

	if (!t)
		return -ESRCH;
	text_put(to, "%s\n", t->comm);
	return 0;
}

/* A process may name its own threads: proc_pid_comm(5). */
static int set_comm(const struct generated_node *n, const char *bytes, size_t len)
{
	struct task *t = proc_task(n);
	char name[16] = "";

	if (!t)
		return -ESRCH;
	if (this_task() && this_task()->process != t->process)
		return -EINVAL;
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	memcpy(name, bytes, min_of(len, sizeof(name) - 1));
	task_set_comm(t, name);
	return 0;
}

static int auxiliary(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	if (r == 0 && t->space && t->image)
		text_add(to, (const char *) t->image->program.auxiliary,
			 t->image->program.auxiliary_count * sizeof(uint64_t));
	return r;
}

static int cgroup(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "0::/\n");
	return 0;
}

static int score(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);

	if (!t)
		return -ESRCH;
	text_put(to, "%d\n", max_of((1000 + oom_badness(t->process)) * 2 / 3, 0));
	return 0;
}

static int score_adj(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);

	if (!t)
		return -ESRCH;
	text_put(to, "%d\n", t->process->oom_score_adj);
	return 0;
}

static int set_score_adj(const struct generated_node *n, const char *bytes, size_t len)
{
	struct task *t = proc_task(n);
	bool minus = len > 0 && bytes[0] == '-';
	uint64_t value;
	int wanted;

	if (!t)
		return -ESRCH;
	while (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (!generated_number(bytes + minus, len - minus, &value) || value > 1000)
		return -EINVAL;
	wanted = minus ? -(int) value : (int) value;
	/* Only who may claim resources makes itself a less likely victim. */
	if (wanted < t->process->oom_score_adj && this_task() &&
	    !cred_can(this_task()->cred, CAP_SYS_RESOURCE))
		return -EACCES;
	t->process->oom_score_adj = wanted;
	return 0;
}

static int id_map(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%10u %10u %10u\n", 0u, 0u, UINT32_MAX);
	return 0;
}

static int setgroups(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "allow\n");
	return 0;
}

static int dump_filter(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "00000033\n");
	return 0;
}

static int login(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%u", UINT32_MAX); /* nobody logged in: not set */
	return 0;
}

static int personality(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	if (r == 0)
		text_put(to, "%08x\n", t->personality);
	return r;
}

/* ---- task ---- */

static int find_thread(const struct generated_node *dir, const char *name, size_t len,
		       struct generated_node *ret)
{
	const struct task *leader = proc_task(dir);
	struct pid *p;
	uint64_t nr;

	if (!leader || !generated_number(name, len, &nr))
		return -ENOENT;
	p = pid_find((int64_t) nr);
	if (!p || !p->task || p->task->process != leader->process)
		return -ENOENT;
	pid_ref(p);
	*ret = (struct generated_node){ .entry = &proc_thread, .pid = p, .number = 1 };
	return 0;
}

static void list_threads(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	const struct task *leader = proc_task(dir);
	uint64_t nr = at - GENERATED_FIRST;
	struct pid *p;

	for (; leader && (p = pid_next(&nr)); nr++) {
		if (p->task && p->task->process == leader->process &&
		    !generated_tell_number(to, nr, S_IFDIR, GENERATED_FIRST + nr + 1))
			break;
	}
}

/* ---- the tables ---- */

#define OF_EACH                                                                                    \
	PROC_FILE("auxv", 0400, auxiliary), PROC_FILE("cgroup", 0444, cgroup),                     \
		PROC_FILE("cmdline", 0444, proc_cmdline),                                          \
		{ .name = "comm", .mode = S_IFREG | 0644, .show = comm, .store = set_comm },       \
		{ .name = "cwd",                                                                   \
		  .mode = S_IFLNK | 0777,                                                          \
		  .link = proc_cwd_link,                                                           \
		  .follow = proc_cwd_follow },                                                     \
		PROC_FILE("environ", 0400, proc_environ),                                          \
		{ .name = "exe",                                                                   \
		  .mode = S_IFLNK | 0777,                                                          \
		  .link = proc_exe_link,                                                           \
		  .follow = proc_exe_follow },                                                     \
		{ .name = "fd",                                                                    \
		  .mode = S_IFDIR | 0500,                                                          \
		  .find = proc_fd_find,                                                            \
		  .list = proc_fd_list },                                                          \
		{ .name = "fdinfo",                                                                \
		  .mode = S_IFDIR | 0500,                                                          \
		  .find = proc_fdinfo_find,                                                        \
		  .list = proc_fd_list },                                                          \
		PROC_FILE("gid_map", 0444, id_map), PROC_FILE("io", 0400, proc_io),                \
		PROC_FILE("limits", 0444, proc_limits), PROC_FILE("maps", 0444, proc_maps),        \
		PROC_FILE("mountinfo", 0444, proc_mountinfo),                                      \
		PROC_FILE("mounts", 0444, proc_mounts), PROC_FILE("oom_score", 0444, score),       \
		{ .name = "oom_score_adj",                                                         \
		  .mode = S_IFREG | 0644,                                                          \
		  .show = score_adj,                                                               \
		  .store = set_score_adj },                                                        \
		PROC_FILE("personality", 0400, personality),                                       \
		{ .name = "root",                                                                  \
		  .mode = S_IFLNK | 0777,                                                          \
		  .link = proc_root_link,                                                          \
		  .follow = proc_root_follow },                                                    \
		PROC_FILE("smaps", 0444, proc_smaps), PROC_FILE("setgroups", 0444, setgroups),     \
		PROC_FILE("stat", 0444, proc_stat), PROC_FILE("statm", 0444, proc_statm),          \
		PROC_FILE("status", 0444, proc_status), PROC_FILE("uid_map", 0444, id_map)

static const struct generated_entry of_thread[] = { OF_EACH };
static const struct generated_entry of_process[] = {
	OF_EACH,
	PROC_FILE("coredump_filter", 0444, dump_filter),
	PROC_FILE("loginuid", 0444, login),
	PROC_FILE("smaps_rollup", 0444, proc_smaps_rollup),
	{ .name = "timerslack_ns",
	  .mode = S_IFREG | 0666,
	  .show = proc_timer_slack,
	  .store = proc_set_timer_slack },
	{ .name = "task", .mode = S_IFDIR | 0555, .find = find_thread, .list = list_threads },
};

const struct generated_entry proc_process = PROC_DIR("", 0555, of_process);
const struct generated_entry proc_thread = PROC_DIR("", 0555, of_thread);
