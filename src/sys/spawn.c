/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/caps.h"
#include "sys/pidfd.h"

#define FDS_MAX 64

int spawn_find(const char *name, char ret_path[static SPAWN_PATH_MAX])
{
	const char *dir = secure_getenv("PATH");

	for (dir = dir ? dir : "/usr/sbin:/usr/bin:/sbin:/bin"; *dir; dir += *dir == ':') {
		size_t n = strcspn(dir, ":");
		int len = snprintf(ret_path, SPAWN_PATH_MAX, "%.*s/%s", (int) n, dir, name);
		struct stat st;

		if (n && dir[0] == '/' && len > 0 && len < SPAWN_PATH_MAX &&
		    stat(ret_path, &st) == 0 && S_ISREG(st.st_mode) && access(ret_path, X_OK) == 0)
			return 0;
		dir += n;
	}
	return -ENOENT;
}

/* In the child, in its parent's memory: system calls only, and only locals are written. */
static int child_setup(const struct spawn *s, int null_fd, int exec_fd, pid_t parent)
{
	int moved[3 + FDS_MAX], total = 3 + (int) s->fds_n;
	sigset_t none;

	if (s->netns_fd >= 0 && setns(s->netns_fd, CLONE_NEWNET) < 0)
		return errno;
	for (int i = 0; i < total; i++) {
		int from = i < 3 ? s->stdio[i] : s->fds[i - 3];

		/* Out of the way of the numbers to be filled, in whatever order they come. */
		moved[i] = fcntl(from >= 0 ? from : null_fd, F_DUPFD_CLOEXEC, total + 1);
		if (moved[i] < 0)
			return errno;
	}
	for (int i = 0; i < total; i++) {
		if (dup2(moved[i], i) < 0)
			return errno;
	}
	if (exec_fd >= 0 && exec_fd < total)
		return EBADF;
	if (close_range((unsigned) total, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	if (s->new_session && setsid() < 0)
		return errno;
	if (s->new_group && setpgid(0, 0) < 0)
		return errno;
	if (s->cwd_fd >= 0 && fchdir(s->cwd_fd) < 0)
		return errno;
	if (s->death_signal && prctl(PR_SET_PDEATHSIG, s->death_signal) < 0)
		return errno;
	/* It may have died before; 0: it is in another pid namespace. */
	if (s->death_signal && getppid() != parent && getppid() != 0)
		return ESRCH;
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction old;

		/* Ignored signals stay ignored over exec; handlers of ours must not run here. */
		if (sigaction(sig, NULL, &old) == 0 && old.sa_handler != SIG_DFL) {
			struct sigaction dfl = { .sa_handler = SIG_DFL };

			(void) sigaction(sig, &dfl, NULL);
		}
	}
	return 0;
}

static int set_filter(const struct spawn *s)
{
	struct caps have = {}, more;
	int r = 0;

	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	if (!s->filter)
		return 0;
	if (!s->no_new_privs) {
		r = caps_get(&have);
		more = have;
		more.effective |= UINT64_C(1) << CAP_SYS_ADMIN & have.permitted;
		r = r < 0 ? r : caps_set(&more);
		if (r < 0)
			return -r;
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, s->filter_flags, s->filter) < 0)
		return errno;
	return s->no_new_privs ? 0 : -caps_set(&have);
}

int spawn_process(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
	char *const *env = s->env ? s->env : environ;
	auto_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	auto_fd int exec_fd = FD_NONE;
	sigset_t all, before;
	volatile int failed = 0; /* written by the child, in our memory */
	const pid_t parent = getpid();
	pid_t pid;

	if (null_fd < 0)
		return -errno;
	if (s->fds_n > FDS_MAX)
		return -E2BIG;
	if (s->exec_fd >= 0) {
		exec_fd = fcntl(s->exec_fd, F_DUPFD_CLOEXEC, 3 + FDS_MAX + 1);
		if (exec_fd < 0)
			return -errno;
	}
	/* No handler of ours may run in the child: it shares our memory until it execs. */
	(void) sigfillset(&all);
	if (sigprocmask(SIG_BLOCK, &all, &before) < 0)
		return -errno;
	pid = vfork();
	if (pid == 0) {
		failed = child_setup(s, null_fd, exec_fd, parent);
		if (failed == 0)
			failed = set_filter(s);
		if (failed == 0) {
			if (exec_fd >= 0)
				(void) syscall(SYS_execveat, exec_fd, "", s->argv, env,
					       AT_EMPTY_PATH);
			else
				(void) execve(s->path, s->argv, env);
			failed = errno;
		}
		_exit(127);
	}
	if (pid < 0)
		failed = errno;
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return -failed;
	if (failed) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -failed;
	}
	if (ret_pidfd) {
		int fd = pidfd_of(pid);

		if (fd < 0) {
			(void) kill(pid, SIGKILL); /* unreaped child: the pid is still its own */
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
			return fd;
		}
		*ret_pidfd = fd;
	}
	*ret_pid = pid;
	return 0;
}
