/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/proc/cpu.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/task/uts.h"
#include "kernel/task/wait.h"
#include "kernel/vfs/lock.h"

#define KIB(frames) ((frames) << (PAGE_SHIFT - 10))

static void amount(struct text *to, const char *name, uint64_t kib)
{
	size_t from = to->len;

	text_put(to, "%s:", name);
	text_pad(to, from, 16);
	text_put(to, "%8lu kB\n", kib);
}

/* What the sandbox may have, not what the host has: programs size themselves by it. */
static int meminfo(const struct generated_node *n, struct text *to)
{
	static const char *const none[] = { "Buffers",	 "SwapCached", "Unevictable", "Mlocked",
					    "SwapTotal", "SwapFree",   "Dirty",	      "Writeback" };
	uint64_t total = frame_budget(), used = min_of(total, frame_used());

	(void) n;
	amount(to, "MemTotal", KIB(total));
	amount(to, "MemFree", KIB(total - used));
	amount(to, "MemAvailable", KIB(total - used));
	for (size_t k = 0; k < countof(none); k++)
		amount(to, none[k], 0);
	amount(to, "CommitLimit", KIB(total));
	amount(to, "Committed_AS", KIB(used));
	text_put(to, "HugePages_Total:       0\nHugePages_Free:        0\n");
	amount(to, "Hugepagesize", 2048);
	return 0;
}

struct totals {
	nsec_t user, system;
	uint64_t processes, tasks, running;
	uint64_t last;
};

static struct totals count(void)
{
	struct totals all = {};
	uint64_t nr = 0;
	struct pid *p;

	for (; (p = pid_next(&nr)); nr++) {
		struct task_usage u;

		all.last = nr;
		if (p->task && p->task->state != TASK_ENDED) {
			all.tasks++;
			all.running += p->task->in_user || p->task == this_task();
		}
		if (!p->process)
			continue;
		process_usage(p->process, &u);
		all.processes++;
		all.user += u.user + p->process->children_usage.user;
		all.system += u.system + p->process->children_usage.system;
	}
	return all;
}

static uint64_t ticks(nsec_t n)
{
	return (uint64_t) (n / (NSEC_PER_SEC / 100));
}

static int stat(const struct generated_node *n, struct text *to)
{
	struct totals all = count();
	unsigned int cpus = plat_cpus();
	nsec_t up = plat_now(PLAT_MONOTONIC), boot = plat_now(PLAT_REALTIME) - up;
	nsec_t idle = max_of(up * cpus - all.user - all.system, (nsec_t) 0);

	(void) n;
	text_put(to, "cpu  %lu 0 %lu %lu 0 0 0 0 0 0\n", ticks(all.user), ticks(all.system),
		 ticks(idle));
	/* Which processor a task ran on is not kept: each has its part. */
	for (unsigned int k = 0; k < cpus; k++)
		text_put(to, "cpu%u %lu 0 %lu %lu 0 0 0 0 0 0\n", k, ticks(all.user / cpus),
			 ticks(all.system / cpus), ticks(idle / cpus));
	text_put(to, "intr 0\nctxt 0\nbtime %lu\nprocesses %lu\n", (uint64_t) (boot / NSEC_PER_SEC),
		 all.last);
	text_put(to, "procs_running %lu\nprocs_blocked 0\n", max_of(all.running, 1ul));
	return 0;
}

static int uptime(const struct generated_node *n, struct text *to)
{
	struct totals all = count();
	uint64_t up = ticks(plat_now(PLAT_MONOTONIC)), busy = ticks(all.user + all.system),
		 whole = up * plat_cpus(), idle = whole - min_of(whole, busy);

	(void) n;
	text_put(to, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
	return 0;
}

/* Averages are not kept: those who read them look at the second half. */
static int loadavg(const struct generated_node *n, struct text *to)
{
	struct totals all = count();

	(void) n;
	text_put(to, "0.00 0.00 0.00 %lu/%lu %lu\n", max_of(all.running, 1ul), all.tasks, all.last);
	return 0;
}

static int version(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, UTS_SYSNAME " version " UTS_RELEASE " (atoll@atoll) " UTS_VERSION "\n");
	return 0;
}

void proc_filesystems(struct text *to)
{
	text_put(to, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevpts\n"
		     "nodev\tmqueue\n"
		     "nodev\toverlay\n\terofs\n");
}

static int filesystems(const struct generated_node *n, struct text *to)
{
	(void) n;
	proc_filesystems(to);
	return 0;
}

static int devices(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/ptmx\n136 pts\n\n"
		     "Block devices:\n");
	return 0;
}

static int swaps(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}

static int cgroups(const struct generated_node *n, struct text *to)
{
	static const char *const names[] = { "cpu", "memory", "pids" };

	(void) n;
	text_put(to, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
	for (size_t k = 0; k < countof(names); k++)
		text_put(to, "%s\t0\t1\t1\n", names[k]);
	return 0;
}

static int cmdline(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "\n");
	return 0;
}

static int locks(const struct generated_node *n, struct text *to)
{
	(void) n;
	lock_table(to);
	return 0;
}

static const struct generated_entry entries[] = {
	PROC_FILE("cgroups", 0444, cgroups),
	PROC_FILE("cmdline", 0444, cmdline),
	PROC_FILE("cpuinfo", 0444, proc_cpuinfo),
	PROC_FILE("devices", 0444, devices),
	PROC_FILE("filesystems", 0444, filesystems),
	PROC_FILE("loadavg", 0444, loadavg),
	PROC_FILE("locks", 0444, locks),
	PROC_FILE("meminfo", 0444, meminfo),
	PROC_FILE("stat", 0444, stat),
	PROC_FILE("swaps", 0444, swaps),
	PROC_FILE("uptime", 0444, uptime),
	PROC_FILE("version", 0444, version),
};

const struct proc_table proc_system = { entries, countof(entries) };
