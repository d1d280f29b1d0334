/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/filter.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <unistd.h>

#include "sys/filter.h"

FILTER_ARG_IS(is_run, 1, KVM_RUN);
FILTER_ARG_IS(is_clock, 1, KVM_KVMCLOCK_CTRL);
FILTER_ARG_IS(is_signal_msi, 1, KVM_SIGNAL_MSI);
FILTER_ARG_IS(is_doorbell, 1, KVM_IOEVENTFD);
FILTER_ARG_IS(is_route, 1, KVM_SET_GSI_ROUTING);
FILTER_ARG_IS(is_wire, 1, KVM_IRQFD);
FILTER_ARG_IS(is_tap_offload, 1, TUNSETOFFLOAD);
/* A snapshot: what KVM knows of processors and memory is read. Nothing of it is set. */
FILTER_ARG_IS(is_get_mp_state, 1, KVM_GET_MP_STATE);
FILTER_ARG_IS(is_get_regs, 1, KVM_GET_REGS);
FILTER_ARG_IS(is_get_sregs2, 1, KVM_GET_SREGS2);
FILTER_ARG_IS(is_get_xsave, 1, KVM_GET_XSAVE);
FILTER_ARG_IS(is_get_xsave2, 1, KVM_GET_XSAVE2);
FILTER_ARG_IS(is_get_xcrs, 1, KVM_GET_XCRS);
FILTER_ARG_IS(is_get_debugregs, 1, KVM_GET_DEBUGREGS);
FILTER_ARG_IS(is_get_lapic, 1, KVM_GET_LAPIC);
FILTER_ARG_IS(is_get_cpuid2, 1, KVM_GET_CPUID2);
FILTER_ARG_IS(is_get_tsc_khz, 1, KVM_GET_TSC_KHZ);
FILTER_ARG_IS(is_get_msr_list, 1, KVM_GET_MSR_INDEX_LIST);
FILTER_ARG_IS(is_get_msrs, 1, KVM_GET_MSRS);
FILTER_ARG_IS(is_get_events, 1, KVM_GET_VCPU_EVENTS);
FILTER_ARG_IS(is_get_clock, 1, KVM_GET_CLOCK);
FILTER_ARG_IS(is_get_dirty_log, 1, KVM_GET_DIRTY_LOG);
/* But that changes are kept account of from now on. */
FILTER_ARG_IS(is_set_memory, 1, KVM_SET_USER_MEMORY_REGION);

/* What every thread does: wait for others, wake the loop, take a signal, say why it ends. */
static const struct seccomp_rule every[] = {
	FILTER_CALL(write),	      FILTER_CALL(futex),	  FILTER_CALL(rt_sigreturn),
	FILTER_CALL(rt_sigprocmask),  FILTER_CALL(clock_gettime), FILTER_CALL(exit_group),
	FILTER_CALL(restart_syscall), FILTER_CALL(getpid),	  FILTER_CALL(gettid),
	FILTER_CALL(tgkill),
};
static const struct seccomp_rule vcpu[] = {
	FILTER_CALL_IF(ioctl, is_run),
	FILTER_CALL_IF(ioctl, is_clock),
};
static const struct seccomp_rule disk[] = {
	FILTER_CALL_IF(ioctl, is_signal_msi),
	FILTER_CALL(read),
	FILTER_CALL(epoll_pwait),
};
/* A disk's and its hands': what is done to the file. */
static const struct seccomp_rule storage[] = {
	FILTER_CALL(pwrite64), FILTER_CALL(preadv),    FILTER_CALL(preadv2),   FILTER_CALL(pwritev),
	FILTER_CALL(pwritev2), FILTER_CALL(fdatasync), FILTER_CALL(fallocate),
};
static const struct seccomp_rule loop[] = {
	FILTER_CALL_IF(ioctl, is_signal_msi),
	FILTER_CALL_IF(ioctl, is_doorbell),
	FILTER_CALL_IF(ioctl, is_route),
	FILTER_CALL_IF(ioctl, is_wire),
	FILTER_CALL_IF(ioctl, is_tap_offload),
	FILTER_CALL(read),
	FILTER_CALL(close),
	FILTER_CALL(epoll_pwait),
	FILTER_CALL(epoll_ctl),
	/* snapshots */
	FILTER_CALL_IF(ioctl, is_get_mp_state),
	FILTER_CALL_IF(ioctl, is_get_regs),
	FILTER_CALL_IF(ioctl, is_get_sregs2),
	FILTER_CALL_IF(ioctl, is_get_xsave),
	FILTER_CALL_IF(ioctl, is_get_xsave2),
	FILTER_CALL_IF(ioctl, is_get_xcrs),
	FILTER_CALL_IF(ioctl, is_get_debugregs),
	FILTER_CALL_IF(ioctl, is_get_lapic),
	FILTER_CALL_IF(ioctl, is_get_cpuid2),
	FILTER_CALL_IF(ioctl, is_get_tsc_khz),
	FILTER_CALL_IF(ioctl, is_get_msr_list),
	FILTER_CALL_IF(ioctl, is_get_msrs),
	FILTER_CALL_IF(ioctl, is_get_events),
	FILTER_CALL_IF(ioctl, is_get_clock),
	FILTER_CALL_IF(ioctl, is_get_dirty_log),
	FILTER_CALL_IF(ioctl, is_set_memory),
	FILTER_CALL(pwrite64),
	FILTER_CALL(lseek),
	FILTER_CALL(ftruncate),
	/* streams, sockets, entropy */
	FILTER_CALL(readv),
	FILTER_CALL(writev),
	FILTER_CALL(accept4),
	FILTER_CALL(socketpair),
	FILTER_CALL(sendmsg),
	FILTER_CALL(recvmsg),
	FILTER_CALL(sendto),
	FILTER_CALL(recvfrom),
	FILTER_CALL(shutdown),
	FILTER_CALL(getsockname),
	FILTER_CALL_IF(setsockopt, filter_linger),
	FILTER_CALL(fcntl),
	FILTER_CALL(poll),
	FILTER_CALL(ppoll),
	FILTER_CALL(getrandom),
	FILTER_CALL(eventfd2),
	/* the balloon, the heap */
	FILTER_CALL(fallocate),
	FILTER_CALL(madvise),
	FILTER_CALL(munmap),
	FILTER_CALL(mremap),
	FILTER_CALL(brk),
	FILTER_CALL(getrusage),
	FILTER_CALL_IF(mmap, filter_not_code),
	FILTER_CALL_IF(mprotect, filter_not_code),
};

int filter_enter(enum filter_kind kind, bool on, struct err *e)
{
	static const struct filter_table vcpus[] = { FILTER_TABLE(every), FILTER_TABLE(vcpu) };
	static const struct filter_table disks[] = { FILTER_TABLE(every), FILTER_TABLE(disk),
						     FILTER_TABLE(storage) };
	static const struct filter_table hands[] = { FILTER_TABLE(every), FILTER_TABLE(storage) };
	static const struct filter_table loops[] = { FILTER_TABLE(every), FILTER_TABLE(loop) };

	if (!on)
		return 0;
	switch (kind) {
	case FILTER_VCPU:
		return filter_set(vcpus, ARRAY_SIZE(vcpus), e);
	case FILTER_DISK:
		return filter_set(disks, ARRAY_SIZE(disks), e);
	case FILTER_HAND:
		return filter_set(hands, ARRAY_SIZE(hands), e);
	case FILTER_LOOP:
		return filter_set(loops, ARRAY_SIZE(loops), e);
	}
	return err_set(e, ERR_INTERNAL, EINVAL, "no such kind of thread");
}
