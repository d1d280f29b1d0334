/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are made from nothing: pipes, eventfds, timerfds, memfds. */
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/fs/eventfd.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/shm.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/seal.h"

#define SEMAPHORE 1u /* EFD_SEMAPHORE */

static sysret_t make_pipe(struct task *t, uva_t to, unsigned int flags)
{
	unsigned int status = flags & (unsigned int) (O_NONBLOCK | O_DIRECT);
	struct file *in, *out;
	int32_t fds[2];
	sysret_t r;

	if (flags & ~(unsigned int) (O_NONBLOCK | O_DIRECT | O_CLOEXEC))
		return -EINVAL;
	r = pipe_make(status, t->cred, &in, &out);
	if (r < 0)
		return r;
	r = fd_new(t, in, flags & O_CLOEXEC);
	if (r < 0) {
		file_unref(out);
		return r;
	}
	fds[0] = (int32_t) r;
	r = fd_new(t, out, flags & O_CLOEXEC);
	fds[1] = (int32_t) r;
	if (r >= 0 && copy_out(t->space, to, fds, sizeof(fds)) < 0) {
		(void) descriptors_close(t->files, (uint64_t) fds[1]); /* just opened */
		r = -EFAULT;
	}
	if (r < 0)
		(void) descriptors_close(t->files, (uint64_t) fds[0]);
	return r < 0 ? r : 0;
}

sysret_t sys_pipe(struct task *t, const uint64_t *a)
{
	return make_pipe(t, uva(a[0]), 0);
}

sysret_t sys_pipe2(struct task *t, const uint64_t *a)
{
	return make_pipe(t, uva(a[0]), (unsigned int) a[1]);
}

static sysret_t make_eventfd(struct task *t, uint64_t count, unsigned int flags)
{
	struct file *f;
	int r;

	if (flags & ~(unsigned int) (SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	r = eventfd_make((uint32_t) count, flags & O_NONBLOCK, flags & SEMAPHORE, t->cred, &f);
	return r < 0 ? r : fd_new(t, f, flags & O_CLOEXEC);
}

sysret_t sys_eventfd(struct task *t, const uint64_t *a)
{
	return make_eventfd(t, a[0], 0);
}

sysret_t sys_eventfd2(struct task *t, const uint64_t *a)
{
	return make_eventfd(t, a[0], (unsigned int) a[1]);
}

/* ---- timerfd ---- */

sysret_t sys_timerfd_create(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[1];
	int clock = (int) a[0], r;
	struct file *f;

	if (flags & ~(unsigned int) (TFD_CLOEXEC | TFD_NONBLOCK))
		return -EINVAL;
	if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) {
		if (!cred_can(t->cred, CAP_WAKE_ALARM))
			return -EPERM;
		/* Awake always. */
		clock = clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME : CLOCK_BOOTTIME;
	}
	r = timerfd_make(clock, flags & TFD_NONBLOCK, t->cred, &f);
	return r < 0 ? r : fd_new(t, f, flags & TFD_CLOEXEC);
}

sysret_t sys_timerfd_settime(struct task *t, const uint64_t *a)
{
	struct __kernel_itimerspec new, old;
	auto_file struct file *f = NULL;
	int r = copy_in(t->space, &new, uva(a[2]), sizeof(new));

	if (r == 0)
		r = fd_file(t, a[0], &f);
	if (r == 0)
		r = timerfd_set(f, (int) a[1], &new, &old);
	if (r == 0 && a[3])
		r = copy_out(t->space, uva(a[3]), &old, sizeof(old));
	return r;
}

sysret_t sys_timerfd_gettime(struct task *t, const uint64_t *a)
{
	struct __kernel_itimerspec now;
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	if (r == 0)
		r = timerfd_get(f, &now);
	return r < 0 ? r : copy_out(t->space, uva(a[1]), &now, sizeof(now));
}

/* ---- memfd ---- */

#define MEMFD_NAME   249 /* NAME_MAX without "memfd:" */
#define MEMFD_SERVED ((unsigned int) (MFD_CLOEXEC | MFD_ALLOW_SEALING))
#define MEMFD_NOEXEC 8u	 /* MFD_NOEXEC_SEAL of Linux 6.3 */
#define MEMFD_EXEC   16u /* MFD_EXEC */

sysret_t sys_memfd_create(struct task *t, const uint64_t *a)
{
	static const char before[] = "/memfd:", after[] = " (deleted)";
	char shown[sizeof(before) + MEMFD_NAME + sizeof(after)];
	unsigned int flags = (unsigned int) a[1], seals = F_SEAL_SEAL;
	uint32_t mode = flags & MEMFD_NOEXEC ? 0666 : 0777;
	char *name = shown + sizeof(before) - 1;
	struct file *f;
	int64_t n;

	/* There are no huge pages. */
	if (flags & ~(MEMFD_SERVED | MEMFD_NOEXEC | MEMFD_EXEC) ||
	    (flags & MEMFD_NOEXEC && flags & MEMFD_EXEC))
		return -EINVAL;
	if (flags & MEMFD_NOEXEC)
		seals = SEAL_EXEC;
	else if (flags & MFD_ALLOW_SEALING)
		seals = 0;
	memcpy(shown, before, sizeof(before) - 1);
	n = copy_text(t->space, name, uva(a[0]), MEMFD_NAME + 1);
	if (n == -ENAMETOOLONG)
		return -EINVAL;
	if (n < 0)
		return n;
	memcpy(name + n, after, sizeof(after));
	n = shm_file(shown, mode, seals, t->cred, &f);
	return n < 0 ? n : fd_new(t, f, flags & MFD_CLOEXEC);
}
