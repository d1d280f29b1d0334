/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates on the real thing: guests whose calls have the form that is patched, from copies of the
 * functions below; what becomes of their registers, flags and stacks, and of those that jump to the
 * instruction itself, fork, are kicked, have or lose a gs of their own, go step by step, or stand
 * in code that becomes again what it was.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/host/inside.h"

#define RAM	   ((uint64_t) 8192)
#define CODE	   ((uint64_t) 0x400000)
#define HEAP	   ((uint64_t) 0x10000000)
#define STACK	   ((uint64_t) 0x20000000)
#define STACK_SIZE ((uint64_t) 0x10000)
#define CALLS	   400 /* enough to be patched on the way */

static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };

enum call {
	CALL_ADD = 1000,
	CALL_DONE,
	CALL_FORK,
	CALL_MOVE,
	CALL_GS,
	CALL_FP,
	CALL_LEARN,
	/* What is known: they stand where read(2) and each other do. */
	CALL_KNOWN = 32 * KNOWN_SLOTS,
	CALL_OTHER = 33 * KNOWN_SLOTS,
};

/* ---- the guests' programs ---- */

#define GUEST                                                                                      \
	__attribute__((section("guest"), used, noinline, no_stack_protector,                       \
		       no_sanitize("address", "undefined"))) static
extern const char __start_guest[], __stop_guest[];

/* mov $nr, %eax; syscall */
#define ASK(nr, a, b)                                                                              \
	({                                                                                         \
		long r_;                                                                           \
		asm volatile("mov %1, %%eax\n\tsyscall"                                            \
			     : "=a"(r_)                                                            \
			     : "i"(nr), "D"((long) (a)), "S"((long) (b))                           \
			     : "rcx", "r11", "memory");                                            \
		r_;                                                                                \
	})

static inline __attribute__((always_inline, noreturn)) void done(long value)
{
	for (;;)
		(void) ASK(CALL_DONE, value, 0);
}

GUEST void guest_adds(long arg)
{
	for (long n = 0; n < CALLS; n++)
		arg = ASK(CALL_ADD, arg, n);
	done(arg);
}

/* The other two forms, of which the first has its number from elsewhere. */
GUEST void guest_adds_otherwise(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		long r = CALL_ADD;

		asm volatile("sub $16, %%rsp\n\t"
			     "movq $77, 8(%%rsp)\n\t"
			     "mov 8(%%rsp), %%r9\n\t"
			     "syscall\n\t"
			     "add $16, %%rsp\n\t"
			     "sub $77, %%r9\n\t"
			     "add %%r9, %%rax"
			     : "+a"(r)
			     : "D"(arg), "S"(n)
			     : "rcx", "r11", "r9", "memory");
		asm volatile("mov %1, %%rax\n\tsyscall"
			     : "=a"(arg)
			     : "i"(CALL_ADD), "D"(r), "S"(n)
			     : "rcx", "r11", "memory");
	}
	done(arg);
}

/* Others stand between the number and the call. */
GUEST void guest_adds_between(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		asm volatile("sub $16, %%rsp\n\t"
			     "mov %[n], 8(%%rsp)\n\t"
			     "movq $77, %%rdx\n\t"
			     "mov %[nr], %%eax\n\t"
			     "mov %%rbx, %%rdi\n\t"
			     "mov 8(%%rsp), %%rsi\n\t"
			     "xor %%edx, %%edx\n\t"
			     "syscall\n\t"
			     "add $16, %%rsp\n\t"
			     "lea (%%rax,%%rdx), %%rbx"
			     : "+b"(arg)
			     : [nr] "i"(CALL_ADD), [n] "r"(n)
			     : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "memory", "cc");
	}
	done(arg);
}

/* The same, of which every eighth comes from elsewhere: to the second instruction, with a number of
 * its own; the others to the third. */
GUEST void guest_jumps_between(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		long way = n < CALLS / 2 ? n % 2 : n % 8 == 7 ? 2 : n % 2;
		register long more asm("r8") = n;

		asm volatile("mov %%rbx, %%rdi\n\t"
			     "test %[way], %[way]\n\t"
			     "jz 1f\n\t"
			     "mov %[nr], %%eax\n\t"
			     "cmp $2, %[way]\n\t"
			     "je 2f\n\t"
			     "mov $2, %%edx\n\t"
			     "jmp 3f\n\t"
			     "1: mov %[nr], %%eax\n\t"
			     "2: mov $2, %%edx\n\t"
			     "3: mov %%r8, %%rsi\n\t"
			     "syscall\n\t"
			     "lea -2(%%rax,%%rdx), %%rbx"
			     : "+b"(arg)
			     : [nr] "i"(CALL_ADD), "r"(more), [way] "r"(way)
			     : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "memory", "cc");
	}
	done(arg);
}

/* As read() of glibc's begins; the flag says that there are threads, or not. */
#define READ(flag)                                                                                 \
	({                                                                                         \
		long r_;                                                                           \
		asm volatile("jmp 1f\n\t"                                                          \
			     "3: .byte " #flag "\n\t"                                              \
			     ".balign 16\n\t"                                                      \
			     "1: cmpb $0, 3b(%%rip)\n\t"                                           \
			     "je 2f\n\t"                                                           \
			     "xor %%eax, %%eax\n\t"                                                \
			     "syscall\n\t"                                                         \
			     "jmp 4f\n\t"                                                          \
			     "2: sub $40, %%rsp\n\t"                                               \
			     "mov %%rdx, 24(%%rsp)\n\t"                                            \
			     "mov %%rsi, 16(%%rsp)\n\t"                                            \
			     "mov %%edi, 8(%%rsp)\n\t"                                             \
			     "mov $7, %%eax\n\t"                                                   \
			     "mov $0, %%edi\n\t"                                                   \
			     "mov $0, %%esi\n\t"                                                   \
			     "mov 24(%%rsp), %%rdx\n\t"                                            \
			     "mov 16(%%rsp), %%rsi\n\t"                                            \
			     "mov %%eax, %%r8d\n\t"                                                \
			     "mov 8(%%rsp), %%edi\n\t"                                             \
			     "xor %%eax, %%eax\n\t"                                                \
			     "syscall\n\t"                                                         \
			     "lea -7(%%rax,%%r8), %%rax\n\t"                                       \
			     "add $40, %%rsp\n\t"                                                  \
			     "4:"                                                                  \
			     : "=a"(r_), "+D"(arg), "+S"(n)                                        \
			     : "d"(5L)                                                             \
			     : "rcx", "r8", "r11", "memory", "cc");                                \
		r_;                                                                                \
	})

GUEST void guest_reads(long arg)
{
	for (long n = 0; n < CALLS; n++)
		arg = READ(1);
	done(arg);
}

GUEST void guest_reads_in_threads(long arg)
{
	for (long n = 0; n < CALLS; n++)
		arg = READ(0);
	done(arg);
}

/* Registers, flags and what is below the stack pointer stay, and rcx is as the host's; all of it
 * but the result and r11 gives 0. */
#define KEEPS(nr_, heap, n)                                                                        \
	({                                                                                         \
		asm volatile(                                                                      \
			"sub $256, %%rsp\n\t"                                                      \
			"mov $11, %%rbx\n\tmov $12, %%r12\n\tmov $13, %%r13\n\t"                   \
			"mov $14, %%r14\n\tmov $15, %%r15\n\tmov $16, %%r10\n\t"                   \
			"mov $17, %%r8\n\tmov $18, %%r9\n\tmov $19, %%rdx\n\t"                     \
			"movq $4711, -128(%%rsp)\n\tmovq $4712, -8(%%rsp)\n\t"                     \
			"stc\n\tstd\n\t"                                                           \
			"mov %[nr], %%eax\n\tsyscall\n\t"                                          \
			"1: mov %%rax, 0x10000000\n\t"                                             \
			"mov %%r11, 0x10000008\n\t"                                                \
			"pushfq\n\tpop 0x10000010\n\tcld\n\t"                                      \
			"mov -128(%%rsp), %%rax\n\tmov %%rax, 0x10000018\n\t"                      \
			"lea 1b(%%rip), %%rax\n\tsub %%rcx, %%rax\n\t"                             \
			"mov %%rax, 0x10000020\n\t"                                                \
			"lea (%%rbx,%%r12), %%rax\n\tadd %%r13, %%rax\n\tadd %%r14, %%rax\n\t"     \
			"add %%r15, %%rax\n\tadd %%r10, %%rax\n\tadd %%r8, %%rax\n\t"              \
			"add %%r9, %%rax\n\tadd %%rdx, %%rax\n\tadd %%rsi, %%rax\n\t"              \
			"add %%rdi, %%rax\n\tmov %%rax, 0x10000028\n\t"                            \
			"add $256, %%rsp"                                                          \
			:                                                                          \
			: [nr] "i"(nr_), "D"(n), "S"(1L)                                           \
			: "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",      \
			  "r14", "r15", "memory", "cc");                                           \
		/* CF, DF */                                                                       \
		(heap)[3] != 4711 || (heap)[4] != 0 || (heap)[5] != 135 + (n) + 1 ||               \
			((heap)[2] & 0x401) != 0x401;                                              \
	})

GUEST void guest_keeps(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	long bad = 0;

	for (long n = 0; n < CALLS; n++) {
		bad += KEEPS(CALL_ADD, heap, n);
		bad += heap[0] != n + 1 || (heap[1] & 0x401) != 0x401;
	}
	done(arg + bad);
}

/* From many places in turns, which are alike. */
GUEST void guest_adds_all_over(long arg)
{
	for (long n = 0; n < CALLS / 10; n++) {
		asm volatile(".rept 24\n\t"
			     "mov %[nr], %%eax\n\t"
			     "syscall\n\t"
			     "mov %%rax, %%rdi\n\t"
			     ".balign 128\n\t"
			     ".endr"
			     : "+D"(arg)
			     : [nr] "i"(CALL_ADD), "S"(n)
			     : "rax", "rcx", "r11", "memory");
	}
	done(arg);
}

/* Answers that are known, until they are others. */
GUEST void guest_knows(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	long bad = 0, now = 0xfffffffe;

	(void) ASK(CALL_LEARN, now, 0);
	for (long n = 0; n < CALLS; n++) {
		if (n % 50 == 49) {
			now = n;
			(void) ASK(CALL_LEARN, now, 0);
		}
		bad += KEEPS(CALL_KNOWN, heap, n);
		bad += heap[0] != now;
	}
	done(arg + bad);
}

/* Of several that stand in one place, and of what nobody knows there. */
GUEST void guest_knows_others(long arg)
{
	(void) ASK(CALL_LEARN, 5, 0);
	for (long n = 0; n < CALLS; n++) {
		arg += ASK(CALL_KNOWN, n, 0) != 5;
		arg += ASK(SYS_read, n, 3) != n + 3;
		arg += ASK(CALL_OTHER, n, 0) != 6;
	}
	done(arg);
}

/* Until it is another, which nobody tells. */
GUEST void guest_knows_long(long arg)
{
	(void) ASK(CALL_LEARN, 5, 0);
	while (ASK(CALL_KNOWN, 0, 0) == 5)
		;
	done(arg);
}

/* The call, and its syscall instruction alone. */
GUEST void guest_jumps_in(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		asm volatile("xor %%ebx, %%ebx\n\t"
			     "mov %[nr], %%eax\n\t"
			     "1: syscall\n\t"
			     "mov %%rax, %%rdi\n\t"
			     "test %%ebx, %%ebx\n\t"
			     "jnz 2f\n\t"
			     "inc %%ebx\n\t"
			     "mov %[nr], %%eax\n\t"
			     "jmp 1b\n\t"
			     "2:"
			     : "+D"(arg)
			     : [nr] "i"(CALL_ADD), "S"(n)
			     : "rax", "rbx", "rcx", "r11", "memory", "cc");
	}
	done(arg);
}

GUEST void guest_forks(long arg)
{
	for (long n = 0; n < CALLS; n++)
		arg = ASK(CALL_ADD, arg, n) - n;
	for (long n = 0; n < 20; n++) {
		if (ASK(CALL_FORK, 0, 0) == 0) {
			for (long m = 0; m < CALLS; m++)
				arg = ASK(CALL_ADD, arg, m) - m;
			done(arg + 1);
		}
	}
	done(arg);
}

GUEST void guest_moves(long arg)
{
	long sum = 0;

	for (long n = 0; n < CALLS; n++) {
		long b = 5;

		asm volatile("mov %[nr], %%eax\n\tsyscall\n\tud2"
			     : "+b"(b)
			     : [nr] "i"(CALL_MOVE), "D"(n)
			     : "rax", "rcx", "r11", "memory");
		sum += b;
	}
	done(arg + sum);
}

GUEST void guest_with_gs(long arg)
{
	long sum = 0, word;

	for (long n = 0; n < CALLS; n++) {
		if (n == CALLS / 2)
			(void) ASK(CALL_GS, HEAP, 0);
		sum = ASK(CALL_ADD, sum, n);
		if (n >= CALLS / 2) {
			asm volatile("mov %%gs:8, %0" : "=r"(word));
			arg += word;
		}
	}
	done(arg + sum);
}

/* Calls that come by the handler, pages that are not there yet, and an end there. */
GUEST void guest_traps(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		arg = ASK(CALL_ADD, arg, n);
		((volatile char *) STACK)[n % 100 * 4096] = 1;
		arg = ASK(SYS_tgkill, arg, n);
	}
	(void) ASK(SYS_exit_group, arg, 0);
}

/* What a call finds in vector registers, and puts there. */
GUEST void guest_with_vectors(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		long got;

		asm volatile("movq %[arg], %%xmm7\n\t"
			     "mov %[nr], %%eax\n\tsyscall\n\t"
			     "movq %%xmm7, %[got]"
			     : [got] "=r"(got)
			     : [nr] "i"(CALL_FP), [arg] "r"(arg), "D"(n)
			     : "rax", "rcx", "r11", "memory", "xmm7");
		arg = got;
	}
	done(arg);
}

/* A null selector takes the base of gs with it, on some processors. */
GUEST void guest_loads_gs(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		if (n % 4 == 0)
			asm volatile("xor %%eax, %%eax\n\tmov %%ax, %%gs" : : : "rax", "cc");
		arg = ASK(CALL_ADD, arg, n);
	}
	done(arg);
}

GUEST void guest_steps(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		long trap = n >= CALLS - 3 ? 0x100 : 0;

		asm volatile("sub $128, %%rsp\n\t"
			     "pushfq\n\tor %[trap], (%%rsp)\n\tpopfq\n\t"
			     "mov %[nr], %%eax\n\tsyscall\n\t"
			     "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t"
			     "add $128, %%rsp\n\t"
			     "mov %%rax, %%rdi"
			     : "+D"(arg)
			     : [nr] "i"(CALL_ADD), "S"(n), [trap] "r"(trap)
			     : "rax", "rcx", "r11", "memory", "cc");
	}
	done(arg);
}

/* What stands before the call fails, where it was moved to. */
GUEST void guest_without_stack(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		long to = n == CALLS - 1 ? 0x666000 : (long) HEAP;

		asm volatile("mov %%rsp, %%rbx\n\t"
			     "mov %[to], %%rsp\n\t"
			     "mov %[nr], %%eax\n\t"
			     "mov 8(%%rsp), %%r9\n\t"
			     "syscall\n\t"
			     "mov %%rbx, %%rsp\n\t"
			     "mov %%rax, %%rdi"
			     : "+D"(arg)
			     : [nr] "i"(CALL_ADD), "S"(n), [to] "r"(to)
			     : "rax", "rbx", "rcx", "r9", "r11", "memory");
	}
	done(arg);
}

/* ---- who serves them ---- */

struct guest {
	struct space *space;
	struct plat_user *user;
	struct fiber *fiber;
	long value;
	bool ended;
	unsigned int calls, kicks, sites, traps, found, steps;
	bool is_looked; /* whatever is thought of that */
	uint64_t code;	/* where its is */
	struct guest *child;
	long answer; /* that is known */
	unsigned int told;
	struct ktimer learn; /* it is another */
	struct ktimer timer; /* kicks it, again and again */
	nsec_t every;
};

static nsec_t learns; /* when it learns another, after the first; 0: not by itself */
static struct waitq changed = { LIST_INIT(changed.waiters) };

static uint64_t offset(void (*f)(long))
{
	return (uint64_t) ((uintptr_t) f - (uintptr_t) __start_guest);
}

static void check_place(struct guest *g)
{
	uint64_t size = (uint64_t) (__stop_guest - __start_guest);
	struct plat_regs r;

	plat_user_regs(g->user, &r);
	CHECK(r.ip >= g->code && r.ip < g->code + size);
}

static void map(struct space *s, uint64_t at, uint64_t len)
{
	struct space_mapping m = {
		.at = at, .len = len, .prot = PROT_READ | PROT_WRITE, .fixed = true
	};
	uint64_t got;

	CHECK(space_map(s, &m, &got) == 0);
}

static struct space *fresh(unsigned int prot)
{
	struct space *s = space_new(&wide);
	size_t size = (size_t) (__stop_guest - __start_guest);

	map(s, CODE, size);
	CHECK(copy_out(s, uva(CODE), __start_guest, size) == 0);
	CHECK(space_protect(s, CODE, page_up(size), prot) == 0);
	map(s, HEAP, PAGE_SIZE);
	map(s, STACK, 8 * STACK_SIZE);
	return s;
}

static void serve(void *arg);

static void begin(struct guest *g, struct space *s, const struct plat_regs *regs)
{
	*g = (struct guest){ .space = s, .code = CODE };
	space_ref(s);
	g->user = plat_user_new(s->plat, regs);
	CHECK(g->user && sched_spawn(serve, g, &g->fiber) == 0);
}

static sysret_t fork_it(struct guest *g)
{
	struct space *s = space_fork(g->space, 4);
	struct plat_regs regs;

	plat_user_regs(g->user, &regs);
	regs.ax = 0;
	begin(g->child, s, &regs);
	space_unref(s);
	(void) waitq_wait(&changed, g->child->ended, NSEC_NEVER, 0);
	CHECK(g->child->value == 8);
	return 1;
}

static void change_regs(struct guest *g, unsigned int nr, uint64_t a)
{
	struct plat_regs regs;

	plat_user_regs(g->user, &regs);
	CHECK(regs.orig_ax == nr && regs.cx == regs.ip && regs.di == a);
	if (nr == CALL_GS) {
		CHECK(regs.gs_base == 0);
		regs.gs_base = a;
	} else {
		CHECK(regs.bx == 5);
		regs.bx += a;
		regs.ip += 2; /* over ud2 */
	}
	plat_user_set_regs(g->user, &regs);
}

/* xmm7's low half: Intel SDM 1, 13.4.1. */
static void add_to_vector(struct guest *g, uint64_t a)
{
	static _Alignas(64) unsigned char area[16384];
	uint64_t components, word;

	CHECK(plat_fp_size(&components) <= sizeof(area));
	plat_user_fp(g->user, area);
	memcpy(&word, area + 160 + 7 * 16, sizeof(word));
	word += a;
	memcpy(area + 160 + 7 * 16, &word, sizeof(word));
	plat_user_set_fp(g->user, area);
	if (a == CALLS - 2) {
		struct plat_regs regs;

		/* No gate from here on. */
		plat_user_regs(g->user, &regs);
		regs.gs_base = HEAP;
		plat_user_set_regs(g->user, &regs);
	}
}

static bool serve_call(struct guest *g, unsigned int nr, const uint64_t *a)
{
	sysret_t r = 0;

	g->calls++;
	g->found += g->user->gate.up_found;
	if (g->is_looked)
		host.look.looks = true;
	if (nr == CALL_DONE || nr == SYS_exit_group) {
		g->value = (long) a[0];
		return false;
	}
	if (nr == CALL_KNOWN || nr == CALL_OTHER) {
		g->told++;
		r = g->answer + (nr == CALL_OTHER);
		plat_user_know(g->user, nr, (uint32_t) r);
	} else if (nr == CALL_LEARN) {
		g->answer = (long) a[0];
		plat_user_forget(g->user);
		if (learns)
			ktimer_set(&g->learn, plat_now(PLAT_MONOTONIC) + learns);
	} else if (nr == CALL_ADD || nr == SYS_tgkill || nr == SYS_read)
		r = (sysret_t) (a[0] + a[1]);
	else if (nr == CALL_FORK)
		r = fork_it(g);
	else if (nr == CALL_FP)
		add_to_vector(g, a[0]);
	else
		change_regs(g, nr, a[0]);
	plat_user_result(g->user, r);
	return true;
}

static bool serve_trap(struct guest *g, const struct plat_event *e)
{
	enum space_patched was = PATCHED_NOTHING;
	struct plat_regs r;

	check_place(g);
	if (e->signal == SIGTRAP) {
		g->steps++;
		return true;
	}
	g->traps++;
	if (e->signal == SIGILL)
		was = space_patched(g->space, e->address);
	if (was != PATCHED_CALL)
		return was == PATCHED_NO_MORE;
	plat_user_regs(g->user, &r);
	r.ip += 2;
	plat_user_set_regs(g->user, &r);
	return serve_call(g, (unsigned int) r.ax, (uint64_t[]){ r.di, r.si });
}

static bool serve_event(struct guest *g, const struct plat_event *e)
{
	struct plat_regs r;

	switch (e->kind) {
	case PLAT_SYSCALL:
		if (e->site) {
			space_patch(g->space, e->site, e->nr);
			g->sites++;
		}
		return serve_call(g, e->nr, e->args);
	case PLAT_FAULT:
		check_place(g);
		return space_fault(g->space, e->address, e->access) == FAULT_DONE;
	case PLAT_KICKED:
		g->kicks++;
		check_place(g);
		plat_user_regs(g->user, &r);
		if (g->kicks % 2)
			plat_user_set_regs(g->user, &r);
		return true;
	case PLAT_TRAP:
		return serve_trap(g, e);
	case PLAT_GONE:
		break;
	}
	return false;
}

static void serve(void *arg)
{
	struct guest *g = arg;
	struct plat_event e;

	do
		plat_user_run(g->user, &e);
	while (serve_event(g, &e));
	ktimer_cancel(&g->timer);
	ktimer_cancel(&g->learn);
	plat_user_free(g->user);
	space_unref(g->space);
	g->ended = true;
	(void) waitq_wake(&changed, 0, 0);
	fiber_exit();
}

static void kick(struct ktimer *t)
{
	struct guest *g = container_of(t, struct guest, timer);

	plat_user_kick(g->user);
	ktimer_set(t, plat_now(PLAT_MONOTONIC) + g->every);
}

static void learn(struct ktimer *t)
{
	struct guest *g = container_of(t, struct guest, learn);

	g->answer++;
	plat_user_forget(g->user);
}

/* ---- tests ---- */

static bool looked;

static struct guest run_at(struct space *s, uint64_t code, void (*f)(long), uint64_t arg,
			   nsec_t every)
{
	struct plat_regs regs = { .ip = code + offset(f), .di = arg, .sp = STACK + STACK_SIZE - 8 };
	struct guest child = {}, g;

	begin(&g, s, &regs);
	g.is_looked = looked;
	g.child = &child;
	g.code = code;
	g.timer.fire = kick;
	g.every = every;
	g.learn.fire = learn;
	if (every)
		ktimer_set(&g.timer, plat_now(PLAT_MONOTONIC) + every);
	(void) waitq_wait(&changed, g.ended, NSEC_NEVER, 0);
	return g;
}

static struct guest run_in(struct space *s, void (*f)(long), uint64_t arg, nsec_t every)
{
	return run_at(s, CODE, f, arg, every);
}

static struct guest run(void (*f)(long), uint64_t arg, nsec_t every)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g = run_in(s, f, arg, every);

	space_unref(s);
	return g;
}

#define SUM ((long) CALLS * (CALLS - 1) / 2)

static void forms(void)
{
	struct guest g = run(guest_adds, 5, 0);

	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_adds_otherwise, 5, 0);
	CHECK(g.value == 5 + 2 * SUM && g.calls == 2 * CALLS + 1 && g.sites == 2);
	g = run(guest_adds_between, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_reads, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_reads_in_threads, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_adds_all_over, 5, 0);
	CHECK(g.value == 5 + 24L * (CALLS / 10) * (CALLS / 10 - 1) / 2);
	CHECK(g.sites > 20 && g.traps == 0);
	g = run(guest_keeps, 3, 0);
	CHECK(g.value == 3 && g.sites == 1);
	g = run(guest_moves, 1, 0);
	CHECK(g.value == 1 + 5 * CALLS + SUM && g.sites == 1);
	g = run(guest_forks, 7, 0);
	CHECK(g.value == 7 && g.calls == CALLS + 21);
}

/* Bytes of the guests' code at `at` that are not what they were. */
static size_t differing(struct space *s, uint64_t at)
{
	static unsigned char now[4 * PAGE_SIZE];
	size_t size = (size_t) (__stop_guest - __start_guest), differ = 0;

	CHECK(size <= sizeof(now) && copy_in(s, now, uva(at), size) == 0);
	for (size_t n = 0; n < size; n++)
		differ += now[n] != (unsigned char) __start_guest[n];
	return differ;
}

/* The page is the guest's own afterwards; what may be written to stays as it is. */
static void pages(void)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g = run_in(s, guest_adds, 0, 0);
	struct space *child = space_fork(s, 0);
	size_t differ = differing(child, CODE);

	CHECK(g.value == SUM && differ > 0 && differ <= 7);
	g = run_in(child, guest_adds, 1, 0);
	CHECK(g.value == 1 + SUM && g.sites == 0);
	space_unref(child);
	space_unref(s);

	s = fresh(PROT_READ | PROT_WRITE | PROT_EXEC);
	g = run_in(s, guest_adds, 0, 0);
	CHECK(g.value == SUM && g.sites == 1 && differing(s, CODE) == 0);
	space_unref(s);
}

/* Who may write, and who moves it, has what it was; and it is patched anew. */
static void back(void)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC), *child;
	uint64_t size = page_up((size_t) (__stop_guest - __start_guest)), to;
	struct guest g;

	for (int n = 0; n < 3; n++) {
		g = run_in(s, guest_adds, 0, 0);
		CHECK(g.value == SUM && g.sites == 1 && differing(s, CODE) > 0);
		child = space_fork(s, 0);
		CHECK(space_protect(s, CODE, size, PROT_READ | PROT_WRITE) == 0);
		CHECK(differing(s, CODE) == 0 && differing(child, CODE) > 0);
		CHECK(space_protect(s, CODE, size, PROT_READ | PROT_EXEC) == 0);
		g = run_in(child, guest_adds, 1, 0);
		CHECK(g.value == 1 + SUM && g.sites == 0);
		sleeplock_take(&child->lock);
		CHECK(space_unpatch(child, 0, plat_user_high()) == 0);
		sleeplock_give(&child->lock);
		CHECK(differing(child, CODE) == 0);
		space_unref(child);
	}
	g = run_in(s, guest_adds, 0, 0);
	CHECK(g.value == SUM && differing(s, CODE) > 0);
	CHECK(space_remap(s, CODE, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, 4 * CODE, &to) == 0);
	CHECK(to == 4 * CODE && differing(s, to) == 0);
	g = run_at(s, to, guest_adds, 2, 0);
	CHECK(g.value == 2 + SUM && g.sites == 1 && differing(s, to) > 0);
	space_unref(s);
}

/* Two that run it while it changes, again and again. */
static void under_way(void (*f)(long), long sum)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g[2];
	unsigned int n = 0;

	for (unsigned int k = 0; k < 2; k++) {
		struct plat_regs regs = { .ip = CODE + offset(f),
					  .sp = STACK + (k + 1) * STACK_SIZE - 8 };

		begin(&g[k], s, &regs);
	}
	while (!g[0].ended || !g[1].ended) {
		(void) waitq_wait(&changed, g[0].ended && g[1].ended,
				  plat_now(PLAT_MONOTONIC) + 100000, 0);
		sleeplock_take(&s->lock);
		CHECK(space_unpatch(s, 0, plat_user_high()) == 0);
		n += differing(s, CODE) == 0;
		sleeplock_give(&s->lock);
	}
	CHECK(n > 1);
	for (unsigned int k = 0; k < 2; k++)
		CHECK(g[k].value == sum && g[k].calls == (unsigned int) (sum / SUM) * CALLS + 1);
	space_unref(s);
}

static void jumps(void)
{
	struct guest g = run(guest_jumps_in, 0, 0);

	CHECK(g.value == 2 * SUM && g.calls == 2 * CALLS + 1 && g.traps > 0);
	/* What is jumped to in between is as it was from then on. */
	g = run(guest_jumps_between, 1, 0);
	CHECK(g.value == 1 + SUM && g.calls == CALLS + 1 && g.sites == 2 && g.traps == 1);
	g = run(guest_with_gs, 1, 0);
	CHECK(g.value == 1 + SUM);
	g = run(guest_loads_gs, 1, 0);
	CHECK(g.value == 1 + SUM && g.calls == CALLS + 1 && g.sites == 1);
}

/* What is between a call's begin and its end is none of the guest's. */
static void steps(void)
{
	struct guest g = run(guest_steps, 1, 0);

	CHECK(g.value == 1 + SUM && g.sites == 1 && g.steps >= 3 && g.steps <= 3 * 6);
	g = run(guest_without_stack, 1, 0);
	CHECK(g.calls == CALLS - 1 && g.sites == 1);
}

static void kicks(void)
{
	unsigned int kicked = 0;

	for (nsec_t every = 7; every < 60; every += 5) {
		struct guest g = run(guest_adds, 5, every * 1000);

		CHECK(g.value == 5 + SUM && g.traps == 0);
		kicked += g.kicks;
		g = run(guest_keeps, 3, every * 1000);
		CHECK(g.value == 3);
		kicked += g.kicks;
		g = run(guest_adds_between, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
		g = run(guest_reads, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
		g = run(guest_reads_in_threads, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
	}
	CHECK(kicked > 0);
}

/* Who runs, and calls, comes into the kernel as often as something has changed. */
static void known(void)
{
	for (int n = 0; n < 3; n++) {
		struct guest g = run(guest_knows, 3, 0);

		/* A dozen before it is a site; the first after each change. */
		CHECK(g.value == 3 && g.sites == 1 && g.told >= CALLS / 50 && g.told < 40);
		g = run(guest_knows_others, 4, 0);
		CHECK(g.value == 4 && g.sites == 3 && g.told == 2 * CALLS);
	}
	for (nsec_t every = 0; every < 60; every += 7) {
		struct guest g;

		learns = 20 * 1000 * 1000;
		g = run(guest_knows_long, 5, every * 1000);
		learns = 0;
		CHECK(g.value == 5 && g.told < 100 && (g.kicks > 0) == (every > 0));
		g = run(guest_knows, 3, every * 1000);
		CHECK(g.value == 3);
	}
}

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

/* Found in the handler by looks, or not; stubs serve on after an end there. */
static void handlers(void)
{
	unsigned int found = 0;

	for (int n = 0; n < 24; n++) {
		uint32_t spares = host.spare_count;
		struct guest g;

		looked = n >= 8;
		g = run(guest_traps, 3, n % 4 * 17 * 1000);
		CHECK(g.value == 3 + 2 * SUM && g.calls == 2 * CALLS + 1 && g.traps == 0);
		found += looked ? g.found : 0;
		settle();
		CHECK(host.spare_count >= max_of(spares, 1u));
		g = run(guest_with_vectors, 1, n % 4 * 23 * 1000);
		CHECK(g.value == 1 + SUM && g.calls == CALLS + 1);
		settle();
	}
	looked = false;
	CHECK(found > 0 || host.look.cpus < 2);
}

/* Bytes that look like a call's first instruction, and are another's last. */
static void bytes(void)
{
#define LAST 12
	static const unsigned char codes[][LAST] = {
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x41, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x48, 0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x48, 0xc7, 0x45, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 40, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x34 },
		{ 0x90, 0x90, 0x90, 0x48, 0xc7, 0xc0, 39, 0, 0, 0, 0x0f, 0x05 },
		/* Between the two: mov %ebx, %edi; xor %esi, %esi; nothing that may be moved; the
		 * same with a number of 64 bits that is cut off. */
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x89, 0xdf, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x31, 0xf6, 0x89, 0xdf, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x74, 0x02, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x48, 0xbf, 0x01, 0x00, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x3d, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x7c, 0x24, 0x08, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x7c, 0x23, 0x08, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05 },
	};
	static const bool fits[] = { true, false, false, false, false, false, true, true,
				     true, false, false, false, true,  false, true };
	static const int start[] = { 5, 0, 0, 0, 0, 0, 3, 3, 1, 0, 0, 0, 1, 0, 5 };
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	unsigned char code[PLAT_SITE] = {}, *last = code + PLAT_SITE - LAST;
	unsigned int made = 1;

	for (size_t n = 0; n < countof(fits); n++) {
		uint64_t behind = CODE + 64 * n, bad;
		enum plat_patched was;

		memcpy(last, codes[n], LAST);
		CHECK(plat_patch(s->plat, behind, 39, code) == fits[n]);
		CHECK((memcmp(last, codes[n], LAST) != 0) == fits[n]);
		made += fits[n];
		if (!fits[n])
			continue;
		bad = behind - LAST + (uint64_t) start[n] + PLAT_JUMP_BAD;
		was = plat_patched(s->plat, bad, last + start[n]);
		CHECK(was == (start[n] == 5 ? PLAT_PATCHED_CALL : PLAT_PATCHED_INSIDE));
		CHECK(plat_patched(s->plat, bad + 1, last + start[n]) == PLAT_NOT_PATCHED);
		memcpy(last, codes[n], LAST);
		CHECK(plat_patched(s->plat, bad, last + start[n]) == PLAT_UNPATCHED);
		last[start[n]] ^= 1;
		CHECK(plat_patched(s->plat, bad, last + start[n]) == PLAT_NOT_PATCHED);
		/* One that was found in between is not patched any more. */
		memcpy(last, codes[n], LAST);
		CHECK(plat_patch(s->plat, behind, 39, code) == (start[n] == 5));
	}
	/* As many as there is room for, and the same one again. */
	for (unsigned int n = 0; n < 300; n++) {
		memcpy(last, codes[0], LAST);
		CHECK(plat_patch(s->plat, CODE + 2000 + 20 * n, 39, code) ==
		      (n < CHUNK_SIZE / SITE_SIZE - made));
	}
	memcpy(last, codes[0], LAST);
	CHECK(plat_patch(s->plat, CODE, 39, code));
	space_unref(s);
}

/* Returns from signals: those that unwinders know without their bytes. */
static void returns(void)
{
	static const unsigned char codes[][LAST] = {
		{ 0x1f, 0x40, 0x00, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0x31, 0xc0, 0x90, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0xcc, 0xcc, 0xcc, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0x00, 0x00, 0x00, 0x00, 0x00, 0xb8, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
	};
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	unsigned char code[PLAT_SITE] = {}, *last = code + PLAT_SITE - LAST;

	for (size_t n = 0; n < countof(codes); n++) {
		for (uint64_t skip = 0; skip < 16; skip++) {
			memcpy(last, codes[n], LAST);
			CHECK(plat_patch(s->plat, CODE + 64 + skip, SYS_rt_sigreturn, code) ==
			      (n == 0 && skip == 9));
		}
	}
	space_unref(s);
}

static void body(void *arg)
{
	(void) arg;
	forms();
	pages();
	back();
	under_way(guest_jumps_in, 2 * SUM);
	under_way(guest_adds_between, SUM);
	under_way(guest_jumps_between, SUM);
	under_way(guest_reads, SUM);
	under_way(guest_reads_in_threads, SUM);
	jumps();
	steps();
	kicks();
	known();
	handlers();
	host_limit_cpus(150000, 100000);
	CHECK(host.look.cpus < 2 || host.look.spin < 400);
	forms();
	kicks();
	host_limit_cpus(0, 100000);
	CHECK(host.look.spin == 400);
	bytes();
	returns();
	host_stop();
	fiber_exit();
}

/* Where the host gives the sites no place there are none. */
static void without_place(void)
{
	struct err e = {};
	int status = 0, pid = fork();

	if (pid == 0) {
		void *at = mmap((void *) STUB_SITES, PAGE_SIZE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		_exit(at == MAP_FAILED || host_begin(RAM, true, &e) < 0 || host.gates);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	/* As of a host where nobody else runs. */
	static const char text[] = "0.00 0.00 0.00 1/10 1\n";
	int load = memfd_create("load", MFD_CLOEXEC);
	struct fiber *f;
	struct err e = {};

	CHECK(write(load, text, sizeof(text)) == (ssize_t) sizeof(text));
	if (host_begin(RAM, true, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return e.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	CHECK(host.gates);
	without_place();
	host_watch_load(load);
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}
