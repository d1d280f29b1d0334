/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests on the real thing: stubs, notifications, faults. Their programs are the functions below
 * that stand in a section of their own, which is copied into a space; they call what serve() knows.
 */
#include "kernel/platform/host/host.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"
#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"

#define RAM	   ((uint64_t) 16384)
#define CODE	   ((uint64_t) 0x400000)
#define HEAP	   ((uint64_t) 0x10000000)
#define STACK	   ((uint64_t) 0x20000000)
#define HEAP_PAGES 1024
#define STACK_SIZE ((uint64_t) 0x10000)

static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };

/* ---- the guests' programs ---- */

enum call { CALL_ADD = 1000, CALL_DONE, CALL_THREAD, CALL_FORK, CALL_REGS, CALL_KICK_ME, CALL_FP };

#define GUEST                                                                                      \
	__attribute__((section("guest"), used, noinline, no_stack_protector,                       \
		       no_sanitize("address", "undefined"))) static
extern const char __start_guest[], __stop_guest[];

static inline __attribute__((always_inline)) long ask(long nr, long a, long b, long c)
{
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return r;
}

static inline __attribute__((always_inline, noreturn)) void done(long value)
{
	for (;;)
		(void) ask(CALL_DONE, value, 0, 0);
}

GUEST void guest_adds(long arg)
{
	long sum = arg;

	for (long n = 0; n < 1000; n++)
		sum = ask(CALL_ADD, sum, n, 0);
	done(sum);
}

/* By calls that come by the handler. */
GUEST void guest_adds_there(long arg)
{
	long sum = arg;

	for (long n = 0; n < 100; n++)
		sum = ask(SYS_tgkill, sum, n, 1);
	for (;;)
		(void) ask(SYS_exit, sum, 0, 0);
}

/* Pages that come one by one, by writes and reads, through a stack that grows. */
GUEST void guest_touches(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	long sum = 0;

	(void) arg;
	for (long n = 0; n < HEAP_PAGES; n += 3)
		heap[n * 512] = n;
	for (long n = 0; n < HEAP_PAGES; n++)
		sum += heap[n * 512];
	done(sum);
}

/* Registers of the vector unit and all others stay across calls, faults and kicks. */
GUEST void guest_keeps(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	unsigned long bad = 0;

	for (long n = 0; n < arg; n++) {
		unsigned long a = 0, b = 0, x = 0x0123456789abcdefUL + (unsigned long) n, k;
		long nr = n % 4 == 0   ? CALL_ADD
			  : n % 4 == 1 ? CALL_REGS
			  : n % 4 == 2 ? CALL_KICK_ME
				       : SYS_sigaltstack;

		asm volatile("movq %[x], %%xmm7\n\t"
			     "movq %[x], %%xmm15\n\t"
			     "mov %[x], %%r12\n\t"
			     "mov %[x], %%r15\n\t"
			     "mov %[nr], %%rax\n\t"
			     "syscall\n\t"
			     "movq %[x], (%[page])\n\t"
			     "movq %%xmm7, %[a]\n\t"
			     "movq %%xmm15, %[b]\n\t"
			     "cmp %%r12, %%r15\n\t"
			     "mov %%r12, %[k]\n\t"
			     : [a] "=&r"(a), [b] "=&r"(b), [k] "=&r"(k)
			     : [x] "r"(x), [nr] "r"(nr), [page] "r"(heap + n * 512)
			     : "rax", "rcx", "r11", "r12", "r15", "xmm7", "xmm15", "memory", "cc");
		bad += a != x || b != x || k != x || heap[n * 512] != (long) x;
	}
	done((long) bad);
}

/* arg: clock_gettime(2) in its vDSO. */
GUEST void guest_tells_time(long arg)
{
	struct timespec t = {};

	if (((long (*)(long, struct timespec *)) arg)(CLOCK_MONOTONIC, &t) != 0)
		done(0);
	done(t.tv_sec * NSEC_PER_SEC + t.tv_nsec);
}

GUEST void guest_registers(long arg)
{
	unsigned long bx, bp, r14, ax;

	(void) arg;
	/* serve() adds one to them, and moves on by the nop. */
	asm volatile("mov $100, %%rbx\n\t"
		     "push %%rbp\n\t"
		     "mov $200, %%rbp\n\t"
		     "mov $300, %%r14\n\t"
		     "mov %[nr], %%eax\n\t"
		     "mov $7, %%edi\n\t"
		     "syscall\n\t"
		     "ud2\n\t"
		     "mov %%rbp, %%rdx\n\t"
		     "pop %%rbp\n\t"
		     : "=b"(bx), "=d"(bp), "=a"(ax)
		     : [nr] "i"(CALL_REGS)
		     : "rcx", "r11", "rdi", "r14", "memory");
	asm volatile("mov %%r14, %0" : "=r"(r14));
	done(bx == 101 && bp == 201 && ax == 55 ? 1 : 0);
}

/* serve() sees its vectors and changes one, a thread begins with what it has then; afterwards all
 * is as a program begins. */
GUEST void guest_vectors(long arg)
{
	unsigned long a, b, c;
	unsigned int mxcsr = 0x1f80 | 0x6000, after = 0;

	asm volatile("ldmxcsr %[mxcsr]\n\t"
		     "mov $0x1111, %%eax\n\t"
		     "movq %%rax, %%xmm3\n\t"
		     "mov %[nr], %%eax\n\t"
		     "mov $1, %%edi\n\t"
		     "mov %[arg], %%rsi\n\t"
		     "syscall\n\t"
		     "movq %%xmm3, %[a]\n\t"
		     "mov %[nr], %%eax\n\t"
		     "mov $2, %%edi\n\t"
		     "syscall\n\t"
		     "movq %%xmm3, %[b]\n\t"
		     "stmxcsr %[after]\n\t"
		     : [a] "=&r"(a), [b] "=&r"(b), [after] "+m"(after)
		     : [nr] "i"(CALL_FP), [mxcsr] "m"(mxcsr), [arg] "r"(arg)
		     : "rax", "rcx", "rdi", "rsi", "r11", "xmm3", "memory");
	c = after;
	done(a == 0x2222 && b == 0 && c == 0x1f80);
}

GUEST void guest_inherits(long arg)
{
	unsigned long a;

	asm volatile("movq %%xmm3, %0" : "=r"(a));
	done(arg + (a == 0x2222));
}

GUEST void guest_thread(long arg)
{
	volatile long *heap = (volatile long *) HEAP;

	/* Both are there at the same time. */
	(void) __atomic_add_fetch(&heap[0], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&heap[0], __ATOMIC_SEQ_CST) < 2)
		(void) ask(CALL_ADD, 0, 0, 0);
	for (long n = 0; n < 500; n++) {
		(void) __atomic_add_fetch(&heap[1], ask(CALL_ADD, arg, n, 0) - n, __ATOMIC_SEQ_CST);
		heap[512 * (2 + 2 * n + arg)] = n;
	}
	done(1);
}

GUEST void guest_two(long thread)
{
	volatile long *heap = (volatile long *) HEAP;

	(void) ask(CALL_THREAD, thread, 1, 0);
	(void) __atomic_add_fetch(&heap[0], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&heap[0], __ATOMIC_SEQ_CST) < 2)
		(void) ask(CALL_ADD, 0, 0, 0);
	for (long n = 0; n < 500; n++)
		(void) __atomic_add_fetch(&heap[1], ask(CALL_ADD, 0, n, 0) - n, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&heap[1], __ATOMIC_SEQ_CST) < 500)
		(void) ask(CALL_ADD, 0, 0, 0);
	done(heap[1]);
}

GUEST void guest_forks(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	long child;

	for (long n = 0; n < 40; n++)
		heap[n * 512] = n + arg;
	child = ask(CALL_FORK, 0, 0, 0);
	for (long n = 0; n < 40; n++) {
		if (heap[n * 512] != n + arg)
			done(-1);
		heap[n * 512] = child ? 1 : 2;
	}
	for (long n = 0; n < 1000; n++)
		(void) ask(CALL_ADD, 0, 0, 0);
	for (long n = 0; n < 40; n++) {
		if (heap[n * 512] != (child ? 1 : 2))
			done(-2);
	}
	done(child ? 11 : 12);
}

GUEST void guest_spins(long arg)
{
	volatile long *heap = (volatile long *) HEAP;

	for (;;)
		heap[0] = arg;
}

/* What it was moved to. */
GUEST void guest_moved(long arg)
{
	done(arg);
}

/* Calls with the host's own numbers are the kernel's to answer, whatever they are. */
GUEST void guest_asks_host(long arg)
{
	long bad = 0, r;

	(void) arg;
	for (long nr = 0; nr < 480; nr++)
		/* uretprobe and uprobe, which Linux 6.14 hides from filters: SIGILL, outside of a
		 * probe. */
		bad += nr != 335 && nr != 336 && ask(nr, 0, 0, 0) != -ENOSYS;
	bad += ask(9 /* mmap */, 0x50000000, 4096, 7) != -ENOSYS;
	bad += ask(-1, 0, 0, 0) != -ENOSYS;
	bad += ask(0x40000000 + 39 /* x32's getpid */, 0, 0, 0) != -ENOSYS;
	/* 32-bit calls: 20 is getpid there. */
	asm volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	bad += r != -ENOSYS;
	done(bad);
}

GUEST void guest_jumps(long to)
{
	asm volatile("mov %1, %%rsp\n\t"
		     "mov $9, %%eax\n\t"
		     "mov $0x50000000, %%edi\n\t"
		     "mov $4096, %%esi\n\t"
		     "mov $7, %%edx\n\t"
		     "mov $0x11, %%r10d\n\t"
		     "mov $10, %%r8d\n\t"
		     "xor %%r9d, %%r9d\n\t"
		     "mov $0x7ffff0002000, %%rbx\n\t"
		     "mov $1, %%r13d\n\t"
		     "lea 64(%%rbx), %%r12\n\t"
		     "jmp *%0"
		     :
		     : "c"(to), "r"(HEAP + 0x8000)
		     : "memory");
}

GUEST void guest_writes(long at)
{
	*(volatile long *) at = 0x0b0f0b0f;
	done(0);
}

GUEST void guest_illegal(long arg)
{
	(void) arg;
	asm volatile("ud2");
	done(0);
}

GUEST void guest_divides(long arg)
{
	asm volatile("cqo; idivq %1" : : "a"(arg), "r"(arg - arg) : "rdx", "cc");
	done(0);
}

GUEST void guest_general(long arg)
{
	(void) arg;
	asm volatile("hlt");
	done(0);
}

/* Over the areas of both threads, which are the stacks of the stub's handler. */
GUEST void guest_scribbles(long thread)
{
	volatile long *area = (volatile long *) STUB_AREAS;

	(void) ask(CALL_THREAD, thread, 0, 0);
	for (long n = 0;; n++)
		area[n % 4096] = n * 0x9e3779b97f4a7c15L;
}

/* Beside it: faults and calls whose frames the other writes over. */
GUEST void guest_scribbled(long arg)
{
	volatile long *heap = (volatile long *) HEAP;

	for (long n = 0; n < 200; n++) {
		heap[n * 512] = n;
		(void) ask(CALL_REGS, 0, 0, 0);
	}
	done(arg);
}

/* A frame of its own with all signals blocked, given to the stub's sigreturn; then it goes on. */
GUEST void guest_blocks(long arg)
{
	volatile unsigned long *frame = (volatile unsigned long *) (HEAP + 0x1000);
	unsigned long resume;

	asm volatile("lea 1f(%%rip), %0\n\t"
		     "jmp 2f\n\t"
		     "1: jmp 1b\n\t"
		     "2:"
		     : "=r"(resume));
	for (int n = 0; n < 60; n++)
		frame[n] = 0;
	frame[0] = 6;		/* of ucontext: its flags */
	frame[5 + 15] = HEAP;	/* sp */
	frame[5 + 16] = resume; /* ip */
	frame[5 + 18] = 0x33;	/* cs */
	((volatile unsigned short *) (frame + 5 + 18))[3] = 0x2b;
	frame[5 + 32] = -1UL; /* the mask */
	asm volatile("mov %0, %%rsp; mov $15, %%eax; jmp *%1" : : "r"(frame), "r"(arg) : "memory");
	__builtin_unreachable();
}

/* What a program begins with: nothing of whoever had the thread before. */
GUEST void guest_begins(long arg)
{
	unsigned long xmm, r12, r15, fs;
	unsigned int mxcsr;

	asm volatile("movq %%xmm3, %0; mov %%r12, %1; mov %%r15, %2; rdfsbase %3; stmxcsr %4"
		     : "=r"(xmm), "=r"(r12), "=r"(r15), "=r"(fs), "=m"(mxcsr));
	done(arg +
	     (!xmm && !r12 && !r15 && !fs && mxcsr == 0x1f80 && *(volatile long *) HEAP == 0));
}

/* Leaves all full of what is its own. */
GUEST void guest_leaves(long arg)
{
	const unsigned int mxcsr = 0x1f80 | 0x6000;

	for (long n = 0; n < 512; n++)
		((volatile long *) STUB_AREAS)[n] = arg;
	*(volatile long *) HEAP = arg;
	asm volatile("ldmxcsr %[mxcsr]; mov %[x], %%r12; mov %[x], %%r15; movq %[x], %%xmm3\n\t"
		     "wrfsbase %[x]; mov %[nr], %%eax; xor %%edi, %%edi; syscall"
		     :
		     : [mxcsr] "m"(mxcsr), [x] "r"(arg), [nr] "i"(CALL_DONE)
		     : "rax", "rcx", "rdi", "r11", "r12", "r15", "xmm3", "memory");
	done(1);
}

/* A frame that serve() has put there, given to the stub's sigreturn. */
GUEST void guest_returns(long arg)
{
	asm volatile("mov %0, %%rsp; mov $15, %%eax; jmp *%1"
		     :
		     : "r"(HEAP + 0x1000), "r"(arg)
		     : "memory");
	__builtin_unreachable();
}

/* At the door with a frame that no signal has made, of a call, and elsewhere with its stack. */
GUEST void guest_forges(long arg)
{
	volatile long *frame = (volatile long *) (STUB_AREAS + 0x800);

	*(volatile long *) HEAP = 1;
	frame[14] = 6;		/* di */
	frame[19] = CALL_DONE;	/* ax */
	frame[22] = 0x12345678; /* ip */
	asm volatile("mov %0, %%rsp; mov %1, %%rsi; mov %2, %%edi; mov %3, %%r8d\n\t"
		     "mov %4, %%eax; jmp *%5"
		     :
		     : "r"(HEAP + 0x800), "r"(frame), "i"(DOOR_UPCALL), "i"(SIGSYS), "i"(SYS_exit),
		       "r"(arg)
		     : "memory", "rsi", "rdi", "r8", "rax");
	__builtin_unreachable();
}

GUEST void guest_calls_at(long arg)
{
	asm volatile("mov %0, %%eax; mov $6, %%edi; jmp *%1"
		     :
		     : "i"(CALL_DONE), "c"(arg)
		     : "memory");
	__builtin_unreachable();
}

/* ---- who serves them ---- */

struct guest {
	struct space *space;
	struct plat_user *user;
	struct fiber *fiber;
	long value;		/* of CALL_DONE */
	struct plat_event last; /* what it ended with */
	bool ended, trapped;
	unsigned int faults, calls, kicks;
	uint64_t move_to; /* at a kick: there, or it ends */
	struct plat_regs regs;
	struct guest *child;
};

static struct waitq changed = { LIST_INIT(changed.waiters) };

static uint64_t address(void (*f)(long))
{
	return CODE + (uint64_t) ((uintptr_t) f - (uintptr_t) __start_guest);
}

static void map(struct space *s, uint64_t at, uint64_t len, unsigned int prot)
{
	uint64_t got;

	CHECK(space_map(
		      s,
		      &(struct space_mapping){ .at = at, .len = len, .prot = prot, .fixed = true },
		      &got) == 0);
}

static struct space *fresh(void)
{
	struct space *s = space_new(&wide);
	size_t size = (size_t) (__stop_guest - __start_guest);

	CHECK(s);
	if (!s)
		return NULL;
	map(s, CODE, size, PROT_READ | PROT_WRITE);
	CHECK(copy_out(s, uva(CODE), __start_guest, size) == 0);
	CHECK(space_protect(s, CODE, page_up(size), PROT_READ | PROT_EXEC) == 0);
	map(s, HEAP, HEAP_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
	map(s, STACK, 8 * STACK_SIZE, PROT_READ | PROT_WRITE);
	return s;
}

static void serve(void *arg);

static bool begin(struct guest *g, struct space *s, const struct plat_regs *regs)
{
	*g = (struct guest){ .space = s };
	g->user = plat_user_new(s->plat, regs);
	if (!g->user)
		return false;
	space_ref(s);
	return sched_spawn(serve, g, &g->fiber) == 0;
}

/* A call of `f` whose stack is the n-th, as the ABI has it. */
static struct plat_regs entry(void (*f)(long), uint64_t arg, unsigned int n)
{
	return (struct plat_regs){ .ip = address(f),
				   .di = arg,
				   .sp = STACK + (n + 1) * STACK_SIZE - 8 };
}

static sysret_t serve_regs(struct guest *g)
{
	plat_user_regs(g->user, &g->regs);
	if (g->regs.di == 7 && g->regs.bx == 100) {
		g->regs.bx++;
		g->regs.bp++;
		g->regs.r14++;
		g->regs.ip += 2;
		g->regs.ax = 55;
		plat_user_set_regs(g->user, &g->regs);
		return 55;
	}
	return 0;
}

static unsigned char vectors[CHUNK_SIZE];

static sysret_t serve_fp(struct guest *g, uint64_t turn, uint64_t child)
{
	uint64_t components, word;
	size_t size = plat_fp_size(&components);
	struct plat_regs regs = entry(guest_inherits, 1, 1);

	CHECK(size >= 576 && size < sizeof(vectors) && (components & 3) == 3);
	if (turn == 2) {
		plat_user_set_fp(g->user, NULL);
		return 0;
	}
	plat_user_fp(g->user, vectors);
	/* Intel SDM 1, 10.5.1: XMM3. */
	memcpy(&word, vectors + 160 + 3 * 16, sizeof(word));
	CHECK(word == 0x1111);
	word = 0x2222;
	memcpy(vectors + 160 + 3 * 16, &word, sizeof(word));
	/* Components and bits that no processor has are nothing to it. */
	vectors[512 + 7] = 0xff;
	plat_user_set_fp(g->user, vectors);
	regs.ip = child;
	CHECK(begin(g->child, g->space, &regs));
	plat_user_set_fp(g->child->user, vectors);
	memset(vectors, 0, sizeof(vectors));
	plat_user_fp(g->child->user, vectors);
	CHECK(memcmp(vectors + 160 + 3 * 16, &word, sizeof(word)) == 0);
	return 0;
}

/* False: it is over. */
static bool serve_call(struct guest *g, const struct plat_event *e)
{
	sysret_t r = -ENOSYS;

	g->calls++;
	switch (e->nr) {
	case CALL_ADD:
		r = (sysret_t) (e->args[0] + e->args[1]);
		break;
	case SYS_tgkill:
		r = (sysret_t) (e->args[0] + e->args[1] * e->args[2]);
		break;
	case SYS_exit:
	case CALL_DONE:
		g->value = (long) e->args[0];
		return false;
	case CALL_THREAD: {
		struct plat_regs regs = entry(guest_thread, e->args[1], 1);

		regs.ip = e->args[0];
		r = g->child && begin(g->child, g->space, &regs) ? 0 : -EAGAIN;
		break;
	}
	case CALL_FORK: {
		struct space *s = space_fork(g->space, 0);
		struct plat_regs regs;

		plat_user_regs(g->user, &regs);
		regs.ax = 0;
		r = s && begin(g->child, s, &regs) ? 1 : -EAGAIN;
		space_unref(s);
		break;
	}
	case CALL_REGS:
		r = serve_regs(g);
		break;
	case CALL_FP:
		r = serve_fp(g, e->args[0], e->args[1]);
		break;
	case CALL_KICK_ME:
		plat_user_kick(g->user);
		r = 0;
		break;
	default:
		break;
	}
	plat_user_result(g->user, r);
	return true;
}

static bool serve_event(struct guest *g, const struct plat_event *e)
{
	switch (e->kind) {
	case PLAT_SYSCALL:
		return serve_call(g, e);
	case PLAT_FAULT:
		g->faults++;
		return space_fault(g->space, e->address, e->access) == FAULT_DONE;
	case PLAT_KICKED:
		g->kicks++;
		if (!g->move_to)
			return g->calls > 0;
		plat_user_regs(g->user, &g->regs);
		g->regs.ip = g->move_to;
		g->regs.di = 77;
		plat_user_set_regs(g->user, &g->regs);
		return true;
	case PLAT_TRAP:
	case PLAT_GONE:
		return false;
	}
	return false;
}

static void serve(void *arg)
{
	struct guest *g = arg;

	do
		plat_user_run(g->user, &g->last);
	while (serve_event(g, &g->last));
	plat_user_free(g->user);
	g->user = NULL;
	space_unref(g->space);
	g->ended = true;
	(void) waitq_wake(&changed, 0, 0);
	fiber_exit();
}

static void await(struct guest *g)
{
	(void) waitq_wait(&changed, g->ended, NSEC_NEVER, 0);
}

/* Runs f alone in a space of its own. */
static struct guest run(void (*f)(long), uint64_t arg, struct guest *child)
{
	struct space *s = fresh();
	struct plat_regs regs = entry(f, arg, 0);
	struct guest g;

	CHECK(begin(&g, s, &regs));
	g.child = child;
	space_unref(s);
	await(&g);
	return g;
}

/* ---- tests ---- */

static void calls(void)
{
	struct guest g = run(guest_adds, 5, NULL);

	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 5 + 499500 && g.calls == 1001);
	g = run(guest_adds_there, 5, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.last.nr == SYS_exit && g.value == 5 + 4950 &&
	      g.calls == 101);
	g = run(guest_touches, 0, NULL);
	CHECK(g.value == 342 * 1023 / 2 && g.faults >= HEAP_PAGES / 128);
	g = run(guest_asks_host, 0, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 0);
}

/* From where a vDSO begins to its clock_gettime(2), by its table of symbols, which the one of their
 * names follows; 0: there is none. */
static uint64_t clock_offset(const char *vdso)
{
	const Elf64_Ehdr *head = (const void *) vdso;
	const Elf64_Phdr *part = (const void *) (vdso + head->e_phoff);
	const Elf64_Dyn *dynamic = NULL;
	const Elf64_Sym *symbols = NULL;
	const char *names = NULL;

	for (int n = 0; n < head->e_phnum; n++) {
		if (part[n].p_type == PT_DYNAMIC)
			dynamic = (const void *) (vdso + part[n].p_offset);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		/* The library for programs may have made addresses of them. */
		uint64_t at = dynamic->d_un.d_ptr;
		const char *what = at < (uintptr_t) vdso ? vdso + at : (const char *) at;

		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *) what;
		else if (dynamic->d_tag == DT_STRTAB)
			names = what;
	}
	for (; symbols && names && (const char *) symbols < names; symbols++) {
		if (strcmp(names + symbols->st_name, "__vdso_clock_gettime") == 0)
			return symbols->st_value;
	}
	return 0;
}

/* Where the host's clock is one that programs can read, no call tells of it. */
static void clocks(void)
{
	const char *own = (const char *) getauxval(AT_SYSINFO_EHDR);
	nsec_t before = plat_now(PLAT_MONOTONIC);
	struct guest g;

	CHECK(!own == !plat_vdso());
	/* What a guest reads there the kernel reads, too; nothing else is near it. */
	CHECK(!plat_vdso() ||
	      (plat_vdso_bytes(plat_vdso()) == own &&
	       plat_vdso_bytes(plat_vdso() + PAGE_SIZE - 1) == own + PAGE_SIZE - 1));
	CHECK(!plat_vdso_bytes(plat_vdso() - 1) && !plat_vdso_bytes(plat_user_high()) &&
	      !plat_vdso_bytes(STUB_VDSO_HIGH) && !plat_vdso_bytes(UINT64_MAX));
	if (!own || !clock_offset(own))
		return;
	g = run(guest_tells_time, plat_vdso() + clock_offset(own), NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.calls > 0);
	if (g.calls == 1)
		CHECK(g.value >= before && g.value <= plat_now(PLAT_MONOTONIC));
}

static void registers(void)
{
	struct guest g = run(guest_registers, 0, NULL);

	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 1 && g.regs.r14 == 301);
	g = run(guest_keeps, 400, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 0 && g.kicks == 100);
}

static void vector_state(void)
{
	struct guest other = {}, g = run(guest_vectors, address(guest_inherits), &other);

	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 1);
	await(&other);
	CHECK(other.last.kind == PLAT_SYSCALL && other.value == 2);
}

static void threads(void)
{
	struct guest other = {}, g = run(guest_two, address(guest_thread), &other);

	CHECK(g.value == 500 && g.last.kind == PLAT_SYSCALL);
	await(&other);
	CHECK(other.value == 1 && other.last.kind == PLAT_SYSCALL);
}

/* A context that is given back in the middle of a call, and others after it in the same space. */
static void follows(void)
{
	struct space *s = fresh();
	struct plat_regs regs = entry(guest_moved, 5, 0);

	for (int n = 0; n < 3; n++) {
		struct plat_user *u = plat_user_new(s->plat, &regs), *v;
		struct plat_event e;

		CHECK(u);
		do
			plat_user_run(u, &e);
		while (e.kind == PLAT_FAULT && space_fault(s, e.address, e.access) == FAULT_DONE);
		CHECK(e.kind == PLAT_SYSCALL && e.nr == CALL_DONE && e.args[0] == 5);
		v = plat_user_new(s->plat, &regs);
		CHECK(v);
		plat_user_free(u);
		plat_user_run(v, &e);
		CHECK(e.kind == PLAT_SYSCALL && e.args[0] == 5);
		plat_user_free(v);
	}
	space_unref(s);
}

static void forks(void)
{
	struct guest child = {}, g = run(guest_forks, 9, &child);

	CHECK(g.value == 11);
	await(&child);
	CHECK(child.value == 12);
}

struct kicker {
	struct ktimer timer;
	struct guest *guest;
};

static void kick(struct ktimer *t)
{
	struct kicker *k = container_of(t, struct kicker, timer);

	if (k->guest->user)
		plat_user_kick(k->guest->user);
}

static void kicks(void)
{
	struct space *s = fresh();
	struct plat_regs regs = entry(guest_spins, 3, 0);
	struct guest g;
	struct kicker k = { .timer.fire = kick, .guest = &g };

	CHECK(begin(&g, s, &regs));
	space_unref(s);
	g.move_to = address(guest_moved);
	ktimer_set(&k.timer, plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 50);
	await(&g);
	CHECK(g.kicks >= 1 && g.value == 77 && g.last.kind == PLAT_SYSCALL);
}

static void traps(void)
{
	struct guest g = run(guest_illegal, 0, NULL);

	CHECK(g.last.kind == PLAT_TRAP && g.last.signal == SIGILL &&
	      g.last.address - address(guest_illegal) < 16);
	g = run(guest_divides, 0, NULL);
	CHECK(g.last.kind == PLAT_TRAP && g.last.signal == SIGFPE && g.last.code == FPE_INTDIV);
	g = run(guest_general, 0, NULL);
	CHECK(g.last.kind == PLAT_TRAP && g.last.signal == SIGSEGV);
	g = run(guest_writes, 0x30000000, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == 0x30000000 &&
	      g.last.access == PLAT_WRITE);
	g = run(guest_writes, CODE, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == CODE);
}

/* One guest that works all the while: what others do is nothing to it. */
static void hostile(void)
{
	struct space *s = fresh();
	struct plat_regs regs = entry(guest_spins, 3, 0);
	struct guest other = {}, good, g;
	struct kicker k = { .timer.fire = kick };

	CHECK(begin(&good, s, &regs));
	space_unref(s);
	good.move_to = address(guest_moved);

	/* What is not its own cannot be written to. */
	g = run(guest_writes, STUB_BASE, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == STUB_BASE);
	g = run(guest_writes, STUB_DATA, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == STUB_DATA);
	g = run(guest_writes, STUB_VDSO, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == STUB_VDSO);
	g = run(guest_writes, STUB_ORDERS + 64, NULL);
	CHECK(g.last.kind == PLAT_FAULT && g.last.address == STUB_ORDERS + 64);
	/* Its areas are, for what that is worth. */
	g = run(guest_writes, STUB_AREAS, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL);

	/* Into the stub's code, at every byte of it: a trap, a fault, a loop or the end. */
	for (const char *at = stub_begin; at < stub_end; at++) {
		bool gate = at >= stub_gate && at < stub_gate_end;

		s = fresh();
		regs = entry(guest_jumps, stub_address(at), 0);
		CHECK(begin(&g, s, &regs));
		space_unref(s);
		/* In the gate a call may be made, again and again. */
		g.move_to = gate ? address(guest_moved) : 0;
		k.guest = &g;
		ktimer_set(&k.timer, plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / (gate ? 500 : 20));
		await(&g);
		ktimer_cancel(&k.timer);
		CHECK(gate || (g.last.kind != PLAT_SYSCALL && g.calls == 0));
	}

	/* Over the frames of another thread; who is lost, is lost. */
	s = fresh();
	regs = entry(guest_scribbles, address(guest_scribbled), 0);
	CHECK(begin(&g, s, &regs));
	space_unref(s);
	g.child = &other;
	g.move_to = address(guest_moved);
	while (!g.ended && !other.fiber)
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 1000);
	if (other.fiber)
		await(&other);
	if (g.user)
		plat_user_kick(g.user);
	await(&g);
	CHECK(g.last.kind == PLAT_GONE || g.value == 77);

	/* All signals blocked by a frame of its own: it cannot be kicked, and can be ended. */
	s = fresh();
	regs = entry(guest_blocks, stub_address(stub_sigreturn_site) - 2, 0);
	CHECK(begin(&g, s, &regs));
	k.guest = &g;
	g.move_to = address(guest_moved);
	(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 50);
	CHECK(!g.ended);
	CHECK(kill(s->plat->pid, SIGKILL) == 0);
	space_unref(s);
	await(&g);
	CHECK(g.last.kind == PLAT_GONE);

	/* The one that works is still there. */
	k.guest = &good;
	CHECK(!good.ended);
	ktimer_set(&k.timer, plat_now(PLAT_MONOTONIC));
	await(&good);
	CHECK(good.value == 77 && good.kicks == 1 && good.last.kind == PLAT_SYSCALL);
}

/* Every allocation of the kernel's own that fails is a space or a thread that is not there. */
static void memory(void)
{
	struct plat_space *s[12] = {};
	struct plat_user *u[12] = {};
	struct plat_regs regs = entry(guest_moved, 0, 0);

	/* None is one that was given back before. */
	for (unsigned long n = 1; n < countof(s); n++) {
		heap_fail_at(n);
		s[n] = plat_space_new();
		if (s[n])
			u[n] = plat_user_new(s[n], &regs);
		heap_fail_at(0);
	}
	CHECK(!s[1] && s[11] && u[11]);
	for (unsigned long n = 1; n < countof(s); n++) {
		plat_user_free(u[n]);
		plat_space_free(s[n]);
	}
}

/* ---- stubs that serve one after the other ---- */

static void settle(void)
{
	for (int n = 0; n < 400; n++) {
		uint32_t ready = 0;

		list_each(l, &host.spares) ready++;
		if (ready == host.spare_count)
			return;
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
	}
	CHECK(!"a stub is ready, or has ended");
}

/* Those that are spare end, so that the next is a new one. */
static void without_spares(void)
{
	settle();
	list_each(l, &host.spares)
	{
		CHECK(kill(list_entry(l, struct plat_space, spare)->pid, SIGKILL) == 0);
	}
	while (host.spare_count > 0)
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
}

static bool zeros(const unsigned char *p, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		if (p[k])
			return false;
	}
	return true;
}

static void begins_anew(void)
{
	struct plat_space *s;
	struct plat_user *u;
	struct guest g, child = {};
	int pid;

	without_spares();
	g = run(guest_leaves, 0x1234, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 0);
	settle();
	CHECK(host.spare_count == 1);
	s = list_entry(host.spares.next, struct plat_space, spare);
	u = list_entry(s->idle.next, struct plat_user, link);
	pid = s->pid;
	CHECK(s->idle_count == 1 && zeros(chunk_ptr(u->area->chunk), CHUNK_SIZE));
	for (int n = 0; n < 3; n++) {
		g = run(guest_begins, 7, NULL);
		CHECK(g.last.kind == PLAT_SYSCALL && g.value == 8 && g.faults > 0);
		settle();
		s = list_entry(host.spares.next, struct plat_space, spare);
		CHECK(host.spare_count == 1 && s->pid == pid);
	}
	/* Those that end in the handler, also one that only says so, come into it as others do. */
	g = run(guest_adds_there, 1, NULL);
	CHECK(g.value == 1 + 4950);
	settle();
	g = run(guest_forges, stub_address(stub_door_site) - 2, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 6 && g.calls == 1);
	settle();
	s = list_entry(host.spares.next, struct plat_space, spare);
	CHECK(host.spare_count == 1 && s->pid == pid);
	g = run(guest_begins, 7, NULL);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 8 && g.faults > 0);
	settle();
	/* It has no thread but the one. */
	g = run(guest_two, address(guest_thread), &child);
	await(&child);
	settle();
	g = run(guest_begins, 7, NULL);
	CHECK(g.value == 8);
	settle();
	CHECK(host.spare_count == 1);
}

/* Ends with what this frame gives it: whether its stub is used again. */
static bool left_with(uint64_t mask, uint64_t stack, uint64_t stack_size)
{
	uint64_t frame[60] = { [0] = 6, [2] = stack, [4] = stack_size };
	struct plat_regs regs = entry(guest_returns, stub_address(stub_sigreturn_site) - 2, 0);
	struct space *s;
	struct guest g;

	without_spares();
	s = fresh();
	frame[5 + 8] = 77;			      /* di */
	frame[5 + 15] = STACK + STACK_SIZE - 8;	      /* sp */
	frame[5 + 16] = address(guest_moved);	      /* ip */
	frame[5 + 18] = 0x33 | (uint64_t) 0x2b << 48; /* cs, ss */
	frame[37] = mask;
	CHECK(copy_out(s, uva(HEAP + 0x1000), frame, sizeof(frame)) == 0);
	/* All that it touches is there before. */
	CHECK(space_fault(s, HEAP + 0x1000, PLAT_READ) == FAULT_DONE &&
	      space_fault(s, STACK + STACK_SIZE - 8, PLAT_WRITE) == FAULT_DONE);
	CHECK(begin(&g, s, &regs));
	space_unref(s);
	await(&g);
	CHECK(g.last.kind == PLAT_SYSCALL && g.value == 77);
	settle();
	return host.spare_count == 1;
}

static void hostile_ends(void)
{
	const char *own = (const char *) getauxval(AT_SYSINFO_EHDR);
	const uint64_t usr1 = (uint64_t) 1 << (SIGUSR1 - 1);
	struct kicker k = { .timer.fire = kick };
	struct space *s;
	struct plat_regs regs = entry(guest_spins, 3, 0);
	struct guest g;

	CHECK(left_with(0, STUB_AREAS + AREA_STACK, CHUNK_SIZE - AREA_STACK));
	/* The signal that fetches it is blocked: it faults where nothing is, and can be kicked as
	 * the next one. */
	CHECK(left_with(usr1, STUB_AREAS + AREA_STACK, CHUNK_SIZE - AREA_STACK));
	s = fresh();
	CHECK(begin(&g, s, &regs));
	space_unref(s);
	g.move_to = address(guest_moved);
	k.guest = &g;
	ktimer_set(&k.timer, plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 50);
	await(&g);
	CHECK(g.value == 77 && g.last.kind == PLAT_SYSCALL);
	/* Signals that cannot come, or come elsewhere: the stub ends. */
	CHECK(!left_with(UINT64_MAX, STUB_AREAS, CHUNK_SIZE));
	CHECK(!left_with(0, STUB_AREAS, CHUNK_SIZE - 64));
	CHECK(!left_with(0, HEAP, HEAP_PAGES * PAGE_SIZE));
	CHECK(!left_with(0, 0, UINT64_MAX));
	/* Who called from the vDSO would go on there. */
	for (const char *at = own + 64; own && plat_vdso() && at < own + PAGE_SIZE; at++) {
		/* Behind the number, which is moved to eax. */
		if (memcmp(at - 2, "\0\0\x0f\x05", 4) != 0)
			continue;
		without_spares();
		g = run(guest_calls_at, plat_vdso() + (uint64_t) (at - own), NULL);
		CHECK(g.last.kind == PLAT_SYSCALL && g.value == 6 && host.spare_count == 0);
		break;
	}
}

static void body(void *arg)
{
	(void) arg;
	memory();
	calls();
	clocks();
	registers();
	vector_state();
	threads();
	follows();
	forks();
	kicks();
	traps();
	hostile();
	begins_anew();
	hostile_ends();
	host_stop();
	fiber_exit();
}

int main(void)
{
	struct fiber *f;
	struct err e = {};

	if (host_begin(RAM, true, &e) < 0) {
		if (e.kind == ERR_UNSUPPORTED) {
			(void) printf("the sandbox is not for this machine: %s\n", e.msg);
			return 77;
		}
		(void) fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}
