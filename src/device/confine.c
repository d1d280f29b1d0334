/* SPDX-License-Identifier: Apache-2.0 */
#include "device/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/caps.h"
#include "sys/enclose.h"
#include "sys/ns.h"
#include "sys/seccomp.h"

#define FILES_MAX 65536
#define CALLS_MAX 256

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture the filter is for"
#endif

/* What every kind does: sockets and eventfds that are open already, the guest's memory. */
static const unsigned everyones[] = {
	/* messages of the front end, kicks and interrupts */
	__NR_read,
	__NR_write,
	__NR_readv,
	__NR_writev,
	__NR_recvmsg,
	__NR_recvfrom,
	__NR_sendmsg,
	__NR_sendto,
	__NR_fcntl,
	__NR_close,
	/* the loop */
	__NR_epoll_ctl,
	__NR_epoll_pwait,
#ifdef __NR_epoll_wait
	__NR_epoll_wait,
#endif
	__NR_clock_gettime,
	/* memory */
	__NR_fstat,
	__NR_newfstatat, /* as the C library does fstat */
	__NR_munmap,
	__NR_mremap,
	__NR_madvise,
	__NR_brk,
	__NR_futex,
	/* the end */
	__NR_rt_sigreturn,
	__NR_rt_sigprocmask,
	__NR_restart_syscall,
	__NR_getpid,
	__NR_gettid,
	__NR_tgkill,
	__NR_exit,
	__NR_exit_group,
};

static int own_ids(enum ns_map_kind kind, uint32_t id)
{
	const struct ns_map map = { .inside = id, .outside = id, .count = 1 };

	return ns_write_map(getpid(), kind, &map, 1);
}

/* An ordinary user gets them within a user namespace of his own, which knows him alone. */
static int own_namespaces(struct err *e)
{
	static const int spaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	const uint32_t uid = geteuid(), gid = getegid();
	int r;

	if (unshare(spaces) == 0)
		return 0;
	if (errno != EPERM || unshare(spaces | CLONE_NEWUSER) < 0)
		return err_sys(e, errno, "make namespaces of its own");
	r = ns_deny_setgroups(getpid());
	r = r < 0 ? r : own_ids(NS_MAP_UID, uid);
	r = r < 0 ? r : own_ids(NS_MAP_GID, gid);
	return r < 0 ? err_sys(e, -r, "map the ids of its namespace") : 0;
}

static int limit(struct err *e)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "read the limit of open files");
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "set limits");
	return 0;
}

static int drop_capabilities(uint64_t keep, struct err *e)
{
	struct caps c;
	int r = caps_get(&c);

	c = (struct caps){ .effective = c.permitted & keep, .permitted = c.permitted & keep };
	r = r < 0 ? r : caps_ambient(0);
	r = r < 0 ? r : caps_bound(keep);
	r = r < 0 ? r : caps_set(&c);
	return r < 0 ? err_sys(e, -r, "drop capabilities") : 0;
}

/* What pthread_create() asks for, and no more: clone3() has it in memory, where no filter looks. */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static const struct seccomp_condition is_thread = { 0, SECCOMP_EQ, THREAD_FLAGS, 0 };
static const struct seccomp_condition own_fs = { 0, SECCOMP_EQ, CLONE_FS, 0 };
static const struct seccomp_rule threads[] = {
	{ __NR_clone, SECCOMP_RET_ALLOW, &is_thread, 1 },
	{ __NR_clone3, SECCOMP_RET_ERRNO | ENOSYS, NULL, 0 },
	{ __NR_unshare, SECCOMP_RET_ALLOW, &own_fs, 1 },
	{ __NR_rt_sigaction, SECCOMP_RET_ALLOW, NULL, 0 }, /* with the first one */
	{ __NR_set_robust_list, SECCOMP_RET_ALLOW, NULL, 0 },
	{ __NR_rseq, SECCOMP_RET_ALLOW, NULL, 0 },
	{ __NR_eventfd2, SECCOMP_RET_ALLOW, NULL, 0 },
};

static int filter(const struct confine *c, struct err *e)
{
	const struct seccomp_condition same = { 1, SECCOMP_EQ, c->ioctl, 0 };
	const struct seccomp_condition no_code = { 2, SECCOMP_MASKED_EQ, PROT_EXEC, 0 };
	const struct seccomp_rule conditional[] = {
		{ __NR_mmap, SECCOMP_RET_ALLOW, &no_code, 1 },
		{ __NR_mprotect, SECCOMP_RET_ALLOW, &no_code, 1 },
		{ __NR_ioctl, SECCOMP_RET_ALLOW, &same, 1 },
	};
	struct seccomp_rule rules[CALLS_MAX + ARRAY_SIZE(conditional) + ARRAY_SIZE(threads)];
	struct seccomp_arch arch = { .audit = OWN_ARCH,
				     .rules = rules,
				     .last_known = UINT32_MAX,
				     .foreign_from = UINT32_MAX };
	const struct seccomp_profile profile = {
		.archs = &arch,
		.archs_n = 1,
		.default_action = SECCOMP_RET_KILL_PROCESS,
		.newer_action = SECCOMP_RET_KILL_PROCESS,
		.unknown_arch_action = SECCOMP_RET_KILL_PROCESS,
	};
	auto_free struct sock_filter *code = calloc(SECCOMP_PROGRAM_MAX, sizeof(*code));
	struct sock_fprog program = { .filter = code };
	int n;

	if (!code)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	for (size_t i = 0; i < ARRAY_SIZE(everyones) + c->calls_n && i < CALLS_MAX; i++)
		rules[arch.rules_n++] = (struct seccomp_rule){
			.nr = i < ARRAY_SIZE(everyones) ? everyones[i]
							: c->calls[i - ARRAY_SIZE(everyones)],
			.action = SECCOMP_RET_ALLOW,
		};
	for (size_t i = 0; i < ARRAY_SIZE(conditional) - (c->ioctl ? 0 : 1); i++)
		rules[arch.rules_n++] = conditional[i];
	for (size_t i = 0; i < ARRAY_SIZE(threads) && c->threads; i++)
		rules[arch.rules_n++] = threads[i];
	n = seccomp_build(&profile, code, SECCOMP_PROGRAM_MAX);
	if (n < 0)
		return err_sys(e, -n, "build the filter of system calls");
	program.len = (unsigned short) n;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return err_sys(e, errno, "set the filter of system calls");
	return 0;
}

int confine_enter(const struct confine *c, struct err *e)
{
	int death_signal = 0, r;

	/* A change of credentials may forget the signal for the parent's death. */
	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "see what the death of the parent means");
	r = own_namespaces(e);
	if (r == 0)
		r = enclose_root(e);
	if (r < 0)
		return r;
	enclose_fds(0, c->keep, c->keep_n);
	r = limit(e);
	if (r == 0)
		r = drop_capabilities(c->capabilities, e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	/* A sanitizer's runtime makes calls of its own. */
	return SANITIZED ? 0 : filter(c, e);
}
