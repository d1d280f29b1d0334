/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/container.h"
#include "engine/container/own_kernel.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/usernet.h"
#include "engine/pod.h"
#include "engine/refuse.h"
#include "engine/source.h"
#include "fmt/spec.h"

#define WHO "a microvm"

static struct own_kernel as_own_kernel(enum pod_role role)
{
	return (struct own_kernel){ .who = WHO, .in_pod = role != POD_NONE, .has_fuse = true };
}

/* Without one of its own it has the host's network at second hand. */
static int check_network(const struct spec *s, struct err *e)
{
	return s->linux_.ns[SPEC_NS_NETWORK].present ? 0 : usernet_check(e);
}

int check_source(int fd, const char *path, struct err *e)
{
	return source_check(fd, path, "a microvm", e);
}

/* What is missing create finds. */
static int check_sources(const struct spec *s, struct err *e)
{
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];
		auto_fd int fd = FD_NONE;

		if (!own_kernel_is_bind(m) || m->source[0] != '/')
			continue;
		fd = open(m->source, O_PATH | O_CLOEXEC);
		if (fd >= 0 && check_source(fd, m->source, e) < 0)
			return -1;
	}
	return 0;
}

static int check_hooks(const struct spec *s, struct err *e)
{
	if (!s->hooks[SPEC_HOOK_CREATE_CONTAINER].n)
		return 0;
	return refuse_to(e, WHO,
			 "run createContainer hooks: they would be the host's programs in the "
			 "machine's namespaces");
}

/* Its kernel would take what is not there for its tables of pages alone, and never come up. */
static int check_memory(const struct spec_memory *m, struct err *e)
{
	struct sysinfo host;
	uint64_t there;

	if (!m || !m->limit_set || m->limit <= 0)
		return 0;
	if (sysinfo(&host) < 0)
		return err_sys(e, errno, "ask for the host's memory");
	there = (uint64_t) host.totalram * host.mem_unit;
	if ((uint64_t) m->limit > there)
		return err_set(
			e, ERR_INVALID, ENOMEM,
			"a microvm with %llu MiB of memory is larger than its host, which has "
			"%llu MiB",
			(unsigned long long) m->limit >> 20, (unsigned long long) there >> 20);
	return 0;
}

int microvm_check(const struct engine_caps *caps, const struct spec *s, struct err *e)
{
	struct pod_name pod = {};
	struct own_kernel k;
	int r = container_check(caps, s, e);

	if (r == 0 && !s->process)
		r = err_set(e, ERR_INVALID, EINVAL, "process: missing, there is nothing to run");
	r = r < 0 ? r : pod_find(s, &pod, e);
	k = as_own_kernel(pod.role);
	r = r < 0 ? r : own_kernel_check(&k, s, e);
	r = r < 0 ? r : check_network(s, e);
	r = r < 0 ? r : check_sources(s, e);
	if (r == 0 && s->linux_.resources)
		r = check_memory(s->linux_.resources->memory, e);
	return r < 0 ? r : check_hooks(s, e);
}

int check_alone(const struct spec *s, struct err *e)
{
	const struct own_kernel k = as_own_kernel(POD_NONE);
	int r = own_kernel_check_namespaces(&k, s, e);

	return r < 0 ? r : check_network(s, e);
}
