/* SPDX-License-Identifier: Apache-2.0 */
/* What is in files: seals, holes, files without a name, writes with flags. */
#include <asm/unistd.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define CWD  ((uint64_t) AT_FDCWD)
#define BUF  (GUEST_AT + 8 * PAGE_SIZE)
#define KEEP FALLOC_FL_KEEP_SIZE

#define SEAL_EXEC 0x20

static struct guest g;

static uint64_t at_text(const char *t)
{
	static uint64_t turn;

	turn = (turn + 1) % 8;
	return guest_text(&g, turn * 512, t);
}

static sysret_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_openat, CWD, at_text(name), flags, 0644);
}

static sysret_t memfd(unsigned int flags)
{
	return CALL(&g, __NR_memfd_create, at_text("m"), flags);
}

static sysret_t seal(uint64_t fd, unsigned int seals)
{
	return CALL(&g, __NR_fcntl, fd, F_ADD_SEALS, seals);
}

static sysret_t map(uint64_t fd, int prot, int flags)
{
	return CALL(&g, __NR_mmap, 0, PAGE_SIZE, (uint64_t) prot, (uint64_t) flags, fd, 0);
}

static sysret_t write_at(uint64_t fd, uint64_t n, uint64_t at)
{
	return CALL(&g, __NR_pwrite64, fd, BUF, n, at);
}

static sysret_t room(uint64_t fd, unsigned int mode, uint64_t at, uint64_t n)
{
	return CALL(&g, __NR_fallocate, fd, mode, at, n);
}

static void close_all(void)
{
	CHECK(CALL(&g, __NR_close_range, 0, 100, 0) == 0);
}

static void which_seals(void)
{
	CHECK(memfd(0) == 0 && memfd(MFD_ALLOW_SEALING) == 1 && memfd(8) == 2);
	CHECK(memfd(8 | 16) == -EINVAL && memfd(16) == 3);
	CHECK(CALL(&g, __NR_fcntl, 0, F_GET_SEALS) == F_SEAL_SEAL);
	CHECK(CALL(&g, __NR_fcntl, 1, F_GET_SEALS) == 0);
	CHECK(CALL(&g, __NR_fcntl, 2, F_GET_SEALS) == SEAL_EXEC);
	CHECK(seal(0, F_SEAL_GROW) == -EPERM && seal(1, 0x40) == -EINVAL);
	CHECK(seal(1, F_SEAL_GROW) == 0 && seal(1, F_SEAL_SHRINK) == 0);
	CHECK(CALL(&g, __NR_fcntl, 1, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK));
	CHECK(seal(1, F_SEAL_SEAL) == 0 && seal(1, F_SEAL_WRITE) == -EPERM);
	/* Not to be executed, and so it stays. */
	CHECK(CALL(&g, __NR_fchmod, 2, 0600) == 0 && CALL(&g, __NR_fchmod, 2, 0700) == -EPERM);
	/* What is executable is sealed altogether. */
	close_all();
	CHECK(memfd(MFD_ALLOW_SEALING) == 0 && seal(0, SEAL_EXEC) == 0);
	CHECK(CALL(&g, __NR_fcntl, 0, F_GET_SEALS) == 0x3e && write_at(0, 1, 0) == -EPERM);
	CHECK(open_at("/f", O_CREAT | O_RDWR) == 1);
	CHECK(CALL(&g, __NR_fcntl, 1, F_GET_SEALS) == F_SEAL_SEAL); /* as of tmpfs */
	CHECK(CALL(&g, __NR_pipe2, BUF, 0) == 0);
	CHECK(CALL(&g, __NR_fcntl, 3, F_GET_SEALS) == -EINVAL && seal(3, 1) == -EINVAL);
	CHECK(seal(2, 1) == -EPERM);
	close_all();
}

static void sizes_sealed(void)
{
	CHECK(memfd(MFD_ALLOW_SEALING) == 0 && CALL(&g, __NR_ftruncate, 0, 5000) == 0);
	CHECK(seal(0, F_SEAL_SHRINK) == 0 && CALL(&g, __NR_ftruncate, 0, 4999) == -EPERM);
	CHECK(CALL(&g, __NR_ftruncate, 0, 6000) == 0 && seal(0, F_SEAL_GROW) == 0);
	CHECK(CALL(&g, __NR_ftruncate, 0, 6001) == -EPERM);
	CHECK(CALL(&g, __NR_ftruncate, 0, 6000) == 0);
	CHECK(write_at(0, 1, 6000) == -EPERM && write_at(0, 100, 5900) == 100);
	CHECK(room(0, 0, 0, 6001) == -EPERM && room(0, KEEP, 0, 7000) == -EPERM);
	CHECK(room(0, 0, 0, 6000) == 0);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | KEEP, 0, 4096) == 0);
	/* What lies in whole pages before the end is written. */
	CHECK(write_at(0, 4096, 4000) == 96);
	close_all();
}

static void writes_sealed(void)
{
	sysret_t shared, later;

	CHECK(memfd(MFD_ALLOW_SEALING) == 0 && CALL(&g, __NR_ftruncate, 0, 8192) == 0);
	shared = map(0, PROT_READ, MAP_SHARED);
	/* It could be written to after mprotect. */
	CHECK(shared > 0 && seal(0, F_SEAL_WRITE) == -EBUSY);
	CHECK(seal(0, F_SEAL_FUTURE_WRITE) == 0 && write_at(0, 1, 0) == -EPERM);
	CHECK(CALL(&g, __NR_mprotect, (uint64_t) shared, PAGE_SIZE, PROT_READ | PROT_WRITE) == 0);
	CHECK(copy_out(g.task->space, uva((uint64_t) shared), "x", 1) == 0);
	CHECK(CALL(&g, __NR_madvise, (uint64_t) shared, PAGE_SIZE, MADV_REMOVE) == -EPERM);
	CHECK(map(0, PROT_READ | PROT_WRITE, MAP_SHARED) == -EPERM);
	later = map(0, PROT_READ, MAP_SHARED);
	CHECK(later > 0);
	CHECK(CALL(&g, __NR_mprotect, (uint64_t) later, PAGE_SIZE, PROT_WRITE) == -EACCES);
	CHECK(CALL(&g, __NR_munmap, (uint64_t) shared, PAGE_SIZE) == 0);
	/* That one cannot, and keeps nobody from it. */
	CHECK(seal(0, F_SEAL_WRITE) == 0);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | KEEP, 0, 4096) == -EPERM);
	CHECK(room(0, FALLOC_FL_ZERO_RANGE, 0, 4096) == -EPERM);
	CHECK(CALL(&g, __NR_ftruncate, 0, 4096) == 0); /* a seal of its own */
	shared = map(0, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK(shared > 0 && copy_out(g.task->space, uva((uint64_t) shared), "y", 1) == 0);
	CHECK(CALL(&g, __NR_pread64, 0, BUF, 1, 0) == 1);
	CHECK(CALL(&g, __NR_munmap, (uint64_t) shared, PAGE_SIZE) == 0);
	CHECK(CALL(&g, __NR_munmap, (uint64_t) later, PAGE_SIZE) == 0);
	close_all();
}

static sysret_t seek(uint64_t at, int whence)
{
	return CALL(&g, __NR_lseek, 0, at, (uint64_t) whence);
}

static uint64_t blocks(void)
{
	uint64_t v = 0;

	CHECK(CALL(&g, __NR_fstat, 0, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT + 64, &v, sizeof(v));
	return v / (PAGE_SIZE / 512);
}

static void holes(void)
{
	uint8_t bytes[PAGE_SIZE];

	CHECK(open_at("/holes", O_CREAT | O_RDWR) == 0);
	CHECK(seek(0, SEEK_DATA) == -ENXIO && seek(0, SEEK_HOLE) == -ENXIO);
	CHECK(CALL(&g, __NR_ftruncate, 0, 10 * PAGE_SIZE + 5) == 0 && blocks() == 0);
	CHECK(seek(0, SEEK_DATA) == -ENXIO && seek(77, SEEK_HOLE) == 77);
	memset(bytes, 7, sizeof(bytes));
	(void) guest_put(&g, BUF - GUEST_AT, bytes, sizeof(bytes));
	CHECK(write_at(0, PAGE_SIZE, 2 * PAGE_SIZE) == PAGE_SIZE);
	CHECK(write_at(0, PAGE_SIZE, 3 * PAGE_SIZE) == PAGE_SIZE);
	CHECK(write_at(0, 5, 10 * PAGE_SIZE) == 5);
	CHECK(seek(0, SEEK_DATA) == 2 * PAGE_SIZE && seek(0, SEEK_HOLE) == 0);
	CHECK(seek(2 * PAGE_SIZE + 9, SEEK_DATA) == 2 * PAGE_SIZE + 9);
	CHECK(seek(2 * PAGE_SIZE + 9, SEEK_HOLE) == 4 * PAGE_SIZE);
	CHECK(seek(4 * PAGE_SIZE, SEEK_DATA) == 10 * PAGE_SIZE);
	CHECK(seek(10 * PAGE_SIZE + 1, SEEK_HOLE) == 10 * PAGE_SIZE + 5);
	CHECK(seek(10 * PAGE_SIZE + 5, SEEK_DATA) == -ENXIO);
	/* Parts of pages become zeros, whole ones go. */
	CHECK(blocks() == 3);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | KEEP, 2 * PAGE_SIZE + 100, PAGE_SIZE - 50) == 0);
	CHECK(blocks() == 3 &&
	      CALL(&g, __NR_pread64, 0, BUF, PAGE_SIZE, 2 * PAGE_SIZE + 99) == PAGE_SIZE);
	guest_get(&g, BUF - GUEST_AT, bytes, sizeof(bytes));
	CHECK(bytes[0] == 7 && bytes[1] == 0 && bytes[PAGE_SIZE - 50] == 0 &&
	      bytes[PAGE_SIZE - 49] == 7);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | KEEP, PAGE_SIZE + 1, 2 * PAGE_SIZE) == 0);
	CHECK(blocks() == 2 && seek(0, SEEK_DATA) == 3 * PAGE_SIZE);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | KEEP, 10 * PAGE_SIZE, 1 << 20) == 0);
	CHECK(seek(0, SEEK_END) == 10 * PAGE_SIZE + 5);
	CHECK(room(0, FALLOC_FL_ZERO_RANGE | KEEP, 3 * PAGE_SIZE, 1 << 20) == 0);
	CHECK(seek(0, SEEK_END) == 10 * PAGE_SIZE + 5 && blocks() == 8);
	CHECK(CALL(&g, __NR_pread64, 0, BUF, 9, 3 * PAGE_SIZE) == 9);
	guest_get(&g, BUF - GUEST_AT, bytes, 9);
	CHECK(bytes[0] == 0 && bytes[8] == 0);
	CHECK(room(0, FALLOC_FL_ZERO_RANGE, 10 * PAGE_SIZE, 2 * PAGE_SIZE) == 0);
	CHECK(seek(0, SEEK_END) == 12 * PAGE_SIZE);
	CHECK(room(0, FALLOC_FL_ZERO_RANGE, 0, 1 << 30) == -ENOSPC);
	CHECK(seek(0, SEEK_END) == 12 * PAGE_SIZE);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE, 0, 5) == -EOPNOTSUPP);
	CHECK(room(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | KEEP, 0, 5) == -EOPNOTSUPP);
	CHECK(room(0, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE_SIZE) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_unlink, at_text("/holes")) == 0);
	close_all();
}

static void nameless(void)
{
	sysret_t r;

	CHECK(open_at("/", O_TMPFILE | O_RDWR) == 0 && write_at(0, 3, 0) == 3);
	CHECK(open_at("/", O_TMPFILE) == -EINVAL && open_at("/none", O_TMPFILE | 2) == -ENOENT);
	CHECK(CALL(&g, __NR_linkat, 0, at_text(""), CWD, at_text("/named"), AT_EMPTY_PATH) == 0);
	CHECK(open_at("/named", O_RDONLY) == 1 && CALL(&g, __NR_read, 1, BUF, 9) == 3);
	CHECK(CALL(&g, __NR_unlink, at_text("/named")) == 0);
	/* It had a name once. */
	CHECK(CALL(&g, __NR_linkat, 0, at_text(""), CWD, at_text("/n2"), AT_EMPTY_PATH) == -ENOENT);
	CHECK(open_at("/", O_TMPFILE | O_RDWR | O_EXCL) == 2);
	CHECK(CALL(&g, __NR_linkat, 2, at_text(""), CWD, at_text("/n2"), AT_EMPTY_PATH) == -ENOENT);
	close_all();
	/* By the link in /proc. */
	CHECK(CALL(&g, __NR_mkdir, at_text("/proc"), 0755) == 0);
	CHECK(CALL(&g, __NR_mount, 0, at_text("/proc"), at_text("proc"), 0, 0) == 0);
	CHECK(open_at("/", O_TMPFILE | O_WRONLY) == 0);
	CHECK(open_at("/proc", O_TMPFILE | O_RDWR) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_linkat, CWD, at_text("/proc/self/fd/0"), CWD, at_text("/n2"),
		   AT_SYMLINK_FOLLOW) == 0);
	CHECK(CALL(&g, __NR_unlink, at_text("/n2")) == 0);
	CHECK(CALL(&g, __NR_readlink, at_text("/proc/self/fd/0"), BUF, 64) > 10);
	close_all();
	CHECK(CALL(&g, __NR_umount2, at_text("/proc"), 0) == 0);
	for (unsigned int n = 1; n < 12; n++) {
		heap_fail_at(n);
		r = open_at("/", O_TMPFILE | O_RDWR);
		heap_fail_at(0);
		CHECK(r == 0 || r == -ENOMEM || r == -ENOSPC);
		close_all();
	}
}

static uint64_t iovec(uint64_t n)
{
	return guest_put(&g, 9 * PAGE_SIZE, (uint64_t[2]){ BUF, n }, 16);
}

static void flags_of_one_write(void)
{
	CHECK(open_at("/a", O_CREAT | O_RDWR) == 0 && write_at(0, 10, 0) == 10);
	CHECK(CALL(&g, __NR_pwritev2, 0, iovec(5), 1, 2, 0, RWF_APPEND) == 5);
	CHECK(CALL(&g, __NR_lseek, 0, 0, SEEK_END) == 15);
	CHECK(CALL(&g, __NR_fcntl, 0, F_SETFL, O_APPEND) == 0 && write_at(0, 1, 0) == 1);
	CHECK(CALL(&g, __NR_pwritev2, 0, iovec(5), 1, 2, 0, 0x20) == 5); /* RWF_NOAPPEND */
	CHECK(CALL(&g, __NR_lseek, 0, 0, SEEK_END) == 16);
	CHECK(CALL(&g, __NR_pwritev2, 0, iovec(5), 1, 2, 0, 0x20 | RWF_APPEND) == -EINVAL);
	CHECK(CALL(&g, __NR_preadv2, 0, iovec(50), 1, 2, 0, RWF_NOWAIT) == 14);
	CHECK(CALL(&g, __NR_preadv2, 0, iovec(50), 1, 16, 0, RWF_NOWAIT) == 0);
	CHECK(CALL(&g, __NR_pwritev2, 0, iovec(5), 1, UINT64_MAX, 0, RWF_NOWAIT) == 5);
	CHECK(CALL(&g, __NR_pwritev2, 0, iovec(5), 1, 0, 0, 0x40) == -EOPNOTSUPP);
	CHECK(CALL(&g, __NR_pipe2, BUF, 0) == 0);
	CHECK(CALL(&g, __NR_preadv2, 1, iovec(5), 1, UINT64_MAX, 0, RWF_NOWAIT) == -EOPNOTSUPP);
	close_all();
	CHECK(open_at("/b", O_CREAT | O_RDWR) == 0);
	CHECK(CALL(&g, __NR_renameat2, CWD, at_text("/b"), CWD, at_text("/c"), RENAME_WHITEOUT) ==
	      -EINVAL);
	CHECK(CALL(&g, __NR_renameat2, CWD, at_text("/z"), CWD, at_text("/c"), RENAME_WHITEOUT) ==
	      -ENOENT);
	close_all();
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	which_seals();
	sizes_sealed();
	writes_sealed();
	holes();
	nameless();
	flags_of_one_write();
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
