/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/signalfd.h"

#include <asm/fcntl.h>

#include "kernel/syscall/decode.h"

static sysret_t make(struct task *t, const uint64_t *a, unsigned int flags)
{
	struct file *f;
	uint64_t mask;
	int r;

	if (a[2] != sizeof(mask) || flags & ~(unsigned int) (O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (copy_in(t->space, &mask, uva(a[1]), sizeof(mask)) < 0)
		return -EFAULT;
	if ((int32_t) a[0] == -1) {
		r = signalfd_make(mask, flags & (unsigned int) O_NONBLOCK, t->cred, &f);
		return r < 0 ? r : fd_new(t, f, flags & O_CLOEXEC);
	}
	r = fd_file(t, a[0], &f);
	if (r < 0)
		return r;
	r = signalfd_set(f, mask);
	file_unref(f);
	return r < 0 ? r : (int32_t) a[0];
}

sysret_t sys_signalfd(struct task *t, const uint64_t *a)
{
	return make(t, a, 0);
}

sysret_t sys_signalfd4(struct task *t, const uint64_t *a)
{
	return make(t, a, (unsigned int) a[3]);
}
