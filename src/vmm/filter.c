/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/seccomp.h"

/* The sanitizers' runtimes make calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#else
#define REFUSED SECCOMP_RET_KILL_PROCESS
#endif

#define PROGRAM_MAX 512
#define RULES_MAX   96

#define ALLOW(name)                                                                                \
	{                                                                                          \
		.nr = SYS_##name, .action = SECCOMP_RET_ALLOW                                      \
	}
#define ALLOW_IF(name, conditions_)                                                                \
	{                                                                                          \
		.nr = SYS_##name, .action = SECCOMP_RET_ALLOW, .conditions = (conditions_),        \
		.conditions_n = ARRAY_SIZE(conditions_)                                            \
	}

/* Memory that is code is made before: never one page of it afterwards. */
static const struct seccomp_condition not_code[] = {
	{ .arg = 2, .op = SECCOMP_MASKED_EQ, .value = PROT_EXEC, .value_two = 0 }
};
static const struct seccomp_condition is_run[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_RUN }
};
static const struct seccomp_condition is_clock[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_KVMCLOCK_CTRL }
};
static const struct seccomp_condition is_signal_msi[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_SIGNAL_MSI }
};
static const struct seccomp_condition is_doorbell[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_IOEVENTFD }
};
static const struct seccomp_condition is_route[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_SET_GSI_ROUTING }
};
static const struct seccomp_condition is_wire[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = KVM_IRQFD }
};
static const struct seccomp_condition is_tap_offload[] = {
	{ .arg = 1, .op = SECCOMP_EQ, .value = TUNSETOFFLOAD }
};

#define IS_IOCTL(name, request)                                                                    \
	static const struct seccomp_condition name[] = {                                           \
		{ .arg = 1, .op = SECCOMP_EQ, .value = (request) }                                 \
	}
/* A snapshot: what KVM knows of processors and memory is read. Nothing of it is set. */
IS_IOCTL(is_get_mp_state, KVM_GET_MP_STATE);
IS_IOCTL(is_get_regs, KVM_GET_REGS);
IS_IOCTL(is_get_sregs2, KVM_GET_SREGS2);
IS_IOCTL(is_get_xsave, KVM_GET_XSAVE);
IS_IOCTL(is_get_xsave2, KVM_GET_XSAVE2);
IS_IOCTL(is_get_xcrs, KVM_GET_XCRS);
IS_IOCTL(is_get_debugregs, KVM_GET_DEBUGREGS);
IS_IOCTL(is_get_lapic, KVM_GET_LAPIC);
IS_IOCTL(is_get_cpuid2, KVM_GET_CPUID2);
IS_IOCTL(is_get_tsc_khz, KVM_GET_TSC_KHZ);
IS_IOCTL(is_get_msr_list, KVM_GET_MSR_INDEX_LIST);
IS_IOCTL(is_get_msrs, KVM_GET_MSRS);
IS_IOCTL(is_get_events, KVM_GET_VCPU_EVENTS);
IS_IOCTL(is_get_clock, KVM_GET_CLOCK);
IS_IOCTL(is_get_dirty_log, KVM_GET_DIRTY_LOG);
/* But that changes are kept account of from now on. */
IS_IOCTL(is_set_memory, KVM_SET_USER_MEMORY_REGION);

/* What every thread does: wait for others, wake the loop, take a signal, say why it ends. */
static const struct seccomp_rule every[] = {
	ALLOW(write),	      ALLOW(futex),	 ALLOW(rt_sigreturn),	 ALLOW(rt_sigprocmask),
	ALLOW(clock_gettime), ALLOW(exit_group), ALLOW(restart_syscall), ALLOW(getpid),
	ALLOW(gettid),	      ALLOW(tgkill),
};
static const struct seccomp_rule vcpu[] = {
	ALLOW_IF(ioctl, is_run),
	ALLOW_IF(ioctl, is_clock),
};
static const struct seccomp_rule disk[] = {
	ALLOW_IF(ioctl, is_signal_msi),
	ALLOW(read),
	ALLOW(epoll_wait),
	ALLOW(epoll_pwait),
};
/* A disk's and its hands': what is done to the file. */
static const struct seccomp_rule storage[] = {
	ALLOW(pwrite64), ALLOW(preadv),	   ALLOW(preadv2),   ALLOW(pwritev),
	ALLOW(pwritev2), ALLOW(fdatasync), ALLOW(fallocate),
};
static const struct seccomp_rule loop[] = {
	ALLOW_IF(ioctl, is_signal_msi),
	ALLOW_IF(ioctl, is_doorbell),
	ALLOW_IF(ioctl, is_route),
	ALLOW_IF(ioctl, is_wire),
	ALLOW_IF(ioctl, is_tap_offload),
	ALLOW(read),
	ALLOW(close),
	ALLOW(epoll_wait),
	ALLOW(epoll_pwait),
	ALLOW(epoll_ctl),
	/* snapshots */
	ALLOW_IF(ioctl, is_get_mp_state),
	ALLOW_IF(ioctl, is_get_regs),
	ALLOW_IF(ioctl, is_get_sregs2),
	ALLOW_IF(ioctl, is_get_xsave),
	ALLOW_IF(ioctl, is_get_xsave2),
	ALLOW_IF(ioctl, is_get_xcrs),
	ALLOW_IF(ioctl, is_get_debugregs),
	ALLOW_IF(ioctl, is_get_lapic),
	ALLOW_IF(ioctl, is_get_cpuid2),
	ALLOW_IF(ioctl, is_get_tsc_khz),
	ALLOW_IF(ioctl, is_get_msr_list),
	ALLOW_IF(ioctl, is_get_msrs),
	ALLOW_IF(ioctl, is_get_events),
	ALLOW_IF(ioctl, is_get_clock),
	ALLOW_IF(ioctl, is_get_dirty_log),
	ALLOW_IF(ioctl, is_set_memory),
	ALLOW(pwrite64),
	ALLOW(lseek),
	ALLOW(ftruncate),
	/* streams, sockets, entropy */
	ALLOW(readv),
	ALLOW(writev),
	ALLOW(accept4),
	ALLOW(socketpair),
	ALLOW(sendmsg),
	ALLOW(recvmsg),
	ALLOW(sendto),
	ALLOW(recvfrom),
	ALLOW(shutdown),
	ALLOW(fcntl),
	ALLOW(poll),
	ALLOW(ppoll),
	ALLOW(getrandom),
	ALLOW(eventfd2),
	/* the balloon, the heap */
	ALLOW(fallocate),
	ALLOW(madvise),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(brk),
	ALLOW(getrusage),
	ALLOW_IF(mmap, not_code),
	ALLOW_IF(mprotect, not_code),
};

static size_t add(struct seccomp_rule *to, size_t n, const struct seccomp_rule *from, size_t from_n)
{
	for (size_t i = 0; i < from_n && n < RULES_MAX; i++)
		to[n++] = from[i];
	return n;
}

int filter_enter(enum filter_kind kind, bool on, struct err *e)
{
	struct sock_filter code[PROGRAM_MAX];
	struct seccomp_rule rules[RULES_MAX];
	struct seccomp_arch arch = {
		.audit = AUDIT_ARCH_X86_64,
		.rules = rules,
		.last_known = UINT32_MAX,
		.foreign_from = 0x40000000, /* x32 */
		.foreign_action = REFUSED,
	};
	struct seccomp_profile profile = {
		.archs = &arch,
		.archs_n = 1,
		.default_action = REFUSED,
		.newer_action = REFUSED,
		.unknown_arch_action = REFUSED,
	};
	struct sock_fprog program = { .filter = code };
	int n;

	if (!on)
		return 0;
	arch.rules_n = add(rules, 0, every, ARRAY_SIZE(every));
	switch (kind) {
	case FILTER_VCPU:
		arch.rules_n = add(rules, arch.rules_n, vcpu, ARRAY_SIZE(vcpu));
		break;
	case FILTER_DISK:
		arch.rules_n = add(rules, arch.rules_n, disk, ARRAY_SIZE(disk));
		arch.rules_n = add(rules, arch.rules_n, storage, ARRAY_SIZE(storage));
		break;
	case FILTER_HAND:
		arch.rules_n = add(rules, arch.rules_n, storage, ARRAY_SIZE(storage));
		break;
	case FILTER_LOOP:
		arch.rules_n = add(rules, arch.rules_n, loop, ARRAY_SIZE(loop));
		break;
	}
	n = seccomp_build(&profile, code, PROGRAM_MAX);
	if (n < 0)
		return err_sys(e, -n, "make the filter of system calls");
	program.len = (unsigned short) n;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return err_sys(e, errno, "filter system calls");
	return 0;
}
