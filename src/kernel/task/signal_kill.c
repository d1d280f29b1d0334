/* SPDX-License-Identifier: Apache-2.0 */
/* Signals from one guest to another: who may, and whom a number means. */
#include <linux/signal.h>

#include "kernel/mm/uio.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_calls.h"
#include "kernel/task/task.h"

/* kill(2): the same user, CAP_KILL, or SIGCONT in the same session. who: of the target. */
static bool may(const struct task *t, const struct task *who, int nr)
{
	const struct cred *c = t->cred, *of = who->cred;
	const struct group *from = t->process->group, *to = who->process->group;

	if (t->process == who->process || c->euid == of->suid || c->euid == of->uid ||
	    c->uid == of->suid || c->uid == of->uid || cred_can(c, CAP_KILL))
		return true;
	return nr == SIGCONT && from && to && from->session == to->session;
}

static struct signal_info by_user(const struct task *t, int nr, int code)
{
	return (struct signal_info){
		.nr = nr,
		.code = code,
		.sent = { .pid = t->process->pid, .uid = t->cred->uid },
	};
}

/* Signal 0 asks alone. A zombie is there, and hears nothing. */
static int to_process(struct task *t, struct process *p, const struct signal_info *info)
{
	if (!p->leader || !may(t, p->leader, info->nr))
		return p->leader ? -EPERM : -ESRCH;
	return info->nr == 0 ? 0 : signal_send_process(p, info, true);
}

static int to_task(struct task *t, struct task *who, const struct signal_info *info)
{
	if (!may(t, who, info->nr))
		return -EPERM;
	return info->nr == 0 ? 0 : signal_send_task(who, info, true);
}

static int to_group(struct task *t, struct group *g, const struct signal_info *info)
{
	int r = -ESRCH;
	bool some = false;

	list_each(l, &g->members)
	{
		r = to_process(t, list_entry(l, struct process, in_group), info);
		some |= r == 0;
	}
	return some ? 0 : r;
}

/* kill(-1): all but init and the sender's own. */
static int to_all(struct task *t, const struct signal_info *info)
{
	int last = -ESRCH;

	for (uint64_t nr = 2;; nr++) {
		struct pid *pid = pid_next(&nr);

		if (!pid)
			return last;
		if (!pid->process || pid->process == t->process)
			continue;
		int r = to_process(t, pid->process, info);

		if (last == -ESRCH || r != -EPERM)
			last = r;
	}
}

static struct process *process_of(struct pid *pid)
{
	return !pid ? NULL : pid->process ? pid->process : pid->task ? pid->task->process : NULL;
}

sysret_t sys_kill(struct task *t, const uint64_t *a)
{
	int32_t to = (int32_t) a[0];
	int nr = (int) a[1];
	struct signal_info info = by_user(t, nr, SI_USER);
	struct pid *pid;

	if (nr < 0 || nr > SIGNALS)
		return -EINVAL;
	if (to == -1)
		return to_all(t, &info);
	if (to == 0)
		return to_group(t, t->process->group, &info);
	pid = pid_find(to < 0 ? -(int64_t) to : to);
	if (to < 0)
		return pid && pid->group ? to_group(t, pid->group, &info) : -ESRCH;
	return process_of(pid) ? to_process(t, process_of(pid), &info) : -ESRCH;
}

/* group 0: of whatever process. */
static sysret_t thread_kill(struct task *t, int32_t group, int32_t tid,
			    const struct signal_info *info)
{
	struct pid *pid = pid_find(tid);

	if (info->nr < 0 || info->nr > SIGNALS)
		return -EINVAL;
	if (!pid || !pid->task || (group && pid->task->process->pid != (uint32_t) group))
		return -ESRCH;
	return to_task(t, pid->task, info);
}

sysret_t sys_tgkill(struct task *t, const uint64_t *a)
{
	struct signal_info info = by_user(t, (int) a[2], SI_TKILL);

	if ((int32_t) a[0] <= 0 || (int32_t) a[1] <= 0)
		return -EINVAL;
	return thread_kill(t, (int32_t) a[0], (int32_t) a[1], &info);
}

sysret_t sys_tkill(struct task *t, const uint64_t *a)
{
	struct signal_info info = by_user(t, (int) a[1], SI_TKILL);

	if ((int32_t) a[0] <= 0)
		return -EINVAL;
	return thread_kill(t, 0, (int32_t) a[0], &info);
}

/* Nobody may pretend to be the kernel, or kill(), but to himself. */
static int info_in(struct task *t, uva_t from, bool self, struct signal_info *ret)
{
	if (copy_in(t->space, ret, from, sizeof(*ret)) < 0)
		return -EFAULT;
	return (ret->code >= 0 || ret->code == SI_TKILL) && !self ? -EPERM : 0;
}

sysret_t sys_rt_sigqueueinfo(struct task *t, const uint64_t *a)
{
	int32_t to = (int32_t) a[0];
	struct signal_info info;
	struct pid *pid;
	int r = info_in(t, uva(a[2]), to == (int32_t) t->process->pid, &info);

	info.nr = (int) a[1];
	if (r < 0)
		return r;
	if (info.nr < 0 || info.nr > SIGNALS)
		return -EINVAL;
	pid = to > 0 ? pid_find(to) : NULL;
	return process_of(pid) ? to_process(t, process_of(pid), &info) : -ESRCH;
}

sysret_t sys_rt_tgsigqueueinfo(struct task *t, const uint64_t *a)
{
	int32_t group = (int32_t) a[0], tid = (int32_t) a[1];
	struct signal_info info;
	int r;

	if (group <= 0 || tid <= 0)
		return -EINVAL;
	r = info_in(t, uva(a[3]), tid == (int32_t) t->tid, &info);
	info.nr = (int) a[2];
	return r < 0 ? r : thread_kill(t, group, tid, &info);
}

sysret_t signal_send_pid(struct task *t, struct pid *to, int nr, uva_t from)
{
	struct signal_info info = by_user(t, nr, SI_USER);
	int r = 0;

	if (nr < 0 || nr > SIGNALS)
		return -EINVAL;
	if (from.v) {
		r = info_in(t, from, to == t->process->id, &info);
		if (r != -EFAULT && info.nr != nr)
			return -EINVAL;
	}
	if (r < 0)
		return r;
	return to->process ? to_process(t, to->process, &info) : -ESRCH;
}
