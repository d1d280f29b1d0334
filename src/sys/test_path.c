/* SPDX-License-Identifier: Apache-2.0 */
/* A tree with hostile links: whatever they say, nothing outside is reached or made. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/test.h"
#include "sys/fdpass.h"
#include "sys/path.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

static bool exists_in(int root, const char *path, mode_t type)
{
	struct stat st;

	return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

static void test_paths(int root)
{
	const char *name = NULL;
	int fd;

	CHECK(symlinkat("/", root, "abs") == 0);
	CHECK(symlinkat("../../../..", root, "up") == 0);
	CHECK(symlinkat("/target/deep", root, "dangling") == 0);
	CHECK(symlinkat("made.txt", root, "file-link") == 0);
	CHECK(symlinkat("loop", root, "loop") == 0);

	fd = path_make_dir(root, "/abs/up/a/b/c", 0755);
	CHECK(fd >= 0 && exists_in(root, "a/b/c", S_IFDIR));
	close_fd(&fd);
	fd = path_make_dir(root, "dangling/x", 0700);
	CHECK(fd >= 0 && exists_in(root, "target/deep/x", S_IFDIR));
	close_fd(&fd);
	fd = path_make_file(root, "/file-link", 0644);
	CHECK(fd >= 0 && exists_in(root, "made.txt", S_IFREG));
	close_fd(&fd);
	fd = path_make_file(root, "../../../n/e/w", 0644);
	CHECK(fd >= 0 && exists_in(root, "n/e/w", S_IFREG));
	close_fd(&fd);
	CHECK(path_make_dir(root, "loop/x", 0755) == -ELOOP);
	CHECK(path_make_dir(root, "made.txt/x", 0755) == -ENOTDIR);
	CHECK(path_parent(root, "/", false, 0, &name) == -EINVAL);
	CHECK(path_parent(root, "a/..", false, 0, &name) == -EINVAL);
	fd = path_parent(root, "/a/b/new", false, 0, &name);
	CHECK(fd >= 0);
	CHECK_STR(name, "new");
	close_fd(&fd);
	CHECK(path_open_in(root, "nothing", O_PATH, 0) == -ENOENT);
}

static void test_fds(void)
{
	int pair[2] = { FD_NONE, FD_NONE }, got[2] = { FD_NONE, FD_NONE };
	char text[8];
	size_t n = 0;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(fdpass_send(pair[0], "hi", 2, pair, 2) == 0);
	CHECK(fdpass_recv(pair[1], text, sizeof(text), got, 2, &n) == 2 && n == 2);
	CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC);
	close_fd(&got[0]);
	close_fd(&got[1]);
	CHECK(fdpass_send(pair[0], "hi", 2, pair, 2) == 0);
	CHECK(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n) == -EMSGSIZE);
	close_fd(&pair[0]);
	CHECK(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n) == 0);
	close_fd(&pair[1]);
}

static void test_spawn(void)
{
	const char *argv[] = { "/bin/sh", "-c", "read x <&3; exit $x", NULL };
	struct spawn s = SPAWN_INIT;
	int pipe_fds[2] = { FD_NONE, FD_NONE }, pidfd = FD_NONE;
	siginfo_t info = {};
	pid_t pid = 0;

	CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
	CHECK(write(pipe_fds[1], "7\n", 2) == 2);
	s.path = argv[0];
	s.argv = (char *const *) (uintptr_t) argv;
	s.fds = &pipe_fds[0];
	s.fds_n = 1;
	CHECK(spawn_process(&s, &pid, &pidfd) == 0 && pid > 0);
	CHECK(pidfd_reap_by(pidfd, clock_deadline(60 * NSEC_PER_SEC), &info) == 1);
	CHECK(pidfd_status(&info) == 7);
	close_fd(&pidfd);
	/* Its stdin is a pipe that nobody writes to. */
	CHECK(spawn_process(&s, &pid, &pidfd) == 0);
	CHECK(pidfd_reap_by(pidfd, clock_deadline(NSEC_PER_SEC / 100), &info) == 0);
	CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL);
	CHECK(pidfd_reap(pidfd, NULL) == -ECHILD);
	close_fd(&pidfd);
	s.path = "/nowhere/program";
	CHECK(spawn_process(&s, &pid, NULL) == -ENOENT);
	close_fd(&pipe_fds[0]);
	close_fd(&pipe_fds[1]);
}

int main(void)
{
	char dir[] = "/tmp/atoll-test-path-XXXXXX";
	uint64_t ticks = 0;
	bool zombie = true;
	auto_fd int root = FD_NONE;

	if (!mkdtemp(dir))
		return 1;
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	test_paths(root);
	test_fds();
	test_spawn();
	CHECK(pid_start_time(getpid(), &ticks, &zombie) == 0 && ticks > 0 && !zombie);
	{
		const char *argv[] = { "/bin/rm", "-rf", dir, NULL };
		struct spawn s = SPAWN_INIT;
		pid_t pid = 0;

		s.path = argv[0];
		s.argv = (char *const *) (uintptr_t) argv;
		CHECK(spawn_process(&s, &pid, NULL) == 0);
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
	return test_done();
}
