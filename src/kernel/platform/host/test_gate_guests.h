/* SPDX-License-Identifier: Apache-2.0 */
/* The guests of test_gate.c: what they do, and ask for. It is copied to where they run. */
#pragma once

#include <stdint.h>
#include <sys/syscall.h>

#include "kernel/platform/host/layout.h"

#define HEAP	   ((uint64_t) 0x10000000)
#define STACK	   ((uint64_t) 0x20000000)
#define STACK_SIZE ((uint64_t) 0x10000)
#define CALLS	   400 /* enough to be patched on the way */

enum call {
	CALL_ADD = 1000,
	CALL_DONE,
	CALL_FORK,
	CALL_MOVE,
	CALL_GS,
	CALL_FP,
	CALL_LEARN,
	CALL_HOLD,
	/* What is known: they stand where read(2) and each other do. */
	CALL_KNOWN = 32 * KNOWN_SLOTS,
	CALL_OTHER = 33 * KNOWN_SLOTS,
};

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

#define NAME(at, room)                                                                             \
	({                                                                                         \
		long r_;                                                                           \
		asm volatile("mov %1, %%eax\n\tsyscall"                                            \
			     : "=a"(r_)                                                            \
			     : "i"(SYS_readlink), "D"((long) (at)), "S"(0L), "d"((long) (room))    \
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
/* Names of all lengths about what fits, of which the table has some at one place; with room, and
 * with none. */
GUEST void guest_names(long arg)
{
	volatile long *heap = (volatile long *) HEAP;
	volatile char *text = (volatile char *) HEAP + 512;
	long bad = 0, now = 2;

	(void) ASK(CALL_LEARN, now, 0);
	for (long n = 0; n < 4 * CALLS; n++) {
		long len = n % 40 == 39 ? 119 + n % 3 : 3 + n % 7;

		if (n % 200 == 199) {
			now = now == 2 ? 22 : 2;
			(void) ASK(CALL_LEARN, now, 0);
		}
		for (long k = 0; k < len; k++)
			text[k] = k % 4 ? 'a' + (char) (len % 26) : '/';
		text[len] = 0;
		bad += KEEPS(SYS_readlink, heap, (long) text);
		bad += heap[0] != -now;
	}
	done(arg + bad);
}
/* In memory that is not there, or ends before the text does; of which it has the most below 4096.
 */
GUEST void guest_names_nowhere(long arg)
{
	volatile char *text = (volatile char *) HEAP + 4096 - 4;
	volatile char *good = (volatile char *) HEAP + 512;
	long bad = 0;

	text[0] = text[1] = text[2] = text[3] = good[0] = '/';
	good[1] = 0;
	(void) ASK(CALL_LEARN, 2, 0);
	for (long n = 0; n < CALLS; n++) {
		long room = n % 5;

		bad += NAME(good, room) != (room ? -2 : -22);
		if (n > CALLS / 2 && n % 64 == 0) {
			bad += NAME(text, 9) != -14;
			bad += NAME(0x70000000, 9) != -14;
			bad += NAME(0x8000000000000000, 9) != -14;
		}
	}
	done(arg + bad);
}
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
#define VECTORS(nr_)                                                                               \
	do {                                                                                       \
		for (long n = 0; n < CALLS; n++) {                                                 \
			long got, bad;                                                             \
                                                                                                   \
			asm volatile("movq %[arg], %%xmm7\n\t"                                     \
				     "mov $5, %%edx\n\t"                                           \
				     "mov %[nr], %%eax\n\tsyscall\n\t"                             \
				     "sub %%rdi, %%rdx\n\t"                                        \
				     "movq %%xmm7, %[got]"                                         \
				     : [got] "=r"(got), "=d"(bad)                                  \
				     : [nr] "i"(nr_), [arg] "r"(arg), "D"(n)                       \
				     : "rax", "rcx", "r11", "memory", "xmm7", "cc");               \
			arg = got + bad - 5 + n;                                                   \
		}                                                                                  \
		done(arg);                                                                         \
	} while (0)

GUEST void guest_with_vectors(long arg)
{
	VECTORS(CALL_FP);
}

/* The same, which the gate tells of itself. */
GUEST void guest_clones(long arg)
{
	VECTORS(SYS_clone3);
}

GUEST void guest_vforks(long arg)
{
	VECTORS(SYS_vfork);
}

/* Addresses, of what stands somewhere else. */
GUEST void guest_adds_addresses(long arg)
{
	for (long n = 0; n < CALLS; n++) {
		asm volatile("mov %[nr], %%eax\n\t"
			     "lea 1f(%%rip), %%rsi\n\t"
			     "syscall\n\t"
			     "1: lea 1b(%%rip), %%rdx\n\t"
			     "sub %%rdx, %%rax\n\t"
			     "mov %%rax, %%rdi\n\t"
			     "sub %%rdx, %%rsi\n\t"
			     "add %%rsi, %%rdi\n\t"
			     "mov %[nr], %%eax\n\t"
			     "lea 0x1234(%%rbx), %%rsi\n\t"
			     "syscall\n\t"
			     "lea -0x1234(%%rax), %%rdi"
			     : "+D"(arg)
			     : [nr] "i"(CALL_ADD), "b"(n)
			     : "rax", "rcx", "rdx", "rsi", "r11", "memory", "cc");
	}
	done(arg);
}

/* How it began, and how glibc's threads end. */
GUEST void guest_ends(long arg)
{
	long vector, control;

	asm volatile("sub $16, %%rsp\n\tstmxcsr (%%rsp)\n\tmov (%%rsp), %%esi\n\t"
		     "movl $0x1fa0, (%%rsp)\n\tldmxcsr (%%rsp)\n\tadd $16, %%rsp\n\t"
		     "movq %%xmm7, %%rdx\n\tpcmpeqd %%xmm7, %%xmm7"
		     : "=d"(vector), "=S"(control)
		     :
		     : "memory", "xmm7", "cc");
	((volatile long *) HEAP)[8] = arg + vector;
	((volatile long *) HEAP)[9] = control;
	asm volatile("mov $60, %%edx\n\t"
		     "nopl 0(%%rax)\n\t"
		     "1: xor %%edi, %%edi\n\t"
		     "mov %%edx, %%eax\n\t"
		     "syscall\n\t"
		     "jmp 1b"
		     :
		     :
		     : "rax", "rcx", "rdx", "rdi", "r11", "memory", "cc");
}

GUEST void guest_holds(long arg)
{
	(void) ASK(CALL_HOLD, 0, 0);
	done(arg);
}

/* Its gate has a call that ends it, but it does not wait there: it waits for a word, then calls,
 * fails, goes on for ever, or does what the next one would. */
GUEST void guest_goes_on(long arg)
{
	volatile long *heap = (volatile long *) HEAP;

	heap[1] = 1; /* no fault later */
	for (long n = 0; n < CALLS; n++)
		(void) ASK(CALL_ADD, arg, n);
	asm volatile("movq $60, %%gs:8\n\tmovq $0, %%gs:16\n\tlock incl %%gs:0" : : : "memory");
	while (!heap[0])
		asm volatile("pause");
	if (arg == 0)
		(void) ASK(CALL_MOVE, 0, 0);
	else if (arg == 1)
		*(volatile int *) 0x666000 = 0;
	else if (arg == 2)
		done(5);
	for (;;)
		asm volatile("pause");
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
