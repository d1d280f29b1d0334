/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many who make, use, wait for and remove the same few objects, at random and interrupted at
 * random: nothing is left, and nobody waits for ever.
 */
#include <asm/fcntl.h>
#include <asm/unistd.h>

#include "kernel/ipc/ids.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define PLACE	((uint64_t) 0x30000000)
#define WORKERS 8
#define CALLS	1500

static struct guest g;
static struct fiber *workers[WORKERS]; /* NULL: it has ended */
static unsigned int living;
static sysret_t ids[8]; /* of what was made lately */

static uint32_t dice(uint32_t most)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 16) % most;
}

static sysret_t call(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	return syscall_do(g.task, nr, (const uint64_t[6]){ a, b, c, d, e, 0 });
}

static uint64_t id(void)
{
	return (uint64_t) ids[dice(countof(ids))];
}

static void keep(sysret_t made)
{
	if (made >= 0)
		ids[dice(countof(ids))] = made;
}

static uint64_t place(void)
{
	return PLACE + dice(8) * PAGE_SIZE;
}

static void memory(uint64_t buf)
{
	switch (dice(8)) {
	case 0:
		keep(call(__NR_shmget, dice(3), (1 + dice(3)) * PAGE_SIZE, IPC_CREAT | 0600, 0, 0));
		break;
	case 1:
		(void) call(__NR_shmat, id(), dice(2) ? place() : 0,
			    dice(2)   ? SHM_REMAP
			    : dice(2) ? SHM_RDONLY
				      : 0,
			    0, 0);
		break;
	case 2:
		(void) call(__NR_shmdt, place(), 0, 0, 0, 0);
		break;
	case 3:
		(void) call(__NR_shmctl, id(), dice(16), buf, 0, 0);
		break;
	case 4:
		(void) call(__NR_mprotect, place(), PAGE_SIZE, dice(4), 0, 0);
		break;
	case 5:
		(void) call(__NR_munmap, place(), PAGE_SIZE, 0, 0, 0);
		break;
	case 6:
		(void) call(__NR_mremap, place(), PAGE_SIZE, PAGE_SIZE * dice(3), 3, place());
		break;
	default:
		(void) !copy_out(g.task->space, uva(place()), "x", 1);
		break;
	}
}

static void semaphores(uint64_t buf)
{
	struct sembuf ops[3];

	for (size_t n = 0; n < countof(ops); n++)
		ops[n] = (struct sembuf){ (uint16_t) dice(3), (int16_t) (dice(5) - 2),
					  (int16_t) (dice(2) ? SEM_UNDO : 0) };
	switch (dice(4)) {
	case 0:
		keep(call(__NR_semget, dice(3), 1 + dice(3), IPC_CREAT | 0600, 0, 0));
		break;
	case 1:
		(void) call(__NR_semctl, id(), dice(3), dice(21), dice(2) ? buf : dice(4), 0);
		break;
	default:
		(void) !copy_out(g.task->space, uva(buf), ops, sizeof(ops));
		(void) call(__NR_semop, id(), buf, 1 + dice(3), 0, 0);
		break;
	}
}

static void messages(uint64_t buf)
{
	const int64_t type = 1 + dice(3);

	switch (dice(4)) {
	case 0:
		keep(call(__NR_msgget, dice(3), IPC_CREAT | 0600, 0, 0, 0));
		break;
	case 1:
		(void) call(__NR_msgctl, id(), dice(14), buf, 0, 0);
		break;
	case 2:
		(void) !copy_out(g.task->space, uva(buf), &type, sizeof(type));
		(void) call(__NR_msgsnd, id(), buf, dice(9000), 0, 0);
		break;
	default:
		(void) call(__NR_msgrcv, id(), buf, dice(5000), dice(7) - (uint64_t) 3,
			    dice(2) ? MSG_NOERROR : 0);
		break;
	}
}

static void queues(uint64_t buf)
{
	const char name[2] = { (char) ('a' + dice(2)), 0 };
	const uint64_t event[8] = { 7, dice(2) ? 40 : 1ul << 32 };

	(void) !copy_out(g.task->space, uva(buf), name, sizeof(name));
	switch (dice(8)) {
	case 0:
		(void) call(__NR_mq_open, buf, O_CREAT | O_RDWR, 0600, 0, 0);
		break;
	case 1:
		(void) call(__NR_mq_unlink, buf, 0, 0, 0, 0);
		break;
	case 2:
		(void) call(__NR_close, dice(6), 0, 0, 0, 0);
		break;
	case 3:
		(void) !copy_out(g.task->space, uva(buf), event, sizeof(event));
		(void) call(__NR_mq_notify, dice(6), dice(3) ? buf : 0, 0, 0, 0);
		break;
	case 4:
	case 5:
		(void) call(__NR_mq_timedsend, dice(6), buf, dice(100), dice(4), 0);
		break;
	default:
		(void) call(__NR_mq_timedreceive, dice(6), buf, 2 * PAGE_SIZE, buf, 0);
		break;
	}
}

static void work(void *arg)
{
	size_t me = (size_t) (uintptr_t) arg;
	uint64_t buf = GUEST_AT + (2 * me % GUEST_PAGES) * PAGE_SIZE;

	for (unsigned int n = 0; n < CALLS; n++) {
		void (*const kinds[])(uint64_t) = { memory, semaphores, messages, queues };

		kinds[dice(countof(kinds))](buf);
		fiber_undisturbed(fiber_now());
		if (dice(3) == 0)
			fiber_yield();
	}
	workers[me] = NULL;
	living--;
	fiber_exit();
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	signals_block(g.task, SIGNAL_BIT(40));
	for (size_t n = 0; n < WORKERS; n++) {
		CHECK(sched_spawn(work, (void *) (uintptr_t) n, &workers[n]) == 0);
		living++;
	}
	/* Who waits is interrupted when nobody else can go on. */
	while (living > 0) {
		size_t n = dice(WORKERS);

		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 1000);
		if (workers[n])
			fiber_interrupt(workers[n]);
	}
	(void) call(__NR_close_range, 0, 99, 0, 0, 0);
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
