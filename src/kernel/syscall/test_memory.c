/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, waiting and messages by their system calls. */
#include <asm/unistd.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define ANON  (MAP_PRIVATE | MAP_ANONYMOUS)
#define PLACE ((uint64_t) 0x30000000)
#define BUF   (GUEST_AT + 4 * PAGE_SIZE)

static struct guest g;

static uint64_t map(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t offset)
{
	return (uint64_t) CALL(&g, __NR_mmap, at, len, (uint64_t) prot, (uint64_t) flags,
			       (uint64_t) fd, offset);
}

static uint32_t word(uint64_t at)
{
	uint32_t v = 0;

	CHECK(copy_in(g.task->space, &v, uva(at), sizeof(v)) == 0);
	return v;
}

static void mappings(void)
{
	const uint64_t size = 4 * PAGE_SIZE;
	uint64_t at = map(0, size, PROT_READ | PROT_WRITE, ANON, -1, 0), to;
	uint32_t v = 42;
	uint8_t there[4];

	CHECK((int64_t) at > 0);
	CHECK(map(0, 0, 0, ANON, -1, 0) == (uint64_t) -EINVAL);
	CHECK(map(0, size, 0, MAP_ANONYMOUS, -1, 0) == (uint64_t) -EINVAL);
	CHECK(map(0, size, 0, ANON, -1, 5) == (uint64_t) -EINVAL);
	CHECK(map(0, size, 0, MAP_PRIVATE, 99, 0) == (uint64_t) -EBADF);
	CHECK(map(0, size, 0, MAP_PRIVATE, 99, INT64_MAX & ~4095ul) == (uint64_t) -EBADF);
	CHECK(map(0, size, 0, ANON, -1, INT64_MAX & ~4095ul) == (uint64_t) -EOVERFLOW);
	CHECK(map(0, (uint64_t) -1, 0, ANON, -1, 0) == (uint64_t) -ENOMEM);
	CHECK(map(0, size, 0, ANON | MAP_HUGETLB, -1, 0) == (uint64_t) -ENOMEM);
	CHECK(map(at, size, 0, ANON | MAP_FIXED_NOREPLACE, -1, 0) == (uint64_t) -EEXIST);
	CHECK(map(0, size, 0, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_SYNC, -1, 0) ==
	      (uint64_t) -EOPNOTSUPP);
	/* Little memory that may be written to is there at once. */
	CHECK(word(at) == 0 && CALL(&g, __NR_mincore, at, size, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, there, 4);
	CHECK(there[0] == 1 && there[1] == 1);
	CHECK(copy_out(g.task->space, uva(at), &v, sizeof(v)) == 0);
	CHECK(CALL(&g, __NR_mincore, at + 1, size, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_mincore, PLACE, size, BUF) == -ENOMEM);
	CHECK(CALL(&g, __NR_mlock, at, size) == 0 && g.task->space->locked == 4);
	CHECK(CALL(&g, __NR_madvise, at, size, MADV_DONTNEED) == -EINVAL);
	CHECK(CALL(&g, __NR_msync, at, size, MS_SYNC | MS_INVALIDATE) == -EBUSY);
	CHECK(CALL(&g, __NR_munlock, at, PAGE_SIZE) == 0 && g.task->space->locked == 3);
	CHECK(CALL(&g, __NR_munlockall) == 0 && g.task->space->locked == 0);
	CHECK(CALL(&g, __NR_mlockall, 0) == -EINVAL && CALL(&g, __NR_mlock2, at, 1, 2) == -EINVAL);
	CHECK(CALL(&g, __NR_mlock, PLACE, 1) == -ENOMEM);
	CHECK(CALL(&g, __NR_mprotect, at, size, 0x100) == -EINVAL);
	CHECK(CALL(&g, __NR_mprotect, at, size, PROT_READ) == 0);
	CHECK(copy_out(g.task->space, uva(at), &v, sizeof(v)) == -EFAULT && word(at) == 42);
	to = (uint64_t) CALL(&g, __NR_mremap, at, size, 8 * PAGE_SIZE, 3, PLACE);
	CHECK(to == PLACE && word(to) == 42);
	CHECK(CALL(&g, __NR_munmap, to, 8 * PAGE_SIZE) == 0 &&
	      CALL(&g, __NR_munmap, 1, 1) == -EINVAL);
}

/* Shared memory is shared: by a file's descriptor and by its mappings. */
static void shared(void)
{
	uint64_t name = guest_text(&g, 0, "m"), a, b;
	sysret_t fd = CALL(&g, __NR_memfd_create, name, 0);
	uint32_t v = 7;

	CHECK(fd == 0 && CALL(&g, __NR_memfd_create, name, 4) == -EINVAL);
	CHECK(CALL(&g, __NR_ftruncate, 0, 2 * PAGE_SIZE) == 0);
	a = map(0, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0);
	b = map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, PAGE_SIZE);
	CHECK(copy_out(g.task->space, uva(a + PAGE_SIZE), &v, sizeof(v)) == 0 && word(b) == 7);
	CHECK(copy_out(g.task->space, uva(b), &(uint32_t){ 9 }, 4) == 0 &&
	      word(a + PAGE_SIZE) == 7);
	CHECK(CALL(&g, __NR_pread64, 0, BUF, 4, PAGE_SIZE) == 4 && word(BUF) == 7);
	CHECK(CALL(&g, __NR_close, 0) == 0 && word(a + PAGE_SIZE) == 7);
	CHECK(CALL(&g, __NR_munmap, a, 2 * PAGE_SIZE) == 0 && CALL(&g, __NR_munmap, b, 1) == 0);
	a = map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(copy_out(g.task->space, uva(a), &v, sizeof(v)) == 0 && word(a) == 7);
	CHECK(CALL(&g, __NR_munmap, a, PAGE_SIZE) == 0);
}

/* All that are ready are told at once, where there is room; without memory some are. */
static void many_ready(void)
{
	uint64_t at = GUEST_AT + 8 * PAGE_SIZE;
	struct epoll_event e = { .events = EPOLLIN };
	uint64_t epoll = (uint64_t) CALL(&g, __NR_epoll_create1, 0), fds[300];

	for (size_t n = 0; n < countof(fds); n++) {
		fds[n] = (uint64_t) CALL(&g, __NR_eventfd2, 1, 0);
		e.data = fds[n];
		(void) guest_put(&g, 8 * PAGE_SIZE, &e, sizeof(e));
		CHECK(CALL(&g, __NR_epoll_ctl, epoll, EPOLL_CTL_ADD, fds[n], at) == 0);
	}
	CHECK(CALL(&g, __NR_epoll_wait, epoll, at, 400, -1) == 300);
	CHECK(word(at + 4) == fds[0] && word(at + 299 * 12 + 4) == fds[299]);
	CHECK(CALL(&g, __NR_epoll_wait, epoll, at, 200, -1) == 200 && word(at + 4) == fds[0]);
	CHECK(CALL(&g, __NR_epoll_wait, epoll, at, 100, -1) == 100 && word(at + 4) == fds[200]);
	heap_fail_at(1);
	CHECK(CALL(&g, __NR_epoll_wait, epoll, at, 400, -1) == 128);
	heap_fail_at(0);
	CHECK(CALL(&g, __NR_epoll_wait, fds[0], at, 400, 0) == -EINVAL);
	for (size_t n = 0; n < countof(fds); n++)
		CHECK(CALL(&g, __NR_close, fds[n]) == 0);
	CHECK(CALL(&g, __NR_close, epoll) == 0);
}

static void polling(void)
{
	struct pollfd p[3] = { { 0, POLLIN, 0x55 }, { 1, POLLOUT, 0 }, { 44, POLLIN, 0 } };
	uint64_t at = GUEST_AT + 8 * PAGE_SIZE, set, tv;
	struct epoll_event e = { .events = EPOLLIN, .data = 99 };
	nsec_t before;

	CHECK(CALL(&g, __NR_pipe2, BUF, 0) == 0 && word(BUF) == 0 && word(BUF + 4) == 1);
	CHECK(CALL(&g, __NR_pipe2, BUF, 1) == -EINVAL && CALL(&g, __NR_pipe2, 5, 0) == -EFAULT);
	CHECK(CALL(&g, __NR_fcntl, 2, F_GETFD) == -EBADF); /* none is left of the failed one */
	(void) guest_put(&g, 8 * PAGE_SIZE, p, sizeof(p));
	CHECK(CALL(&g, __NR_poll, at, 3, -1) == 2);
	guest_get(&g, 8 * PAGE_SIZE, p, sizeof(p));
	CHECK(p[0].revents == 0 && p[1].revents == POLLOUT && p[2].revents == POLLNVAL);
	CHECK(p[0].events == POLLIN);
	before = plat_now(PLAT_MONOTONIC);
	CHECK(CALL(&g, __NR_poll, at, 1, 30) == 0);
	CHECK(plat_now(PLAT_MONOTONIC) - before == 30000000);
	CHECK(CALL(&g, __NR_poll, at, 1, -1) ==
	      -ERESTARTNOHAND); /* until the guest's patience ends */
	CHECK(CALL(&g, __NR_write, 1, BUF, 5) == 5 && CALL(&g, __NR_poll, at, 1, -1) == 1);
	CHECK(CALL(&g, __NR_ioctl, 0, 0x541b, BUF) == 0 && word(BUF) == 5);
	set = guest_put(&g, 9 * PAGE_SIZE, &(uint64_t){ 3 }, 8);
	tv = guest_put(&g, 9 * PAGE_SIZE + 64, (int64_t[2]){ 1, 5 }, 16);
	CHECK(CALL(&g, __NR_select, 2, set, set + 8, 0, tv) == 1 && word(set) == 1);
	CHECK(CALL(&g, __NR_select, -1, set) == -EINVAL);
	CHECK(CALL(&g, __NR_select, 64, guest_put(&g, 9 * PAGE_SIZE, &(uint64_t){ 1 << 9 }, 8)) ==
	      -EBADF);
	CHECK(CALL(&g, __NR_epoll_create, 0) == -EINVAL &&
	      CALL(&g, __NR_epoll_create1, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_epoll_create1, 0) == 2);
	(void) guest_put(&g, 8 * PAGE_SIZE, &e, sizeof(e));
	CHECK(CALL(&g, __NR_epoll_ctl, 2, EPOLL_CTL_ADD, 0, at) == 0);
	CHECK(CALL(&g, __NR_epoll_ctl, 2, EPOLL_CTL_ADD, 0, at) == -EEXIST);
	CHECK(CALL(&g, __NR_epoll_ctl, 2, EPOLL_CTL_ADD, 2, at) == -EINVAL);
	CHECK(CALL(&g, __NR_epoll_ctl, 2, EPOLL_CTL_DEL, 1, 0) == -ENOENT);
	CHECK(CALL(&g, __NR_epoll_wait, 2, at, 0, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_epoll_wait, 2, at, 5, -1) == 1 && word(at + 4) == 99);
	CHECK(CALL(&g, __NR_epoll_pwait2, 2, at, 5, tv, 0, 8) == 1);
	CHECK(CALL(&g, __NR_epoll_pwait, 2, at, 5, 0, tv, 4) == -EINVAL);
	CHECK(CALL(&g, __NR_ppoll, at, 0, tv, tv, 9) == -EINVAL);
	CHECK(CALL(&g, __NR_close, 0) == 0 && CALL(&g, __NR_write, 1, BUF, 1) == -EPIPE);
	CHECK(CALL(&g, __NR_close_range, 0, 9, 0) == 0);
	many_ready();
}

static void messages(void)
{
	struct {
		uint64_t name, name_len, iov, iovs, control, control_len, flags;
	} m = { .iov = GUEST_AT + 9 * PAGE_SIZE, .iovs = 1, .control = GUEST_AT + 10 * PAGE_SIZE };
	uint64_t head = GUEST_AT + 8 * PAGE_SIZE;
	/* A descriptor that goes along: cmsghdr of SOL_SOCKET, SCM_RIGHTS. */
	const struct {
		uint64_t len;
		int32_t level, type, fd, pad;
	} rights = { 20, 1, 1, 0, 0 };

	(void) guest_put(&g, 9 * PAGE_SIZE, (uint64_t[2]){ BUF, 3 }, 16);
	(void) guest_text(&g, BUF - GUEST_AT, "abc");
	CHECK(CALL(&g, __NR_socketpair, 1, 1, 0, BUF + 64) == 0);
	CHECK(CALL(&g, __NR_socketpair, 1, 0x100001, 0, BUF + 64) == -EINVAL);
	CHECK(CALL(&g, __NR_socket, 4, 3, 0) == -EAFNOSUPPORT);
	(void) guest_put(&g, 10 * PAGE_SIZE, &rights, sizeof(rights));
	m.control_len = 24;
	(void) guest_put(&g, 8 * PAGE_SIZE, &m, sizeof(m));
	CHECK(CALL(&g, __NR_sendmsg, 0, head, 0) == 3);
	(void) guest_text(&g, BUF - GUEST_AT, "xyz");
	CHECK(CALL(&g, __NR_recvmsg, 1, head, 0) == 3 && word(BUF) == 0x636261);
	CHECK(word(GUEST_AT + 10 * PAGE_SIZE + 16) == 2); /* the new descriptor */
	CHECK(CALL(&g, __NR_fcntl, 2, F_GETFD) == 0);
	CHECK(CALL(&g, __NR_sendto, 0, BUF, 2, 0, 0, 0) == 2);
	CHECK(CALL(&g, __NR_recvfrom, 1, BUF, 9, 0x40, 0, 0) == 2);
	CHECK(CALL(&g, __NR_recvfrom, 1, BUF, 9, 0x40, 0, 0) == -EAGAIN);
	CHECK(CALL(&g, __NR_recvmsg, 1, 5, 0) == -EFAULT);
	CHECK(CALL(&g, __NR_bind, 0, BUF, 4000) == -EINVAL);
	CHECK(CALL(&g, __NR_pipe2, BUF, 0) == 0 && CALL(&g, __NR_listen, 3, 1) == -ENOTSOCK);
	CHECK(CALL(&g, __NR_close_range, 0, 9, 0) == 0);
}

static void times_and_limits(void)
{
	int64_t ts[2];

	CHECK(CALL(&g, __NR_clock_gettime, 1, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, ts, sizeof(ts));
	CHECK(ts[0] * NSEC_PER_SEC + ts[1] == plat_now(PLAT_MONOTONIC));
	CHECK(CALL(&g, __NR_clock_gettime, 40, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_clock_gettime, 1, 0) == -EFAULT &&
	      CALL(&g, __NR_clock_getres, 1, 0) == 0);
	CHECK(CALL(&g, __NR_clock_settime, 0, BUF) == -EPERM);
	/* Those of processor time, by number: ~nr << 3, 4: of a thread, then which time. */
	CHECK(CALL(&g, __NR_clock_gettime, (uint32_t) -6, BUF) == 0 &&
	      CALL(&g, __NR_clock_gettime, (uint32_t) -2, BUF) == 0 &&
	      CALL(&g, __NR_clock_gettime, (uint32_t) -5, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_clock_gettime, ~1u << 3 | 2, BUF) == 0 &&
	      CALL(&g, __NR_clock_gettime, ~1u << 3 | 4 | 2, BUF) == 0 &&
	      CALL(&g, __NR_clock_gettime, ~4711u << 3 | 2, BUF) == -EINVAL &&
	      CALL(&g, __NR_clock_getres, ~4711u << 3 | 4 | 2, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_clock_getres, ~1u << 3 | 1, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, ts, sizeof(ts));
	CHECK(ts[0] == 0 && ts[1] == 4000000);
	CHECK(CALL(&g, __NR_prlimit64, 0, 99, 0, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_getpriority, 0, 0) == 20 && CALL(&g, __NR_setpriority, 0, 0, 5) == 0);
	CHECK(CALL(&g, __NR_getpriority, 0, 0) == 15 &&
	      CALL(&g, __NR_getpriority, 3, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_sched_getaffinity, 0, 4, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_sched_getaffinity, 0, 128, BUF) == 8);
	CHECK(CALL(&g, __NR_sched_getaffinity, 4711, 8, BUF) == -ESRCH &&
	      CALL(&g, __NR_sched_getaffinity, UINT64_MAX, 8, BUF) == -ESRCH &&
	      CALL(&g, __NR_sched_getscheduler, UINT64_MAX) == -EINVAL);
	CHECK(CALL(&g, __NR_prctl, 15, guest_text(&g, 0, "a name that is long")) == 0);
	CHECK_STR(g.task->comm, "a name that is ");
	CHECK(CALL(&g, __NR_prctl, 4711) == -EINVAL && CALL(&g, __NR_prctl, 38, 1, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_prctl, 38, 1) == 0 && CALL(&g, __NR_prctl, 39) == 1);
	CHECK(CALL(&g, __NR_arch_prctl, 0x1002, 0x1234) == 0);
	CHECK(CALL(&g, __NR_arch_prctl, 0x1003, BUF) == 0 && word(BUF) == 0x1234);
	CHECK(CALL(&g, __NR_arch_prctl, 0x1002, (uint64_t) 1 << 63) == -EPERM);
	CHECK(CALL(&g, __NR_getrandom, BUF, 10, 8) == -EINVAL &&
	      CALL(&g, __NR_getrandom, BUF, 300, 0) == 300);
	CHECK(CALL(&g, __NR_uname, BUF) == 0 && word(BUF) == 0x756e694c);
	CHECK(CALL(&g, __NR_wait4, -1, 0, 0, 0) == -ECHILD &&
	      CALL(&g, __NR_wait4, -1, 0, 99, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_waitid, 0, 0, 0, 0, 0) == -EINVAL);
}

static bool finished;

/* Pages of a shared mapping in another order. */
static void remapped(void)
{
	uint64_t at = map(0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			  0),
		 own = map(0, PAGE_SIZE, PROT_READ, ANON, -1, 0);

	for (uint32_t n = 0; n < 4; n++)
		CHECK(copy_out(g.task->space, uva(at + n * PAGE_SIZE), &n, sizeof(n)) == 0);
	CHECK(CALL(&g, __NR_remap_file_pages, at, PAGE_SIZE, 0, 3, 0) == 0 && word(at) == 3 &&
	      word(at + PAGE_SIZE) == 1);
	CHECK(CALL(&g, __NR_remap_file_pages, at + PAGE_SIZE, 2 * PAGE_SIZE, 0, 0, 0) == 0 &&
	      word(at + PAGE_SIZE) == 0 && word(at + 2 * PAGE_SIZE) == 1 &&
	      word(at + 3 * PAGE_SIZE) == 3);
	CHECK(CALL(&g, __NR_remap_file_pages, own, PAGE_SIZE, 0, 0, 0) == -EINVAL &&
	      CALL(&g, __NR_remap_file_pages, at, 5 * PAGE_SIZE, 0, 0, 0) == -EINVAL &&
	      CALL(&g, __NR_remap_file_pages, at, PAGE_SIZE, PROT_READ, 0, 0) == -EINVAL &&
	      CALL(&g, __NR_remap_file_pages, at, PAGE_SIZE, 0, UINT64_MAX, 0) == -EINVAL &&
	      CALL(&g, __NR_remap_file_pages, at, 0, 0, 0, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_munmap, at, 4 * PAGE_SIZE) == 0 &&
	      CALL(&g, __NR_munmap, own, PAGE_SIZE) == 0);
}

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	mappings();
	remapped();
	shared();
	polling();
	messages();
	times_and_limits();
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
