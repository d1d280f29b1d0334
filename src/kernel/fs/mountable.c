/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/mountable.h"

#include "kernel/fs/memfs.h"
#include "kernel/fs/mount_options.h"
#include "kernel/fs/mqueue.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/task/cred.h"

/* As tmpfs(5) has it: half of the memory. */
static int make_tmpfs(const char *options, const struct cred *who, struct super **ret)
{
	struct memfs_options o = { .bytes = frame_budget() / 2 << PAGE_SHIFT,
				   .inodes = frame_budget() / 2,
				   .mode = 01777,
				   .uid = who->fsuid,
				   .gid = who->fsgid };
	int r = memfs_parse(options, &o);

	if (r == 0) {
		*ret = memfs_new(&o);
		r = *ret ? 0 : -ENOMEM;
	}
	return r;
}

/* Everybody sees every process: hidepid's other values are not served. */
static int make_proc(const char *options, const struct cred *who, struct super **ret)
{
	struct mount_option m;

	(void) who;
	while (mount_option_next(&options, &m)) {
		if (!mount_option_is(&m, "hidepid") ||
		    !(mount_option_says(&m, "0") || mount_option_says(&m, "off")))
			return -EINVAL;
	}
	*ret = proc_new();
	return *ret ? 0 : -ENOMEM;
}

/* There is one; the options of the first mount count. */
static int make_devpts(const char *options, const struct cred *who, struct super **ret)
{
	struct devpts_options o = { .mode = 0600 };
	struct mount_option m;
	uint64_t n = 0;

	(void) who;
	while (mount_option_next(&options, &m)) {
		bool good;

		if (mount_option_is(&m, "mode")) {
			good = mount_option_number(&m, 8, 0777, &n);
			o.mode = (uint32_t) n;
		} else if (mount_option_is(&m, "ptmxmode")) {
			good = mount_option_number(&m, 8, 0777, &n);
			o.ptmx_mode = (uint32_t) n;
		} else if (mount_option_is(&m, "gid")) {
			good = mount_option_number(&m, 10, UINT32_MAX - 1, &n);
			o.gid = (uint32_t) n;
		} else {
			good = mount_option_is(&m, "newinstance");
		}
		if (!good)
			return -EINVAL;
	}
	*ret = devpts_new(&o);
	return *ret ? 0 : -ENOMEM;
}

static int without_options(struct super *(*make)(void), const char *options, struct super **ret)
{
	struct mount_option m;

	if (mount_option_next(&options, &m))
		return -EINVAL;
	*ret = make();
	return *ret ? 0 : -ENOMEM;
}

static int make_sysfs(const char *options, const struct cred *who, struct super **ret)
{
	(void) who;
	return without_options(sysfs_new, options, ret);
}

static int make_cgroup(const char *options, const struct cred *who, struct super **ret)
{
	(void) who;
	return without_options(cgroupfs_new, options, ret);
}

/* The queues of the only IPC namespace: each mount shows the same. */
static int make_mqueue(const char *options, const struct cred *who, struct super **ret)
{
	(void) who;
	return without_options(mqueue_super, options, ret);
}

static const struct {
	const char *type;
	int (*make)(const char *options, const struct cred *who, struct super **ret);
} types[] = {
	{ "tmpfs", make_tmpfs },   { "proc", make_proc },      { "sysfs", make_sysfs },
	{ "devpts", make_devpts }, { "cgroup2", make_cgroup }, { "mqueue", make_mqueue },
};

int mountable_new(const char *type, const char *options, const struct cred *who, struct super **ret)
{
	for (size_t n = 0; n < countof(types); n++) {
		size_t len = strlen(types[n].type);

		if (strlen(type) == len && memcmp(types[n].type, type, len) == 0)
			return types[n].make(options, who, ret);
	}
	return -ENODEV;
}
