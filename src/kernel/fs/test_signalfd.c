/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that are read, by the system calls that a program makes for it. */
#include <asm/fcntl.h>
#include <asm/unistd_64.h>
#include <linux/eventpoll.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/time.h>

#include "kernel/core/heap.h"
#include "kernel/fs/signalfd.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define MASK	 GUEST_AT
#define INFO	 (GUEST_AT + 0x100)
#define ROOM	 (GUEST_AT + PAGE_SIZE)
#define READONLY ((uint64_t) 0x30000000)

static struct guest g;

static void set_mask(uint64_t mask)
{
	(void) guest_put(&g, 0, &mask, sizeof(mask));
}

static struct signalfd_siginfo told(unsigned int n)
{
	struct signalfd_siginfo s;

	guest_get(&g, PAGE_SIZE + n * sizeof(s), &s, sizeof(s));
	return s;
}

static unsigned int ready(int64_t fd)
{
	struct {
		int32_t fd;
		int16_t events, revents;
	} p = { (int32_t) fd, POLLIN, 0 };

	(void) guest_put(&g, 0x200, &p, sizeof(p));
	CHECK(CALL(&g, __NR_poll, GUEST_AT + 0x200, 1, 0) >= 0);
	guest_get(&g, 0x200, &p, sizeof(p));
	return (unsigned int) p.revents;
}

static int64_t wait_now(int64_t ep)
{
	return CALL(&g, __NR_epoll_wait, (uint64_t) ep, GUEST_AT + 0x300, 4, 0);
}

/* Sends when its time has come. */
static void later(struct ktimer *k)
{
	(void) k;
	signal_process(g.task->process, SIGUSR2);
}

static void reads(void)
{
	struct signal_info queued = { .code = SI_QUEUE, .sent = { .pid = 7, .value = 4711 } };
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data = 5 };
	struct ktimer k = { .fire = later };
	uint32_t me = g.task->process->pid;
	int64_t fd, ep, spec[4] = { 0, 0, 0, 1000 };
	uint64_t id[8] = { 99, 41, 0 };

	set_mask(UINT64_MAX);
	CHECK(CALL(&g, __NR_rt_sigprocmask, SIG_SETMASK, MASK, 0, 8) == 0);
	CHECK(CALL(&g, __NR_signalfd4, -1, MASK, 4, 0) == -EINVAL &&
	      CALL(&g, __NR_signalfd4, -1, MASK, 8, 1) == -EINVAL &&
	      CALL(&g, __NR_signalfd4, -1, 0x1000, 8, 0) == -EFAULT &&
	      CALL(&g, __NR_signalfd4, 77, MASK, 8, 0) == -EBADF);
	set_mask(SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(40) | SIGNAL_BIT(41) | SIGNAL_BIT(SIGKILL));
	fd = CALL(&g, __NR_signalfd4, -1, MASK, 8, O_NONBLOCK | O_CLOEXEC);
	ep = CALL(&g, __NR_epoll_create1, 0);
	CHECK(fd >= 0 && ep > fd && CALL(&g, __NR_fcntl, fd, F_GETFD, 0) == 1);
	CHECK(CALL(&g, __NR_signalfd4, ep, MASK, 8, 0) == -EINVAL);
	(void) guest_put(&g, 0x300, &e, sizeof(e));
	CHECK(CALL(&g, __NR_epoll_ctl, ep, EPOLL_CTL_ADD, fd, GUEST_AT + 0x300) == 0);
	CHECK(ready(fd) == 0 && wait_now(ep) == 0);
	CHECK(CALL(&g, __NR_read, fd, ROOM, 4096) == -EAGAIN &&
	      CALL(&g, __NR_read, fd, ROOM, 127) == -EINVAL &&
	      CALL(&g, __NR_write, fd, ROOM, 128) == -EINVAL);
	/* Lowest first; as many as there is room for. */
	(void) guest_put(&g, 0x100, &queued, sizeof(queued));
	CHECK(CALL(&g, __NR_rt_sigqueueinfo, me, 40, INFO) == 0 &&
	      CALL(&g, __NR_kill, me, SIGUSR1) == 0 && CALL(&g, __NR_kill, me, SIGUSR2) == 0);
	CHECK(ready(fd) == POLLIN && wait_now(ep) == 1 && wait_now(ep) == 0);
	CHECK(CALL(&g, __NR_read, fd, ROOM, 300) == 256);
	CHECK(told(0).ssi_signo == SIGUSR1 && told(0).ssi_code == SI_USER && told(0).ssi_pid == me);
	CHECK(told(1).ssi_signo == 40 && told(1).ssi_ptr == 4711 && told(1).ssi_int == 4711 &&
	      told(1).ssi_pid == 7);
	CHECK(ready(fd) == 0 && signals_pending(g.task) == SIGNAL_BIT(SIGUSR2));
	/* What a timer sends. */
	(void) guest_put(&g, 0x400, id, sizeof(id));
	(void) guest_put(&g, 0x500, spec, sizeof(spec));
	CHECK(CALL(&g, __NR_timer_create, CLOCK_MONOTONIC, GUEST_AT + 0x400, GUEST_AT + 0x480) ==
	      0);
	CHECK(CALL(&g, __NR_timer_settime, 0, 0, GUEST_AT + 0x500, 0) == 0);
	(void) fiber_park_until(sim_now() + 1000);
	CHECK(wait_now(ep) == 1 && CALL(&g, __NR_read, fd, ROOM, 128) == 128);
	CHECK(told(0).ssi_signo == 41 && told(0).ssi_code == SI_TIMER && told(0).ssi_ptr == 99);
	/* A mask of another kind: what is there already is there. */
	set_mask(SIGNAL_BIT(SIGUSR2));
	CHECK(CALL(&g, __NR_signalfd4, fd, MASK, 8, 0) == fd && ready(fd) == POLLIN &&
	      wait_now(ep) == 1);
	CHECK(CALL(&g, __NR_read, fd, ROOM, 128) == 128 && told(0).ssi_signo == SIGUSR2);
	/* One that waits, and one whose wait another signal ends. */
	CHECK(CALL(&g, __NR_fcntl, fd, F_SETFL, 0) == 0);
	ktimer_set(&k, sim_now() + 1000);
	CHECK(CALL(&g, __NR_read, fd, ROOM, 4096) == 128 && told(0).ssi_signo == SIGUSR2 &&
	      told(0).ssi_code == SI_KERNEL);
	CHECK(CALL(&g, __NR_read, fd, ROOM, 4096) == -ERESTARTSYS);
	/* Taken is taken, also where it cannot be written. */
	CHECK(CALL(&g, __NR_mmap, READONLY, PAGE_SIZE, PROT_READ, 0x32, -1, 0) > 0);
	signal_process(g.task->process, SIGUSR2);
	CHECK(CALL(&g, __NR_read, fd, READONLY, 128) == -EFAULT && signals_pending(g.task) == 0);
	CHECK(CALL(&g, __NR_close, fd) == 0);
	signal_process(g.task->process, SIGUSR2);
	CHECK(wait_now(ep) == 0);
	CHECK(CALL(&g, __NR_signalfd, -1, MASK, 8) >= 0);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 6; n++) {
		struct file *f;
		int r;

		heap_fail_at(n);
		r = signalfd_make(1, 0, g.cred, &f);
		heap_fail_at(0);
		CHECK(r == 0 || r == -ENOMEM);
		CHECK((n == 1) <= (r < 0));
		if (r == 0)
			file_unref(f);
	}
}

static void all(void *arg)
{
	(void) arg;
	guest_begin(&g);
	reads();
	no_memory();
	guest_end(&g);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(1024, all);
}
