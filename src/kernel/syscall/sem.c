/* SPDX-License-Identifier: Apache-2.0 */
/* System V semaphores. */
#include "kernel/ipc/sem.h"

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"

#define FEW 16

sysret_t sys_semget(struct task *t, const uint64_t *a)
{
	return sem_get(t, (int32_t) a[0], (int32_t) a[1], (int) a[2]);
}

static sysret_t operate(struct task *t, const uint64_t *a, nsec_t until)
{
	uint32_t n = (uint32_t) a[2];
	struct sembuf few[FEW], *ops = few;
	sysret_t r;

	if ((int32_t) a[0] < 0 || n < 1)
		return -EINVAL;
	if (n > sem_limits()->operations)
		return -E2BIG;
	if (n > FEW)
		ops = heap_alloc(n * sizeof(*ops));
	if (!ops)
		return -ENOMEM;
	r = copy_in(t->space, ops, uva(a[1]), n * sizeof(*ops));
	if (r == 0)
		r = sem_operate(t, (int32_t) a[0], ops, n, until);
	if (ops != few)
		heap_free(ops);
	return r;
}

sysret_t sys_semop(struct task *t, const uint64_t *a)
{
	return operate(t, a, NSEC_NEVER);
}

sysret_t sys_semtimedop(struct task *t, const uint64_t *a)
{
	nsec_t n = NSEC_NEVER;
	int r = a[3] ? time_in(t, uva(a[3]), &n) : 0;

	return r < 0 ? r : operate(t, a, time_from_now(n));
}

/* ---- semctl ---- */

/* GETALL and SETALL. */
static sysret_t all(struct task *t, int32_t id, uva_t array, bool change)
{
	sysret_t r = sem_count(t, id, change ? 0222 : 0444);
	size_t n = r < 0 ? 0 : (size_t) r, size = n * sizeof(uint16_t);
	uint16_t *values;

	if (r < 0)
		return r;
	values = heap_alloc(size);
	if (!values)
		return -ENOMEM;
	if (change) {
		r = copy_in(t->space, values, array, size);
		if (r == 0)
			r = sem_set_values(t, id, values, n);
	} else {
		r = sem_values(t, id, values, n);
		if (r == 0)
			r = copy_out(t->space, array, values, size);
	}
	heap_free(values);
	return r;
}

sysret_t sys_semctl(struct task *t, const uint64_t *a)
{
	int32_t id = (int32_t) a[0], nr = (int32_t) a[1];
	int how = (int) a[2];
	uva_t arg = uva(a[3]);
	struct semid64_ds ds;
	struct seminfo info;
	sysret_t r;

	if (id < 0)
		return -EINVAL;
	switch (how) {
	case IPC_INFO:
	case SEM_INFO:
		r = sem_totals(&info, how == SEM_INFO);
		return struct_out(t, arg, &info, sizeof(info), r);
	case IPC_STAT:
	case SEM_STAT:
	case SEM_STAT_ANY:
		r = sem_stat(t, id, how, &ds);
		return r < 0 ? r : struct_out(t, arg, &ds, sizeof(ds), r);
	case GETALL:
	case SETALL:
		return all(t, id, arg, how == SETALL);
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
		return sem_value(t, id, nr, how);
	case SETVAL:
		return sem_set_value(t, id, nr, (int32_t) a[3]);
	case IPC_SET:
		r = copy_in(t->space, &ds, arg, sizeof(ds));
		return r < 0 ? r : sem_set(t, id, &ds);
	case IPC_RMID:
		return sem_remove(t, id);
	default:
		return -EINVAL;
	}
}
