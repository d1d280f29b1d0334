/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/caps.h"
#include "sys/enclose.h"
#include "sys/mount.h"
#include "sys/ns.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

int confine_directory(int *fd, bool read_only, struct err *e)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
		       (read_only ? MOUNT_ATTR_RDONLY : 0),
		.userns_fd = FD_NONE,
	};
	uint64_t id;
	bool is_root = false;
	int r, clone = mount_clone(*fd, "", false);

	if (clone < 0) {
		/* A mount that is detached already is as good as our own clone of it. */
		r = mount_id(*fd, &id, &is_root);
		return r == 0 && is_root ? 0 : err_sys(e, -clone, "confine a directory");
	}
	r = mount_change(clone, "", false, &change);
	if (r < 0) {
		(void) close(clone);
		return err_sys(e, -r, "confine a directory");
	}
	close_fd(fd);
	*fd = clone;
	return 0;
}

pid_t confine_fork(struct err *e)
{
	static const uint64_t spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
				       CLONE_NEWUTS;
	struct ns_map uids[NS_MAPS_MAX], gids[NS_MAPS_MAX];
	size_t uids_n = 0, gids_n = 0;
	bool mapped = true;
	int go[2], pidfd = FD_NONE, r = 0;
	pid_t pid;
	char c = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, go) < 0)
		return err_sys(e, errno, "make a socket");
	pid = ns_clone(spaces | CLONE_NEWUSER, FD_NONE, &pidfd);
	if (pid == -EPERM || pid == -ENOSPC || pid == -EINVAL || pid == -EUSERS) {
		mapped = false;
		pid = ns_clone(spaces, FD_NONE, &pidfd);
	}
	if (pid == 0) {
		(void) close(go[0]);
		if (recv(go[1], &c, 1, 0) != 1)
			_exit(1); /* the other half told why */
		(void) close(go[1]);
		return 0;
	}
	(void) close(go[1]);
	close_fd(&pidfd);
	if (pid < 0) {
		(void) close(go[0]);
		return err_sys(e, -pid, "make namespaces for the unpacker");
	}
	if (mapped) {
		r = ns_same_ids(NS_MAP_UID, uids, NS_MAPS_MAX, &uids_n);
		r = r < 0 ? r : ns_same_ids(NS_MAP_GID, gids, NS_MAPS_MAX, &gids_n);
		r = r < 0 ? r : ns_write_map(pid, NS_MAP_UID, uids, uids_n);
		r = r < 0 ? r : ns_write_map(pid, NS_MAP_GID, gids, gids_n);
	}
	if (r == 0 && send(go[0], &c, 1, MSG_NOSIGNAL) < 0)
		r = -errno;
	(void) close(go[0]);
	if (r < 0) {
		(void) kill(pid, SIGKILL);
		(void) waitpid(pid, NULL, 0); /* it is gone either way */
		return err_sys(e, -r, "map the ids of the unpacker");
	}
	return pid;
}

static int limit(struct err *e)
{
	const struct rlimit none = { 0, 0 }, memory = { (rlim_t) 4 << 30, (rlim_t) 4 << 30 };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "limit the unpacker");
	files.rlim_cur = files.rlim_max; /* packing holds one descriptor per level */
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "limit the unpacker");
	/* The sanitizer's shadow memory counts as data. */
	if (!SANITIZED && setrlimit(RLIMIT_DATA, &memory) < 0)
		return err_sys(e, errno, "limit the unpacker's memory");
	return 0;
}

/* What writing files of any owner and mode takes, and no more. */
static int drop_caps(struct err *e)
{
	const uint64_t keep = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
			      UINT64_C(1) << CAP_FOWNER | UINT64_C(1) << CAP_FSETID |
			      UINT64_C(1) << CAP_SETFCAP;
	const struct caps c = { .effective = keep, .permitted = keep };
	int r = caps_bound(keep);

	if (r == 0)
		r = caps_set(&c);
	return r < 0 ? err_sys(e, -r, "drop the unpacker's capabilities") : 0;
}

/* The calls that unpacking and packing make, by what needs them. */
static const char *const allowed[] = {
	/* bytes */
	"read",
	"write",
	"pread64",
	"pwrite64",
	"readv",
	"writev",
	"lseek",
	"copy_file_range",
	"ftruncate",
	"sync_file_range",
	/* the tree, by descriptor */
	"openat",
	"openat2",
	"close",
	"fstat",
	"newfstatat",
	"statx",
	"getdents64",
	"mkdirat",
	"mknodat",
	"unlinkat",
	"renameat",
	"renameat2",
	"linkat",
	"symlinkat",
	"readlinkat",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"fchown",
	"fchownat",
	"utimensat",
	"fsetxattr",
	"fgetxattr",
	"flistxattr",
	"fcntl",
	"fstatfs",
	/* the two sockets */
	"sendmsg",
	"recvmsg",
	"sendto",
	"recvfrom",
	/* memory and the C library */
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"brk",
	"futex",
	"getrandom",
	"sysinfo",
	"clock_gettime",
	"rt_sigreturn",
	"rt_sigprocmask",
	"rt_sigaction",
	"restart_syscall",
	"getpid",
	"gettid",
	"tgkill",
	"exit",
	"exit_group",
	"sched_yield",
};

static int filter(struct err *e)
{
	/* The sanitizer's runtime makes calls of its own. */
	scmp_filter_ctx f = seccomp_init(SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && r == 0; i++) {
		int nr = seccomp_syscall_resolve_name(allowed[i]);

		/* A call this library does not know yet is not made by what was built with it. */
		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
	}
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r < 0 ? err_sys(e, -r, "filter the unpacker's system calls") : 0;
}

int confine_enter(const int *keep, size_t keep_n, struct err *e)
{
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "confine the unpacker");
	r = enclose_root(e);
	if (r < 0)
		return err_ctx(e, "confine the unpacker");
	enclose_fds(0, keep, keep_n);
	r = limit(e);
	if (r == 0)
		r = drop_caps(e);
	return r < 0 ? r : filter(e);
}
