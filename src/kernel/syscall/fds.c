/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors themselves: close, dup, fcntl, ioctl. */
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/pipe.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/locks.h"
#include "kernel/syscall/owners.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/lease.h"
#include "kernel/vfs/owner.h"
#include "kernel/vfs/seal.h"

static uint64_t fd_limit(const struct task *t)
{
	return process_limit(t->process, RLIMIT_NOFILE);
}

sysret_t sys_close(struct task *t, const uint64_t *a)
{
	return descriptors_close(t->files, (uint32_t) a[0]);
}

sysret_t sys_close_range(struct task *t, const uint64_t *a)
{
	uint64_t fd = (uint32_t) a[0], last = (uint32_t) a[1];
	unsigned int flags = (unsigned int) a[2];
	struct descriptors *own;

	if (flags & ~(unsigned int) (CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || fd > last)
		return -EINVAL;
	if (flags & CLOSE_RANGE_UNSHARE && t->files->owners > 1) {
		own = descriptors_copy(t->files);
		if (!own)
			return -ENOMEM;
		descriptors_unref(t->files);
		t->files = own;
	}
	for (; descriptors_next(t->files, &fd) && fd <= last; fd++) {
		/* It is open. */
		if (flags & CLOSE_RANGE_CLOEXEC)
			(void) descriptors_set_cloexec(t->files, fd, true);
		else
			(void) descriptors_close(t->files, fd);
	}
	return 0;
}

sysret_t sys_dup(struct task *t, const uint64_t *a)
{
	struct file *f;
	int r = fd_any(t, a[0], &f);

	return r < 0 ? r : fd_new(t, f, false);
}

static sysret_t dup_to(struct task *t, uint64_t from, uint64_t to, bool cloexec)
{
	struct file *f;
	int r;

	if (to >= fd_limit(t))
		return -EBADF;
	r = fd_any(t, from, &f);
	if (r == 0)
		r = descriptors_put(t->files, to, f, cloexec);
	return r < 0 ? r : (sysret_t) to;
}

sysret_t sys_dup2(struct task *t, const uint64_t *a)
{
	uint32_t from = (uint32_t) a[0], to = (uint32_t) a[1];

	if (from == to)
		return descriptors_cloexec(t->files, from) < 0 ? -EBADF : (sysret_t) to;
	return dup_to(t, from, to, false);
}

sysret_t sys_dup3(struct task *t, const uint64_t *a)
{
	uint32_t from = (uint32_t) a[0], to = (uint32_t) a[1];
	unsigned int flags = (unsigned int) a[2];

	if (flags & ~(unsigned int) O_CLOEXEC || from == to)
		return -EINVAL;
	return dup_to(t, from, to, flags);
}

/* ---- fcntl ---- */

#ifndef F_CREATED_QUERY /* Linux 6.12 */
#define F_CREATED_QUERY (F_LINUX_SPECIFIC_BASE + 4)
#endif

#define SETTABLE ((unsigned int) (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME))

static sysret_t set_flags(const struct task *t, struct file *f, uint64_t fd, unsigned int flags)
{
	int r;

	if (flags & ~f->flags & O_NOATIME && !inode_owned(f->inode, t->cred))
		return -EPERM;
	r = owner_async(f, (int) fd, flags & FASYNC);
	if (r < 0)
		return r;
	f->flags = (f->flags & ~SETTABLE) | (flags & SETTABLE);
	return 0;
}

/* What O_PATH descriptors answer, too. */
static bool for_any(unsigned int command)
{
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD ||
	       command == F_SETFD || command == F_GETFL;
}

sysret_t sys_fcntl(struct task *t, const uint64_t *a)
{
	unsigned int command = (unsigned int) a[1];
	auto_file struct file *f = NULL;
	int r = for_any(command) ? fd_any(t, a[0], &f) : fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if ((uint32_t) a[2] >= fd_limit(t))
			return -EINVAL;
		file_ref(f);
		return descriptors_add(t->files, f, command == F_DUPFD_CLOEXEC, (uint32_t) a[2],
				       fd_limit(t));
	case F_GETFD:
		return descriptors_cloexec(t->files, (uint32_t) a[0]);
	case F_SETFD:
		return descriptors_set_cloexec(t->files, (uint32_t) a[0], a[2] & FD_CLOEXEC);
	case F_GETFL:
		return f->flags;
	case F_SETFL:
		return set_flags(t, f, a[0], (unsigned int) a[2]);
	case F_GETLK:
	case F_OFD_GETLK:
		return lock_get_call(t, f, uva(a[2]), command == F_OFD_GETLK);
	case F_SETLK:
	case F_SETLKW:
		return lock_set_call(t, a[0], f, uva(a[2]), false, command == F_SETLKW);
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return lock_set_call(t, a[0], f, uva(a[2]), true, command == F_OFD_SETLKW);
	case F_SETLEASE:
		return lease_set(t, f, (int) a[0], (int) a[2]);
	case F_GETLEASE:
		return lease_get(f);
	case F_NOTIFY:
		return notify_call(t, f, a);
	case F_SETOWN:
	case F_GETOWN:
	case F_SETOWN_EX:
	case F_GETOWN_EX:
	case F_GETOWNER_UIDS:
	case F_SETSIG:
	case F_GETSIG:
		return owner_call(t, f, command, a[2]);
	case F_CREATED_QUERY:
		return f->made;
	case F_ADD_SEALS:
		return seal_add(f, (unsigned int) a[2]);
	case F_GET_SEALS:
		return seal_get(f);
	case F_GETPIPE_SZ:
		return file_is_pipe(f) ? (sysret_t) pipe_size(f) : -EBADF;
	case F_SETPIPE_SZ:
		if (!file_is_pipe(f))
			return -EBADF;
		return pipe_set_size(f, (uint32_t) a[2], cred_can(t->cred, CAP_SYS_RESOURCE));
	default:
		return -EINVAL;
	}
}

/* ---- ioctl ---- */

static sysret_t nonblocking(struct task *t, struct file *f, uva_t arg)
{
	int on, r = copy_in(t->space, &on, arg, sizeof(on));

	if (r == 0)
		f->flags = on ? f->flags | O_NONBLOCK : f->flags & ~(unsigned int) O_NONBLOCK;
	return r;
}

/* What Linux answers for every file, or for those with contents; else the file's own. */
sysret_t sys_ioctl(struct task *t, const uint64_t *a)
{
	unsigned int request = (unsigned int) a[1];
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f), number;

	if (r < 0)
		return r;
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		return descriptors_set_cloexec(t->files, (uint32_t) a[0], request == FIOCLEX);
	case FIONBIO:
		return nonblocking(t, f, uva(a[2]));
	case FIOASYNC:
		r = copy_in(t->space, &number, uva(a[2]), sizeof(number));
		return r < 0 ? r : owner_async(f, (int) a[0], number);
	case FIONREAD:
		if (!inode_is(f->inode, S_IFREG))
			break;
		number = (int) (f->inode->pager.size - f->pos);
		return copy_out(t->space, uva(a[2]), &number, sizeof(number));
	case FIGETBSZ:
		number = (int) PAGE_SIZE;
		return copy_out(t->space, uva(a[2]), &number, sizeof(number));
	default:
		break;
	}
	return f->ops->ioctl ? f->ops->ioctl(f, request, a[2], t->space) : -ENOTTY;
}
