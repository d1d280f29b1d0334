/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/host.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/num.h"

static void parse_release(struct host *h)
{
	const char *minor = strchr(h->kernel_release, '.');
	uint32_t a = 0, b = 0;

	/* A release that starts otherwise counts as 0.0: too old for everything. */
	if (!minor ||
	    num_parse_u32((struct str){ h->kernel_release, (size_t) (minor - h->kernel_release) },
			  0, 1000, &a) < 0 ||
	    num_parse_u32((struct str){ minor + 1, strspn(minor + 1, "0123456789") }, 0, 10000,
			  &b) < 0)
		return;
	h->kernel_major = a;
	h->kernel_minor = b;
}

static enum host_cgroups find_cgroups(void)
{
	struct statfs fs;

	if (statfs("/sys/fs/cgroup", &fs) < 0)
		return HOST_CGROUPS_NONE;
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return HOST_CGROUPS_UNIFIED;
	if (fs.f_type != TMPFS_MAGIC)
		return HOST_CGROUPS_NONE;
	if (statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return HOST_CGROUPS_HYBRID;
	return HOST_CGROUPS_V1;
}

int host_probe(struct host *ret_h, struct err *e)
{
	struct host h = { .euid = geteuid() };
	struct utsname u;

	if (uname(&u) < 0)
		return err_sys(e, errno, "uname");
	(void) snprintf(h.kernel_release, sizeof(h.kernel_release), "%s", u.release);
	(void) snprintf(h.machine, sizeof(h.machine), "%s", u.machine);
	parse_release(&h);
	h.cgroups = find_cgroups();
	*ret_h = h;
	return 0;
}

bool host_kernel_at_least(const struct host *h, unsigned major, unsigned minor)
{
	return h->kernel_major > major || (h->kernel_major == major && h->kernel_minor >= minor);
}

const char *host_cgroups_name(enum host_cgroups c)
{
	static const char *const names[] = {
		[HOST_CGROUPS_NONE] = "none",
		[HOST_CGROUPS_V1] = "v1",
		[HOST_CGROUPS_HYBRID] = "hybrid",
		[HOST_CGROUPS_UNIFIED] = "v2",
	};

	return names[c];
}
