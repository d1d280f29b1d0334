/* SPDX-License-Identifier: Apache-2.0 */
/* What threads share and inherit, and small questions: unshare, futex_waitv, sysfs, ustat, and what
 * personality and policies change of other calls. */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/personality.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/time.h>

#include "kernel/fs/proc/proc.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"
#include "kernel/task/futex.h"

#define AT(n) (GUEST_AT + (n))
#define NONE  (GUEST_AT - PAGE_SIZE)

static struct guest g;

static void unsharing(void)
{
	struct descriptors *files = g.task->files;
	struct fs_context *fs = g.task->fs;

	CHECK(CALL(&g, __NR_unshare, CLONE_FILES | CLONE_FS | CLONE_SYSVSEM) == 0 &&
	      g.task->files == files && g.task->fs == fs); /* nobody shares them */
	descriptors_ref(files);
	fs->owners++;
	CHECK(CALL(&g, __NR_unshare, CLONE_FILES | CLONE_FS) == 0 && g.task->files != files &&
	      g.task->fs != fs && files->owners == 1 && fs->owners == 1);
	descriptors_unref(files);
	fs_context_unref(fs);
	CHECK(CALL(&g, __NR_unshare, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) == 0);
	g.task->process->thread_count++;
	CHECK(CALL(&g, __NR_unshare, CLONE_THREAD) == -EINVAL);
	g.task->process->thread_count--;
	CHECK(CALL(&g, __NR_unshare, UINT64_MAX) == -EINVAL &&
	      CALL(&g, __NR_unshare, CLONE_NEWNS) == -EINVAL);
	g.cred->effective = 0;
	CHECK(CALL(&g, __NR_unshare, CLONE_NEWNS) == -EPERM &&
	      CALL(&g, __NR_unshare, CLONE_NEWUSER) == -EINVAL);
	g.cred->effective = UINT64_MAX;
}

static void file_systems(void)
{
	char name[8] = "";
	sysret_t tmpfs = CALL(&g, __NR_sysfs, 1, guest_text(&g, 0, "tmpfs")),
		 all = CALL(&g, __NR_sysfs, 3);

	CHECK(tmpfs >= 0 && tmpfs < all && CALL(&g, __NR_sysfs, 2, (uint64_t) tmpfs, AT(64)) == 0);
	guest_get(&g, 64, name, 6);
	CHECK_STR(name, "tmpfs");
	CHECK(CALL(&g, __NR_sysfs, 1, guest_text(&g, 0, "nonesuch")) == -EINVAL &&
	      CALL(&g, __NR_sysfs, 1, NONE) == -EFAULT &&
	      CALL(&g, __NR_sysfs, 2, (uint64_t) all, AT(64)) == -EINVAL &&
	      CALL(&g, __NR_sysfs, 2, 0, NONE) == -EFAULT && CALL(&g, __NR_sysfs, 4) == -EINVAL);
	CHECK(CALL(&g, __NR_ustat, g.mounts->root->super->dev, AT(0)) == 0 &&
	      CALL(&g, __NR_ustat, g.mounts->root->super->dev, NONE) == -EFAULT &&
	      CALL(&g, __NR_ustat, 0xfff00, AT(0)) == -EINVAL);
}

#define CACHESTAT 451 /* Linux 6.5 */

static uint64_t in_memory(sysret_t fd, uint64_t off, uint64_t len)
{
	const uint64_t range[2] = { off, len };
	uint64_t told[5];

	CHECK(CALL(&g, CACHESTAT, (uint64_t) fd, guest_put(&g, 0, range, sizeof(range)), AT(64),
		   0) == 0);
	guest_get(&g, 64, told, sizeof(told));
	CHECK(told[1] == 0 && told[2] == 0 && told[3] == 0 && told[4] == 0);
	return told[0];
}

static void caches(void)
{
	sysret_t fd = CALL(&g, __NR_open, guest_text(&g, 0, "/f"), O_CREAT | O_RDWR, 0600);

	CHECK(CALL(&g, __NR_write, (uint64_t) fd, AT(0), 3 * PAGE_SIZE) == 3 * PAGE_SIZE &&
	      CALL(&g, __NR_pwrite64, (uint64_t) fd, AT(0), 1, 9 * PAGE_SIZE) == 1);
	CHECK(in_memory(fd, 0, 0) == 4 && in_memory(fd, PAGE_SIZE, PAGE_SIZE + 1) == 2 &&
	      in_memory(fd, 3 * PAGE_SIZE, PAGE_SIZE) == 0 && in_memory(fd, UINT64_MAX, 5) == 0);
	CHECK(CALL(&g, CACHESTAT, (uint64_t) fd, AT(0), AT(64), 1) == -EINVAL &&
	      CALL(&g, CACHESTAT, (uint64_t) fd, NONE, AT(64), 0) == -EFAULT &&
	      CALL(&g, CACHESTAT, (uint64_t) fd, AT(0), NONE, 0) == -EFAULT &&
	      CALL(&g, CACHESTAT, 99, AT(0), AT(64), 0) == -EBADF);
	CHECK(CALL(&g, __NR_close, (uint64_t) fd) == 0);
}

static bool finished;

static void waker(void *arg)
{
	(void) arg;
	CHECK(futex_wake(g.task->space, uva(AT(4)), 1) == 1);
	finished = true;
	fiber_exit();
}

static sysret_t wait_any(const struct futex_waitv *v, uint64_t n, uint64_t time)
{
	return CALL(&g, __NR_futex_waitv, guest_put(&g, 512, v, n * sizeof(*v)), n, 0, time,
		    CLOCK_MONOTONIC);
}

static void words(void)
{
	struct futex_waitv v[2] = { { .uaddr = AT(0), .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
				    { .uaddr = AT(4), .flags = FUTEX_32 } };
	const uint32_t zeros[2] = {};
	nsec_t end = plat_now(PLAT_MONOTONIC) + 5000;
	const struct __kernel_timespec spec = { end / NSEC_PER_SEC, end % NSEC_PER_SEC };
	uint64_t time = guest_put(&g, 256, &spec, sizeof(spec));
	struct fiber *f;

	(void) guest_put(&g, 0, zeros, sizeof(zeros));
	CHECK(wait_any(v, 2, time) == -ETIMEDOUT && plat_now(PLAT_MONOTONIC) >= end);
	CHECK(sched_spawn(waker, NULL, &f) == 0 && wait_any(v, 2, 0) == 1 && finished);
	CHECK(wait_any(v, 2, 0) == -ERESTARTSYS);
	v[1].val = 1;
	CHECK(wait_any(v, 2, 0) == -EAGAIN);
	v[1].uaddr = NONE;
	CHECK(wait_any(v, 2, 0) == -EFAULT);
	v[1].uaddr = AT(2);
	CHECK(wait_any(v, 2, 0) == -EINVAL);
	v[1].flags = 0;
	CHECK(wait_any(v, 2, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_futex_waitv, AT(512), 129) == -EINVAL &&
	      CALL(&g, __NR_futex_waitv, AT(512), 0) == -EINVAL &&
	      CALL(&g, __NR_futex_waitv, AT(512), 1, 1) == -EINVAL &&
	      CALL(&g, __NR_futex_waitv, AT(512), 1, 0, time, CLOCK_PROCESS_CPUTIME_ID) == -EINVAL);
	/* What nobody can read nobody can be woken at. */
	CHECK(CALL(&g, __NR_futex, NONE, FUTEX_WAKE, 1) == -EFAULT &&
	      CALL(&g, __NR_mprotect, AT(PAGE_SIZE), PAGE_SIZE, PROT_NONE) == 0 &&
	      CALL(&g, __NR_futex, AT(PAGE_SIZE), FUTEX_WAKE, 1) == -EFAULT &&
	      CALL(&g, __NR_mprotect, AT(PAGE_SIZE), PAGE_SIZE, PROT_READ | PROT_WRITE) == 0 &&
	      CALL(&g, __NR_futex, AT(PAGE_SIZE), FUTEX_WAKE, 1) == 0);
}

static void turns(void)
{
	const int32_t priority = 5;
	const int64_t time[2] = { 0, 1000 };
	int64_t left[2];

	CHECK(CALL(&g, __NR_prctl, PR_SET_TIMERSLACK, 70000) == 0 &&
	      CALL(&g, __NR_prctl, PR_GET_TIMERSLACK) == 70000);
	g.task->slack_at_birth = 60000;
	CHECK(CALL(&g, __NR_prctl, PR_SET_TIMERSLACK, 0) == 0 &&
	      CALL(&g, __NR_prctl, PR_GET_TIMERSLACK) == 60000);
	CHECK(CALL(&g, __NR_sched_setscheduler, 0, SCHED_RR | SCHED_RESET_ON_FORK,
		   guest_put(&g, 0, &priority, 4)) == 0 &&
	      CALL(&g, __NR_sched_getscheduler, 0) == (SCHED_RR | SCHED_RESET_ON_FORK));
	CHECK(CALL(&g, __NR_prctl, PR_SET_MM, PR_SET_MM_BRK) == -EINVAL);
	g.cred->effective = 0;
	CHECK(CALL(&g, __NR_prctl, PR_SET_MM, PR_SET_MM_BRK) == -EPERM);
	CHECK(CALL(&g, __NR_sched_setscheduler, 0, SCHED_RR, AT(0)) == -EPERM);
	g.cred->effective = UINT64_MAX;
	CHECK(CALL(&g, __NR_sched_setscheduler, 0, SCHED_RR, AT(0)) == 0 &&
	      CALL(&g, __NR_sched_getscheduler, 0) == SCHED_RR);
	/* Who wants its times left gets them so. */
	CHECK(CALL(&g, __NR_select, 0, 0, 0, 0, guest_put(&g, 0, time, sizeof(time))) == 0);
	guest_get(&g, 0, left, sizeof(left));
	CHECK(left[1] == 0 && CALL(&g, __NR_personality, STICKY_TIMEOUTS) >= 0);
	CHECK(CALL(&g, __NR_select, 0, 0, 0, 0, guest_put(&g, 0, time, sizeof(time))) == 0);
	guest_get(&g, 0, left, sizeof(left));
	CHECK(left[1] == 1000 && CALL(&g, __NR_personality, 0) >= 0);
}

static void all(void *arg)
{
	(void) arg;
	guest_begin(&g);
	unsharing();
	file_systems();
	caches();
	words();
	turns();
	guest_end(&g);
}

int main(void)
{
	return test_run(8192, all);
}
