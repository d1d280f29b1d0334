/* SPDX-License-Identifier: Apache-2.0 */
/* kcmp(2): whether two threads share something, in an order that tells nothing of addresses. */
#include <linux/kcmp.h>

#include "kernel/syscall/decode.h"
#include "kernel/task/access.h"

/* The same for the kernel's life, and nobody's outside: two for each kind. */
static uint64_t hidden(unsigned int kind, const void *p)
{
	static uint64_t secret[KCMP_TYPES][2];
	uint64_t *s = secret[kind];

	if (!s[1]) {
		plat_random(s, sizeof(secret[kind]));
		s[1] |= 1; /* odd: no two become one */
	}
	return ((uint64_t) (uintptr_t) p ^ s[0]) * s[1];
}

/* 0: the same; 1: the first is less; 2: it is greater. */
static sysret_t order(unsigned int kind, const void *a, const void *b)
{
	uint64_t x = hidden(kind, a), y = hidden(kind, b);

	return x < y ? 1 : x > y ? 2 : 0;
}

static int task_of(const struct task *t, uint64_t pid, struct task **ret)
{
	struct pid *p = pid_find((int32_t) pid);

	if (!p || !p->task || p->task->state != TASK_LIVE)
		return -ESRCH;
	*ret = p->task;
	return task_may_attach(t, p->task) ? 0 : -EPERM;
}

static sysret_t files(const struct task *a, const struct task *b, uint64_t fd, uint64_t other)
{
	auto_file struct file *f = descriptors_get(a->files, (uint32_t) fd);
	auto_file struct file *g = descriptors_get(b->files, (uint32_t) other);

	return f && g ? order(KCMP_FILE, f, g) : -EBADF;
}

sysret_t sys_kcmp(struct task *t, const uint64_t *a)
{
	struct task *one, *other;
	int r = task_of(t, a[0], &one);

	if (r == 0)
		r = task_of(t, a[1], &other);
	if (r < 0)
		return r;
	switch ((int) a[2]) {
	case KCMP_FILE:
		return files(one, other, a[3], a[4]);
	case KCMP_VM:
		return order(KCMP_VM, one->space, other->space);
	case KCMP_FILES:
		return order(KCMP_FILES, one->files, other->files);
	case KCMP_FS:
		return order(KCMP_FS, one->fs, other->fs);
	case KCMP_SIGHAND:
		return order(KCMP_SIGHAND, one->handlers, other->handlers);
	case KCMP_IO: /* nobody has anything of this kind */
		return 0;
	case KCMP_SYSVSEM:
		return order(KCMP_SYSVSEM, one->undos, other->undos);
	default:
		return -EINVAL;
	}
}
