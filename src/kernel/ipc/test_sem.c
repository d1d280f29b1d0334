/* SPDX-License-Identifier: Apache-2.0 */
/* Semaphores by their system calls: values, several at once, waiting, undoing, no memory. */
#include <asm/unistd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/text.h"
#include "kernel/ipc/ids.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define BUF (GUEST_AT + 4 * PAGE_SIZE)
#define OPS (GUEST_AT + 5 * PAGE_SIZE)

static struct guest g;

static sysret_t get(int key, int count, int flags)
{
	return CALL(&g, __NR_semget, (uint64_t) key, (uint64_t) count, (uint64_t) flags);
}

static sysret_t control(sysret_t id, int nr, int how, uint64_t arg)
{
	return CALL(&g, __NR_semctl, (uint64_t) id, (uint64_t) nr, (uint64_t) how, arg);
}

static sysret_t operate(sysret_t id, const struct sembuf *ops, size_t n)
{
	(void) guest_put(&g, OPS - GUEST_AT, ops, n * sizeof(*ops));
	return CALL(&g, __NR_semop, (uint64_t) id, OPS, n);
}

static sysret_t one(sysret_t id, int nr, int by, int flags)
{
	return operate(id, &(struct sembuf){ (uint16_t) nr, (int16_t) by, (int16_t) flags }, 1);
}

static int value(sysret_t id, int nr)
{
	return (int) control(id, nr, GETVAL, 0);
}

static struct semid64_ds stat_of(sysret_t id)
{
	struct semid64_ds ds = {};

	CHECK(control(id, 0, IPC_STAT, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	return ds;
}

static void keys(void)
{
	sysret_t a = get(7, 3, IPC_CREAT | 0600);

	CHECK(a >= 0 && get(7, 3, 0600) == a && get(7, 0, 0) == a && get(7, 4, 0) == -EINVAL);
	CHECK(get(7, 3, IPC_CREAT | IPC_EXCL) == -EEXIST && get(8, 3, 0) == -ENOENT);
	CHECK(get(8, 0, IPC_CREAT) == -EINVAL && get(8, -1, IPC_CREAT) == -EINVAL);
	CHECK(get(8, 32001, IPC_CREAT) == -EINVAL);
	CHECK(stat_of(a).sem_nsems == 3 && stat_of(a).sem_otime == 0);
	CHECK(control(a, 0, IPC_RMID, 0) == 0 && control(a, 0, GETVAL, 0) == -EINVAL);
	CHECK(one(a, 0, 1, 0) == -EINVAL && one(-1, 0, 1, 0) == -EINVAL);
}

static void values(void)
{
	sysret_t id = get(IPC_PRIVATE, 3, 0600);
	uint16_t all[3] = { 1, 2, 3 };

	CHECK(value(id, 0) == 0 && value(id, 3) == -EINVAL && value(id, -1) == -EINVAL);
	CHECK(control(id, 1, SETVAL, 5) == 0 && value(id, 1) == 5 &&
	      control(id, 1, GETPID, 0) == 1);
	CHECK(control(id, 1, SETVAL, 32768) == -ERANGE && control(id, 3, SETVAL, 1) == -EINVAL);
	CHECK(control(id, 0, SETALL, guest_put(&g, BUF - GUEST_AT, all, sizeof(all))) == 0);
	CHECK(value(id, 0) == 1 && value(id, 2) == 3);
	memset(all, 0, sizeof(all));
	(void) guest_put(&g, BUF - GUEST_AT, all, sizeof(all));
	CHECK(control(id, 0, GETALL, BUF) == 0 && control(id, 0, GETALL, 8) == -EFAULT);
	guest_get(&g, BUF - GUEST_AT, all, sizeof(all));
	CHECK(all[0] == 1 && all[1] == 2 && all[2] == 3);
	all[1] = 40000;
	(void) guest_put(&g, BUF - GUEST_AT, all, sizeof(all));
	CHECK(control(id, 0, SETALL, BUF) == -ERANGE && value(id, 1) == 2);
	/* All together or none. */
	CHECK(operate(id, (struct sembuf[]){ { 0, 4, 0 }, { 1, -3, IPC_NOWAIT } }, 2) == -EAGAIN);
	CHECK(value(id, 0) == 1 && value(id, 1) == 2);
	CHECK(operate(id, (struct sembuf[]){ { 0, -1, 0 }, { 1, 3, 0 }, { 0, 0, 0 } }, 3) == 0);
	CHECK(value(id, 0) == 0 && value(id, 1) == 5 && stat_of(id).sem_otime > 0);
	CHECK(operate(id, (struct sembuf[]){ { 0, 1, 0 }, { 1, 32767, 0 } }, 2) == -ERANGE);
	CHECK(value(id, 0) == 0 && one(id, 3, 1, 0) == -EFBIG);
	CHECK(CALL(&g, __NR_semop, (uint64_t) id, OPS, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_semop, (uint64_t) id, OPS, 501) == -E2BIG);
	CHECK(CALL(&g, __NR_semop, (uint64_t) id, 8, 1) == -EFAULT);
	CHECK(control(id, 0, 99, 0) == -EINVAL && control(id, 0, IPC_RMID, 0) == 0);
}

static void rights(void)
{
	sysret_t id = get(9, 1, IPC_CREAT | 0644);
	struct semid64_ds ds;

	g.cred->euid = 1000;
	g.cred->fsgid = 1000;
	g.cred->effective = 0;
	CHECK(one(id, 0, 0, 0) == 0 && one(id, 0, 1, 0) == -EACCES);
	CHECK(control(id, 0, SETVAL, 1) == -EACCES && control(id, 0, SETALL, BUF) == -EACCES);
	CHECK(value(id, 0) == 0 && get(9, 1, 0600) == -EACCES);
	CHECK(control(id, 0, IPC_RMID, 0) == -EPERM && control(id, 0, IPC_SET, BUF) == -EPERM);
	g.cred->euid = 0;
	ds = stat_of(id);
	ds.sem_perm.mode = 0600;
	ds.sem_perm.gid = 5;
	CHECK(control(id, 0, IPC_SET, guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds))) == 0);
	CHECK(stat_of(id).sem_perm.gid == 5 && stat_of(id).sem_perm.mode == 0600);
	g.cred->euid = 1000;
	CHECK(value(id, 0) == -EACCES && control(id & 32767, 0, SEM_STAT, BUF) == -EACCES);
	CHECK(control(id & 32767, 0, SEM_STAT_ANY, BUF) == id);
	g.cred->euid = g.cred->fsgid = 0;
	g.cred->effective = UINT64_MAX;
	CHECK(control(id, 0, IPC_RMID, 0) == 0);
}

/* ---- others who wait ---- */

struct other {
	struct process process;
	struct task task;
	int32_t id;
	struct sembuf ops[2];
	size_t n;
	nsec_t until;
	struct fiber *fiber;
	sysret_t result; /* 1: not yet */
};

static void other_runs(void *arg)
{
	struct other *o = arg;

	o->result = sem_operate(&o->task, o->id, o->ops, o->n, o->until);
	fiber_exit();
}

static struct other other_of(sysret_t id, struct sembuf a, struct sembuf b)
{
	return (struct other){ .process = { .pid = 50 },
			       .task = { .cred = g.cred },
			       .id = (int32_t) id,
			       .ops = { a, b },
			       .n = b.sem_num == UINT16_MAX ? 1 : 2,
			       .until = NSEC_NEVER,
			       .result = 1 };
}
#define NONE_MORE ((struct sembuf){ .sem_num = UINT16_MAX })

static void start(struct other *o)
{
	o->task.process = &o->process;
	CHECK(sched_spawn(other_runs, o, &o->fiber) == 0);
	fiber_yield();
}

static void waiting(void)
{
	sysret_t id = get(IPC_PRIVATE, 2, 0600);
	struct other a = other_of(id, (struct sembuf){ 0, -2, 0 }, NONE_MORE);
	struct other b = other_of(id, (struct sembuf){ 0, -1, 0 }, (struct sembuf){ 1, -1, 0 });
	struct other c = other_of(id, (struct sembuf){ 1, 0, 0 }, NONE_MORE);

	b.process.pid = 51;
	CHECK(control(id, 1, SETVAL, 1) == 0);
	start(&a);
	start(&b);
	start(&c);
	CHECK(a.result == 1 && b.result == 1 && c.result == 1);
	CHECK(control(id, 0, GETNCNT, 0) == 2 && control(id, 0, GETZCNT, 0) == 0);
	CHECK(control(id, 1, GETNCNT, 0) == 0 && control(id, 1, GETZCNT, 0) == 1);
	/* Too little for the first, enough for the second, whose doing lets the third go on. */
	CHECK(one(id, 0, 1, 0) == 0);
	fiber_yield();
	CHECK(a.result == 1 && b.result == 0 && c.result == 0);
	CHECK(value(id, 0) == 0 && value(id, 1) == 0 && control(id, 0, GETPID, 0) == 51);
	CHECK(control(id, 0, SETVAL, 3) == 0);
	fiber_yield();
	CHECK(a.result == 0 && value(id, 0) == 1);
	/* A signal, a deadline, the end of the set. */
	a.ops[0].sem_op = b.ops[0].sem_op = -5;
	a.result = b.result = 1;
	b.n = 1;
	b.until = plat_now(PLAT_MONOTONIC) + 1000;
	start(&a);
	start(&b);
	CHECK(control(id, 0, GETNCNT, 0) == 2);
	fiber_interrupt(a.fiber);
	fiber_yield();
	CHECK(a.result == -EINTR && control(id, 0, GETNCNT, 0) == 1);
	CHECK(fiber_park_until(plat_now(PLAT_MONOTONIC) + 5000) == -ETIMEDOUT);
	CHECK(b.result == -EAGAIN && control(id, 0, GETNCNT, 0) == 0);
	a.result = 1;
	start(&a);
	CHECK(a.result == 1 && control(id, 0, IPC_RMID, 0) == 0);
	fiber_yield();
	CHECK(a.result == -EIDRM);
}

static void timed(void)
{
	sysret_t id = get(IPC_PRIVATE, 1, 0600);
	nsec_t before = plat_now(PLAT_MONOTONIC);
	uint64_t time = guest_put(&g, 6 * PAGE_SIZE, (int64_t[2]){ 0, 5000 }, 16);

	(void) guest_put(&g, OPS - GUEST_AT, &(struct sembuf){ 0, -1, 0 }, sizeof(struct sembuf));
	CHECK(CALL(&g, __NR_semtimedop, (uint64_t) id, OPS, 1, time) == -EAGAIN);
	CHECK(plat_now(PLAT_MONOTONIC) - before == 5000);
	CHECK(CALL(&g, __NR_semtimedop, (uint64_t) id, OPS, 1, 8) == -EFAULT);
	(void) guest_put(&g, 6 * PAGE_SIZE, (int64_t[2]){ 0, -1 }, 16);
	CHECK(CALL(&g, __NR_semtimedop, (uint64_t) id, OPS, 1, time) == -EINVAL);
	CHECK(one(id, 0, -1, 0) == -EINTR); /* until the guest's patience ends */
	CHECK(CALL(&g, __NR_semtimedop, (uint64_t) id, OPS, 1, 0) == -EINTR);
	CHECK(control(id, 0, IPC_RMID, 0) == 0);
}

/* ---- SEM_UNDO ---- */

static void undoing(void)
{
	sysret_t id = get(IPC_PRIVATE, 2, 0600), gone = get(IPC_PRIVATE, 1, 0600);
	struct other a = other_of(id, (struct sembuf){ 0, 3, SEM_UNDO },
				  (struct sembuf){ 1, -2, SEM_UNDO });
	struct other b = other_of(id, (struct sembuf){ 1, -4, 0 }, NONE_MORE);

	CHECK(control(id, 1, SETVAL, 4) == 0);
	start(&a);
	CHECK(a.result == 0 && value(id, 0) == 3 && value(id, 1) == 2);
	/* Threads that share it: the last one's end counts. */
	b.task.undos = sem_undos_share(&a.task);
	b.task.process = &b.process;
	CHECK(b.task.undos == a.task.undos);
	a.id = (int32_t) gone;
	a.n = 1;
	start(&a);
	CHECK(a.result == 0 && control(gone, 0, IPC_RMID, 0) == 0);
	sem_undos_leave(&a.task);
	CHECK(value(id, 0) == 3 && !a.task.undos);
	CHECK(one(id, 0, -1, 0) == 0); /* less is left than it gave */
	start(&b);
	CHECK(b.result == 1);
	/* What is undone lets who waits go on. */
	a.task.undos = b.task.undos;
	b.task.undos = NULL;
	sem_undos_leave(&a.task);
	fiber_yield();
	CHECK(value(id, 0) == 0 && b.result == 0 && value(id, 1) == 0);
	CHECK(control(id, 1, GETPID, 0) == 50);
	/* What was decided since is not undone. */
	a = other_of(id, (struct sembuf){ 0, 3, SEM_UNDO }, (struct sembuf){ 1, 5, SEM_UNDO });
	start(&a);
	CHECK(a.result == 0 && control(id, 0, SETVAL, 9) == 0);
	sem_undos_leave(&a.task);
	CHECK(value(id, 0) == 9 && value(id, 1) == 0);
	/* Neither is what was not done; and too much to remember is an error. */
	CHECK(operate(id, (struct sembuf[]){ { 0, 5, SEM_UNDO }, { 1, -1, IPC_NOWAIT } }, 2) ==
	      -EAGAIN);
	CHECK(control(id, 0, SETVAL, 0) == 0 && one(id, 0, 32767, SEM_UNDO) == 0);
	CHECK(one(id, 0, -32767, 0) == 0 && one(id, 0, 2, SEM_UNDO) == -ERANGE);
	CHECK(value(id, 0) == 0);
	sem_undos_leave(g.task);
	CHECK(value(id, 0) == 0 && control(id, 0, IPC_RMID, 0) == 0);
}

static void limits(void)
{
	struct sem_limits old = *sem_limits();
	sysret_t a = get(0x1234, 3, IPC_CREAT | 0600), b = get(IPC_PRIVATE, 7, 0600);
	struct seminfo info;
	struct text t = {};

	CHECK(control(0, 0, SEM_INFO, BUF) == 1);
	guest_get(&g, BUF - GUEST_AT, &info, sizeof(info));
	CHECK(info.semusz == 2 && info.semaem == 10 && info.semmsl == 32000);
	CHECK(control(0, 0, IPC_INFO, BUF) == 1 && control(0, 0, IPC_INFO, 8) == -EFAULT);
	sem_table(&t);
	text_add(&t, "", 1);
	CHECK(!t.failed && strstr(t.bytes, "ctime\n      4660 ") &&
	      strstr(t.bytes, "  600          3"));
	text_fini(&t);
	sem_limits()->sets = 2;
	CHECK(get(IPC_PRIVATE, 1, 0) == -ENOSPC);
	sem_limits()->sets = 3;
	sem_limits()->all = 10;
	CHECK(get(IPC_PRIVATE, 1, 0) == -ENOSPC);
	*sem_limits() = old;
	CHECK(control(a, 0, IPC_RMID, 0) == 0 && control(b, 0, IPC_RMID, 0) == 0);
}

/* Whatever allocation fails, the call does or nothing has happened. */
static void no_memory(void)
{
	for (unsigned long n = 1, left = 1; left; n++) {
		struct sembuf many[20] = { { 0, 1, SEM_UNDO } };
		sysret_t id, r = -ENOMEM;

		for (size_t k = 1; k < countof(many); k++)
			many[k].sem_num = 1;
		heap_fail_at(n);
		id = get(77, 2, IPC_CREAT | 0600);
		if (id >= 0)
			r = operate(id, many, countof(many));
		left = id < 0 || r < 0;
		heap_fail_at(0);
		CHECK((id >= 0 || id == -ENOMEM) && (r == 0 || r == -ENOMEM));
		if (id >= 0)
			CHECK(value(id, 0) == (r == 0) && control(id, 0, IPC_RMID, 0) == 0);
		CHECK(get(77, 0, 0) == -ENOENT && n < 50);
	}
	sem_undos_leave(g.task);
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	keys();
	values();
	rights();
	waiting();
	timed();
	undoing();
	limits();
	no_memory();
	/* What is left goes with the kernel, and with its task. */
	CHECK(one(get(IPC_PRIVATE, 1, 0600), 0, 1, SEM_UNDO) == 0);
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
