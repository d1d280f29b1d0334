/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#else
#define REFUSED SECCOMP_RET_KILL_PROCESS
#endif

#if defined(__x86_64__)
#define OWN_ARCH     AUDIT_ARCH_X86_64
#define FOREIGN_FROM 0x40000000u /* x32 */
#elif defined(__aarch64__)
#define OWN_ARCH     AUDIT_ARCH_AARCH64
#define FOREIGN_FROM UINT32_MAX
#else
#error "which architecture the filter is for"
#endif

/* On the stack: no heap is made for a thread that is about to lose the calls for it. */
#define RULES_MAX   128
#define PROGRAM_MAX 1024

const struct seccomp_condition filter_not_code[1] = {
	{ .arg = 2, .op = SECCOMP_MASKED_EQ, .value = PROT_EXEC, .value_two = 0 }
};

const struct seccomp_condition filter_linger[2] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = SOL_SOCKET },
	{ .arg = 2, .op = SECCOMP_EQ, .value = SO_LINGER },
};

static const struct seccomp_rule common[] = {
	/* the heap */
	FILTER_CALL_IF(mmap, filter_not_code),
	FILTER_CALL_IF(mprotect, filter_not_code),
	FILTER_CALL(munmap),
	FILTER_CALL(mremap),
	FILTER_CALL(madvise),
	FILTER_CALL(brk),
	FILTER_CALL(futex),
	/* time, signals */
	FILTER_CALL(clock_gettime),
	FILTER_CALL(rt_sigreturn),
	FILTER_CALL(rt_sigprocmask),
	FILTER_CALL(restart_syscall),
	/* the end, abort()'s too */
	FILTER_CALL(getpid),
	FILTER_CALL(gettid),
	FILTER_CALL(tgkill),
	FILTER_CALL(exit_group),
};
const struct filter_table filter_common = FILTER_TABLE(common);

int filter_set(const struct filter_table *tables, size_t n, struct err *e)
{
	struct seccomp_rule rules[RULES_MAX];
	struct seccomp_arch arch = { .audit = OWN_ARCH,
				     .rules = rules,
				     .last_known = UINT32_MAX,
				     .foreign_from = FOREIGN_FROM,
				     .foreign_action = REFUSED };
	const struct seccomp_profile profile = {
		.archs = &arch,
		.archs_n = 1,
		.default_action = REFUSED,
		.newer_action = REFUSED,
		.unknown_arch_action = REFUSED,
	};
	struct sock_filter code[PROGRAM_MAX];
	struct sock_fprog program = { .filter = code };
	int len;

	for (size_t i = 0; i < n; i++) {
		if (tables[i].n > RULES_MAX - arch.rules_n)
			return err_set(e, ERR_INTERNAL, E2BIG, "a filter of too many system calls");
		for (size_t k = 0; k < tables[i].n; k++)
			rules[arch.rules_n++] = tables[i].rules[k];
	}
	len = seccomp_build(&profile, code, PROGRAM_MAX);
	if (len < 0)
		return err_sys(e, -len, "build the filter of system calls");
	program.len = (unsigned short) len;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return err_sys(e, errno, "set the filter of system calls");
	return 0;
}
