/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"

static void put(int dir, const char *name, const char *text)
{
	auto_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
}

static void test_copy(int top)
{
	struct stat a, b;
	char text[16] = "";

	CHECK(mkdirat(top, "from", 0755) == 0 && mkdirat(top, "to", 0755) == 0);
	auto_fd int from = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int to = openat(top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(mkdirat(from, "d", 01777) == 0 && fchmodat(from, "d", 01777, 0) == 0);
	put(from, "d/file", "content");
	CHECK(linkat(from, "d/file", from, "again", 0) == 0);
	CHECK(symlinkat("/nowhere", from, "link") == 0);
	CHECK(mknodat(from, "fifo", S_IFIFO | 0600, 0) == 0);
	auto_fd int hole = openat(from, "hole", O_WRONLY | O_CREAT | O_CLOEXEC, 04755);
	CHECK(hole >= 0 && fchmod(hole, 04755) == 0 && ftruncate(hole, 1 << 20) == 0);

	CHECK(tree_copy(from, to) == 0);
	CHECK(fstatat(to, "d", &a, 0) == 0 && (a.st_mode & 07777) == 01777);
	CHECK(fstatat(to, "d/file", &a, 0) == 0 && fstatat(to, "again", &b, 0) == 0);
	CHECK(a.st_ino == b.st_ino && a.st_nlink == 2 && (a.st_mode & 0777) == 0640);
	CHECK(readlinkat(to, "link", text, sizeof(text) - 1) == 8);
	CHECK_STR(text, "/nowhere");
	CHECK(fstatat(to, "fifo", &a, 0) == 0 && S_ISFIFO(a.st_mode));
	CHECK(fstatat(to, "hole", &a, 0) == 0 && a.st_size == 1 << 20 && a.st_blocks == 0);
	CHECK((a.st_mode & 07777) == 04755);
	/* What is there already is not overwritten. */
	CHECK(tree_copy(from, to) == -EEXIST);
}

static void test_deep(int top)
{
	/* Deeper than descriptors last and than a path may be long. */
	CHECK(mkdirat(top, "deep", 0755) == 0);
	int at = openat(top, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < 1500; i++) {
		CHECK(mkdirat(at, "dddd", 0755) == 0);
		int next = openat(at, "dddd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void) close(at);
		at = next;
	}
	put(at, "leaf", "x");
	(void) close(at);
	CHECK(tree_unlink(top, "deep") == 0);
	CHECK(faccessat(top, "deep", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
}

/* Makes a file again and again as it goes, three times or until the directory is gone. */
static void put_three(int dir)
{
	for (int n = 0; n < 3;) {
		int fd = openat(dir, "word", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (fd < 0 && errno != EEXIST)
			break;
		n += fd >= 0;
		close_fd(&fd);
	}
	_exit(0);
}

/* Who has the directory open puts files into it while it goes: a few, then it is gone for it too.
 */
static void test_late(int top)
{
	for (int i = 0; i < 100; i++) {
		CHECK(mkdirat(top, "late", 0755) == 0);
		auto_fd int dir = openat(top, "late", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(dir, "word", "x");
		pid_t pid = fork();

		if (pid == 0)
			put_three(dir);
		CHECK(pid > 0 && tree_unlink(top, "late") == 0);
		CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
		CHECK(faccessat(top, "late", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
	}
}

int main(void)
{
	char dir[] = "/tmp/test_tree.XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	auto_fd int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_copy(top);
	test_deep(top);
	test_late(top);
	/* A link is removed, not what it points to. */
	put(top, "kept", "x");
	CHECK(symlinkat("kept", top, "link") == 0 && tree_unlink(top, "link") == 0);
	CHECK(faccessat(top, "kept", F_OK, 0) == 0);
	CHECK(tree_unlink(top, "from") == 0 && tree_unlink(top, "to") == 0);
	CHECK(tree_unlink(top, "never-there") == 0);
	CHECK(tree_unlink(AT_FDCWD, dir) == 0 && access(dir, F_OK) < 0);
	return test_done();
}
