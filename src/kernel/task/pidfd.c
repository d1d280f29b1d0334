/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/pidfd.h"

#include <asm/fcntl.h>
#include <linux/poll.h>

#include "kernel/fs/anon.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

static unsigned int pidfd_poll(struct file *f, struct waiter *w)
{
	struct pid *p = f->own;

	if (w)
		waitq_add(&p->ended, w);
	return !p->process || p->process->zombie ? POLLIN | POLLRDNORM : 0u;
}

static void pidfd_release(struct file *f)
{
	pid_unref(f->own);
}

static const struct cred kernel; /* whose it is in fstat: user 0 */
static const struct file_ops pidfd_ops = { .poll = pidfd_poll, .release = pidfd_release };

int pidfd_new(struct pid *p, unsigned int flags, struct file **ret)
{
	struct inode *i = anon_inode(0600, &kernel);
	int r = i ? anon_file(i, "[pidfd]", &pidfd_ops, O_RDWR | (flags & O_NONBLOCK), p, ret)
		  : -ENOMEM;

	inode_unref(i);
	if (r == 0)
		pid_ref(p);
	return r;
}

struct pid *pidfd_pid(const struct file *f)
{
	return f->ops == &pidfd_ops ? f->own : NULL;
}
