/* SPDX-License-Identifier: Apache-2.0 */
/* wait4, waitid, pidfds. */
#include <asm/fcntl.h>
#include <linux/pidfd.h>
#include <linux/wait.h>

#include "kernel/fs/proc/proc.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/usage.h"
#include "kernel/task/cred.h"
#include "kernel/task/pidfd.h"
#include "kernel/task/signal.h"
#include "kernel/task/wait.h"

#define OTHERS	     ((unsigned int) (WNOHANG | __WNOTHREAD | __WCLONE | __WALL))
#define WAIT4_KNOWN  (OTHERS | WUNTRACED | WCONTINUED)
#define WAITID_KNOWN (OTHERS | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT)

sysret_t sys_wait4(struct task *t, const uint64_t *a)
{
	struct wait_request q = { .kind = P_ALL, .options = (unsigned int) a[2] };
	int32_t which = (int32_t) a[0];
	struct wait_result w = {};
	sysret_t r;

	if (q.options & ~WAIT4_KNOWN)
		return -EINVAL;
	if (which == INT32_MIN)
		return -ESRCH;
	q.options |= WEXITED;
	if (which < -1 || which == 0) {
		q.kind = P_PGID;
		q.id = -which;
	} else if (which > 0) {
		q.kind = P_PID;
		q.id = which;
	}
	r = task_wait(t, &q, &w);
	if (r > 0 && a[1] && copy_out(t->space, uva(a[1]), &w.status, sizeof(w.status)) < 0)
		return -EFAULT;
	if (r > 0 && a[3] && usage_out(t, uva(a[3]), &w.usage) < 0)
		return -EFAULT;
	return r;
}

/* A pidfd's process; which one does not wait. */
static int of_pidfd(struct task *t, uint64_t fd, struct file **ret, struct wait_request *q)
{
	int r = fd_file(t, fd, ret);

	if (r < 0)
		return r;
	q->pid = pidfd_pid(*ret);
	q->kind = P_PID;
	if (!q->pid)
		return -EBADF;
	return 0;
}

sysret_t sys_waitid(struct task *t, const uint64_t *a)
{
	struct wait_request q = { .kind = (int) a[0], .options = (unsigned int) a[3] };
	/* siginfo_t of SIGCHLD, without what is behind it. */
	struct {
		int32_t nr, error, code, pad;
		uint32_t pid, uid;
		int32_t status;
	} info = {};
	auto_file struct file *f = NULL;
	struct wait_result w = {};
	bool nonblocking = false;
	sysret_t r;
	int bad = 0;

	if (q.options & ~WAITID_KNOWN || !(q.options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	q.id = (int32_t) a[1];
	switch (q.kind) {
	case P_ALL:
		break;
	case P_PID:
		bad = q.id <= 0 ? -EINVAL : 0;
		break;
	case P_PGID:
		bad = q.id < 0 ? -EINVAL : 0;
		break;
	case P_PIDFD:
		bad = q.id < 0 ? -EINVAL : of_pidfd(t, a[1], &f, &q);
		nonblocking = bad == 0 && f->flags & O_NONBLOCK && !(q.options & WNOHANG);
		break;
	default:
		bad = -EINVAL;
		break;
	}
	if (bad < 0)
		return bad;
	if (nonblocking)
		q.options |= WNOHANG;
	r = task_wait(t, &q, &w);
	if (r == 0 && nonblocking)
		return -EAGAIN;
	if (r > 0) {
		info.nr = 17; /* SIGCHLD */
		info.code = w.code;
		info.pid = w.pid;
		info.uid = w.uid;
		info.status = w.value;
	}
	if (r >= 0 && a[2] && copy_out(t->space, uva(a[2]), &info, sizeof(info)) < 0)
		return -EFAULT;
	if (r > 0 && a[4] && usage_out(t, uva(a[4]), &w.usage) < 0)
		return -EFAULT;
	return r > 0 ? 0 : r;
}

sysret_t sys_pidfd_open(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[1];
	struct file *f;
	struct pid *p;
	int r;

	if (flags & ~(unsigned int) PIDFD_NONBLOCK || (int32_t) a[0] <= 0)
		return -EINVAL;
	p = pid_find((int32_t) a[0]);
	if (!p || (!p->task && !p->process))
		return -ESRCH;
	if (!p->process)
		return -EINVAL; /* a thread, no leader */
	r = pidfd_new(p, flags & PIDFD_NONBLOCK, &f);
	return r < 0 ? r : fd_new(t, f, true);
}

sysret_t sys_pidfd_send_signal(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct pid *p;
	int r;

	if ((uint32_t) a[3])
		return -EINVAL;
	r = fd_file(t, a[0], &f);
	if (r < 0)
		return r;
	p = pidfd_pid(f) ?: proc_pid_of(f);
	return p ? signal_send_pid(t, p, (int) a[1], uva(a[2])) : -EBADF;
}

/* Whoever may send it signals as root may have its files: PTRACE_MODE_ATTACH without ptrace. */
sysret_t sys_pidfd_getfd(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct file *got;
	struct pid *p;
	struct task *of;
	int r = (uint32_t) a[2] ? -EINVAL : fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	p = pidfd_pid(f);
	if (!p)
		return -EBADF;
	of = p->process ? p->process->leader : NULL;
	if (!of || !of->files)
		return -ESRCH;
	if (of->process != t->process && !cred_can(t->cred, CAP_SYS_PTRACE) &&
	    (of->cred->uid != t->cred->fsuid || of->cred->euid != t->cred->fsuid ||
	     of->cred->suid != t->cred->fsuid))
		return -EPERM;
	got = descriptors_get(of->files, (uint32_t) a[1]);
	return got ? fd_new(t, got, true) : -EBADF;
}
