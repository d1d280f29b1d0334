/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest workload: ends at once, or, with an argument, never. Without a C library, so that
 * it needs less memory than any runtime that starts it (tests/perf/runtime.py measures theirs).
 */
#include <sys/syscall.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmov (%rsp), %rdi\n\tand $-16, %rsp\n\tcall run\n");

static long call(long nr, const void *arg, long size)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(arg), "S"(size)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tldr x0, [sp]\n\tbl run\n");

static long call(long nr, const void *arg, long size)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = (long) arg;
	register long x1 __asm__("x1") = size;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
	return x0;
}
#endif

__attribute__((used)) void run(long argc);
void run(long argc)
{
	static const unsigned long no_signals;

	while (argc > 1)
		call(SYS_rt_sigsuspend, &no_signals, sizeof(no_signals));
	call(SYS_exit_group, 0, 0);
}
