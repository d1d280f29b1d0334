/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int caps_get(struct caps *ret_c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {};

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	ret_c->effective = d[0].effective | (uint64_t) d[1].effective << 32;
	ret_c->permitted = d[0].permitted | (uint64_t) d[1].permitted << 32;
	ret_c->inheritable = d[0].inheritable | (uint64_t) d[1].inheritable << 32;
	return 0;
}

bool caps_effective(unsigned cap)
{
	struct caps c;

	return caps_get(&c) == 0 && (c.effective & UINT64_C(1) << cap);
}

int caps_set(const struct caps *c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = (uint32_t) c->effective,
		  .permitted = (uint32_t) c->permitted,
		  .inheritable = (uint32_t) c->inheritable },
		{ .effective = (uint32_t) (c->effective >> 32),
		  .permitted = (uint32_t) (c->permitted >> 32),
		  .inheritable = (uint32_t) (c->inheritable >> 32) },
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

unsigned caps_last(void)
{
	static unsigned last; /* found once: it is the kernel's for good */

	if (!last) {
		unsigned n = CAP_LAST_CAP;

		while (n < 63 && prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0)
			n++;
		while (n > 0 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) < 0)
			n--;
		last = n;
	}
	return last;
}

int caps_bounding(uint64_t *ret_set)
{
	uint64_t set = 0;

	for (unsigned c = 0; c < 64; c++) {
		int r = prctl(PR_CAPBSET_READ, c, 0, 0, 0);

		if (r < 0)
			break;
		if (r > 0)
			set |= UINT64_C(1) << c;
	}
	*ret_set = set;
	return 0;
}

int caps_bound(uint64_t keep)
{
	/* Dropping what is not there succeeds, and the first unknown number ends the list. */
	for (unsigned c = 0; c < 64; c++) {
		if (keep & UINT64_C(1) << c)
			continue;
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
			return errno == EINVAL && c > 0 ? 0 : -errno;
	}
	return 0;
}

int caps_ambient(uint64_t set)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	for (unsigned c = 0; c < 64; c++) {
		/* One that is not permitted and inheritable is refused by the kernel; callers of
		 * runc expect the start to go on without it. */
		if (set & UINT64_C(1) << c)
			(void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
	}
	return 0;
}
