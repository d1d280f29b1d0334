/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "sys/enclose.h"
#include "sys/filter.h"

#define NAMES_MAX  ((size_t) 1 << 20) /* of each file */
#define MEMORY_MAX ((rlim_t) 256 << 20)

static const char *const names[] = { "etc/resolv.conf", "etc/hosts",	"etc/nsswitch.conf",
				     "etc/gai.conf",	"etc/services", "etc/protocols" };

#define SOCKET_IS(name, domain_)                                                                   \
	static const struct seccomp_condition name[] = {                                           \
		{ .arg = 0, .op = SECCOMP_EQ, .value = (domain_) }                                 \
	}
SOCKET_IS(is_inet, AF_INET);
SOCKET_IS(is_inet6, AF_INET6);
SOCKET_IS(is_netlink, AF_NETLINK); /* getaddrinfo(3): which addresses there are */

static const struct seccomp_condition is_thread[] = {
	{ .arg = 0, .op = SECCOMP_MASKED_EQ, .value = CLONE_THREAD, .value_two = CLONE_THREAD }
};

static const struct seccomp_rule calls[] = {
	FILTER_CALL_IF(socket, is_inet),
	FILTER_CALL_IF(socket, is_inet6),
	FILTER_CALL_IF(socket, is_netlink),
	FILTER_CALL(bind),
	FILTER_CALL(connect),
	FILTER_CALL(shutdown),
	FILTER_CALL(getsockopt),
	FILTER_CALL(setsockopt),
	FILTER_CALL(getsockname),
	FILTER_CALL(getpeername),
	FILTER_CALL(sendto),
	FILTER_CALL(sendmsg),
	FILTER_CALL(sendmmsg),
	FILTER_CALL(recvfrom),
	FILTER_CALL(recvmsg),
	FILTER_CALL(poll),
	FILTER_CALL(ppoll),
	FILTER_CALL(ioctl), /* FIONREAD, FIONBIO: of sockets, there are no devices */
	FILTER_CALL(fcntl),
	FILTER_CALL(close),
	/* what is fetched, and how far it is; the resolver's files */
	FILTER_CALL(read),
	FILTER_CALL(write),
	FILTER_CALL(pwrite64),
	FILTER_CALL(pread64),
	FILTER_CALL(splice),
	FILTER_CALL(lseek),
	FILTER_CALL(openat),
	FILTER_CALL(fstat),
	FILTER_CALL(newfstatat),
	/* the resolver's threads, and libcurl's wake-ups */
	FILTER_CALL_IF(clone, is_thread),
	FILTER_CALL(socketpair),
	FILTER_CALL(pipe2),
	FILTER_CALL(eventfd2),
	FILTER_CALL(set_robust_list),
	FILTER_CALL(rseq),
	FILTER_CALL(sched_getaffinity),
	FILTER_CALL(sched_yield),
	FILTER_CALL(exit),
	FILTER_CALL(clock_nanosleep),
	FILTER_CALL(rt_sigaction),
	FILTER_CALL(getrandom),
	FILTER_CALL(getuid),
	FILTER_CALL(geteuid),
	FILTER_CALL(uname),
	FILTER_CALL(sysinfo),
};
/* What the libraries try, and do without: clone3 has its flags in memory. */
static const struct seccomp_rule without[] = {
	{ .nr = SYS_clone3, .action = SECCOMP_RET_ERRNO | ENOSYS },
	{ .nr = SYS_socket, .action = SECCOMP_RET_ERRNO | EAFNOSUPPORT },
	{ .nr = SYS_prctl, .action = SECCOMP_RET_ERRNO | EPERM },
};

static int limit(struct err *e)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "read the limit of open files");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "set limits");
#if !defined(__SANITIZE_ADDRESS__)
	if (setrlimit(RLIMIT_DATA, &(struct rlimit){ MEMORY_MAX, MEMORY_MAX }) < 0)
		return err_sys(e, errno, "set a limit of memory");
#endif
	return 0;
}

static int enter_root(struct err *e)
{
	struct buf texts[ARRAY_SIZE(names)];
	struct enclose_file files[ARRAY_SIZE(names)];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];

		texts[i] = BUF_INIT(NAMES_MAX);
		(void) snprintf(path, sizeof(path), "/%s", names[i]);
		if (file_read(AT_FDCWD, path, &texts[i]) < 0)
			continue; /* not there: so it is for whoever asks */
		files[n++] = (struct enclose_file){ names[i], buf_z(&texts[i]), texts[i].n };
	}
	r = enclose_root_with(files, n, e);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		buf_fini(&texts[i]);
	return r;
}

int confine(int sock, struct err *e)
{
	static const struct filter_table own = FILTER_TABLE(calls), rest = FILTER_TABLE(without);
	const struct filter_table tables[] = { filter_common, own, rest };
	const int keep[] = { STDERR_FILENO, sock };

	if (enclose_but_network(e) < 0 || enter_root(e) < 0)
		return -1;
	enclose_fds(0, keep, ARRAY_SIZE(keep));
	if (limit(e) < 0 || enclose_caps(0, e) < 0)
		return -1;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return filter_set(tables, ARRAY_SIZE(tables), e);
}
