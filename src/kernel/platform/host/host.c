/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/platform/host/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/core/fiber.h"

/* Linux 6.6, newer than the headers of Debian 12. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS	   SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* Linux 6.3 */
#endif

#define CHUNKS 65536u /* 1 GiB of addresses, of which what is used takes memory */
#define GUARD  4096

struct host host;

/* ---- the machine ---- */

nsec_t plat_now(enum plat_clock clock)
{
	static const clockid_t of_host[] = {
		[PLAT_MONOTONIC] = CLOCK_MONOTONIC,
		[PLAT_REALTIME] = CLOCK_REALTIME,
		[PLAT_MONOTONIC_COARSE] = CLOCK_MONOTONIC_COARSE,
		[PLAT_REALTIME_COARSE] = CLOCK_REALTIME_COARSE,
	};
	struct timespec t = {};

	(void) clock_gettime(of_host[clock], &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

unsigned int plat_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int) CPU_COUNT(&set);
}

void plat_random(void *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t) n)
		plat_panic("host: no randomness");
}

[[gnu::format(printf, 1, 0)]] static void say(const char *fmt, va_list args)
{
	(void) vfprintf(stderr, fmt, args);
	(void) fputc('\n', stderr);
}

void plat_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

/* The stubs end with this process. */
void plat_panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	abort();
}

struct carrier *plat_carrier(void)
{
	return &host.carrier;
}

/* One carrier: nobody waits for the lock, and who takes it twice is at fault. */
void plat_lock(void)
{
	if (host.locked)
		plat_panic("host: the lock is taken twice");
	host.locked = true;
}

void plat_unlock(void)
{
	if (!host.locked)
		plat_panic("host: the lock is not taken");
	host.locked = false;
}

void plat_kick(void)
{
	/* The carrier is who runs this, and asks for the next timer before it waits. */
}

void *plat_kmem_alloc(size_t bytes, size_t align)
{
	size_t room, skip;
	char *p;

	if (__builtin_add_overflow(bytes, align, &room))
		return NULL;
	p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	bytes = page_up(bytes);
	skip = -(uintptr_t) p & (align - 1);
	if (skip > 0)
		(void) munmap(p, skip);
	if (room - skip > bytes)
		(void) munmap(p + skip + bytes, page_up(room) - skip - bytes);
	return p + skip;
}

void plat_kmem_free(void *p, size_t bytes)
{
	if (p)
		(void) munmap(p, page_up(bytes));
}

void *plat_stack_alloc(size_t bytes)
{
	char *p = mmap(NULL, bytes + GUARD, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p, GUARD, PROT_NONE) < 0) {
		(void) munmap(p, bytes + GUARD);
		return NULL;
	}
	return p + GUARD;
}

void plat_stack_free(void *low, size_t bytes)
{
	(void) munmap((char *) low - GUARD, bytes + GUARD);
}

void *plat_ram(void)
{
	return host.ram;
}

uint64_t plat_ram_frames(void)
{
	return host.frames;
}

void plat_ram_discard(uint64_t first, uint64_t count)
{
	if (fallocate(host.ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t) (first * PAGE_SIZE), (off_t) (count * PAGE_SIZE)) < 0)
		plat_panic("host: memory cannot be given back");
}

uint64_t plat_user_low(void)
{
	return STUB_SITES + 0x10000; /* and above vm.mmap_min_addr of most hosts */
}

uint64_t plat_user_high(void)
{
	return STUB_BASE - 0x10000;
}

uint64_t plat_vdso(void)
{
	return host.vdso_bytes ? STUB_VDSO : 0;
}

const char *plat_vdso_bytes(uint64_t at)
{
	/* This process' own, which is the same. */
	return at >= STUB_VDSO && at - STUB_VDSO < host.vdso_bytes ? host.vdso + (at - STUB_VDSO)
								   : NULL;
}

/* ---- chunks ---- */

uint32_t chunk_alloc(bool zeroed)
{
	uint32_t c;

	if (host.chunks_free_n > 0) {
		c = host.chunks_free[--host.chunks_free_n];
		if (zeroed && fallocate(host.chunks_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t) c * CHUNK_SIZE, CHUNK_SIZE) < 0)
			plat_panic("host: a chunk cannot be cleared");
		return c;
	}
	return host.chunks_made < CHUNKS ? host.chunks_made++ : 0;
}

void chunk_free(uint32_t chunk)
{
	host.chunks_free[host.chunks_free_n++] = chunk;
}

/* ---- notifications ---- */

void host_futex_wake(uint32_t *word)
{
	(void) syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void respond(struct ring *r, int64_t value, uint32_t flags)
{
	struct seccomp_notif_resp resp = { .id = r->id, .val = value, .flags = flags };

	r->waits = false;
	/* ENOENT: it was killed; its process' end is told by its pidfd. */
	if (ioctl(host.listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno != ENOENT)
		plat_panic("host: a stub cannot be answered: %d", errno);
}

void host_answer(struct ring *r, int64_t value)
{
	respond(r, value, 0);
}

void host_let_end(struct ring *r)
{
	respond(r, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

static void notified(const struct seccomp_notif *n)
{
	uintptr_t p = (uintptr_t) radix_get(&host.tids, n->pid);

	if ((int) n->pid == host.source.pid) {
		source_rang(n);
	} else if (p & 1) {
		stub_hand_rang((struct plat_space *) (p & ~(uintptr_t) 1), n);
	} else if (p) {
		user_notified((struct plat_user *) p, n);
	} else if (n->data.nr == SYS_exit) {
		/* A thread that nobody knows any more. */
		host_let_end(&(struct ring){ .id = n->id });
	}
}

/* What is there already. */
static void receive(void)
{
	struct seccomp_notif n = {};

	if (ioctl(host.listener, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0)
		notified(&n);
	else if (errno != ENOENT && errno != EINTR)
		plat_panic("host: no notifications: %d", errno);
}

bool host_receive(int pidfd)
{
	struct pollfd fds[] = { { .fd = host.listener, .events = POLLIN },
				{ .fd = pidfd, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0) {
		if (errno != EINTR)
			plat_panic("host: poll: %d", errno);
	}
	if (fds[0].revents & POLLIN) {
		receive();
		return true;
	}
	return !fds[1].revents;
}

static int watch(int how, int fd, struct host_watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events | (uint32_t) EPOLLET,
				 .data.u64 = (uintptr_t) w | 1 };

	return epoll_ctl(host.epoll, how, fd, &e) < 0 ? -errno : 0;
}

int host_watch(int fd, struct host_watch *w, uint32_t events)
{
	return watch(EPOLL_CTL_ADD, fd, w, events);
}

int host_watch_again(int fd, struct host_watch *w, uint32_t events)
{
	return watch(EPOLL_CTL_MOD, fd, w, events);
}

void host_unwatch(int fd)
{
	if (epoll_ctl(host.epoll, EPOLL_CTL_DEL, fd, NULL) < 0)
		plat_panic("host: descriptor %d was not watched: %d", fd, errno);
}

/* Stubs that ended, and what is watched. */
static void happened(void)
{
	struct epoll_event events[16];
	int n = epoll_pwait(host.epoll, events, 16, 0, NULL);

	for (int i = 0; i < n; i++) {
		uintptr_t p = (uintptr_t) events[i].data.u64;

		if (p & 1) {
			struct host_watch *w = (struct host_watch *) (p & ~(uintptr_t) 1);

			w->ready(w, events[i].events);
		} else if (p) {
			stub_reap((struct plat_space *) p);
		} else {
			plat_panic("host: the source of stubs has ended");
		}
	}
}

void host_sync_wakes(bool sync)
{
	/* Without it, on kernels before 6.6, calls are slower, no more. */
	(void) ioctl(host.listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
		     sync ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0);
}

bool host_has_notice(void)
{
	struct pollfd fds[] = { { .fd = host.listener, .events = POLLIN },
				{ .fd = host.epoll, .events = POLLIN } };

	return poll(fds, 2, 0) > 0;
}

static void wait_until(nsec_t deadline)
{
	struct pollfd fds[] = { { .fd = host.listener, .events = POLLIN },
				{ .fd = host.epoll, .events = POLLIN } };
	struct timespec timeout = {}, *t = NULL;

	if (look_for_calls(deadline)) {
		sched_enter();
		user_gate_calls();
		return;
	}
	if (deadline != NSEC_NEVER) {
		nsec_t left = deadline - plat_now(PLAT_MONOTONIC);

		left = max_of(left, (nsec_t) 0);
		timeout.tv_sec = left / NSEC_PER_SEC;
		timeout.tv_nsec = left % NSEC_PER_SEC;
		t = &timeout;
	}
	if (ppoll(fds, 2, t, NULL) < 0 && errno != EINTR)
		plat_panic("host: ppoll: %d", errno);
	if (host.look.looks)
		apart_waited(plat_now(PLAT_MONOTONIC));
	sched_enter();
	if (fds[0].revents & POLLIN)
		receive();
	if (fds[1].revents)
		happened();
}

void host_run(void)
{
	host.stop = false;
	sched_enter();
	for (;;) {
		nsec_t next;

		sched_run();
		next = sched_leave();
		if (host.stop)
			return;
		wait_until(next);
	}
}

void host_stop(void)
{
	host.stop = true;
}

/* ---- begin and end ---- */

static int memory(const char *name, uint64_t bytes, int *ret_fd, unsigned char **ret_at,
		  struct err *e)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC), high;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	/* Stubs close what is below it. */
	high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (high < 0) {
		close_fdp(&fd);
		return err_sys(e, errno, "make the guests' memory");
	}
	close_fdp(&fd);
	*ret_fd = high;
	if (ftruncate(high, (off_t) bytes) < 0)
		return err_sys(e, errno, "make the guests' memory of %llu bytes",
			       (unsigned long long) bytes);
	*ret_at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, high, 0);
	if (*ret_at == MAP_FAILED) {
		*ret_at = NULL;
		return err_sys(e, errno, "map the guests' memory");
	}
	return 0;
}

/* Whether stubs may have it: vm.mmap_min_addr, or whatever else the host says. */
static bool sites_fit(void)
{
	void *at = mmap((void *) STUB_SITES, CHUNK_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == MAP_FAILED)
		return false;
	(void) munmap(at, CHUNK_SIZE);
	return at == (void *) STUB_SITES;
}

static int begin(uint64_t ram_frames, struct err *e)
{
	uint64_t bytes;
	int r;

	/* HWCAP2_FSGSBASE, Linux 5.9. */
	if (!(getauxval(AT_HWCAP2) & 2))
		return err_set(e, ERR_UNSUPPORTED, ENOSYS,
			       "the sandbox needs a processor and kernel with FSGSBASE");
	r = sigframe_begin();
	if (r < 0)
		return err_set(e, ERR_UNSUPPORTED, -r,
			       "this processor's state does not fit a frame of the sandbox");
	if (__builtin_mul_overflow(ram_frames, PAGE_SIZE, &bytes) || bytes > INT64_MAX)
		return err_set(e, ERR_INVALID, ERANGE, "the guests' memory is too large");
	host.frames = ram_frames;
	r = memory("ram", bytes, &host.ram_fd, &host.ram, e);
	if (r == 0)
		r = memory("stubs", (uint64_t) CHUNKS * CHUNK_SIZE, &host.chunks_fd, &host.chunks,
			   e);
	if (r < 0)
		return r;
	host.chunks_made = 1; /* 0: the source's word */
	host.chunks_free = plat_kmem_alloc(CHUNKS * sizeof(*host.chunks_free), PAGE_SIZE);
	if (!host.chunks_free)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the sandbox");
	host.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (host.epoll < 0)
		return err_sys(e, errno, "make an epoll");
	r = source_begin(e);
	if (r < 0)
		return r;
	look_begin();
	return 0;
}

int host_begin(uint64_t ram_frames, bool gates, struct err *e)
{
	int r;

	host = (struct host){
		.ram_fd = FD_NONE, .chunks_fd = FD_NONE, .listener = FD_NONE, .epoll = FD_NONE
	};
	host.source.pidfd = FD_NONE;
	list_init(&host.spares);
	list_init(&host.named);
	host.carrier.now = &host.carrier.base;
	host.gates = gates && sites_fit();
	r = begin(ram_frames, e);
	if (r < 0)
		host_end();
	return r;
}

void host_end(void)
{
	if (host.source.pid > 0) {
		(void) kill(host.source.pid, SIGKILL);
		(void) waitpid(host.source.pid, NULL, 0);
	}
	for (uint64_t i = 0; host.live > 0; i++) {
		uintptr_t p = (uintptr_t) radix_next(&host.tids, &i);

		if (!p)
			break;
		if (p & 1) {
			struct plat_space *s = (struct plat_space *) (p & ~(uintptr_t) 1);

			stub_condemn(s);
			stub_reap(s);
		}
	}
	radix_fini(&host.tids);
	close_fdp(&host.listener);
	close_fdp(&host.source.pidfd);
	close_fdp(&host.epoll);
	if (host.ram)
		(void) munmap(host.ram, host.frames * PAGE_SIZE);
	if (host.chunks)
		(void) munmap(host.chunks, (size_t) CHUNKS * CHUNK_SIZE);
	if (host.chunks_free)
		plat_kmem_free(host.chunks_free, CHUNKS * sizeof(*host.chunks_free));
	close_fdp(&host.ram_fd);
	close_fdp(&host.chunks_fd);
	host = (struct host){};
}
