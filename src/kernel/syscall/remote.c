/* SPDX-License-Identifier: Apache-2.0 */
/* Another process' memory: process_vm_readv, process_vm_writev. */
#include "kernel/core/heap.h"
#include "kernel/mm/space.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/access.h"

#define AT_ONCE ((size_t) 64 << 10)

/* The space of a process, owned by the caller. */
static int space_of(const struct task *t, int32_t pid, struct space **ret)
{
	struct pid *p = pid_find(pid);

	if (!p || !p->task)
		return -ESRCH;
	if (!task_may_attach(t, p->task))
		return -EPERM;
	if (!p->task->space)
		return -ESRCH;
	*ret = p->task->space;
	space_ref(*ret);
	return 0;
}

static uint64_t both_have(const struct uio *a, const struct uio *b)
{
	return min_of(a->left, b->left);
}

/* From one to the other, each byte once; what was moved before a page was missing counts. */
static int64_t move(struct uio *from, struct uio *to)
{
	size_t room = (size_t) min_of(both_have(from, to), (uint64_t) AT_ONCE);
	char *bytes = heap_alloc(room);
	int64_t done = 0, n = 0;

	if (!bytes)
		return -ENOMEM;
	while (from->left > 0 && to->left > 0) {
		size_t part = (size_t) min_of(both_have(from, to), (uint64_t) room);
		int64_t got = uio_in(from, bytes, part);

		n = got > 0 ? uio_out(to, bytes, (size_t) got) : got;
		if (n > 0)
			done += n;
		if (n < (int64_t) part || fiber_interrupted() < 0)
			break;
	}
	heap_free(bytes);
	return done ? done : n;
}

static sysret_t transfer(struct task *t, const uint64_t *a, bool write)
{
	struct uio own, remote;
	struct space *s = NULL;
	int64_t r;

	if (a[5])
		return -EINVAL;
	r = uio_from(&own, t->space, uva(a[1]), a[2]);
	if (r < 0 || own.left == 0) {
		uio_fini(&own);
		return r;
	}
	r = uio_from(&remote, t->space, uva(a[3]), a[4]);
	if (r == 0 && remote.left > 0)
		r = space_of(t, (int32_t) a[0], &s);
	if (r == 0 && s) {
		remote.space = s;
		r = write ? move(&own, &remote) : move(&remote, &own);
		space_unref(s);
	}
	uio_fini(&remote);
	uio_fini(&own);
	return r;
}

sysret_t sys_process_vm_readv(struct task *t, const uint64_t *a)
{
	return transfer(t, a, false);
}

sysret_t sys_process_vm_writev(struct task *t, const uint64_t *a)
{
	return transfer(t, a, true);
}
