/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory by its system calls: attachments, removal, rights, limits, no memory. */
#include <asm/unistd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/text.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define PLACE ((uint64_t) 0x30000000)
#define BUF   (GUEST_AT + 4 * PAGE_SIZE)
#define SIZE  (3 * PAGE_SIZE - 100)

static struct guest g;

static sysret_t get(int key, uint64_t size, int flags)
{
	return CALL(&g, __NR_shmget, (uint64_t) key, size, (uint64_t) flags);
}

static sysret_t attach(sysret_t id, uint64_t at, int flags)
{
	return CALL(&g, __NR_shmat, (uint64_t) id, at, (uint64_t) flags);
}

static sysret_t detach(sysret_t at)
{
	return CALL(&g, __NR_shmdt, (uint64_t) at);
}

static sysret_t control(sysret_t id, int how)
{
	return CALL(&g, __NR_shmctl, (uint64_t) id, (uint64_t) how, BUF);
}

static struct shmid64_ds stat_of(sysret_t id)
{
	struct shmid64_ds ds = {};

	CHECK(control(id, IPC_STAT) == 0);
	guest_get(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	return ds;
}

static uint64_t attached(sysret_t id)
{
	return stat_of(id).shm_nattch;
}

static bool writes(uint64_t at, uint32_t v)
{
	return copy_out(g.task->space, uva(at), &v, sizeof(v)) == 0;
}

static uint32_t word(uint64_t at)
{
	uint32_t v = 0;

	CHECK(copy_in(g.task->space, &v, uva(at), sizeof(v)) == 0);
	return v;
}

static void keys(void)
{
	sysret_t a = get(7, SIZE, IPC_CREAT | 0600), b, c;

	CHECK(a >= 0 && get(7, SIZE, 0600) == a && get(7, 1, IPC_CREAT) == a);
	CHECK(get(7, SIZE, IPC_CREAT | IPC_EXCL) == -EEXIST && get(7, SIZE + 1, 0) == -EINVAL);
	CHECK(get(8, SIZE, 0600) == -ENOENT && get(8, 0, IPC_CREAT) == -EINVAL);
	CHECK(get(8, SIZE, IPC_CREAT | SHM_HUGETLB) == -ENOMEM);
	CHECK(get(8, (uint64_t) 1 << 40, IPC_CREAT) == -ENOMEM);
	CHECK(get(8, UINT64_MAX, IPC_CREAT) == -EINVAL);
	b = get(IPC_PRIVATE, SIZE, 0600);
	c = get(IPC_PRIVATE, SIZE, 0600);
	CHECK(b >= 0 && c >= 0 && b != c && b != a);
	CHECK(control(a, IPC_RMID) == 0 && control(a, IPC_RMID) == -EINVAL);
	CHECK(get(7, SIZE, 0600) == -ENOENT && attach(a, 0, 0) == -EINVAL);
	/* The place is used again, the number is not. */
	CHECK(get(7, SIZE, IPC_CREAT | 0600) != a);
	CHECK(control(get(7, 1, 0), IPC_RMID) == 0);
	CHECK(control(b, IPC_RMID) == 0 && control(c, IPC_RMID) == 0);
	CHECK(control(-1, IPC_RMID) == -EINVAL && control(b, 99) == -EINVAL);
}

static void attachments(void)
{
	sysret_t id = get(IPC_PRIVATE, SIZE, 0600), a, b;
	struct space *child;
	struct shmid64_ds ds;

	a = attach(id, 0, 0);
	CHECK(a > 0 && attached(id) == 1 && writes((uint64_t) a, 42));
	/* To the end of the last page, as Linux does. */
	CHECK(writes((uint64_t) a + 3 * PAGE_SIZE - 4, 9) &&
	      !writes((uint64_t) a + 3 * PAGE_SIZE, 9));
	b = attach(id, PLACE + 5, SHM_RND | SHM_RDONLY);
	CHECK(b == (sysret_t) PLACE && attached(id) == 2);
	CHECK(word(PLACE) == 42 && !writes(PLACE, 1));
	CHECK(CALL(&g, __NR_mprotect, PLACE, PAGE_SIZE, PROT_READ | PROT_WRITE) == -EACCES);
	CHECK(attach(id, PLACE + 5, 0) == -EINVAL && attach(id, PLACE, 0) == -EINVAL);
	CHECK(attach(id, 0, SHM_REMAP) == -EINVAL && attach(id, 5, SHM_RND | SHM_REMAP) == -EINVAL);
	CHECK(attach(id, PLACE, SHM_REMAP) == (sysret_t) PLACE && attached(id) == 2);
	CHECK(writes(PLACE, 43) && word((uint64_t) a) == 43);
	/* A fork's child has it, too. */
	child = space_fork(g.task->space, 0);
	CHECK(child && attached(id) == 4);
	space_unref(child);
	CHECK(attached(id) == 2);
	/* Pieces count by themselves and go together; what came between stays. */
	CHECK(CALL(&g, __NR_mprotect, PLACE + PAGE_SIZE, PAGE_SIZE, PROT_READ) == 0);
	CHECK(attached(id) == 4);
	CHECK(CALL(&g, __NR_mmap, PLACE + PAGE_SIZE, PAGE_SIZE, PROT_READ, 0x32, -1, 0) > 0);
	CHECK(detach((sysret_t) PLACE + 1) == -EINVAL && detach(4096) == -EINVAL);
	CHECK(detach((sysret_t) PLACE) == 0 && attached(id) == 1);
	CHECK(detach((sysret_t) PLACE) == -EINVAL && word(PLACE + PAGE_SIZE) == 0);
	CHECK(CALL(&g, __NR_munmap, PLACE, 3 * PAGE_SIZE) == 0);
	ds = stat_of(id);
	CHECK(ds.shm_segsz == SIZE && ds.shm_cpid == 1 && ds.shm_lpid == 1);
	CHECK(ds.shm_atime == ds.shm_ctime && ds.shm_dtime > 0 && ds.shm_perm.mode == 0600);
	/* Removed, it goes on until nobody has it. */
	CHECK(control(id, IPC_RMID) == 0);
	ds = stat_of(id);
	CHECK(ds.shm_perm.mode == (0600 | SHM_DEST) && ds.shm_perm.key == IPC_PRIVATE);
	CHECK(attach(id, PLACE, 0) > 0 && detach(a) == 0 && word(PLACE) == 43);
	CHECK(CALL(&g, __NR_munmap, PLACE, 3 * PAGE_SIZE) == 0);
	CHECK(control(id, IPC_STAT) == -EINVAL);
}

static void rights(void)
{
	struct shmid64_ds ds;
	sysret_t id = get(9, SIZE, IPC_CREAT | 0640), a;

	g.cred->euid = g.cred->uid = 1000;
	g.cred->effective = 0;
	a = attach(id, 0, SHM_RDONLY);
	CHECK(attach(id, 0, 0) == -EACCES && a > 0 && detach(a) == 0);
	CHECK(get(9, 0, 0600) == -EACCES && get(9, 0, 0400) == id);
	CHECK(control(id, IPC_RMID) == -EPERM && control(id, IPC_SET) == -EPERM);
	CHECK(control(id, SHM_LOCK) == -EPERM && control(id, IPC_STAT) == 0);
	g.cred->fsgid = 1000;
	CHECK(control(id, IPC_STAT) == -EACCES);
	CHECK(control((sysret_t) (id & 32767), SHM_STAT) == -EACCES);
	CHECK(control((sysret_t) (id & 32767), SHM_STAT_ANY) == id);
	g.cred->euid = g.cred->uid = 0;
	ds = stat_of(id);
	ds.shm_perm.uid = 1000;
	ds.shm_perm.mode = 01777;
	(void) guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	CHECK(control(id, IPC_SET) == 0);
	ds.shm_perm.uid = UINT32_MAX;
	(void) guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	CHECK(control(id, IPC_SET) == -EINVAL);
	g.cred->euid = g.cred->uid = 1000;
	ds = stat_of(id);
	CHECK(ds.shm_perm.mode == 0777 && ds.shm_perm.uid == 1000 && ds.shm_perm.cuid == 0);
	a = attach(id, 0, SHM_EXEC);
	CHECK(a > 0 && detach(a) == 0);
	/* The owner's own account: a page less than it needs, then enough. */
	g.task->process->limits[RLIMIT_MEMLOCK].soft = 0;
	CHECK(control(id, SHM_LOCK) == -EPERM);
	g.task->process->limits[RLIMIT_MEMLOCK].soft = 2 * PAGE_SIZE;
	CHECK(control(id, SHM_LOCK) == -ENOMEM);
	g.task->process->limits[RLIMIT_MEMLOCK].soft = 3 * PAGE_SIZE;
	CHECK(control(id, SHM_LOCK) == 0 && stat_of(id).shm_perm.mode == (0777 | SHM_LOCKED));
	CHECK(control(id, SHM_UNLOCK) == 0 && stat_of(id).shm_perm.mode == 0777);
	CHECK(control(id, IPC_RMID) == 0);
	g.cred->euid = g.cred->uid = g.cred->fsgid = 0;
	g.cred->effective = UINT64_MAX;
}

static void limits(void)
{
	struct shm_limits old = *shm_limits();
	sysret_t a = get(0x1234, SIZE, IPC_CREAT | 0600), b = get(IPC_PRIVATE, 1, 0600), at;
	struct shminfo64 info;
	struct shm_info now;
	struct text t = {};

	at = attach(a, 0, 0);
	CHECK(at > 0 && writes((uint64_t) at, 1));
	CHECK(control(0, IPC_INFO) == 1 && control(0, SHM_INFO) == 1);
	guest_get(&g, BUF - GUEST_AT, &now, sizeof(now));
	CHECK(now.used_ids == 2 && now.total == 4 && now.resident == 1);
	(void) control(0, IPC_INFO);
	guest_get(&g, BUF - GUEST_AT, &info, sizeof(info));
	CHECK(info.shmmni == 4096 && info.shmmin == 1 && info.shmmax == old.max);
	shm_table(&t);
	text_add(&t, "", 1);
	CHECK(!t.failed && strstr(t.bytes, "  swap\n      4660 ") && strstr(t.bytes, "  600 "));
	text_fini(&t);
	shm_limits()->ids = 2;
	CHECK(get(5, 1, IPC_CREAT) == -ENOSPC);
	shm_limits()->ids = 3;
	shm_limits()->all = 4;
	CHECK(get(5, 1, IPC_CREAT) == -ENOSPC);
	shm_limits()->all = 5;
	shm_limits()->max = 99;
	CHECK(get(5, 100, IPC_CREAT) == -EINVAL && get(5, 99, IPC_CREAT | 0600) >= 0);
	*shm_limits() = old;
	CHECK(detach(at) == 0 && control(b, IPC_RMID) == 0 && control(a, IPC_RMID) == 0);
	CHECK(control(get(5, 0, 0), IPC_RMID) == 0 && control(0, SHM_INFO) == 0);
}

/* Whatever allocation fails, the call does or nothing has happened. */
static void no_memory(void)
{
	for (unsigned long n = 1, left = 1; left; n++) {
		sysret_t id, at = -ENOMEM;

		heap_fail_at(n);
		id = get(77, SIZE, IPC_CREAT | 0600);
		if (id >= 0)
			at = attach(id, 0, 0);
		left = id < 0 || at < 0;
		heap_fail_at(0);
		CHECK((id >= 0 || id == -ENOMEM) && (at > 0 || at == -ENOMEM));
		if (at > 0)
			CHECK(writes((uint64_t) at, 5) && detach(at) == 0);
		if (id >= 0)
			CHECK(attached(id) == 0 && control(id, IPC_RMID) == 0);
		CHECK(get(77, 0, 0) == -ENOENT && n < 50);
	}
}

static bool finished;

static void body(void *arg)
{
	sysret_t id;

	(void) arg;
	guest_begin(&g);
	keys();
	attachments();
	rights();
	limits();
	no_memory();
	/* What is left goes with the kernel. */
	id = get(IPC_PRIVATE, SIZE, 0600);
	CHECK(writes((uint64_t) attach(id, 0, 0), 1));
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
