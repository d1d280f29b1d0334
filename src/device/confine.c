/* SPDX-License-Identifier: Apache-2.0 */
#include "device/confine.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "sys/enclose.h"
#include "sys/filter.h"

#define FILES_MAX 65536

/* What every kind does: sockets and eventfds that are open already, the guest's memory. */
static const struct seccomp_rule everyones[] = {
	/* messages of the front end, kicks and interrupts */
	FILTER_CALL(read),
	FILTER_CALL(write),
	FILTER_CALL(readv),
	FILTER_CALL(writev),
	FILTER_CALL(recvmsg),
	FILTER_CALL(recvfrom),
	FILTER_CALL(sendmsg),
	FILTER_CALL(sendto),
	FILTER_CALL(fcntl),
	FILTER_CALL(close),
	/* the loop */
	FILTER_CALL(epoll_ctl),
	FILTER_CALL(epoll_pwait),
	/* memory */
	FILTER_CALL(fstat),
	FILTER_CALL(newfstatat), /* as the C library does fstat */
	/* a thread's end */
	FILTER_CALL(exit),
};

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

/* What pthread_create() asks for, and no more: clone3() has it in memory, where no filter looks. */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

FILTER_ARG_IS(is_thread, 0, THREAD_FLAGS);
FILTER_ARG_IS(own_fs, 0, CLONE_FS);
static const struct seccomp_rule threads[] = {
	FILTER_CALL_IF(clone, is_thread),
	{ .nr = SYS_clone3, .action = SECCOMP_RET_ERRNO | ENOSYS },
	FILTER_CALL_IF(unshare, own_fs),
	FILTER_CALL(rt_sigaction), /* with the first one */
	FILTER_CALL(set_robust_list),
	FILTER_CALL(rseq),
	FILTER_CALL(eventfd2),
};

static int filter(const struct confine *c, struct err *e)
{
	const struct seccomp_condition same = { .arg = 1, .op = SECCOMP_EQ, .value = c->ioctl };
	const struct seccomp_rule one = {
		.nr = SYS_ioctl, .action = SECCOMP_RET_ALLOW, .conditions = &same, .conditions_n = 1
	};
	const struct filter_table tables[] = {
		filter_common,
		FILTER_TABLE(everyones),
		{ c->calls, c->calls_n },
		{ &one, c->ioctl ? 1 : 0 },
		{ threads, c->threads ? ARRAY_SIZE(threads) : 0 },
	};

	return filter_set(tables, ARRAY_SIZE(tables), e);
}

int confine_enter(const struct confine *c, struct err *e)
{
	int death_signal = 0, r;

	/* A change of credentials may forget the signal for the parent's death. */
	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "see what the death of the parent means");
	r = enclose_namespaces(e);
	if (r == 0)
		r = enclose_root(e);
	if (r < 0)
		return r;
	enclose_fds(0, c->keep, c->keep_n);
	r = limit(e);
	if (r == 0)
		r = enclose_caps(c->capabilities, e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return filter(c, e);
}
