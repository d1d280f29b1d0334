/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/sysfs.h"

#include <linux/magic.h>

#include "kernel/fs/generated.h"
#include "kernel/fs/sysfs_net.h"
#include "kernel/platform/platform.h"
#include "kernel/task/pid.h"

#define FILE_OF(n, s)                                                                              \
	{                                                                                          \
		.name = (n), .mode = S_IFREG | 0444, .show = (s)                                   \
	}
#define DIR_OF(n, t)                                                                               \
	{                                                                                          \
		.name = (n), .mode = S_IFDIR | 0555, .children = (t), .count = countof(t)          \
	}

static int cpus(const struct generated_node *n, struct text *to)
{
	unsigned int count = plat_cpus();

	(void) n;
	if (count == 1)
		text_put(to, "0\n");
	else
		text_put(to, "0-%u\n", count - 1);
	return 0;
}

static int no_cpus(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "\n");
	return 0;
}

static int last_cpu(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%u\n", plat_cpus() - 1);
	return 0;
}

static int zero(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "0\n");
	return 0;
}

static int one(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "1\n");
	return 0;
}

static int own_number(const struct generated_node *n, struct text *to)
{
	text_put(to, "%lu\n", n->number);
	return 0;
}

/* As a mask and as a list of the processor itself: one thread in each core. */
static int own_mask(const struct generated_node *n, struct text *to)
{
	text_put(to, "%lx\n", (uint64_t) 1 << (n->number & 63));
	return 0;
}

static int never_huge(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "always madvise [never]\n");
	return 0;
}

static int clock_source(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "tsc\n");
	return 0;
}

static const struct generated_entry topology_files[] = {
	FILE_OF("core_cpus_list", own_number),	     FILE_OF("core_id", own_number),
	FILE_OF("core_siblings_list", cpus),	     FILE_OF("package_cpus_list", cpus),
	FILE_OF("physical_package_id", zero),	     FILE_OF("thread_siblings", own_mask),
	FILE_OF("thread_siblings_list", own_number),
};
static const struct generated_entry cpu_files[] = {
	FILE_OF("online", one),
	DIR_OF("topology", topology_files),
};
static const struct generated_entry cpu_entry = DIR_OF("", cpu_files);

static int find_cpu(const struct generated_node *dir, const char *name, size_t len,
		    struct generated_node *ret)
{
	uint64_t nr;

	(void) dir;
	if (len < 4 || memcmp(name, "cpu", 3) != 0 || !generated_number(name + 3, len - 3, &nr) ||
	    nr >= plat_cpus())
		return -ENOENT;
	*ret = (struct generated_node){ .entry = &cpu_entry, .number = nr };
	return 0;
}

static void list_cpus(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	(void) dir;
	for (uint64_t nr = at - GENERATED_FIRST; nr < plat_cpus(); nr++) {
		struct text name = {};
		bool more;

		text_put(&name, "cpu%lu", nr);
		more = !name.failed &&
		       generated_tell(to, name.bytes, name.len, S_IFDIR, GENERATED_FIRST + nr + 1);
		text_fini(&name);
		if (!more)
			break;
	}
}

static const struct generated_entry cpus_files[] = {
	FILE_OF("kernel_max", last_cpu), FILE_OF("offline", no_cpus), FILE_OF("online", cpus),
	FILE_OF("possible", cpus),	 FILE_OF("present", cpus),
};
static const struct generated_entry node0_files[] = { FILE_OF("cpulist", cpus) };
static const struct generated_entry node_files[] = {
	DIR_OF("node0", node0_files),
	FILE_OF("online", zero),
	FILE_OF("possible", zero),
};
static const struct generated_entry source_files[] = {
	FILE_OF("available_clocksource", clock_source),
	FILE_OF("current_clocksource", clock_source),
};
static const struct generated_entry source_dirs[] = { DIR_OF("clocksource0", source_files) };
static const struct generated_entry system_files[] = {
	DIR_OF("clocksource", source_dirs),
	{ .name = "cpu",
	  .mode = S_IFDIR | 0555,
	  .children = cpus_files,
	  .count = countof(cpus_files),
	  .find = find_cpu,
	  .list = list_cpus },
	DIR_OF("node", node_files),
};
static const struct generated_entry virtual_files[] = {
	{ .name = "net", .mode = S_IFDIR | 0555, .find = sysfs_net_find, .list = sysfs_net_list },
};
static const struct generated_entry class_files[] = {
	{ .name = "net",
	  .mode = S_IFDIR | 0555,
	  .find = sysfs_net_find_link,
	  .list = sysfs_net_list_links },
};
static const struct generated_entry devices_files[] = {
	DIR_OF("system", system_files),
	DIR_OF("virtual", virtual_files),
};
static const struct generated_entry huge_files[] = { FILE_OF("enabled", never_huge) };
static const struct generated_entry mm_files[] = { DIR_OF("transparent_hugepage", huge_files) };
static const struct generated_entry kernel_files[] = { DIR_OF("mm", mm_files) };
/* Where cgroup2 is mounted. */
static const struct generated_entry fs_files[] = {
	{ .name = "cgroup", .mode = S_IFDIR | 0555 },
};
static const struct generated_entry root_files[] = {
	DIR_OF("class", class_files),
	DIR_OF("devices", devices_files),
	DIR_OF("fs", fs_files),
	DIR_OF("kernel", kernel_files),
};
static const struct generated_entry top = DIR_OF("", root_files);

static const struct super_ops super_ops = {
	.type = "sysfs",
	.magic = SYSFS_MAGIC,
	.shutdown = generated_shutdown,
	.release = generated_release,
};

struct super *sysfs_new(void)
{
	return generated_new(&super_ops, &top);
}
