/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/limit.h"

#include "kernel/mm/space.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit_cpu.h"

#define MAPPINGS 65530	 /* vm.max_map_count */
#define NR_OPEN	 1048576 /* fs.nr_open: above it RLIMIT_NOFILE never is */

void limits_of_space(const struct task *t, struct space_limits *ret)
{
	const struct process *p = t->process;
	bool locks = cred_can(t->cred, CAP_IPC_LOCK);

	*ret = (struct space_limits){ .size = process_limit(p, RLIMIT_AS),
				      .data = process_limit(p, RLIMIT_DATA),
				      .stack = process_limit(p, RLIMIT_STACK),
				      .locked = locks ? TASK_UNLIMITED
						      : process_limit(p, RLIMIT_MEMLOCK),
				      .mappings = MAPPINGS };
}

/* The same user and group on both sides, or CAP_SYS_RESOURCE. */
static bool may(const struct cred *who, const struct cred *of)
{
	return (who->uid == of->euid && who->uid == of->suid && who->uid == of->uid &&
		who->gid == of->egid && who->gid == of->sgid && who->gid == of->gid) ||
	       cred_can(who, CAP_SYS_RESOURCE);
}

static void tell_spaces(struct process *p)
{
	list_each(l, &p->threads)
	{
		struct task *t = task_of_list(l);

		if (t->space)
			limits_of_space(t, &t->space->limits);
	}
}

sysret_t task_prlimit(struct task *t, int32_t pid, unsigned int what, const struct task_limit *new,
		      struct task_limit *ret_old)
{
	struct pid *id = pid == 0 ? t->pid : pid_find(pid);
	struct task *of = id ? id->task : NULL;
	struct task_limit *old;

	if (what >= RLIM_NLIMITS)
		return -EINVAL;
	if (!of)
		return -ESRCH;
	if (of->process != t->process && !may(t->cred, of->cred))
		return -EPERM;
	old = &of->process->limits[what];
	if (new &&new->soft > new->hard)
		return -EINVAL;
	if (new &&what == RLIMIT_NOFILE &&new->hard > NR_OPEN)
		return -EPERM;
	if (new &&new->hard > old->hard && !cred_can(t->cred, CAP_SYS_RESOURCE))
		return -EPERM;
	if (ret_old)
		*ret_old = *old;
	if (new) {
		*old = *new;
		tell_spaces(of->process);
		if (what == RLIMIT_CPU)
			limit_cpu_watch(of->process);
	}
	return 0;
}

void limit_tasks_in(struct pid_space *s, uint64_t most)
{
	struct pid_room *r = pid_space_room(s);

	r->most = most;
	r->refused = 0;
}

void limit_tasks(uint64_t most)
{
	limit_tasks_in(NULL, most);
}

uint64_t limit_tasks_most(void)
{
	return pid_space_room(pid_space_here())->most;
}

uint64_t limit_tasks_refused(void)
{
	return pid_space_room(pid_space_here())->refused;
}

bool limit_tasks_passed(void)
{
	struct pid_room *r = pid_space_room(pid_space_here());

	if (r->most == 0 || r->count < r->most)
		return false;
	r->refused++;
	return true;
}

bool limit_nproc_passed(const struct task *t, unsigned int more)
{
	uint64_t limit = process_limit(t->process, RLIMIT_NPROC), count = more, nr = 1;
	struct pid *p;

	/* There are no more numbers than that; and root is not bound. */
	if (limit >= PID_MOST || t->cred->uid == 0 || cred_can(t->cred, CAP_SYS_RESOURCE) ||
	    cred_can(t->cred, CAP_SYS_ADMIN))
		return false;
	for (; (p = pid_next(&nr)); nr++)
		count += p->task && p->task->cred->uid == t->cred->uid;
	return count > limit;
}
