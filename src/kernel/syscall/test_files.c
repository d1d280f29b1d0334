/* SPDX-License-Identifier: Apache-2.0 */
/* Files by their system calls: what is given, and which errno. */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>

#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define CWD ((uint64_t) AT_FDCWD)
#define BUF (GUEST_AT + 4 * PAGE_SIZE)

static struct guest g;

static uint64_t at_text(const char *t)
{
	static uint64_t turn;

	turn = (turn + 1) % 4;
	return guest_text(&g, turn * 1024, t);
}

static sysret_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_openat, CWD, at_text(name), flags, 0644);
}

static void put(const char *t)
{
	(void) guest_text(&g, BUF - GUEST_AT, t);
}

static const char *got(size_t n)
{
	static char text[256];

	memset(text, 0, sizeof(text));
	guest_get(&g, BUF - GUEST_AT, text, n);
	return text;
}

static void read_and_write(void)
{
	sysret_t fd = open_at("/f", O_RDWR | O_CREAT | O_EXCL), ro;
	uint64_t u = (uint64_t) fd, v;
	uint64_t iov[4] = { BUF, 2, BUF + 4, 3 };

	CHECK(fd == 0 && open_at("/f", O_RDWR | O_CREAT | O_EXCL) == -EEXIST);
	put("hello world");
	CHECK(CALL(&g, __NR_write, u, BUF, 11) == 11);
	CHECK(CALL(&g, __NR_pread64, u, BUF, 5, 6) == 5);
	CHECK_STR(got(5), "world");
	CHECK(CALL(&g, __NR_pwrite64, u, BUF, 5, -1) == -EINVAL);
	CHECK(CALL(&g, __NR_lseek, u, 0, SEEK_SET) == 0);
	CHECK(CALL(&g, __NR_lseek, u, 0, 9) == -EINVAL && CALL(&g, __NR_lseek, 9, 0, 0) == -EBADF);
	v = guest_put(&g, 8 * PAGE_SIZE, iov, sizeof(iov));
	CHECK(CALL(&g, __NR_readv, u, v, 2) == 5 && CALL(&g, __NR_readv, u, v, 1025) == -EINVAL);
	CHECK_STR(got(2), "he");
	CHECK(CALL(&g, __NR_preadv2, u, v, 2, UINT64_MAX, 0, 0) == 5);
	CHECK(CALL(&g, __NR_preadv2, u, v, 2, 0, 0, 0x40) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_read, u, BUF, (uint64_t) -1) == -EINVAL);
	CHECK(CALL(&g, __NR_lseek, u, 0, SEEK_SET) == 0);
	CHECK(CALL(&g, __NR_read, u, 0x1000, 5) == -EFAULT);
	ro = open_at("/f", O_RDONLY);
	CHECK(ro == 1 && CALL(&g, __NR_write, 1, BUF, 1) == -EBADF);
	CHECK(CALL(&g, __NR_ftruncate, 1, 1) == -EINVAL && CALL(&g, __NR_ftruncate, u, 3) == 0);
	CHECK(CALL(&g, __NR_truncate, at_text("/f"), -1) == -EINVAL);
	CHECK(CALL(&g, __NR_read, 1, BUF, 100) == 3);
	CHECK(CALL(&g, __NR_close, 1) == 0 && CALL(&g, __NR_close, 1) == -EBADF);
	CHECK(CALL(&g, __NR_close, 0) == 0);
}

static void flags_and_descriptors(void)
{
	struct open_how how = { .flags = O_RDONLY | 1u << 30 };
	uint64_t h = guest_put(&g, 8 * PAGE_SIZE, &how, sizeof(how));
	struct task_limit *nofile = &g.task->process->limits[RLIMIT_NOFILE];
	uint64_t was = nofile->soft;

	CHECK(CALL(&g, __NR_openat2, CWD, at_text("/f"), h, sizeof(how)) == -EINVAL);
	CHECK(CALL(&g, __NR_openat2, CWD, at_text("/f"), h, 8) == -EINVAL);
	CHECK(CALL(&g, __NR_openat2, CWD, at_text("/f"), h, 5000) == -E2BIG);
	how = (struct open_how){ .flags = O_CREAT | O_WRONLY, .mode = 010000 };
	h = guest_put(&g, 8 * PAGE_SIZE, &how, sizeof(how));
	CHECK(CALL(&g, __NR_openat2, CWD, at_text("/f"), h, sizeof(how)) == -EINVAL);
	how = (struct open_how){ .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };
	h = guest_put(&g, 8 * PAGE_SIZE, &how, sizeof(how));
	CHECK(CALL(&g, __NR_openat2, CWD, at_text("/f"), h, sizeof(how)) == -EXDEV);
	CHECK(CALL(&g, __NR_openat2, CWD, at_text("f"), h, sizeof(how)) == 0);
	CHECK(open_at("/f", 1u << 30 | O_CLOEXEC) == 1); /* open(2) knows no such error */
	CHECK(open_at("/f", O_CREAT | O_DIRECTORY) == -EINVAL);
	CHECK(open_at("/f", O_TMPFILE | O_RDWR) == -ENOTDIR);
	CHECK(open_at("/f", O_DIRECTORY) == -ENOTDIR && open_at("/no", 0) == -ENOENT);
	CHECK(CALL(&g, __NR_openat, 0, at_text("x"), 0) == -ENOTDIR);
	CHECK(CALL(&g, __NR_openat, 77, at_text("x"), 0) == -EBADF);
	CHECK(CALL(&g, __NR_openat, 77, at_text("/f"), 0) == 2);
	CHECK(CALL(&g, __NR_fcntl, 1, F_GETFD) == FD_CLOEXEC &&
	      CALL(&g, __NR_fcntl, 0, F_GETFD) == 0);
	CHECK(CALL(&g, __NR_fcntl, 0, F_DUPFD, 10) == 10);
	CHECK(CALL(&g, __NR_fcntl, 0, F_DUPFD, was) == -EINVAL);
	CHECK((CALL(&g, __NR_fcntl, 0, F_GETFL) & ~O_LARGEFILE) == O_RDONLY);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETFL, O_APPEND | O_RDWR) == 0);
	CHECK((CALL(&g, __NR_fcntl, 10, F_GETFL) & ~O_LARGEFILE) == O_APPEND);
	CHECK(CALL(&g, __NR_fcntl, 0, 4711) == -EINVAL &&
	      CALL(&g, __NR_fcntl, 50, F_GETFD) == -EBADF);
	CHECK(CALL(&g, __NR_dup2, 0, 0) == 0 && CALL(&g, __NR_dup2, 60, 60) == -EBADF);
	CHECK(CALL(&g, __NR_dup3, 0, 0, 0) == -EINVAL && CALL(&g, __NR_dup3, 0, 5, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_dup3, 0, 5, O_CLOEXEC) == 5 && CALL(&g, __NR_dup2, 0, was) == -EBADF);
	CHECK(CALL(&g, __NR_ioctl, 5, 0x5450) == 0 && CALL(&g, __NR_fcntl, 5, F_GETFD) == 0);
	CHECK(CALL(&g, __NR_ioctl, 5, 0x5401, BUF) == -ENOTTY);
	CHECK(CALL(&g, __NR_close_range, 5, 4, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_close_range, 4, UINT32_MAX, 4) == 0);
	CHECK(CALL(&g, __NR_fcntl, 10, F_GETFD) == FD_CLOEXEC);
	nofile->soft = 3;
	CHECK(open_at("/f", 0) == -EMFILE && CALL(&g, __NR_dup, 0) == -EMFILE);
	nofile->soft = was;
	CHECK(CALL(&g, __NR_close_range, 0, UINT32_MAX, 0) == 0 && CALL(&g, __NR_dup, 0) == -EBADF);
	/* O_PATH: a place, not a file. */
	CHECK(open_at("/f", O_PATH) == 0 && CALL(&g, __NR_read, 0, BUF, 1) == -EBADF);
	CHECK(CALL(&g, __NR_fstat, 0, BUF) == 0 && CALL(&g, __NR_fchmod, 0, 0600) == -EBADF);
	CHECK(CALL(&g, __NR_close, 0) == 0);
}

static void names(void)
{
	char text[32] = "";

	CHECK(CALL(&g, __NR_mkdir, at_text("/d"), 0777) == 0);
	CHECK(CALL(&g, __NR_mkdirat, CWD, at_text("/d"), 0777) == -EEXIST);
	CHECK(CALL(&g, __NR_mkdir, 0xdead000, 0777) == -EFAULT);
	CHECK(CALL(&g, __NR_mkdir, at_text(""), 0777) == -ENOENT);
	CHECK(CALL(&g, __NR_chdir, at_text("/d")) == 0 &&
	      CALL(&g, __NR_chdir, at_text("/f")) == -ENOTDIR);
	CHECK(CALL(&g, __NR_getcwd, BUF, 3) == 3 && CALL(&g, __NR_getcwd, BUF, 2) == -ERANGE);
	CHECK_STR(got(3), "/d");
	CHECK(CALL(&g, __NR_symlink, at_text("/f"), at_text("l")) == 0);
	CHECK(CALL(&g, __NR_symlink, at_text(""), at_text("l2")) == -ENOENT);
	CHECK(CALL(&g, __NR_readlink, at_text("l"), BUF, 1) == 1);
	CHECK(CALL(&g, __NR_readlink, at_text("l"), BUF, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_readlink, at_text("/f"), BUF, 9) == -EINVAL);
	CHECK(CALL(&g, __NR_readlink, at_text(""), BUF, 9) == -ENOENT);
	CHECK(CALL(&g, __NR_linkat, CWD, at_text("l"), CWD, at_text("/h"), AT_SYMLINK_FOLLOW) == 0);
	CHECK(CALL(&g, __NR_linkat, CWD, at_text("l"), CWD, at_text("/x"), 1) == -EINVAL);
	CHECK(CALL(&g, __NR_rename, at_text("/h"), at_text("/d/h")) == 0);
	CHECK(CALL(&g, __NR_renameat2, CWD, at_text("h"), CWD, at_text("l"), RENAME_NOREPLACE) ==
	      -EEXIST);
	CHECK(CALL(&g, __NR_renameat2, CWD, at_text("h"), CWD, at_text("z"), 0x100) == -EINVAL);
	CHECK(CALL(&g, __NR_unlinkat, CWD, at_text("h"), AT_REMOVEDIR) == -ENOTDIR);
	CHECK(CALL(&g, __NR_unlinkat, CWD, at_text("h"), 1) == -EINVAL);
	CHECK(CALL(&g, __NR_unlink, at_text("h")) == 0 &&
	      CALL(&g, __NR_unlink, at_text("h")) == -ENOENT);
	CHECK(CALL(&g, __NR_mknod, at_text("p"), S_IFIFO | 0600, 0) == 0);
	CHECK(CALL(&g, __NR_mknod, at_text("q"), S_IFDIR | 0600, 0) == -EPERM);
	CHECK(CALL(&g, __NR_mknod, at_text("q"), 0170000, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_rmdir, at_text("/d")) == -ENOTEMPTY);
	CHECK(open_at(".", 0) == 0 && CALL(&g, __NR_getdents64, 0, BUF, 4096) > 0);
	CHECK(CALL(&g, __NR_getdents64, 0, BUF, 4096) == 0);
	/* linux_dirent: number, position, length, ".", and at the end of it what it is. */
	CHECK(CALL(&g, __NR_lseek, 0, 0, SEEK_SET) == 0 &&
	      CALL(&g, __NR_getdents, 0, BUF, 4096) > 24);
	guest_get(&g, BUF - GUEST_AT + 16, text, 8);
	CHECK(text[0] == 24 && text[2] == '.' && text[3] == 0 && text[7] == 4);
	CHECK(CALL(&g, __NR_fchdir, 0) == 0 && CALL(&g, __NR_close, 0) == 0);
	CHECK(CALL(&g, __NR_umask, 0777) == 022 && CALL(&g, __NR_umask, 022) == 0777);
	CHECK(CALL(&g, __NR_chdir, at_text("/")) == 0);
	guest_get(&g, BUF - GUEST_AT, text, 1);
}

/* struct stat's members that are looked at: mode at 24, uid at 28, size at 48. */
static uint32_t word_of_stat(const char *name, size_t at)
{
	uint32_t v = 0;

	CHECK(CALL(&g, __NR_newfstatat, CWD, at_text(name), BUF, AT_SYMLINK_NOFOLLOW) == 0);
	guest_get(&g, BUF - GUEST_AT + at, &v, sizeof(v));
	return v;
}

static void attributes(void)
{
	const int64_t times[4] = { 5, 6, 7, 1000000000 }, omit[4] = { 0, 1073741822, 9, 9 };
	uint64_t t = guest_put(&g, 9 * PAGE_SIZE, times, sizeof(times));

	CHECK(word_of_stat("/f", 24) == (S_IFREG | 0644) && word_of_stat("/f", 48) == 3);
	CHECK(word_of_stat("/d/l", 24) == (S_IFLNK | 0777) && word_of_stat("/d/l", 48) == 2);
	CHECK(CALL(&g, __NR_stat, at_text("/d/l"), BUF) == 0);
	CHECK(CALL(&g, __NR_newfstatat, CWD, at_text("/f"), BUF, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_newfstatat, CWD, at_text(""), BUF, AT_EMPTY_PATH) == 0);
	CHECK(CALL(&g, __NR_statx, CWD, at_text("/f"), 0, 0x80000000, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_statx, CWD, at_text("/f"), 0x6000, 0, BUF) == -EINVAL);
	CHECK(CALL(&g, __NR_statx, CWD, at_text("/f"), 0, 0x7ff, BUF) == 0);
	CHECK(CALL(&g, __NR_chmod, at_text("/f"), 0104755) == 0);
	CHECK(word_of_stat("/f", 24) == (S_IFREG | 04755));
	CHECK(CALL(&g, 452, CWD, at_text("/d/l"), 0600, AT_SYMLINK_NOFOLLOW) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_chown, at_text("/f"), 7, -1) == 0 && word_of_stat("/f", 28) == 7);
	CHECK(CALL(&g, __NR_access, at_text("/f"), 4) == 0 &&
	      CALL(&g, __NR_access, at_text("/f"), 8) == -EINVAL);
	CHECK(CALL(&g, __NR_utimensat, CWD, at_text("/f"), t, 0) == -EINVAL);
	t = guest_put(&g, 9 * PAGE_SIZE, omit, sizeof(omit));
	CHECK(CALL(&g, __NR_utimensat, CWD, at_text("/f"), t, 0) == 0);
	CHECK(word_of_stat("/f", 88) == 9 && word_of_stat("/f", 96) == 9);
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("user.a"), BUF, 5, 0) == 0);
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("user.a"), BUF, 5, 1) == -EEXIST);
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("other.a"), BUF, 5, 0) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("user.b"), BUF, 65537, 0) == -E2BIG);
	CHECK(CALL(&g, __NR_getxattr, at_text("/f"), at_text("user.a"), BUF, 0) == 5);
	CHECK(CALL(&g, __NR_getxattr, at_text("/f"), at_text("user.a"), BUF, 4) == -ERANGE);
	CHECK(CALL(&g, __NR_getxattr, at_text("/f"), at_text(""), BUF, 4) == -ERANGE);
	CHECK(CALL(&g, __NR_listxattr, at_text("/f"), BUF, 100) == 7);
	CHECK(CALL(&g, __NR_removexattr, at_text("/f"), at_text("user.a")) == 0);
	CHECK(CALL(&g, __NR_getxattr, at_text("/f"), at_text("user.a"), BUF, 4) == -ENODATA);
	CHECK(CALL(&g, __NR_statfs, at_text("/f"), BUF) == 0);
}

/* As somebody without rights. */
static void as_user(void)
{
	CHECK(CALL(&g, __NR_setresuid, 1000, 1000, 1000) == 0 && CALL(&g, __NR_geteuid) == 1000);
	CHECK(open_at("/f", O_RDWR) == -EACCES && CALL(&g, __NR_chmod, at_text("/f"), 0) == -EPERM);
	CHECK(CALL(&g, __NR_mkdir, at_text("/e"), 0) == -EACCES);
	CHECK(CALL(&g, __NR_truncate, at_text("/f"), 0) == -EACCES);
	CHECK(CALL(&g, __NR_utimensat, CWD, at_text("/f"), 0, 0) == -EACCES);
	CHECK(CALL(&g, __NR_chroot, at_text("/")) == -EPERM);
	CHECK(CALL(&g, __NR_sethostname, BUF, 1) == -EPERM && CALL(&g, __NR_setuid, 0) == -EPERM);
	CHECK(CALL(&g, __NR_mknod, at_text("/d/c"), S_IFCHR, 0x103) == -EPERM);
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("trusted.a"), BUF, 5, 0) == -EPERM);
	CHECK(CALL(&g, __NR_sched_setscheduler, 0, 1, guest_put(&g, 0, &(int){ 5 }, 4)) == -EPERM);
}

static void transfers(void)
{
	uint64_t at = guest_put(&g, 9 * PAGE_SIZE, &(uint64_t){ 1 }, 8);
	uint64_t seen;

	CHECK(open_at("/s", O_RDWR | O_CREAT | O_TRUNC) == 0 &&
	      open_at("/t", O_RDWR | O_CREAT) == 1);
	put("abcdef");
	CHECK(CALL(&g, __NR_write, 0, BUF, 6) == 6);
	CHECK(CALL(&g, __NR_sendfile, 1, 0, at, 100) == 5);
	guest_get(&g, 9 * PAGE_SIZE, &seen, 8);
	CHECK(seen == 6 && CALL(&g, __NR_lseek, 0, 0, SEEK_CUR) == 6);
	CHECK(CALL(&g, __NR_lseek, 0, 0, SEEK_SET) == 0);
	CHECK(CALL(&g, __NR_copy_file_range, 0, 0, 1, 0, 4, 0) == 4);
	CHECK(CALL(&g, __NR_copy_file_range, 0, 0, 1, 0, 4, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_copy_file_range, 0, 0, 0, 0, 4, 0) == -EINVAL); /* they overlap */
	CHECK(CALL(&g, __NR_fallocate, 0, 0, 0, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_fallocate, 0, 2, 0, 5) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_fallocate, 0, 0, 1, INT64_MAX) == -EFBIG);
	CHECK(CALL(&g, __NR_fallocate, 0, 1, 0, 9000) == 0 && word_of_stat("/s", 48) == 6);
	CHECK(CALL(&g, __NR_fallocate, 0, 0, 4000, 5000) == 0 && word_of_stat("/s", 48) == 9000);
	CHECK(word_of_stat("/s", 64) == 24); /* blocks of 512 bytes */
	CHECK(CALL(&g, __NR_fallocate, 0, 0, 0, 1 << 30) == -ENOSPC);
	CHECK(word_of_stat("/s", 48) == 9000);
	CHECK(CALL(&g, __NR_pread64, 1, BUF, 20, 0) == 9);
	CHECK_STR(got(9), "bcdefabcd");
	CHECK(CALL(&g, __NR_pipe2, BUF, O_NONBLOCK) == 0);
	CHECK(CALL(&g, __NR_sendfile, 3, 0, at, 100) == 100 &&
	      CALL(&g, __NR_sendfile, 1, 2, 0, 5) == -EINVAL);
	CHECK(CALL(&g, __NR_close_range, 0, 100, 0) == 0);
}

static int16_t lock_type(uint64_t at)
{
	int16_t type;

	guest_get(&g, at - GUEST_AT, &type, sizeof(type));
	return type;
}

static uint64_t range(int16_t type, int64_t start, int64_t len)
{
	const struct {
		int16_t type, whence;
		int32_t pad;
		int64_t start, len, pid;
	} r = { .type = type, .start = start, .len = len };

	return guest_put(&g, 10 * PAGE_SIZE, &r, sizeof(r));
}

static void locks(void)
{
	/* The same file twice: the locks of open files are of two owners. */
	CHECK(open_at("/s", O_RDWR | O_CREAT) == 0 && open_at("/s", O_RDWR) == 1);
	CHECK(open_at("/s", O_RDONLY) == 2);
	CHECK(CALL(&g, __NR_fcntl, 0, F_OFD_SETLK, range(F_WRLCK, 10, 10)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLK, range(F_RDLCK, 19, 1)) == -EAGAIN);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLK, range(F_RDLCK, 20, 0)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLK, range(F_RDLCK, 10, -10)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLKW, range(F_RDLCK, 10, 1)) == -ERESTARTSYS);
	/* A hole in it. */
	CHECK(CALL(&g, __NR_fcntl, 0, F_OFD_SETLK, range(F_UNLCK, 12, 2)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLK, range(F_WRLCK, 12, 2)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_SETLK, range(F_WRLCK, 11, 1)) == -EAGAIN);
	CHECK(CALL(&g, __NR_fcntl, 1, F_OFD_GETLK, range(F_WRLCK, 14, 100)) == 0);
	CHECK(lock_type(GUEST_AT + 10 * PAGE_SIZE) == F_WRLCK);
	/* POSIX's are of the process, and go with any close. */
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETLK, range(F_WRLCK, 15, 1)) == -EAGAIN);
	CHECK(CALL(&g, __NR_fcntl, 0, F_OFD_SETLK, range(F_UNLCK, 0, 0)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETLK, range(F_WRLCK, 15, 1)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_SETLK, range(F_RDLCK, 15, 1)) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_GETLK, range(F_WRLCK, 15, 1)) == 0);
	CHECK(lock_type(GUEST_AT + 10 * PAGE_SIZE) == F_UNLCK);
	CHECK(open_at("/s", O_PATH) == 3 && CALL(&g, __NR_close, 3) == 0);
	CHECK(CALL(&g, __NR_fcntl, 0, F_OFD_SETLK, range(F_WRLCK, 15, 1)) == -EAGAIN);
	CHECK(CALL(&g, __NR_close, 2) == 0);
	CHECK(CALL(&g, __NR_fcntl, 0, F_OFD_SETLK, range(F_WRLCK, 15, 1)) == 0);
	CHECK(open_at("/s", O_RDONLY) == 2);
	CHECK(CALL(&g, __NR_fcntl, 2, F_SETLK, range(F_WRLCK, 500, 1)) == -EBADF);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETLK, range(9, 0, 1)) == -EINVAL);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETLK, range(F_WRLCK, -1, 1)) == -EINVAL);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETLK, 5) == -EFAULT);
	/* flock knows only its own. */
	CHECK(CALL(&g, __NR_flock, 0, LOCK_EX) == 0 && CALL(&g, __NR_flock, 0, 3) == -EINVAL);
	CHECK(CALL(&g, __NR_flock, 1, LOCK_SH | LOCK_NB) == -EAGAIN);
	CHECK(CALL(&g, __NR_flock, 0, LOCK_SH) == 0);
	CHECK(CALL(&g, __NR_flock, 1, LOCK_SH | LOCK_NB) == 0);
	CHECK(CALL(&g, __NR_flock, 1, LOCK_EX) == -ERESTARTSYS);
	CHECK(CALL(&g, __NR_close, 0) == 0 && CALL(&g, __NR_flock, 1, LOCK_EX | LOCK_NB) == 0);
	CHECK(CALL(&g, __NR_close_range, 0, 100, 0) == 0);
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	read_and_write();
	flags_and_descriptors();
	names();
	attributes();
	transfers();
	locks();
	as_user();
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
