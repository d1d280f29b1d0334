/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/names.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/auto.h"

struct name {
	uint64_t value;
	const char *text;
};

#define NAME(x)                                                                                    \
	{                                                                                          \
		(uint64_t)(x), #x                                                                  \
	}

/* One of them. */
static const struct name whences[] = { { 0, "SEEK_SET" },
				       { 1, "SEEK_CUR" },
				       { 2, "SEEK_END" },
				       { 3, "SEEK_DATA" },
				       { 4, "SEEK_HOLE" } };
static const struct name advices[] = {
	{ 0, "MADV_NORMAL" },	   { 1, "MADV_RANDOM" },	  { 2, "MADV_SEQUENTIAL" },
	{ 3, "MADV_WILLNEED" },	   { 4, "MADV_DONTNEED" },	  { 8, "MADV_FREE" },
	{ 9, "MADV_REMOVE" },	   { 10, "MADV_DONTFORK" },	  { 11, "MADV_DOFORK" },
	{ 12, "MADV_MERGEABLE" },  { 13, "MADV_UNMERGEABLE" },	  { 14, "MADV_HUGEPAGE" },
	{ 15, "MADV_NOHUGEPAGE" }, { 16, "MADV_DONTDUMP" },	  { 17, "MADV_DODUMP" },
	{ 18, "MADV_WIPEONFORK" }, { 19, "MADV_KEEPONFORK" },	  { 20, "MADV_COLD" },
	{ 21, "MADV_PAGEOUT" },	   { 22, "MADV_POPULATE_READ" },  { 23, "MADV_POPULATE_WRITE" },
	{ 25, "MADV_COLLAPSE" },   { 102, "MADV_GUARD_INSTALL" }, { 103, "MADV_GUARD_REMOVE" },
};
static const struct name fcntls[] = {
	{ 0, "F_DUPFD" },	  { 1, "F_GETFD" },	    { 2, "F_SETFD" },
	{ 3, "F_GETFL" },	  { 4, "F_SETFL" },	    { 5, "F_GETLK" },
	{ 6, "F_SETLK" },	  { 7, "F_SETLKW" },	    { 8, "F_SETOWN" },
	{ 9, "F_GETOWN" },	  { 10, "F_SETSIG" },	    { 11, "F_GETSIG" },
	{ 15, "F_SETOWN_EX" },	  { 16, "F_GETOWN_EX" },    { 36, "F_OFD_GETLK" },
	{ 37, "F_OFD_SETLK" },	  { 38, "F_OFD_SETLKW" },   { 1024, "F_SETLEASE" },
	{ 1025, "F_GETLEASE" },	  { 1026, "F_NOTIFY" },	    { 1030, "F_DUPFD_CLOEXEC" },
	{ 1031, "F_SETPIPE_SZ" }, { 1032, "F_GETPIPE_SZ" }, { 1033, "F_ADD_SEALS" },
	{ 1034, "F_GET_SEALS" },
};
static const struct name ioctls[] = {
	{ 0x5401, "TCGETS" },
	{ 0x5402, "TCSETS" },
	{ 0x5403, "TCSETSW" },
	{ 0x5404, "TCSETSF" },
	{ 0x5409, "TCSBRK" },
	{ 0x540a, "TCXONC" },
	{ 0x540b, "TCFLSH" },
	{ 0x540e, "TIOCSCTTY" },
	{ 0x540f, "TIOCGPGRP" },
	{ 0x5410, "TIOCSPGRP" },
	{ 0x5411, "TIOCOUTQ" },
	{ 0x5412, "TIOCSTI" },
	{ 0x5413, "TIOCGWINSZ" },
	{ 0x5414, "TIOCSWINSZ" },
	{ 0x541b, "FIONREAD" },
	{ 0x5421, "FIONBIO" },
	{ 0x5422, "TIOCNOTTY" },
	{ 0x5429, "TIOCGSID" },
	{ 0x5450, "FIONCLEX" },
	{ 0x5451, "FIOCLEX" },
	{ 0x5452, "FIOASYNC" },
	{ 0x80045430, "TIOCGPTN" },
	{ 0x40045431, "TIOCSPTLCK" },
	{ 0x5441, "TIOCGPTPEER" },
	{ 0x8910, "SIOCGIFNAME" },
	{ 0x8912, "SIOCGIFCONF" },
	{ 0x8913, "SIOCGIFFLAGS" },
	{ 0x8914, "SIOCSIFFLAGS" },
	{ 0x8915, "SIOCGIFADDR" },
	{ 0x8921, "SIOCGIFMTU" },
	{ 0x8927, "SIOCGIFHWADDR" },
	{ 0x8933, "SIOCGIFINDEX" },
	{ 0x40049409, "FICLONE" },
	{ 0x80086601, "FS_IOC_GETFLAGS" },
	{ 0x40086602, "FS_IOC_SETFLAGS" },
	{ 0x802c542a, "TCGETS2" },
	{ 0x540c, "TIOCEXCL" },
	{ 0x540d, "TIOCNXCL" },
	{ 0x80081272, "BLKGETSIZE64" },
};
static const struct name prctls[] = {
	NAME(PR_SET_PDEATHSIG),
	NAME(PR_GET_PDEATHSIG),
	NAME(PR_GET_DUMPABLE),
	NAME(PR_SET_DUMPABLE),
	NAME(PR_GET_KEEPCAPS),
	NAME(PR_SET_KEEPCAPS),
	NAME(PR_SET_NAME),
	NAME(PR_GET_NAME),
	NAME(PR_GET_SECCOMP),
	NAME(PR_SET_SECCOMP),
	NAME(PR_CAPBSET_READ),
	NAME(PR_CAPBSET_DROP),
	NAME(PR_GET_SECUREBITS),
	NAME(PR_SET_SECUREBITS),
	NAME(PR_SET_TIMERSLACK),
	NAME(PR_GET_TIMERSLACK),
	NAME(PR_SET_MM),
	NAME(PR_SET_CHILD_SUBREAPER),
	NAME(PR_GET_CHILD_SUBREAPER),
	NAME(PR_SET_NO_NEW_PRIVS),
	NAME(PR_GET_NO_NEW_PRIVS),
	NAME(PR_SET_THP_DISABLE),
	NAME(PR_GET_THP_DISABLE),
	NAME(PR_CAP_AMBIENT),
	NAME(PR_SET_PTRACER),
	{ 53, "PR_SET_SPECULATION_CTRL" },
	{ 52, "PR_GET_SPECULATION_CTRL" },
	{ 59, "PR_SET_SYSCALL_USER_DISPATCH" },
	{ 62, "PR_SCHED_CORE" },
	{ 65, "PR_SET_MDWE" },
	{ 0x53564d41, "PR_SET_VMA" },
};
static const struct name arch_prctls[] = {
	{ 0x1001, "ARCH_SET_GS" },	{ 0x1002, "ARCH_SET_FS" },
	{ 0x1003, "ARCH_GET_FS" },	{ 0x1004, "ARCH_GET_GS" },
	{ 0x1011, "ARCH_GET_CPUID" },	{ 0x1012, "ARCH_SET_CPUID" },
	{ 0x3001, "ARCH_CET_STATUS" },	{ 0x5001, "ARCH_SHSTK_ENABLE" },
	{ 0x5005, "ARCH_SHSTK_STATUS" }
};
static const struct name id_types[] = {
	{ 0, "P_ALL" }, { 1, "P_PID" }, { 2, "P_PGID" }, { 3, "P_PIDFD" }
};
static const struct name clocks[] = {
	{ 0, "CLOCK_REALTIME" },
	{ 1, "CLOCK_MONOTONIC" },
	{ 2, "CLOCK_PROCESS_CPUTIME_ID" },
	{ 3, "CLOCK_THREAD_CPUTIME_ID" },
	{ 4, "CLOCK_MONOTONIC_RAW" },
	{ 5, "CLOCK_REALTIME_COARSE" },
	{ 6, "CLOCK_MONOTONIC_COARSE" },
	{ 7, "CLOCK_BOOTTIME" },
	{ 8, "CLOCK_REALTIME_ALARM" },
	{ 9, "CLOCK_BOOTTIME_ALARM" },
	{ 11, "CLOCK_TAI" },
};
static const struct name itimers[] = { { 0, "ITIMER_REAL" },
				       { 1, "ITIMER_VIRTUAL" },
				       { 2, "ITIMER_PROF" } };
static const struct name mask_hows[] = { { 0, "SIG_BLOCK" },
					 { 1, "SIG_UNBLOCK" },
					 { 2, "SIG_SETMASK" } };
static const struct name resources[] = {
	{ 0, "RLIMIT_CPU" },	   { 1, "RLIMIT_FSIZE" },  { 2, "RLIMIT_DATA" },
	{ 3, "RLIMIT_STACK" },	   { 4, "RLIMIT_CORE" },   { 5, "RLIMIT_RSS" },
	{ 6, "RLIMIT_NPROC" },	   { 7, "RLIMIT_NOFILE" }, { 8, "RLIMIT_MEMLOCK" },
	{ 9, "RLIMIT_AS" },	   { 10, "RLIMIT_LOCKS" }, { 11, "RLIMIT_SIGPENDING" },
	{ 12, "RLIMIT_MSGQUEUE" }, { 13, "RLIMIT_NICE" },  { 14, "RLIMIT_RTPRIO" },
	{ 15, "RLIMIT_RTTIME" },
};
static const struct name usages[] = { { 0, "RUSAGE_SELF" },
				      { UINT32_MAX, "RUSAGE_CHILDREN" },
				      { 1, "RUSAGE_THREAD" } };
static const struct name families[] = {
	{ 0, "AF_UNSPEC" },	{ 1, "AF_UNIX" },    { 2, "AF_INET" }, { 10, "AF_INET6" },
	{ 16, "AF_NETLINK" },	{ 17, "AF_PACKET" }, { 38, "AF_ALG" }, { 40, "AF_VSOCK" },
	{ 31, "AF_BLUETOOTH" }, { 29, "AF_CAN" },    { 44, "AF_XDP" }, { 15, "AF_KEY" },
};
static const struct name levels[] = { { 0, "SOL_IP" },	     { 1, "SOL_SOCKET" },
				      { 6, "SOL_TCP" },	     { 17, "SOL_UDP" },
				      { 41, "SOL_IPV6" },    { 263, "SOL_PACKET" },
				      { 270, "SOL_NETLINK" } };
static const struct name shutdowns[] = { { 0, "SHUT_RD" }, { 1, "SHUT_WR" }, { 2, "SHUT_RDWR" } };
static const struct name epoll_ops[] = { { 1, "EPOLL_CTL_ADD" },
					 { 2, "EPOLL_CTL_DEL" },
					 { 3, "EPOLL_CTL_MOD" } };
static const struct name policies[] = { { 0, "SCHED_OTHER" }, { 1, "SCHED_FIFO" },
					{ 2, "SCHED_RR" },    { 3, "SCHED_BATCH" },
					{ 5, "SCHED_IDLE" },  { 6, "SCHED_DEADLINE" } };
static const struct name futex_ops[] = {
	NAME(FUTEX_WAIT),	    NAME(FUTEX_WAKE),	      NAME(FUTEX_FD),
	NAME(FUTEX_REQUEUE),	    NAME(FUTEX_CMP_REQUEUE),  NAME(FUTEX_WAKE_OP),
	NAME(FUTEX_LOCK_PI),	    NAME(FUTEX_UNLOCK_PI),    NAME(FUTEX_TRYLOCK_PI),
	NAME(FUTEX_WAIT_BITSET),    NAME(FUTEX_WAKE_BITSET),  NAME(FUTEX_WAIT_REQUEUE_PI),
	NAME(FUTEX_CMP_REQUEUE_PI), { 13, "FUTEX_LOCK_PI2" },
};
static const struct name socket_types[] = { { 1, "SOCK_STREAM" },    { 2, "SOCK_DGRAM" },
					    { 3, "SOCK_RAW" },	     { 4, "SOCK_RDM" },
					    { 5, "SOCK_SEQPACKET" }, { 10, "SOCK_PACKET" } };
static const struct name options[] = {
	{ 1, "SO_DEBUG" },	   { 2, "SO_REUSEADDR" },      { 3, "SO_TYPE" },
	{ 4, "SO_ERROR" },	   { 5, "SO_DONTROUTE" },      { 6, "SO_BROADCAST" },
	{ 7, "SO_SNDBUF" },	   { 8, "SO_RCVBUF" },	       { 9, "SO_KEEPALIVE" },
	{ 10, "SO_OOBINLINE" },	   { 12, "SO_PRIORITY" },      { 13, "SO_LINGER" },
	{ 15, "SO_REUSEPORT" },	   { 16, "SO_PASSCRED" },      { 17, "SO_PEERCRED" },
	{ 18, "SO_RCVLOWAT" },	   { 20, "SO_RCVTIMEO" },      { 21, "SO_SNDTIMEO" },
	{ 25, "SO_BINDTODEVICE" }, { 26, "SO_ATTACH_FILTER" }, { 28, "SO_PEERNAME" },
	{ 29, "SO_TIMESTAMP" },	   { 30, "SO_ACCEPTCONN" },    { 31, "SO_PEERSEC" },
	{ 32, "SO_SNDBUFFORCE" },  { 33, "SO_RCVBUFFORCE" },   { 36, "SO_MARK" },
	{ 38, "SO_PROTOCOL" },	   { 39, "SO_DOMAIN" },	       { 46, "SO_BUSY_POLL" },
	{ 60, "SO_ZEROCOPY" },	   { 77, "SO_PEERPIDFD" },
};
static const struct name flocks[] = { { 1, "LOCK_SH" },		{ 2, "LOCK_EX" },
				      { 8, "LOCK_UN" },		{ 5, "LOCK_SH|LOCK_NB" },
				      { 6, "LOCK_EX|LOCK_NB" }, { 12, "LOCK_UN|LOCK_NB" } };

/* Several of them. */
static const struct name open_flags[] = {
	{ 0100, "O_CREAT" },	    { 0200, "O_EXCL" },		{ 0400, "O_NOCTTY" },
	{ 01000, "O_TRUNC" },	    { 02000, "O_APPEND" },	{ 04000, "O_NONBLOCK" },
	{ 04010000, "O_SYNC" },	    { 010000, "O_DSYNC" },	{ 020000, "O_ASYNC" },
	{ 040000, "O_DIRECT" },	    { 0100000, "O_LARGEFILE" }, { 020200000, "O_TMPFILE" },
	{ 0200000, "O_DIRECTORY" }, { 0400000, "O_NOFOLLOW" },	{ 01000000, "O_NOATIME" },
	{ 02000000, "O_CLOEXEC" },  { 010000000, "O_PATH" },
};
static const struct name access_modes[] = { { 4, "R_OK" }, { 2, "W_OK" }, { 1, "X_OK" } };
static const struct name at_flags[] = {
	{ 0x100, "AT_SYMLINK_NOFOLLOW" }, { 0x200, "AT_REMOVEDIR" },
	{ 0x400, "AT_SYMLINK_FOLLOW" },	  { 0x800, "AT_NO_AUTOMOUNT" },
	{ 0x1000, "AT_EMPTY_PATH" },	  { 0x2000, "AT_STATX_FORCE_SYNC" },
	{ 0x4000, "AT_STATX_DONT_SYNC" },
};
static const struct name statx_masks[] = {
	{ 0xfff, "STATX_ALL" },	   { 0x7ff, "STATX_BASIC_STATS" }, { 1, "STATX_TYPE" },
	{ 2, "STATX_MODE" },	   { 4, "STATX_NLINK" },	   { 8, "STATX_UID" },
	{ 0x10, "STATX_GID" },	   { 0x20, "STATX_ATIME" },	   { 0x40, "STATX_MTIME" },
	{ 0x80, "STATX_CTIME" },   { 0x100, "STATX_INO" },	   { 0x200, "STATX_SIZE" },
	{ 0x400, "STATX_BLOCKS" }, { 0x800, "STATX_BTIME" },	   { 0x1000, "STATX_MNT_ID" },
};
static const struct name prots[] = { NAME(PROT_READ),	   NAME(PROT_WRITE),   NAME(PROT_EXEC),
				     NAME(PROT_GROWSDOWN), NAME(PROT_GROWSUP), { 8, "PROT_SEM" } };
static const struct name map_flags[] = {
	{ 3, "MAP_SHARED_VALIDATE" }, { 1, "MAP_SHARED" },
	{ 2, "MAP_PRIVATE" },	      { 0x10, "MAP_FIXED" },
	{ 0x20, "MAP_ANONYMOUS" },    { 0x40, "MAP_32BIT" },
	{ 0x100, "MAP_GROWSDOWN" },   { 0x800, "MAP_DENYWRITE" },
	{ 0x2000, "MAP_LOCKED" },     { 0x4000, "MAP_NORESERVE" },
	{ 0x8000, "MAP_POPULATE" },   { 0x10000, "MAP_NONBLOCK" },
	{ 0x20000, "MAP_STACK" },     { 0x40000, "MAP_HUGETLB" },
	{ 0x80000, "MAP_SYNC" },      { 0x100000, "MAP_FIXED_NOREPLACE" },
};
static const struct name mremap_flags[] = { { 1, "MREMAP_MAYMOVE" },
					    { 2, "MREMAP_FIXED" },
					    { 4, "MREMAP_DONTUNMAP" } };
static const struct name msync_flags[] = { { 1, "MS_ASYNC" },
					   { 2, "MS_INVALIDATE" },
					   { 4, "MS_SYNC" } };
static const struct name clone_flags[] = {
	{ 0x100, "CLONE_VM" },
	{ 0x200, "CLONE_FS" },
	{ 0x400, "CLONE_FILES" },
	{ 0x800, "CLONE_SIGHAND" },
	{ 0x1000, "CLONE_PIDFD" },
	{ 0x2000, "CLONE_PTRACE" },
	{ 0x4000, "CLONE_VFORK" },
	{ 0x8000, "CLONE_PARENT" },
	{ 0x10000, "CLONE_THREAD" },
	{ 0x20000, "CLONE_NEWNS" },
	{ 0x40000, "CLONE_SYSVSEM" },
	{ 0x80000, "CLONE_SETTLS" },
	{ 0x100000, "CLONE_PARENT_SETTID" },
	{ 0x200000, "CLONE_CHILD_CLEARTID" },
	{ 0x400000, "CLONE_DETACHED" },
	{ 0x800000, "CLONE_UNTRACED" },
	{ 0x1000000, "CLONE_CHILD_SETTID" },
	{ 0x2000000, "CLONE_NEWCGROUP" },
	{ 0x4000000, "CLONE_NEWUTS" },
	{ 0x8000000, "CLONE_NEWIPC" },
	{ 0x10000000, "CLONE_NEWUSER" },
	{ 0x20000000, "CLONE_NEWPID" },
	{ 0x40000000, "CLONE_NEWNET" },
	{ 0x80000000, "CLONE_IO" },
	{ 0x100000000, "CLONE_CLEAR_SIGHAND" },
	{ 0x200000000, "CLONE_INTO_CGROUP" },
};
static const struct name wait_flags[] = {
	{ 1, "WNOHANG" },	  { 2, "WSTOPPED" },	      { 4, "WEXITED" },
	{ 8, "WCONTINUED" },	  { 0x1000000, "WNOWAIT" },   { 0x20000000, "__WNOTHREAD" },
	{ 0x40000000, "__WALL" }, { 0x80000000, "__WCLONE" },
};
static const struct name timer_flags[] = { { 1, "TIMER_ABSTIME" },
					   { 2, "TFD_TIMER_CANCEL_ON_SET" } };
static const struct name msg_flags[] = {
	{ 1, "MSG_OOB" },
	{ 2, "MSG_PEEK" },
	{ 4, "MSG_DONTROUTE" },
	{ 8, "MSG_CTRUNC" },
	{ 0x20, "MSG_TRUNC" },
	{ 0x40, "MSG_DONTWAIT" },
	{ 0x80, "MSG_EOR" },
	{ 0x100, "MSG_WAITALL" },
	{ 0x800, "MSG_CONFIRM" },
	{ 0x2000, "MSG_ERRQUEUE" },
	{ 0x4000, "MSG_NOSIGNAL" },
	{ 0x8000, "MSG_MORE" },
	{ 0x10000, "MSG_WAITFORONE" },
	{ 0x20000000, "MSG_FASTOPEN" },
	{ 0x40000000, "MSG_CMSG_CLOEXEC" },
};
static const struct name file_flags[] = { { 02000000, "O_CLOEXEC" },
					  { 04000, "O_NONBLOCK" },
					  { 040000, "O_DIRECT" },
					  { 1, "EFD_SEMAPHORE" } };
static const struct name mount_flags[] = {
	{ 1, "MS_RDONLY" },	      { 2, "MS_NOSUID" },	  { 4, "MS_NODEV" },
	{ 8, "MS_NOEXEC" },	      { 16, "MS_SYNCHRONOUS" },	  { 32, "MS_REMOUNT" },
	{ 64, "MS_MANDLOCK" },	      { 128, "MS_DIRSYNC" },	  { 1024, "MS_NOATIME" },
	{ 2048, "MS_NODIRATIME" },    { 4096, "MS_BIND" },	  { 8192, "MS_MOVE" },
	{ 16384, "MS_REC" },	      { 32768, "MS_SILENT" },	  { 1 << 16, "MS_POSIXACL" },
	{ 1 << 17, "MS_UNBINDABLE" }, { 1 << 18, "MS_PRIVATE" },  { 1 << 19, "MS_SLAVE" },
	{ 1 << 20, "MS_SHARED" },     { 1 << 21, "MS_RELATIME" }, { 1 << 24, "MS_STRICTATIME" },
};
static const struct name rename_flags[] = { { 1, "RENAME_NOREPLACE" },
					    { 2, "RENAME_EXCHANGE" },
					    { 4, "RENAME_WHITEOUT" } };
static const struct name random_flags[] = { { 1, "GRND_NONBLOCK" },
					    { 2, "GRND_RANDOM" },
					    { 4, "GRND_INSECURE" } };
static const struct name memfd_flags[] = { { 1, "MFD_CLOEXEC" },
					   { 2, "MFD_ALLOW_SEALING" },
					   { 4, "MFD_HUGETLB" },
					   { 8, "MFD_NOEXEC_SEAL" },
					   { 16, "MFD_EXEC" } };
static const struct name fallocate_modes[] = {
	{ 1, "FALLOC_FL_KEEP_SIZE" },	   { 2, "FALLOC_FL_PUNCH_HOLE" },
	{ 8, "FALLOC_FL_COLLAPSE_RANGE" }, { 16, "FALLOC_FL_ZERO_RANGE" },
	{ 32, "FALLOC_FL_INSERT_RANGE" },  { 64, "FALLOC_FL_UNSHARE_RANGE" },
};
static const struct name poll_events[] = {
	{ 1, "POLLIN" },	 { 2, "POLLPRI" },	 { 4, "POLLOUT" },
	{ 8, "POLLERR" },	 { 0x10, "POLLHUP" },	 { 0x20, "POLLNVAL" },
	{ 0x40, "POLLRDNORM" },	 { 0x80, "POLLRDBAND" }, { 0x100, "POLLWRNORM" },
	{ 0x200, "POLLWRBAND" }, { 0x400, "POLLMSG" },	 { 0x2000, "POLLRDHUP" },
};
static const struct name epoll_events[] = {
	NAME(EPOLLIN),
	NAME(EPOLLPRI),
	NAME(EPOLLOUT),
	NAME(EPOLLERR),
	NAME(EPOLLHUP),
	NAME(EPOLLRDNORM),
	NAME(EPOLLRDBAND),
	NAME(EPOLLWRNORM),
	NAME(EPOLLWRBAND),
	NAME(EPOLLMSG),
	NAME(EPOLLRDHUP),
	{ 1u << 28, "EPOLLEXCLUSIVE" },
	{ 1u << 29, "EPOLLWAKEUP" },
	{ 1u << 30, "EPOLLONESHOT" },
	{ 1u << 31, "EPOLLET" },
};
static const struct name action_flags[] = {
	{ 1, "SA_NOCLDSTOP" },	       { 2, "SA_NOCLDWAIT" },	       { 4, "SA_SIGINFO" },
	{ 0x04000000, "SA_RESTORER" }, { 0x08000000, "SA_ONSTACK" },   { 0x10000000, "SA_RESTART" },
	{ 0x40000000, "SA_NODEFER" },  { 0x80000000, "SA_RESETHAND" },
};
static const struct name resolve_flags[] = {
	{ 1, "RESOLVE_NO_XDEV" }, { 2, "RESOLVE_NO_MAGICLINKS" }, { 4, "RESOLVE_NO_SYMLINKS" },
	{ 8, "RESOLVE_BENEATH" }, { 16, "RESOLVE_IN_ROOT" },	  { 32, "RESOLVE_CACHED" },
};

static const char *const errors[] = {
	[1] = "EPERM",
	[2] = "ENOENT",
	[3] = "ESRCH",
	[4] = "EINTR",
	[5] = "EIO",
	[6] = "ENXIO",
	[7] = "E2BIG",
	[8] = "ENOEXEC",
	[9] = "EBADF",
	[10] = "ECHILD",
	[11] = "EAGAIN",
	[12] = "ENOMEM",
	[13] = "EACCES",
	[14] = "EFAULT",
	[15] = "ENOTBLK",
	[16] = "EBUSY",
	[17] = "EEXIST",
	[18] = "EXDEV",
	[19] = "ENODEV",
	[20] = "ENOTDIR",
	[21] = "EISDIR",
	[22] = "EINVAL",
	[23] = "ENFILE",
	[24] = "EMFILE",
	[25] = "ENOTTY",
	[26] = "ETXTBSY",
	[27] = "EFBIG",
	[28] = "ENOSPC",
	[29] = "ESPIPE",
	[30] = "EROFS",
	[31] = "EMLINK",
	[32] = "EPIPE",
	[33] = "EDOM",
	[34] = "ERANGE",
	[35] = "EDEADLOCK",
	[36] = "ENAMETOOLONG",
	[37] = "ENOLCK",
	[38] = "ENOSYS",
	[39] = "ENOTEMPTY",
	[40] = "ELOOP",
	[42] = "ENOMSG",
	[43] = "EIDRM",
	[44] = "ECHRNG",
	[45] = "EL2NSYNC",
	[46] = "EL3HLT",
	[47] = "EL3RST",
	[48] = "ELNRNG",
	[49] = "EUNATCH",
	[50] = "ENOCSI",
	[51] = "EL2HLT",
	[52] = "EBADE",
	[53] = "EBADR",
	[54] = "EXFULL",
	[55] = "ENOANO",
	[56] = "EBADRQC",
	[57] = "EBADSLT",
	[59] = "EBFONT",
	[60] = "ENOSTR",
	[61] = "ENODATA",
	[62] = "ETIME",
	[63] = "ENOSR",
	[64] = "ENONET",
	[65] = "ENOPKG",
	[66] = "EREMOTE",
	[67] = "ENOLINK",
	[68] = "EADV",
	[69] = "ESRMNT",
	[70] = "ECOMM",
	[71] = "EPROTO",
	[72] = "EMULTIHOP",
	[73] = "EDOTDOT",
	[74] = "EBADMSG",
	[75] = "EOVERFLOW",
	[76] = "ENOTUNIQ",
	[77] = "EBADFD",
	[78] = "EREMCHG",
	[79] = "ELIBACC",
	[80] = "ELIBBAD",
	[81] = "ELIBSCN",
	[82] = "ELIBMAX",
	[83] = "ELIBEXEC",
	[84] = "EILSEQ",
	[85] = "ERESTART",
	[86] = "ESTRPIPE",
	[87] = "EUSERS",
	[88] = "ENOTSOCK",
	[89] = "EDESTADDRREQ",
	[90] = "EMSGSIZE",
	[91] = "EPROTOTYPE",
	[92] = "ENOPROTOOPT",
	[93] = "EPROTONOSUPPORT",
	[94] = "ESOCKTNOSUPPORT",
	[95] = "ENOTSUP",
	[96] = "EPFNOSUPPORT",
	[97] = "EAFNOSUPPORT",
	[98] = "EADDRINUSE",
	[99] = "EADDRNOTAVAIL",
	[100] = "ENETDOWN",
	[101] = "ENETUNREACH",
	[102] = "ENETRESET",
	[103] = "ECONNABORTED",
	[104] = "ECONNRESET",
	[105] = "ENOBUFS",
	[106] = "EISCONN",
	[107] = "ENOTCONN",
	[108] = "ESHUTDOWN",
	[109] = "ETOOMANYREFS",
	[110] = "ETIMEDOUT",
	[111] = "ECONNREFUSED",
	[112] = "EHOSTDOWN",
	[113] = "EHOSTUNREACH",
	[114] = "EALREADY",
	[115] = "EINPROGRESS",
	[116] = "ESTALE",
	[117] = "EUCLEAN",
	[118] = "ENOTNAM",
	[119] = "ENAVAIL",
	[120] = "EISNAM",
	[121] = "EREMOTEIO",
	[122] = "EDQUOT",
	[123] = "ENOMEDIUM",
	[124] = "EMEDIUMTYPE",
	[125] = "ECANCELED",
	[126] = "ENOKEY",
	[127] = "EKEYEXPIRED",
	[128] = "EKEYREVOKED",
	[129] = "EKEYREJECTED",
	[130] = "EOWNERDEAD",
	[131] = "ENOTRECOVERABLE",
	[132] = "ERFKILL",
};

static const char *const signals[] = {
	[1] = "HUP",	 [2] = "INT",	[3] = "QUIT",	[4] = "ILL",   [5] = "TRAP",
	[6] = "ABRT",	 [7] = "BUS",	[8] = "FPE",	[9] = "KILL",  [10] = "USR1",
	[11] = "SEGV",	 [12] = "USR2", [13] = "PIPE",	[14] = "ALRM", [15] = "TERM",
	[16] = "STKFLT", [17] = "CHLD", [18] = "CONT",	[19] = "STOP", [20] = "TSTP",
	[21] = "TTIN",	 [22] = "TTOU", [23] = "URG",	[24] = "XCPU", [25] = "XFSZ",
	[26] = "VTALRM", [27] = "PROF", [28] = "WINCH", [29] = "IO",   [30] = "PWR",
	[31] = "SYS",
};

/* ---- how they are written ---- */

static const char *find(const struct name *names, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].value == value)
			return names[i].text;
	return NULL;
}

static void one(struct buf *out, const struct name *names, size_t n, uint64_t value)
{
	const char *text = find(names, n, value);

	if (text)
		buf_adds(out, text);
	else
		buf_addf(out, "%#llx", (unsigned long long) value);
}

static void add(struct buf *out, bool *some, const char *text)
{
	if (*some)
		buf_addc(out, '|');
	buf_adds(out, text);
	*some = true;
}

/* After what some of them said already. */
static void flags_after(struct buf *out, bool some, const struct name *names, size_t n,
			uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (value && (value & names[i].value) == names[i].value) {
			add(out, &some, names[i].text);
			value &= ~names[i].value;
		}
	if (value || !some)
		buf_addf(out,
			 some	 ? "|%#llx"
			 : value ? "%#llx"
				 : "%llu",
			 (unsigned long long) value);
}

#define ONE(names, value) one(out, names, sizeof(names) / sizeof((names)[0]), value)
#define FLAGS(names, value)                                                                        \
	flags_after(out, false, names, sizeof(names) / sizeof((names)[0]), value)
#define FLAGS_AFTER(names, value)                                                                  \
	flags_after(out, true, names, sizeof(names) / sizeof((names)[0]), value)

static void open_flags_text(struct buf *out, uint64_t value)
{
	static const char *const modes[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };

	buf_adds(out, modes[value & 3]);
	if (value & ~(uint64_t) 3)
		FLAGS_AFTER(open_flags, value & ~(uint64_t) 3);
}

static void socket_type(struct buf *out, uint64_t value)
{
	static const struct name extra[] = { { 02000000, "SOCK_CLOEXEC" },
					     { 04000, "SOCK_NONBLOCK" } };

	if (value & 0xf || !value)
		ONE(socket_types, value & 0xf);
	if (value & ~(uint64_t) 0xf)
		flags_after(out, value & 0xf, extra, 2, value & ~(uint64_t) 0xf);
}

static void futex_op(struct buf *out, uint64_t value)
{
	ONE(futex_ops, value & 0x7f);
	if (value & FUTEX_PRIVATE_FLAG)
		buf_adds(out, "_PRIVATE");
	if (value & FUTEX_CLOCK_REALTIME)
		buf_adds(out, "|FUTEX_CLOCK_REALTIME");
	value &= ~(uint64_t) (0x7f | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	if (value)
		buf_addf(out, "|%#llx", (unsigned long long) value);
}

static void clone_text(struct buf *out, uint64_t value)
{
	if (value & ~(uint64_t) 0xff)
		FLAGS(clone_flags, value & ~(uint64_t) 0xff);
	if (!(value & 0xff))
		return;
	if (value & ~(uint64_t) 0xff)
		buf_addc(out, '|');
	name_signal(out, value & 0xff);
}

bool name_value(struct buf *out, enum argument_kind kind, uint64_t v)
{
	uint64_t low = v & UINT32_MAX;

	switch ((int) kind) {
	case ARGUMENT_OPEN_FLAGS:
		open_flags_text(out, low);
		return true;
	case ARGUMENT_ACCESS_MODE:
		if (low == 0)
			buf_adds(out, "F_OK");
		else
			FLAGS(access_modes, low);
		return true;
	case ARGUMENT_AT_FLAGS:
		FLAGS(at_flags, low);
		return true;
	case ARGUMENT_STATX_MASK:
		FLAGS(statx_masks, low);
		return true;
	case ARGUMENT_PROT:
		if (low == 0)
			buf_adds(out, "PROT_NONE");
		else
			FLAGS(prots, low);
		return true;
	case ARGUMENT_MAP_FLAGS:
		FLAGS(map_flags, low);
		return true;
	case ARGUMENT_MREMAP_FLAGS:
		FLAGS(mremap_flags, low);
		return true;
	case ARGUMENT_MSYNC_FLAGS:
		FLAGS(msync_flags, low);
		return true;
	case ARGUMENT_ADVICE:
		ONE(advices, low);
		return true;
	case ARGUMENT_WHENCE:
		ONE(whences, low);
		return true;
	case ARGUMENT_FCNTL:
		ONE(fcntls, low);
		return true;
	case ARGUMENT_FLOCK:
		ONE(flocks, low);
		return true;
	case ARGUMENT_IOCTL:
		ONE(ioctls, low);
		return true;
	case ARGUMENT_PRCTL:
		ONE(prctls, low);
		return true;
	case ARGUMENT_ARCH_PRCTL:
		ONE(arch_prctls, low);
		return true;
	case ARGUMENT_CLONE_FLAGS:
		clone_text(out, v);
		return true;
	case ARGUMENT_WAIT_FLAGS:
		FLAGS(wait_flags, low);
		return true;
	case ARGUMENT_ID_TYPE:
		ONE(id_types, low);
		return true;
	case ARGUMENT_FUTEX_OP:
		futex_op(out, low);
		return true;
	case ARGUMENT_CLOCK:
		ONE(clocks, low);
		return true;
	case ARGUMENT_TIMER_FLAGS:
		FLAGS(timer_flags, low);
		return true;
	case ARGUMENT_ITIMER:
		ONE(itimers, low);
		return true;
	case ARGUMENT_SIGMASK_HOW:
		ONE(mask_hows, low);
		return true;
	case ARGUMENT_RESOURCE:
		ONE(resources, low);
		return true;
	case ARGUMENT_RUSAGE_WHO:
		ONE(usages, low);
		return true;
	case ARGUMENT_FAMILY:
		ONE(families, low);
		return true;
	case ARGUMENT_SOCKET_TYPE:
		socket_type(out, low);
		return true;
	case ARGUMENT_MSG_FLAGS:
		FLAGS(msg_flags, low);
		return true;
	case ARGUMENT_SOCKET_LEVEL:
		ONE(levels, low);
		return true;
	case ARGUMENT_SOCKET_OPTION:
		ONE(options, low);
		return true;
	case ARGUMENT_SHUTDOWN:
		ONE(shutdowns, low);
		return true;
	case ARGUMENT_EPOLL_OP:
		ONE(epoll_ops, low);
		return true;
	case ARGUMENT_FILE_FLAGS:
		FLAGS(file_flags, low);
		return true;
	case ARGUMENT_MOUNT_FLAGS:
		FLAGS(mount_flags, low);
		return true;
	case ARGUMENT_RENAME_FLAGS:
		FLAGS(rename_flags, low);
		return true;
	case ARGUMENT_RANDOM_FLAGS:
		FLAGS(random_flags, low);
		return true;
	case ARGUMENT_MEMFD_FLAGS:
		FLAGS(memfd_flags, low);
		return true;
	case ARGUMENT_FALLOCATE_MODE:
		FLAGS(fallocate_modes, low);
		return true;
	case ARGUMENT_POLICY:
		ONE(policies, low);
		return true;
	default: /* numbers, and what is behind an address */
		return false;
	}
}

const char *name_error(unsigned int error)
{
	return error < ARRAY_SIZE(errors) ? errors[error] : NULL;
}

void name_signal(struct buf *out, uint64_t nr)
{
	if (nr < ARRAY_SIZE(signals) && signals[nr])
		buf_addf(out, "SIG%s", signals[nr]);
	else if (nr >= 32 && nr <= 64)
		buf_addf(out, "SIGRT_%u", (unsigned int) nr - 32);
	else
		buf_addf(out, "%llu", (unsigned long long) nr);
}

void name_signals(struct buf *out, uint64_t set)
{
	bool most = __builtin_popcountll(set) > 32, some = false;

	buf_adds(out, most ? "~[" : "[");
	if (most)
		set = ~set;
	for (unsigned int nr = 1; nr <= 64; nr++) {
		if (!(set >> (nr - 1) & 1))
			continue;
		if (some)
			buf_addc(out, ' ');
		if (nr < 32)
			buf_adds(out, signals[nr]);
		else
			buf_addf(out, "RT_%u", nr - 32);
		some = true;
	}
	buf_addc(out, ']');
}

void name_signal_code(struct buf *out, uint64_t nr, int64_t code)
{
	static const struct name any[] = { { 0, "SI_USER" },
					   { 0x80, "SI_KERNEL" },
					   { UINT64_MAX, "SI_QUEUE" },
					   { UINT64_MAX - 1, "SI_TIMER" },
					   { UINT64_MAX - 2, "SI_MESGQ" },
					   { UINT64_MAX - 5, "SI_TKILL" } };
	static const struct name children[] = { { 1, "CLD_EXITED" },  { 2, "CLD_KILLED" },
						{ 3, "CLD_DUMPED" },  { 4, "CLD_TRAPPED" },
						{ 5, "CLD_STOPPED" }, { 6, "CLD_CONTINUED" } };
	static const struct name faults[] = { { 1, "SEGV_MAPERR" }, { 2, "SEGV_ACCERR" } };

	if (nr == 17 && find(children, ARRAY_SIZE(children), (uint64_t) code))
		ONE(children, (uint64_t) code);
	else if (nr == 11 && find(faults, ARRAY_SIZE(faults), (uint64_t) code))
		ONE(faults, (uint64_t) code);
	else if (find(any, ARRAY_SIZE(any), (uint64_t) code))
		ONE(any, (uint64_t) code);
	else
		buf_addf(out, "%lld", (long long) code);
}

void name_mode(struct buf *out, uint32_t mode)
{
	static const struct name types[] = { { 0140000, "S_IFSOCK" }, { 0120000, "S_IFLNK" },
					     { 0100000, "S_IFREG" },  { 0060000, "S_IFBLK" },
					     { 0040000, "S_IFDIR" },  { 0020000, "S_IFCHR" },
					     { 0010000, "S_IFIFO" } };
	const char *type = find(types, ARRAY_SIZE(types), mode & 0170000);

	if (type)
		buf_addf(out, "%s|", type);
	else if (mode & 0170000)
		buf_addf(out, "%#o|", mode & 0170000);
	buf_addf(out, "%#03o", mode & 07777);
}

void name_poll_events(struct buf *out, uint32_t events)
{
	FLAGS(poll_events, events);
}

void name_epoll_events(struct buf *out, uint32_t events)
{
	FLAGS(epoll_events, events);
}

void name_action_flags(struct buf *out, uint64_t flags)
{
	FLAGS(action_flags, flags);
}

void name_resolve_flags(struct buf *out, uint64_t flags)
{
	FLAGS(resolve_flags, flags);
}
