/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of IPC when processes fork, end and are killed: undoing, attachments. */
#include <linux/mman.h>

#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/mm/uio.h"
#include "kernel/task/test_life_calls.h"

#define SHARED ((uint64_t) 0x10000000)

static int32_t set, segment;
static sysret_t answer;

static sysret_t operate(struct task *t, int nr, int by, int flags)
{
	const struct sembuf op = { (uint16_t) nr, (int16_t) by, (int16_t) flags };

	return sem_operate(t, set, &op, 1, NSEC_NEVER);
}

static void make(struct task *t)
{
	set = (int32_t) sem_get(t, IPC_PRIVATE, 2, 0600);
	segment = (int32_t) shm_get(t, IPC_PRIVATE, PAGE_SIZE, 0600);
	CHECK(set >= 0 && shm_attach(t, segment, SHARED, 0) == (sysret_t) SHARED);
}

static void value(struct task *t)
{
	answer = sem_value(t, set, 0, GETVAL);
}

static sysret_t value_now(void)
{
	like(value);
	return answer;
}

static void attachments(struct task *t)
{
	struct shmid64_ds ds = {};

	CHECK(shm_stat(t, segment, IPC_STAT, &ds) == 0);
	answer = (sysret_t) ds.shm_nattch;
}

static sysret_t attached_now(void)
{
	like(attachments);
	return answer;
}

static void add_three(struct task *t)
{
	CHECK(operate(t, 0, 3, SEM_UNDO) == 0);
}

static void adds_and_ends(void *arg)
{
	(void) arg;
	like(add_three);
	CHECK(attached_now() == 2 && value_now() == 6);
	poke(SHARED, 42);
	sim_sys(EXIT, 0);
}

static void ends(void *arg)
{
	(void) arg;
	sim_sys(EXIT, 0);
}

static void wait_for_more(struct task *t)
{
	(void) operate(t, 1, -1, 0); /* interrupted by its end */
}

static void waits(void *arg)
{
	(void) arg;
	like(wait_for_more);
	sim_sys(EXIT, 1);
}

static void count_waiting(struct task *t)
{
	answer = sem_value(t, set, 1, GETNCNT);
}

/* Of the thread that shares its list with its parent: not before both have ended. */
#define SHARING (CLONE_VM | CLONE_SYSVSEM)

static void adds_sharing(void *arg)
{
	(void) arg;
	like(add_three);
	sim_sys(EXIT, 0);
}

static void forks_sharing(void *arg)
{
	(void) arg;
	CHECK(end_of(fork_with(SHARING, SIGCHLD, adds_sharing, NULL)) == 0 && value_now() == 6);
	sim_sys(EXIT, 0);
}

static void remove_segment(struct task *t)
{
	CHECK(shm_remove(t, segment) == 0);
}

static void parent(void *arg)
{
	sysret_t pid;

	(void) arg;
	like(make);
	like(add_three);
	/* A child undoes what it did, and not what its parent did. */
	CHECK(end_of(fork_to(ends, NULL)) == 0 && value_now() == 3);
	CHECK(end_of(fork_to(adds_and_ends, NULL)) == 0 && value_now() == 3);
	CHECK(peek(SHARED) == 42 && attached_now() == 1);
	CHECK(end_of(fork_to(forks_sharing, NULL)) == 0 && value_now() == 3);
	/* One that is killed waits no more. */
	pid = fork_to(waits, NULL);
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	like(count_waiting);
	CHECK(answer == 1 && sim_sys(SEND, (uint64_t) pid, SIGKILL) == 0);
	CHECK(end_of(pid) == SIGKILL);
	like(count_waiting);
	CHECK(answer == 0);
	/* The segment goes with its last attachment: this process. */
	like(remove_segment);
	poke(SHARED, 43);
	sim_sys(EXIT, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();
	struct shm_info info;
	struct seminfo all;

	(void) arg;
	CHECK(run(parent) == 0);
	(void) shm_totals(&info);
	CHECK(info.used_ids == 0 && sem_totals(&all, true) == 0 && all.semusz == 1);
	sem_end();
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}
