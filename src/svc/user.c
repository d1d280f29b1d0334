/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files STATE/user and STATE/user.lock:
 *
 *	user.lock  held alone while somebody looks for the keeper, or makes it
 *	user       "PID START" of the keeper; held shared by every command and shim. The keeper
 *waits to hold it alone: then nobody is left, and it ends.
 */
#include "svc/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/idmap.h"
#include "fmt/subid.h"
#include "svc/user_child.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define RANGES_MAX 64
#define FILE_MAX   (4u << 20) /* of /etc/subuid */

/* His own, and closed to others: whoever could write there could lead us into his namespaces. */
static int open_state(const struct paths *p, struct err *e)
{
	struct stat st;
	int fd, r = dir_make_all(p->state, 0700);

	if (r < 0)
		return err_sys(e, -r, "make the directory '%s'", p->state);
	fd = open(p->state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open the directory '%s'", p->state);
	if (st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return fd;
	(void) close(fd);
	return err_set(e, ERR_DENIED, EPERM,
		       "'%s' is not safe: it belongs to user %u and has mode %o; set "
		       "XDG_RUNTIME_DIR or give --state",
		       p->state, st.st_uid, st.st_mode & 07777);
}

static int open_locked(int state_fd, const char *name, int how, struct err *e)
{
	int fd = openat(state_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "open %s of the state directory", name);
	do
		r = flock(fd, how);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return fd;
	(void) err_sys(e, errno, "lock %s of the state directory", name);
	(void) close(fd);
	return -EIO;
}

/* Its pidfd, or -ESRCH. */
static int find_keeper(int hold)
{
	char text[64];
	ssize_t n = pread(hold, text, sizeof(text), 0);
	struct str start, pid = str_cut((struct str){ text, n > 0 ? (size_t) n : 0 }, ' ', &start);
	uint64_t want, ticks = 0;
	bool zombie = true;
	uint32_t number;
	int fd;

	if (!start.p || num_parse_u32(pid, 1, INT32_MAX, &number) < 0 ||
	    num_parse_u64(str_trim(start), 0, UINT64_MAX, &want) < 0)
		return -ESRCH;
	fd = pidfd_of((pid_t) number);
	if (fd >= 0 && pid_start_time((pid_t) number, &ticks, &zombie) == 0 && !zombie &&
	    ticks == want)
		return fd;
	close_fd(&fd);
	return -ESRCH;
}

/* 0 is the user, what he was granted follows from 1 on. */
static int maps_of(const char *file, const char *name, uint32_t own, struct ns_map *m,
		   size_t *ret_n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(FILE_MAX);
	struct subid ranges[RANGES_MAX];
	uint32_t inside = 1;
	size_t n, made = 0;
	int r = file_read(AT_FDCWD, file, &text);

	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "read '%s'", file);
	n = subid_ranges(buf_str(&text), name, geteuid(), ranges, RANGES_MAX);
	m[made++] = (struct ns_map){ 0, own, 1 };
	for (size_t i = 0; i < n && ranges[i].count < UINT32_MAX - inside; i++) {
		m[made++] = (struct ns_map){ inside, ranges[i].first, ranges[i].count };
		inside += ranges[i].count;
	}
	*ret_n = made;
	if (made > 1)
		return 0;
	return err_set(e, ERR_DENIED, EPERM,
		       "the files of images belong to many ids, and %s grants %s none beside the "
		       "own: an administrator gives some with `usermod --add-subuids "
		       "100000-165535 --add-subgids 100000-165535 %s`",
		       file, name, name);
}

/* The file itself: what is linked statically cannot load the libraries of other databases. */
static void user_name(char ret_name[static 64])
{
	auto_file FILE *f = fopen("/etc/passwd", "re");

	(void) snprintf(ret_name, 64, "%u", geteuid());
	for (struct passwd *pw; f && (pw = fgetpwent(f));) {
		if (pw->pw_uid == geteuid()) {
			(void) snprintf(ret_name, 64, "%s", pw->pw_name);
			return;
		}
	}
}

static int write_down(int hold, pid_t pid, struct err *e)
{
	uint64_t ticks = 0;
	char text[64];
	int n, r = pid_start_time(pid, &ticks, NULL);

	if (r < 0)
		return err_sys(e, -r, "the keeper of the user namespace");
	n = snprintf(text, sizeof(text), "%d %llu\n", (int) pid, (unsigned long long) ticks);
	if (ftruncate(hold, 0) < 0 || pwrite(hold, text, (size_t) n, 0) != n)
		return err_sys(e, errno, "write down the keeper of the user namespace");
	return 0;
}

/* One byte says that the maps are there, one comes back when it is root inside. */
static int let_go(int sock, struct err *e)
{
	char byte = 0;

	if (send(sock, &byte, 1, MSG_NOSIGNAL) == 1 && recv(sock, &byte, 1, 0) == 1)
		return 0;
	return err_set(e, ERR_INTERNAL, ECHILD, "the keeper of the user namespace did not start");
}

static int clone_refused(int error, struct err *e)
{
	if (error == EPERM || error == ENOSPC || error == EUSERS)
		return err_set(e, ERR_DENIED, error,
			       "this machine does not let ordinary users make user namespaces, "
			       "without which only root can run workloads (see "
			       "kernel.unprivileged_userns_clone, user.max_user_namespaces, "
			       "kernel.apparmor_restrict_unprivileged_userns)");
	return err_sys(e, error, "make a user namespace");
}

static int make_keeper(int state_fd, int hold, int *ret_pidfd, struct err *e)
{
	struct ns_map uids[RANGES_MAX + 1], gids[RANGES_MAX + 1];
	size_t uids_n = 0, gids_n = 0;
	char name[64];
	int pair[2], pidfd = FD_NONE, r;
	pid_t pid;

	user_name(name);
	r = maps_of("/etc/subuid", name, geteuid(), uids, &uids_n, e);
	r = r < 0 ? r : maps_of("/etc/subgid", name, getegid(), gids, &gids_n, e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socket pair");
	pid = ns_clone(CLONE_NEWUSER | CLONE_NEWNS, FD_NONE, &pidfd);
	if (pid == 0)
		user_child(state_fd, pair[1]);
	(void) close(pair[1]);
	r = pid < 0 ? clone_refused(-pid, e) : idmap_write(pid, uids, uids_n, gids, gids_n, e);
	r = r < 0 ? r : write_down(hold, pid, e);
	r = r < 0 ? r : let_go(pair[0], e);
	(void) close(pair[0]);
	if (r < 0 && pidfd >= 0) {
		(void) pidfd_kill(pidfd, SIGKILL);
		(void) pidfd_reap(pidfd, NULL);
		(void) close(pidfd);
	}
	if (r == 0)
		*ret_pidfd = pidfd;
	return r;
}

static int join(int pidfd, struct err *e)
{
	char cwd[PATH_MAX];

	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(e, errno, "current directory");
	if (setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return err_sys(e, errno, "join the user namespace of this user's workloads");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(e, errno, "become root in the user namespace");
	return chdir(cwd) < 0 ? err_sys(e, errno, "current directory '%.200s'", cwd) : 0;
}

int user_enter(const struct paths *p, int *ret_hold_fd, struct err *e)
{
	auto_fd int state_fd = open_state(p, e), gate = FD_NONE, hold = FD_NONE, pidfd = FD_NONE;
	int r = 0;

	if (state_fd < 0)
		return state_fd;
	gate = open_locked(state_fd, PATHS_USER ".lock", LOCK_EX, e);
	if (gate < 0)
		return gate;
	hold = open_locked(state_fd, PATHS_USER, LOCK_SH, e);
	if (hold < 0)
		return hold;
	pidfd = find_keeper(hold);
	if (pidfd < 0)
		r = make_keeper(state_fd, hold, &pidfd, e);
	r = r < 0 ? r : join(pidfd, e);
	if (r == 0)
		*ret_hold_fd = take_fd(&hold);
	return r;
}
