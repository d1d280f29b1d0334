/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default filter of system calls. Made from the kernel's own lists (Linux 6.18: x86-64, i386
 * and the generic one of the other architectures): everything a program may ask for is let through,
 * except what follows from one of these rules, so that a call that is new tomorrow is refused until
 * somebody judged it (ENOSYS: programs then use what they used before).
 *
 *  - It acts on the whole machine (mount, reboot, kexec, modules, clock, swap): with the capability
 *    that the kernel asks for as well, in `granted`.
 *  - It makes or joins namespaces: with CAP_SYS_ADMIN. clone() is let through without their flags;
 *    clone3() hides its flags in memory where no filter sees them, so it is ENOSYS and the C
 * library goes on with clone().
 *  - Much of the kernel's attack surface for little use in a workload: keyrings (not namespaced),
 *    io_uring, userfaultfd, bpf, perf events, AF_VSOCK sockets (they reach the host).
 *  - Calls that only obsolete kernels or 16-bit programs know.
 */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "fmt/json.h"
#include "svc/plan.h"

static const char *const allowed[] = {
	"_llseek",
	"_newselect",
	"accept",
	"accept4",
	"access",
	"adjtimex",
	"alarm",
	"arch_prctl",
	"arm_fadvise64_64",
	"bind",
	"brk",
	"cacheflush",
	"cachestat",
	"capget",
	"capset",
	"chdir",
	"chmod",
	"chown",
	"chown32",
	"clock_adjtime",
	"clock_adjtime64",
	"clock_getres",
	"clock_getres_time64",
	"clock_gettime",
	"clock_gettime64",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"close",
	"close_range",
	"connect",
	"copy_file_range",
	"creat",
	"dup",
	"dup2",
	"dup3",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd",
	"eventfd2",
	"execve",
	"execveat",
	"exit",
	"exit_group",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fadvise64_64",
	"fallocate",
	"fanotify_mark",
	"fchdir",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"fchown",
	"fchown32",
	"fchownat",
	"fcntl",
	"fcntl64",
	"fdatasync",
	"fgetxattr",
	"file_getattr",
	"flistxattr",
	"flock",
	"fork",
	"fremovexattr",
	"fsetxattr",
	"fstat",
	"fstat64",
	"fstatat",
	"fstatat64",
	"fstatfs",
	"fstatfs64",
	"fsync",
	"ftruncate",
	"ftruncate64",
	"futex",
	"futex_requeue",
	"futex_time64",
	"futex_wait",
	"futex_waitv",
	"futex_wake",
	"futimesat",
	"get_robust_list",
	"get_thread_area",
	"getcpu",
	"getcwd",
	"getdents",
	"getdents64",
	"getegid",
	"getegid32",
	"geteuid",
	"geteuid32",
	"getgid",
	"getgid32",
	"getgroups",
	"getgroups32",
	"getitimer",
	"getpeername",
	"getpgid",
	"getpgrp",
	"getpid",
	"getppid",
	"getpriority",
	"getrandom",
	"getresgid",
	"getresgid32",
	"getresuid",
	"getresuid32",
	"getrlimit",
	"getrusage",
	"getsid",
	"getsockname",
	"getsockopt",
	"gettid",
	"gettimeofday",
	"getuid",
	"getuid32",
	"getxattr",
	"getxattrat",
	"inotify_add_watch",
	"inotify_init",
	"inotify_init1",
	"inotify_rm_watch",
	"io_cancel",
	"io_destroy",
	"io_getevents",
	"io_pgetevents",
	"io_pgetevents_time64",
	"io_setup",
	"io_submit",
	"ioctl",
	"ioprio_get",
	"ioprio_set",
	"ipc",
	"kill",
	"landlock_add_rule",
	"landlock_create_ruleset",
	"landlock_restrict_self",
	"lchown",
	"lchown32",
	"lgetxattr",
	"link",
	"linkat",
	"listen",
	"listmount",
	"listxattr",
	"listxattrat",
	"llistxattr",
	"llseek",
	"lremovexattr",
	"lseek",
	"lsetxattr",
	"lstat",
	"lstat64",
	"madvise",
	"map_shadow_stack",
	"membarrier",
	"memfd_create",
	"memfd_secret",
	"mincore",
	"mkdir",
	"mkdirat",
	"mknod",
	"mknodat",
	"mlock",
	"mlock2",
	"mlockall",
	"mmap",
	"mmap2",
	"modify_ldt",
	"mprotect",
	"mq_getsetattr",
	"mq_notify",
	"mq_open",
	"mq_timedreceive",
	"mq_timedreceive_time64",
	"mq_timedsend",
	"mq_timedsend_time64",
	"mq_unlink",
	"mremap",
	"mseal",
	"msgctl",
	"msgget",
	"msgrcv",
	"msgsnd",
	"msync",
	"munlock",
	"munlockall",
	"munmap",
	"name_to_handle_at",
	"nanosleep",
	"newfstatat",
	"nice",
	"oldfstat",
	"oldlstat",
	"oldolduname",
	"oldstat",
	"olduname",
	"open",
	"openat",
	"openat2",
	"pause",
	"pidfd_open",
	"pidfd_send_signal",
	"pipe",
	"pipe2",
	"pkey_alloc",
	"pkey_free",
	"pkey_mprotect",
	"poll",
	"ppoll",
	"ppoll_time64",
	"prctl",
	"pread64",
	"preadv",
	"preadv2",
	"prlimit64",
	"process_madvise",
	"process_mrelease",
	"process_vm_readv",
	"process_vm_writev",
	"pselect6",
	"pselect6_time64",
	"ptrace",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readahead",
	"readdir",
	"readlink",
	"readlinkat",
	"readv",
	"recvfrom",
	"recvmmsg",
	"recvmmsg_time64",
	"recvmsg",
	"remap_file_pages",
	"removexattr",
	"removexattrat",
	"rename",
	"renameat",
	"renameat2",
	"restart_syscall",
	"riscv_flush_icache",
	"rmdir",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigqueueinfo",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"rt_sigtimedwait_time64",
	"rt_tgsigqueueinfo",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"sched_getaffinity",
	"sched_getattr",
	"sched_getparam",
	"sched_getscheduler",
	"sched_rr_get_interval",
	"sched_rr_get_interval_time64",
	"sched_setaffinity",
	"sched_setattr",
	"sched_setparam",
	"sched_setscheduler",
	"sched_yield",
	"seccomp",
	"select",
	"semctl",
	"semget",
	"semop",
	"semtimedop",
	"semtimedop_time64",
	"sendfile",
	"sendfile64",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"set_robust_list",
	"set_thread_area",
	"set_tid_address",
	"setfsgid",
	"setfsgid32",
	"setfsuid",
	"setfsuid32",
	"setgid",
	"setgid32",
	"setgroups",
	"setgroups32",
	"setitimer",
	"setpgid",
	"setpriority",
	"setregid",
	"setregid32",
	"setresgid",
	"setresgid32",
	"setresuid",
	"setresuid32",
	"setreuid",
	"setreuid32",
	"setrlimit",
	"setsid",
	"setsockopt",
	"setuid",
	"setuid32",
	"setxattr",
	"setxattrat",
	"sgetmask",
	"shmat",
	"shmctl",
	"shmdt",
	"shmget",
	"shutdown",
	"sigaction",
	"sigaltstack",
	"signal",
	"signalfd",
	"signalfd4",
	"sigpending",
	"sigprocmask",
	"sigreturn",
	"sigsuspend",
	"socketcall",
	"socketpair",
	"splice",
	"ssetmask",
	"stat",
	"stat64",
	"statfs",
	"statfs64",
	"statmount",
	"statx",
	"symlink",
	"symlinkat",
	"sync",
	"sync_file_range",
	"sync_file_range2",
	"syncfs",
	"sysinfo",
	"tee",
	"tgkill",
	"time",
	"timer_create",
	"timer_delete",
	"timer_getoverrun",
	"timer_gettime",
	"timer_gettime64",
	"timer_settime",
	"timer_settime64",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_gettime64",
	"timerfd_settime",
	"timerfd_settime64",
	"times",
	"tkill",
	"truncate",
	"truncate64",
	"ugetrlimit",
	"umask",
	"uname",
	"unlink",
	"unlinkat",
	"uretprobe",
	"utime",
	"utimensat",
	"utimensat_time64",
	"utimes",
	"vfork",
	"vmsplice",
	"wait4",
	"waitid",
	"waitpid",
	"write",
	"writev",
};

/* Refused whatever the capabilities (but to a privileged workload, which has no filter). */
static const char *const refused[] = {
	"_sysctl",	   "acct",	     "add_key",		  "create_module",  "delete_module",
	"get_kernel_syms", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl",
	"lookup_dcookie",  "nfsservctl",     "pivot_root",	  "query_module",   "request_key",
	"sysfs",	   "uselib",	     "userfaultfd",	  "ustat",	    "vm86",
	"vm86old",
};

struct grant {
	const char *cap;
	const char *const *names; /* NULL-terminated */
};
#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const struct grant granted[] = {
	{ "CAP_BPF", NAMES("bpf") },
	{ "CAP_DAC_READ_SEARCH", NAMES("open_by_handle_at") },
	{ "CAP_PERFMON", NAMES("perf_event_open") },
	{ "CAP_SYSLOG", NAMES("syslog") },
	{ "CAP_SYS_ADMIN",
	  NAMES("bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen",
		"fspick", "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open",
		"quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "swapoff",
		"swapon", "syslog", "umount", "umount2", "unshare") },
	{ "CAP_SYS_BOOT", NAMES("kexec_file_load", "kexec_load", "reboot") },
	{ "CAP_SYS_CHROOT", NAMES("chroot") },
	{ "CAP_SYS_MODULE", NAMES("delete_module", "finit_module", "init_module") },
	{ "CAP_SYS_NICE", NAMES("get_mempolicy", "mbind", "migrate_pages", "move_pages",
				"set_mempolicy", "set_mempolicy_home_node") },
	{ "CAP_SYS_PACCT", NAMES("acct") },
	{ "CAP_SYS_PTRACE", NAMES("kcmp", "pidfd_getfd") },
	{ "CAP_SYS_RAWIO", NAMES("ioperm", "iopl") },
	{ "CAP_SYS_TIME", NAMES("clock_settime", "clock_settime64", "settimeofday", "stime") },
	{ "CAP_SYS_TTY_CONFIG", NAMES("vhangup") },
};

/* Without CAP_SYS_ADMIN clone() may set none of these: the CLONE_NEW* bits. */
#define CLONE_NEW_BITS 0x7E020000u /* NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET */
#define FAMILY_VSOCK   40	   /* AF_VSOCK */

static const uint64_t clone_bits[] = { 0x00020000, 0x02000000, 0x04000000, 0x08000000,
				       0x10000000, 0x20000000, 0x40000000 };

/* Linux personalities that programs use: PER_LINUX, PER_LINUX32, with UNAME26, and the query. */
static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

static void rule_begin(struct json_writer *w)
{
	json_w_object(w, NULL);
	json_w_array(w, "names");
}

static void rule_end(struct json_writer *w, const char *action, unsigned errno_ret)
{
	json_w_end(w);
	json_w_string(w, "action", action);
	if (errno_ret)
		json_w_u64(w, "errnoRet", errno_ret);
	json_w_end(w);
}

/* names: [name], with one condition on the first argument. errno_ret 0: allowed then. */
static void rule_if(struct json_writer *w, const char *name, const char *op, uint64_t value,
		    uint64_t value_two, unsigned errno_ret)
{
	rule_begin(w);
	json_w_string(w, NULL, name);
	json_w_end(w);
	json_w_string(w, "action", errno_ret ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
	if (errno_ret)
		json_w_u64(w, "errnoRet", errno_ret);
	json_w_array(w, "args");
	json_w_object(w, NULL);
	json_w_u64(w, "index", 0);
	json_w_u64(w, "value", value);
	if (value_two)
		json_w_u64(w, "valueTwo", value_two);
	json_w_string(w, "op", op);
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
}

static bool has(const char *const *caps, const char *cap)
{
	for (; *caps; caps++) {
		if (streq(*caps, cap))
			return true;
	}
	return false;
}

/* Whether a capability that the workload has lets the call through. */
static bool is_granted(const char *name, const char *const *caps)
{
	for (size_t i = 0; i < ARRAY_SIZE(granted); i++) {
		for (const char *const *n = granted[i].names; *n; n++) {
			if (streq(*n, name) && has(caps, granted[i].cap))
				return true;
		}
	}
	return false;
}

/* only_refused: those that no other capability of the workload lets through; not clone3, which
 * must look unknown for the C library to go on with clone(). */
static void names(struct json_writer *w, const char *const *list, const char *const *caps,
		  bool only_refused)
{
	for (; *list; list++) {
		if (!only_refused || (!is_granted(*list, caps) && strncmp(*list, "clone", 5) != 0))
			json_w_string(w, NULL, *list);
	}
}

static void architectures(struct json_writer *w)
{
	json_w_array(w, "architectures");
#if defined(__x86_64__)
	json_w_string(w, NULL, "SCMP_ARCH_X86_64");
	json_w_string(w, NULL, "SCMP_ARCH_X86");
	json_w_string(w, NULL, "SCMP_ARCH_X32");
#elif defined(__aarch64__)
	json_w_string(w, NULL, "SCMP_ARCH_AARCH64");
	json_w_string(w, NULL, "SCMP_ARCH_ARM");
#elif defined(__riscv)
	json_w_string(w, NULL, "SCMP_ARCH_RISCV64");
#endif
	json_w_end(w);
}

void plan_seccomp_default(struct json_writer *w, const char *key, const char *const *caps)
{
	bool admin = has(caps, "CAP_SYS_ADMIN");

	json_w_object(w, key);
	json_w_string(w, "defaultAction", "SCMP_ACT_ERRNO");
	json_w_u64(w, "defaultErrnoRet", ENOSYS);
	architectures(w);
	json_w_array(w, "syscalls");
	rule_begin(w);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		json_w_string(w, NULL, allowed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(granted); i++) {
		if (has(caps, granted[i].cap))
			names(w, granted[i].names, caps, false);
	}
	rule_end(w, "SCMP_ACT_ALLOW", 0);
	rule_begin(w);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!is_granted(refused[i], caps))
			json_w_string(w, NULL, refused[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(granted); i++) {
		if (!has(caps, granted[i].cap))
			names(w, granted[i].names, caps, true);
	}
	rule_end(w, "SCMP_ACT_ERRNO", EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		rule_if(w, "personality", "SCMP_CMP_EQ", personalities[i], 0, 0);
	rule_if(w, "socket", "SCMP_CMP_NE", FAMILY_VSOCK, 0, 0);
	rule_if(w, "socket", "SCMP_CMP_EQ", FAMILY_VSOCK, 0, EAFNOSUPPORT);
	if (!admin) {
		rule_if(w, "clone", "SCMP_CMP_MASKED_EQ", CLONE_NEW_BITS, 0, 0);
		for (size_t i = 0; i < ARRAY_SIZE(clone_bits); i++)
			rule_if(w, "clone", "SCMP_CMP_MASKED_EQ", clone_bits[i], clone_bits[i],
				EPERM);
	}
	json_w_end(w);
	json_w_end(w);
}
