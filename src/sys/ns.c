/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"

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

bool ns_in_user(void)
{
	static const char *const all[] = { "0", "0", "4294967295" };
	auto_buf struct buf text = BUF_INIT(4096);
	struct str rest;

	/* Kernels without user namespaces have no such file. */
	if (file_read(AT_FDCWD, "/proc/self/uid_map", &text) < 0)
		return false;
	rest = str_trim(buf_str(&text));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct str word = str_cut(rest, ' ', &rest);

		rest = str_trim(rest);
		if (!str_is(word, all[i]))
			return true;
	}
	return false;
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
