/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox cannot have, refused before anything is done. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/container.h"
#include "engine/container/own_kernel.h"
#include "engine/pod.h"
#include "engine/refuse.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/stack.h"

#define WHO "a sandbox"

static struct own_kernel as_own_kernel(enum pod_role role)
{
	return (struct own_kernel){ .who = WHO, .in_pod = role != POD_NONE };
}

static int check_process(const struct spec_process *p, struct err *e)
{
	const struct refusal list[] = {
		{ p->scheduler, "choose how the host schedules it (process.scheduler)" },
		{ p->io_priority, "have a priority at the host's disks (process.ioPriority)" },
		{ p->exec_cpu_affinity, "choose the host's processors (process.execCPUAffinity)" },
	};

	return refuse_first(e, WHO, list, ARRAY_SIZE(list));
}

static int check_rest(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	const struct refusal list[] = {
		{ s->hooks[SPEC_HOOK_CREATE_CONTAINER].n || s->hooks[SPEC_HOOK_START_CONTAINER].n,
		  "run createContainer and startContainer hooks: they would be the host's programs "
		  "in namespaces that the workload is not in" },
		{ l->uid_maps_n || l->gid_maps_n,
		  "map its ids to others (linux.uidMappings): they are another kernel's than the "
		  "host's" },
		{ l->personality_set && l->personality, "be of another personality" },
		{ l->monotonic.set || l->boottime.set,
		  "have clocks of its own (linux.timeOffsets)" },
	};

	return refuse_first(e, WHO, list, ARRAY_SIZE(list));
}

int sandbox_check_memory(uint64_t memory, struct err *e)
{
	return memory && memory < SANDBOX_MEMORY_LEAST
		       ? err_set(e, ERR_INVALID, EINVAL,
				 "linux.resources.memory.limit: a sandbox needs at least %llu "
				 "bytes",
				 (unsigned long long) SANDBOX_MEMORY_LEAST)
		       : 0;
}

int sandbox_check(const struct engine_caps *caps, const struct spec *s, struct err *e)
{
	struct pod_name pod = {};
	struct own_kernel k;
	bool strict;
	int r = container_check(caps, s, e);

	if (r == 0 && !s->process)
		r = err_set(e, ERR_INVALID, EINVAL, "process: missing, there is nothing to run");
	r = r < 0 ? r : pod_find(s, &pod, e);
	k = as_own_kernel(pod.role);
	r = r < 0 ? r : own_kernel_check(&k, s, e);
	r = r < 0 ? r : check_process(s->process, e);
	r = r < 0 ? r : stack_wanted(s, &strict, e);
	r = r < 0 ? r : sandbox_check_memory(inside_memory(s), e);
	return r < 0 ? r : check_rest(s, e);
}

int sandbox_check_alone(const struct spec *s, struct err *e)
{
	const struct own_kernel k = as_own_kernel(POD_NONE);

	return own_kernel_check_namespaces(&k, s, e);
}
