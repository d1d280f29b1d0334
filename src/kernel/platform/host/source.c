/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source: a process with nothing but the stub's pages and the filter, from which stubs are
 * forked. They are this process' children (CLONE_PARENT), so that a pid is theirs until it is
 * reaped, and have the source's filter, so that one listener hears them all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <sys/rseq.h>
#endif

#include "kernel/platform/host/filter.h"
#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"
#include "sys/pidfd.h"

#define STACK ((size_t) 256 << 10)

/* What rt_sigaction(2) takes on x86-64. */
struct action {
	uint64_t handler, flags, restorer, mask;
};
#define ACTION_RESTORER 0x04000000

struct plan {
	/* Shared: the listener + 1, or -errno; the bytes of the vDSO that stubs have. */
	volatile int32_t *word;
	char *vdso; /* this process' own, or NULL */
	struct sock_filter code[STUB_FILTER_MAX];
	struct sock_filter guest[STUB_FILTER_MAX];
	struct sock_fprog program, guest_program;
};

/* The pages of the stub, where the stack of the process may have been. */
static int lay_out(const struct plan *p)
{
	size_t bytes = (size_t) (stub_end - stub_begin);
	struct sock_fprog program = p->guest_program;
	struct vdso vdso;
	char *at;

	vdso_lift(&vdso, p->vdso);
	if (munmap((void *) STUB_BASE, STUB_END - STUB_BASE) < 0)
		return -errno;
	at = mmap((void *) STUB_BASE, STUB_DATA + PAGE_SIZE - STUB_BASE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	p->word[1] = (int32_t) vdso_place(&vdso);
	memcpy(at, stub_begin, bytes);
	at += STUB_DATA - STUB_BASE;
	program.filter = (struct sock_filter *) (STUB_DATA + sizeof(program));
	memcpy(at, &program, sizeof(program));
	memcpy(at + sizeof(program), p->guest, program.len * sizeof(p->guest[0]));
	if (mprotect((void *) STUB_BASE, STUB_DATA - STUB_BASE, PROT_READ | PROT_EXEC) < 0 ||
	    mprotect((void *) STUB_DATA, PAGE_SIZE, PROT_READ) < 0)
		return -errno;
	return 0;
}

/* All that a thread of the guest may meet ends in the handler; nothing comes into the source or a
 * hand. */
static int set_signals(void)
{
	static const int caught[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGUSR1 };
	struct action a = { .handler = stub_address(stub_handler),
			    .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | ACTION_RESTORER,
			    .restorer = stub_address(stub_handler),
			    .mask = UINT64_MAX };

	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &a.mask, NULL, sizeof(a.mask)) < 0)
		return -errno;
	for (int sig = 1; sig <= 64; sig++) {
		struct action plain = {};
		bool catch = false;

		for (size_t n = 0; n < countof(caught); n++)
			catch = catch || caught[n] == sig;
		if (syscall(SYS_rt_sigaction, sig, catch ? &a : &plain, NULL, sizeof(a.mask)) < 0 &&
		    sig != SIGKILL && sig != SIGSTOP)
			return -errno;
	}
	return 0;
}

static int prepare(struct plan *p)
{
	static const struct rlimit none = {};
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    setsid() < 0)
		return -errno;
#ifdef __GLIBC__
	/* The kernel would go on writing to it. */
	if (__rseq_size > 0)
		(void) syscall(SYS_rseq, (char *) __builtin_thread_pointer() + __rseq_offset,
			       max_of(__rseq_size, 32u), 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
#endif
	r = set_signals();
	if (r == 0)
		r = lay_out(p);
	if (r < 0)
		return r;
	r = (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  &p->program);
	return r < 0 ? -errno : r;
}

/* On a stack of its own, which does not stand where the stub's pages come. */
static int source_main(void *arg)
{
	struct plan *p = arg;
	int low = min_of(host.ram_fd, host.chunks_fd), high = max_of(host.ram_fd, host.chunks_fd);
	volatile int32_t *word = p->word;
	int r = prepare(p);

	*word = r < 0 ? r : r + 1;
	if (r < 0)
		_exit(1);
	/* From here on a call from elsewhere would be a notification. */
	register int chunks asm("r8") = host.chunks_fd;
	asm volatile("jmp *%0"
		     :
		     : "a"(stub_address(stub_source)), "D"(word), "S"(low), "d"(high), "r"(chunks)
		     : "memory");
	__builtin_unreachable();
}

/* Until the source has said which descriptor the listener is, in the table that both share. */
static int await_word(const volatile int32_t *word, struct err *e)
{
	struct timespec t = { .tv_nsec = 100 * 1000 * 1000 };
	int32_t w;

	while ((w = *word) == 0) {
		(void) syscall(SYS_futex, word, FUTEX_WAIT, 0, &t, NULL, 0);
		if (*word == 0 && waitpid(host.source.pid, NULL, WNOHANG) == host.source.pid) {
			host.source.pid = 0;
			return err_set(e, ERR_INTERNAL, ECHILD, "the source of stubs has ended");
		}
	}
	if (w == -EINVAL || w == -ENOSYS)
		return err_set(e, ERR_UNSUPPORTED, -w,
			       "the sandbox needs seccomp's notifications as of Linux 5.19");
	if (w < 0)
		return err_sys(e, -w, "make the source of stubs");
	host.listener = w - 1;
	return 0;
}

/* A place for its stack that is free in this process and no stub's. */
static char *stack_new(void)
{
	char *p = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED && (uintptr_t) p + STACK <= STUB_BASE)
		return p;
	if (p != MAP_FAILED)
		(void) munmap(p, STACK);
	return NULL;
}

int source_begin(struct err *e)
{
	struct plan plan = { .word = chunk_ptr(0), .vdso = (char *) getauxval(AT_SYSINFO_EHDR) },
		    *p;
	char *stack = stack_new();
	int r;

	if (!stack)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the source of stubs");
	plan.program.len = stub_filter(plan.code, host.ram_fd, host.chunks_fd);
	plan.guest_program.len = stub_filter_guest(plan.guest);
	/* What is on this stack may vanish in the source. */
	p = (struct plan *) (void *) stack;
	*p = plan;
	p->program.filter = p->code;
	host.source.pid = clone(source_main, stack + STACK, CLONE_FILES | SIGCHLD, p);
	r = host.source.pid < 0 ? err_sys(e, errno, "make the source of stubs") : 0;
	if (r == 0)
		r = await_word(p->word, e);
	(void) munmap(stack, STACK);
	if (r < 0)
		return r;
	host.vdso = plan.vdso;
	host.vdso_bytes = (size_t) plan.word[1];
	host.source.pidfd = pidfd_of(host.source.pid);
	if (host.source.pidfd < 0)
		return err_sys(e, -host.source.pidfd, "watch the source of stubs");
	if (fcntl(host.listener, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "keep the listener");
	while (!host.source.ring.waits) {
		if (!host_receive(host.source.pidfd))
			return err_set(e, ERR_INTERNAL, ECHILD, "the source of stubs has ended");
	}
	if (epoll_ctl(host.epoll, EPOLL_CTL_ADD, host.source.pidfd,
		      &(struct epoll_event){ .events = EPOLLIN }) < 0)
		return err_sys(e, errno, "watch the source of stubs");
	return 0;
}

void source_rang(const struct seccomp_notif *n)
{
	host.source.ring = (struct ring){ .id = n->id, .waits = true };
	host.source.result = (int64_t) n->data.args[1];
}

int source_stub(uint32_t chunk)
{
	host_answer(&host.source.ring, (int64_t) chunk * CHUNK_SIZE);
	while (!host.source.ring.waits) {
		if (!host_receive(host.source.pidfd))
			plat_panic("host: the source of stubs has ended");
	}
	return (int) host.source.result;
}
