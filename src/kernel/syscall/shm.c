/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory. */
#include "kernel/ipc/shm.h"

#include "kernel/syscall/decode.h"

sysret_t sys_shmget(struct task *t, const uint64_t *a)
{
	return shm_get(t, (int32_t) a[0], a[1], (int) a[2]);
}

sysret_t sys_shmat(struct task *t, const uint64_t *a)
{
	return shm_attach(t, (int32_t) a[0], a[1], (int) a[2]);
}

sysret_t sys_shmdt(struct task *t, const uint64_t *a)
{
	return shm_detach(t, a[0]);
}

static sysret_t tell_limits(struct task *t, uva_t to)
{
	const struct shm_limits *l = shm_limits();
	struct shm_info now;
	const struct shminfo64 info = {
		.shmmax = l->max, .shmmin = 1, .shmmni = l->ids, .shmseg = l->ids, .shmall = l->all
	};

	return struct_out(t, to, &info, sizeof(info), shm_totals(&now));
}

sysret_t sys_shmctl(struct task *t, const uint64_t *a)
{
	int32_t id = (int32_t) a[0];
	int how = (int) a[1];
	uva_t buf = uva(a[2]);
	struct shmid64_ds ds;
	struct shm_info info;
	sysret_t r;

	if (id < 0)
		return -EINVAL;
	switch (how) {
	case IPC_INFO:
		return tell_limits(t, buf);
	case SHM_INFO:
		r = shm_totals(&info);
		return struct_out(t, buf, &info, sizeof(info), r);
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		r = shm_stat(t, id, how, &ds);
		return r < 0 ? r : struct_out(t, buf, &ds, sizeof(ds), r);
	case IPC_SET:
		r = copy_in(t->space, &ds, buf, sizeof(ds));
		return r < 0 ? r : shm_set(t, id, &ds);
	case IPC_RMID:
		return shm_remove(t, id);
	case SHM_LOCK:
	case SHM_UNLOCK:
		return shm_lock(t, id, how == SHM_LOCK);
	default:
		return -EINVAL;
	}
}
