/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"

#define FIRST_USER_NS  0xEFFFFFFDu
#define VISIT_STACK    ((size_t) 256 << 10)
#define STRANGER_UID   0x70000000u
#define STRANGER_FIRST 61184u
#define STRANGERS      4336u

pid_t ns_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
	int pidfd = FD_NONE;
	struct clone_args a = {
		.flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t) (uintptr_t) &pidfd,
		/* A sibling takes over our own exit signal: the kernel wants none named. */
		.exit_signal = (flags & CLONE_PARENT) ? 0 : SIGCHLD,
	};
	long pid;

	if (cgroup_fd >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t) cgroup_fd;
	}
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid < 0)
		return -errno;
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t) pid;
}

int ns_kind(int fd)
{
	int kind = ioctl(fd, NS_GET_NSTYPE);

	return kind < 0 ? -EINVAL : kind;
}

int ns_write_map(pid_t pid, enum ns_map_kind kind, const struct ns_map *maps, size_t n)
{
	/* The kernel takes a whole map in one write of less than a page. */
	char path[40], text[4096];
	size_t used = 0;
	auto_fd int fd = FD_NONE;

	for (size_t i = 0; i < n; i++) {
		int k = snprintf(text + used, sizeof(text) - used, "%u %u %u\n", maps[i].inside,
				 maps[i].outside, maps[i].count);

		if (k < 0 || (size_t) k >= sizeof(text) - used)
			return -E2BIG;
		used += (size_t) k;
	}
	(void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid,
			kind == NS_MAP_UID ? "uid_map" : "gid_map");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, used) == (ssize_t) used ? 0 : errno ? -errno : -EIO;
}

int ns_deny_setgroups(pid_t pid)
{
	char path[40];

	(void) snprintf(path, sizeof(path), "/proc/%d/setgroups", (int) pid);
	return file_put(AT_FDCWD, path, STR("deny"));
}

int ns_same_ids(enum ns_map_kind kind, struct ns_map *ret_maps, size_t max, size_t *ret_n)
{
	auto_buf struct buf text = BUF_INIT(1 << 16);
	int r = file_read(AT_FDCWD,
			  kind == NS_MAP_UID ? "/proc/self/uid_map" : "/proc/self/gid_map", &text);
	size_t n = 0;

	if (r < 0)
		return r;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_trim(str_cut(rest, '\n', &rest)), count;
		struct str inside = str_cut(line, ' ', &count);
		struct ns_map *m = &ret_maps[n];

		if (!count.p)
			continue;
		(void) str_cut(str_trim(count), ' ', &count); /* what it is outside */
		if (n == max)
			return -E2BIG;
		if (num_parse_u32(inside, 0, UINT32_MAX, &m->inside) < 0 ||
		    num_parse_u32(str_trim(count), 1, UINT32_MAX, &m->count) < 0)
			return -EINVAL;
		m->outside = m->inside;
		n++;
	}
	*ret_n = n;
	return 0;
}

bool ns_in_user(void)
{
	struct stat st;

	/* One number since Linux 3.8, and part of the interface since 6.18 (nsfs.h). */
	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != FIRST_USER_NS;
}

static bool maps_strangers(enum ns_map_kind kind)
{
	struct ns_map maps[NS_MAPS_MAX];
	size_t n = 0;

	if (ns_same_ids(kind, maps, NS_MAPS_MAX, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (maps[i].inside <= STRANGER_FIRST &&
		    maps[i].count >= STRANGER_FIRST + STRANGERS - maps[i].inside)
			return true;
	return false;
}

bool ns_stranger(uint32_t *ret_id)
{
	const uint32_t pid = (uint32_t) getpid();
	const bool in_user = ns_in_user();

	if (in_user && (!maps_strangers(NS_MAP_UID) || !maps_strangers(NS_MAP_GID)))
		return false;
	*ret_id = in_user ? STRANGER_FIRST + pid % STRANGERS : STRANGER_UID + pid;
	return true;
}

int ns_user_holder(const struct ns_map *uids, size_t uids_n, const struct ns_map *gids,
		   size_t gids_n)
{
	auto_fd int pidfd = FD_NONE;
	char path[40];
	int fd = FD_NONE, r;
	pid_t pid = ns_clone(CLONE_NEWUSER, FD_NONE, &pidfd);

	if (pid == 0) {
		for (;;)
			(void) pause(); /* until its maps are written and its namespace is open */
	}
	if (pid < 0)
		return pid;
	r = ns_write_map(pid, NS_MAP_UID, uids, uids_n);
	if (r == 0)
		r = ns_write_map(pid, NS_MAP_GID, gids, gids_n);
	if (r == 0) {
		(void) snprintf(path, sizeof(path), "/proc/%d/ns/user", (int) pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	(void) kill(pid, SIGKILL); /* our own, unreaped child */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? r : fd;
}

int ns_loopback_up(void)
{
	auto_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (sock < 0)
		return -errno;
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

struct visit {
	int netns;
	int (*call)(void *arg);
	void *arg;
	int result, failed; /* written in there, in our memory */
};

static int visit(void *arg)
{
	struct visit *v = arg;

	if (v->netns < 0 ? unshare(CLONE_NEWNET) < 0 : setns(v->netns, CLONE_NEWNET) < 0)
		v->failed = -errno;
	else
		v->result = v->call(v->arg);
	return 0;
}

int ns_network_visit(int netns, int (*call)(void *arg), void *arg, int *ret_result)
{
	char *stack = mmap(NULL, VISIT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	struct visit v = { .netns = netns, .call = call, .arg = arg };
	sigset_t all, before;
	pid_t pid;

	if (stack == MAP_FAILED)
		return -errno;
	/* No handler of ours may run in it: it is in our memory. */
	(void) sigfillset(&all);
	(void) sigprocmask(SIG_BLOCK, &all, &before); /* fails for a bad argument only */
	/* Without a signal at its end, which is nobody else's business. */
	pid = clone(visit, stack + VISIT_STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES, &v);
	if (pid < 0)
		v.failed = -errno;
	while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	(void) munmap(stack, VISIT_STACK);
	if (v.failed < 0)
		return v.failed;
	*ret_result = v.result;
	return 0;
}

static int look_back(void *arg)
{
	int *ret_fd = arg, r = ns_loopback_up();

	*ret_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : r;
}

int ns_network_make(void)
{
	auto_fd int fd = FD_NONE;
	int result = 0, r = ns_network_visit(FD_NONE, look_back, &fd, &result);

	r = r < 0 ? r : result;
	return r < 0 ? r : take_fd(&fd);
}
