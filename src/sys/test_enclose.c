/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/enclose.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"

#define LOW 50

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Descriptors LOW..LOW+9, those of keep stay; -1, lower ones and twice the same do no harm. */
static void test_fds(void)
{
	static const int keep[] = { LOW + 7, FD_NONE, LOW, 0, LOW + 4, LOW + 3, LOW + 4 };
	static const bool stays[10] = { [0] = true, [3] = true, [4] = true, [7] = true };

	for (int i = 0; i < 10; i++)
		CHECK(dup2(STDERR_FILENO, LOW + i) == LOW + i);
	enclose_fds(LOW, keep, ARRAY_SIZE(keep));
	for (int i = 0; i < 10; i++)
		CHECK(is_open(LOW + i) == stays[i]);
	CHECK(is_open(STDERR_FILENO));
	enclose_fds(LOW, NULL, 0);
	for (int i = 0; i < 10; i++)
		CHECK(!is_open(LOW + i));
	CHECK(is_open(STDERR_FILENO));
}

/* The root is a process's: a child's. Where there are no namespaces to make, nothing is tried. */
static void test_root(void)
{
	pid_t pid = fork();
	int status = -1;

	CHECK(pid >= 0);
	if (pid == 0) {
		struct err e;

		if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0)
			_exit(0);
		if (enclose_root(&e) < 0)
			_exit(1);
		if (access("/proc", F_OK) == 0 || access("../proc", F_OK) == 0)
			_exit(2);
		if (open("/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0 || errno != EROFS)
			_exit(3);
		_exit(chdir("../..") < 0 || access("proc", F_OK) == 0 ? 4 : 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == 0);
}

int main(void)
{
	test_fds();
	test_root();
	return test_done();
}
