/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the machine, and chance. */
#include <linux/random.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/uts.h"

sysret_t sys_sysinfo(struct task *t, const uint64_t *a)
{
	struct sysinfo s = { .mem_unit = 1 };
	uint64_t nr = 0;

	s.uptime = plat_now(PLAT_MONOTONIC) / NSEC_PER_SEC;
	s.totalram = frame_budget() << PAGE_SHIFT;
	s.freeram = s.totalram - min_of(s.totalram, frame_used() << PAGE_SHIFT);
	for (; pid_next(&nr); nr++)
		s.procs++;
	return copy_out(t->space, uva(a[0]), &s, sizeof(s));
}

sysret_t sys_getrandom(struct task *t, const uint64_t *a)
{
	uint64_t len = min_of(a[1], (uint64_t) INT32_MAX), done = 0;
	unsigned int flags = (unsigned int) a[2];
	char bytes[256];

	if (flags & ~(unsigned int) (GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & GRND_RANDOM && flags & GRND_INSECURE))
		return -EINVAL;
	while (done < len) {
		size_t part = min_of(sizeof(bytes), (size_t) (len - done));

		plat_random(bytes, part);
		if (copy_out(t->space, uva(a[0] + done), bytes, part) < 0)
			return done ? (sysret_t) done : -EFAULT;
		done += part;
		if (fiber_interrupted())
			break;
	}
	return (sysret_t) done;
}

sysret_t sys_getcpu(struct task *t, const uint64_t *a)
{
	/* Which one a guest's thread is on is its platform's own affair: the first it may use. */
	uint32_t cpu = t->affinity ? (uint32_t) __builtin_ctzll(t->affinity) : 0, node = 0;
	int r = a[0] ? copy_out(t->space, uva(a[0]), &cpu, sizeof(cpu)) : 0;

	if (r == 0 && a[1])
		r = copy_out(t->space, uva(a[1]), &node, sizeof(node));
	return r;
}

/* ---- names ---- */

#define PER_LINUX32 0x0008 /* of personality(2): uname tells of a 32-bit machine */
#define PER_MASK    0x00ff

static void put(char to[65], const char *text)
{
	size_t n = min_of(strlen(text), (size_t) 64);

	memcpy(to, text, n);
}

sysret_t sys_uname(struct task *t, const uint64_t *a)
{
	struct new_utsname u = {};

	put(u.sysname, UTS_SYSNAME);
	put(u.nodename, uts_hostname());
	put(u.release, UTS_RELEASE);
	put(u.version, UTS_VERSION);
	put(u.machine, (t->personality & PER_MASK) == PER_LINUX32 ? "i686" : UTS_MACHINE);
	put(u.domainname, uts_domainname());
	return copy_out(t->space, uva(a[0]), &u, sizeof(u));
}

static sysret_t set_name(struct task *t, const uint64_t *a, void (*set)(const char *, size_t))
{
	char name[UTS_NAME];
	int r;

	if (!cred_can(t->cred, CAP_SYS_ADMIN))
		return -EPERM;
	if ((int) a[1] < 0 || (int) a[1] > UTS_NAME)
		return -EINVAL;
	r = copy_in(t->space, name, uva(a[0]), (uint32_t) a[1]);
	if (r == 0)
		set(name, (uint32_t) a[1]);
	return r;
}

sysret_t sys_sethostname(struct task *t, const uint64_t *a)
{
	return set_name(t, a, uts_set_hostname);
}

sysret_t sys_setdomainname(struct task *t, const uint64_t *a)
{
	return set_name(t, a, uts_set_domainname);
}
