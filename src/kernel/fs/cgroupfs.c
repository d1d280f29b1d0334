/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/magic.h>

#include "kernel/fs/generated.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/task/limit.h"
#include "kernel/task/task.h"
#include "kernel/task/wait.h"

static struct sandbox_limits limits = { .cpu_period_us = 100000 };

void sandbox_set_limits(const struct sandbox_limits *l)
{
	limits = *l;
}

struct sandbox_limits sandbox_limits(void)
{
	return limits;
}

static void or_max(struct text *to, uint64_t n)
{
	if (n)
		text_put(to, "%lu", n);
	else
		text_put(to, "max");
}

static int controllers(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "cpu memory pids\n");
	return 0;
}

static int no_text(const struct generated_node *n, struct text *to)
{
	(void) n;
	(void) to;
	return 0;
}

static int domain(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "domain\n");
	return 0;
}

static int processes(const struct generated_node *n, struct text *to)
{
	uint64_t nr = 0;
	struct pid *p;

	(void) n;
	for (; (p = pid_next(&nr)); nr++) {
		if (p->process)
			text_put(to, "%lu\n", nr);
	}
	return 0;
}

static int cpu_max(const struct generated_node *n, struct text *to)
{
	(void) n;
	or_max(to, limits.cpu_quota_us);
	text_put(to, " %lu\n", limits.cpu_period_us);
	return 0;
}

static int cpu_stat(const struct generated_node *n, struct text *to)
{
	nsec_t user = 0, system = 0;
	uint64_t nr = 0;
	struct pid *p;

	(void) n;
	for (; (p = pid_next(&nr)); nr++) {
		struct task_usage u;

		if (!p->process)
			continue;
		process_usage(p->process, &u);
		user += u.user + p->process->children_usage.user;
		system += u.system + p->process->children_usage.system;
	}
	text_put(to, "usage_usec %ld\nuser_usec %ld\nsystem_usec %ld\n", (user + system) / 1000,
		 user / 1000, system / 1000);
	return 0;
}

static int memory_max(const struct generated_node *n, struct text *to)
{
	(void) n;
	or_max(to, limits.memory ? frame_budget() << PAGE_SHIFT : 0);
	text_put(to, "\n");
	return 0;
}

static int memory_high(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "max\n");
	return 0;
}

static int memory_current(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%lu\n", frame_used() << PAGE_SHIFT);
	return 0;
}

static int memory_swap(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "0\n");
	return 0;
}

static int pids_max(const struct generated_node *n, struct text *to)
{
	(void) n;
	or_max(to, limit_tasks_most());
	text_put(to, "\n");
	return 0;
}

static int pids_current(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%lu\n", tasks_count());
	return 0;
}

static int pids_events(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "max %lu\n", limit_tasks_refused());
	return 0;
}

#define FILE_OF(n, s)                                                                              \
	{                                                                                          \
		.name = (n), .mode = S_IFREG | 0444, .show = (s)                                   \
	}

static const struct generated_entry files[] = {
	FILE_OF("cgroup.controllers", controllers),
	FILE_OF("cgroup.procs", processes),
	FILE_OF("cgroup.subtree_control", no_text),
	FILE_OF("cgroup.type", domain),
	FILE_OF("cpu.max", cpu_max),
	FILE_OF("cpu.stat", cpu_stat),
	FILE_OF("memory.current", memory_current),
	FILE_OF("memory.high", memory_high),
	FILE_OF("memory.max", memory_max),
	FILE_OF("memory.swap.current", memory_swap),
	FILE_OF("memory.swap.max", memory_swap),
	FILE_OF("pids.current", pids_current),
	FILE_OF("pids.events", pids_events),
	FILE_OF("pids.max", pids_max),
};

static const struct generated_entry top = {
	.name = "", .mode = S_IFDIR | 0555, .children = files, .count = countof(files)
};

static const struct super_ops super_ops = {
	.type = "cgroup2",
	.magic = CGROUP2_SUPER_MAGIC,
	.shutdown = generated_shutdown,
	.release = generated_release,
};

struct super *cgroupfs_new(void)
{
	return generated_new(&super_ops, &top);
}
