/* SPDX-License-Identifier: Apache-2.0 */
/*
 * membarrier(2): whoever runs in its own program is kicked, and the call waits until it came in. On
 * the way in and out a processor has done what was before and forgotten what it fetched; who is in
 * the kernel is on that way.
 */
#include <linux/membarrier.h>

#include "kernel/syscall/decode.h"
#include "kernel/task/serve.h"

#define PRIVATE	  ((unsigned int) MEMBARRIER_CMD_PRIVATE_EXPEDITED)
#define SYNC_CORE ((unsigned int) MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
#define EVERYBODY ((unsigned int) MEMBARRIER_CMD_GLOBAL)
/* The command that registers is the next bit. */
#define SERVED (EVERYBODY | PRIVATE | PRIVATE << 1 | SYNC_CORE | SYNC_CORE << 1)

/* The next thread at *nr or after it that shares the space (NULL: any) and is not t. */
static struct task *next_one(const struct task *t, const struct space *s, uint64_t *nr)
{
	struct pid *p;

	for (; (p = pid_next(nr)); ++*nr) {
		if (p->task && p->task != t && (!s || p->task->space == s))
			return p->task;
	}
	return NULL;
}

static bool some_to_come(const struct task *t, const struct space *s)
{
	struct task *one;

	for (uint64_t nr = 1; (one = next_one(t, s, &nr)); nr++) {
		if (one->in_user && one->comes_in)
			return true;
	}
	return false;
}

/* Interrupted, it is begun again: a second kick does no harm. */
static int barrier(const struct task *t, const struct space *s)
{
	struct task *one;

	for (uint64_t nr = 1; (one = next_one(t, s, &nr)); nr++) {
		if (!one->in_user || !one->user)
			continue;
		one->comes_in = true;
		plat_user_kick(one->user);
	}
	return waitq_wait(task_came_in(), !some_to_come(t, s), NSEC_NEVER, fiber_interrupted());
}

sysret_t sys_membarrier(struct task *t, const uint64_t *a)
{
	unsigned int command = (unsigned int) a[0];

	if ((unsigned int) a[1])
		return -EINVAL;
	switch (command) {
	case MEMBARRIER_CMD_QUERY:
		return SERVED;
	case EVERYBODY:
		return barrier(t, NULL);
	case PRIVATE << 1:
	case SYNC_CORE << 1:
		if (!t->image)
			return -EINVAL;
		t->image->membarriers |= command >> 1;
		return 0;
	case PRIVATE:
	case SYNC_CORE:
		if (!t->image || !(t->image->membarriers & command))
			return -EPERM;
		return barrier(t, t->space);
	default:
		return -EINVAL;
	}
}
