/* SPDX-License-Identifier: Apache-2.0 */
/* splice, tee and vmsplice: no byte is lost on the way, whoever fails. */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/net/numbers.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define CWD	 ((uint64_t) AT_FDCWD)
#define BUF	 (GUEST_AT + 8 * PAGE_SIZE)
#define AT	 (GUEST_AT + 12 * PAGE_SIZE) /* of positions and iovecs */
#define NONBLOCK 2

static struct guest g;

static uint64_t at_text(const char *t)
{
	return guest_text(&g, 0, t);
}

static sysret_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_openat, CWD, at_text(name), flags, 0644);
}

static void put(uint64_t fd, const char *t)
{
	(void) guest_text(&g, BUF - GUEST_AT, t);
	CHECK(CALL(&g, __NR_write, fd, BUF, strlen(t)) == (sysret_t) strlen(t));
}

/* What can be read of it now. */
static const char *got(uint64_t fd)
{
	static char text[256];
	sysret_t n = CALL(&g, __NR_read, fd, BUF, 200);

	memset(text, 0, sizeof(text));
	if (n > 0)
		guest_get(&g, BUF - GUEST_AT, text, (size_t) n);
	return text;
}

static sysret_t splice(uint64_t in, uint64_t off_in, uint64_t out, uint64_t off_out, uint64_t n,
		       unsigned int flags)
{
	return CALL(&g, __NR_splice, in, off_in, out, off_out, n, flags);
}

static void pipes(unsigned int flags)
{
	CHECK(CALL(&g, __NR_pipe2, BUF, flags) == 0); /* 0, 1 */
	CHECK(CALL(&g, __NR_pipe2, BUF, flags) == 0); /* 2, 3 */
}

static void close_all(void)
{
	CHECK(CALL(&g, __NR_close_range, 0, 100, 0) == 0);
}

static uint64_t position(uint64_t at)
{
	return guest_put(&g, AT - GUEST_AT, &at, sizeof(at));
}

static void between_pipes(void)
{
	pipes(O_NONBLOCK);
	CHECK(splice(0, 0, 3, 0, 9, 0) == -EAGAIN && splice(0, 0, 3, 0, 0, 99) == 0);
	put(1, "hello world");
	CHECK(splice(0, 0, 3, 0, 9, 16) == -EINVAL && splice(0, 0, 1, 0, 9, 0) == -EINVAL);
	CHECK(splice(0, position(0), 3, 0, 9, 0) == -ESPIPE);
	CHECK(splice(1, 0, 3, 0, 9, 0) == -EBADF && splice(0, 0, 2, 0, 9, 0) == -EBADF);
	CHECK(CALL(&g, __NR_tee, 0, 3, 5, 0) == 5);
	CHECK_STR(got(2), "hello");
	CHECK(splice(0, 0, 3, 0, 6, 0) == 6 && splice(0, 0, 3, 0, 100, 0) == 5);
	CHECK_STR(got(2), "hello world");
	CHECK(CALL(&g, __NR_tee, 0, 3, 5, NONBLOCK) == -EAGAIN);
	CHECK(CALL(&g, __NR_tee, 0, 1, 5, 0) == -EINVAL && CALL(&g, __NR_tee, 0, 3, 0, 0) == 0);
	/* As much as fits: the rest stays. */
	for (int n = 0; n < 16; n++)
		CHECK(CALL(&g, __NR_write, 1, GUEST_AT, PAGE_SIZE) == PAGE_SIZE);
	CHECK(CALL(&g, __NR_tee, 0, 3, 1 << 20, 0) == 16 * PAGE_SIZE);
	CHECK(splice(0, 0, 3, 0, 5, 0) == -EAGAIN);
	CHECK(CALL(&g, __NR_read, 2, BUF, PAGE_SIZE) == PAGE_SIZE);
	CHECK(splice(0, 0, 3, 0, 1 << 20, 0) == PAGE_SIZE);
	CHECK(CALL(&g, __NR_ioctl, 0, 0x541b, BUF) == 0);
	CHECK(CALL(&g, __NR_close, 2) == 0 && splice(0, 0, 3, 0, 5, 0) == -EPIPE);
	CHECK(CALL(&g, __NR_close, 1) == 0);
	for (int n = 0; n < 15; n++)
		CHECK(CALL(&g, __NR_read, 0, BUF, PAGE_SIZE) == PAGE_SIZE);
	CHECK(CALL(&g, __NR_read, 0, BUF, 1) == 0 && CALL(&g, __NR_tee, 0, 3, 5, 0) == 0);
	close_all();
	/* Without O_NONBLOCK it waits: until the guest's patience ends. */
	pipes(0);
	CHECK(splice(0, 0, 3, 0, 9, 0) == -ERESTARTSYS &&
	      splice(0, 0, 3, 0, 9, NONBLOCK) == -EAGAIN);
	close_all();
}

static void files(void)
{
	uint64_t at;

	pipes(O_NONBLOCK);
	CHECK(open_at("/f", O_CREAT | O_RDWR | O_TRUNC) == 4);
	put(1, "abcdefgh");
	CHECK(splice(0, 0, 4, 0, 3, 0) == 3 && splice(0, 0, 4, position(10), 2, 0) == 2);
	guest_get(&g, AT - GUEST_AT, &at, sizeof(at));
	CHECK(at == 12 && CALL(&g, __NR_lseek, 4, 0, SEEK_CUR) == 3);
	CHECK(splice(4, position(0), 3, 0, 100, 0) == 12);
	CHECK(CALL(&g, __NR_read, 2, BUF, 100) == 12);
	CHECK(splice(4, position(12), 3, 0, 100, 0) == 0);
	CHECK(splice(4, position(-1ul), 3, 0, 100, 0) == -EINVAL &&
	      splice(4, 5, 3, 0, 1, 0) == -EFAULT);
	CHECK(splice(4, 0, 4, 0, 1, 0) == -EINVAL);
	/* At the limit nothing is taken. */
	g.task->process->limits[RLIMIT_FSIZE].soft = 3;
	CHECK(splice(0, 0, 4, 0, 3, 0) == -EFBIG);
	g.task->process->limits[RLIMIT_FSIZE].soft = TASK_UNLIMITED;
	CHECK(CALL(&g, __NR_fcntl, 4, F_SETFL, O_APPEND) == 0 &&
	      splice(0, 0, 4, 0, 3, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_eventfd2, 1, 0) == 5 && splice(5, 0, 3, 0, 8, 0) == -EINVAL);
	CHECK(open_at("/", O_RDONLY) == 6 && splice(6, 0, 3, 0, 8, 0) == -EINVAL);
	CHECK_STR(got(0), "fgh");
	close_all();
}

static void sockets(void)
{
	pipes(O_NONBLOCK);
	CHECK(CALL(&g, __NR_socketpair, 1, 1, 0, BUF) == 0); /* 4, 5 */
	put(1, "through");
	CHECK(splice(0, 0, 4, 0, 100, 0) == 7 && splice(5, 0, 3, 0, 4, 0) == 4);
	CHECK_STR(got(2), "thro");
	CHECK_STR(got(5), "ugh");
	/* It waits for the socket alone, whose pipe others use meanwhile. */
	CHECK(splice(5, 0, 3, 0, 4, 0) == -ERESTARTSYS);
	CHECK(CALL(&g, __NR_fcntl, 5, F_SETFL, O_NONBLOCK) == 0 &&
	      splice(5, 0, 3, 0, 4, 0) == -EAGAIN);
	CHECK(CALL(&g, __NR_close, 5) == 0);
	put(1, "stays");
	CHECK(splice(0, 0, 4, 0, 100, 0) == -EPIPE);
	CHECK_STR(got(0), "stays");
	CHECK(splice(4, 0, 3, 0, 4, 0) == 0);
	close_all();
}

static void memory(void)
{
	uint64_t iov[4] = { BUF, 3, BUF + 8, 2 };

	pipes(O_NONBLOCK);
	(void) guest_text(&g, BUF - GUEST_AT, "abc_____de");
	(void) guest_put(&g, AT - GUEST_AT, iov, sizeof(iov));
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 2, 0) == 5);
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 2, 16) == -EINVAL);
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 0, 0) == 0 &&
	      CALL(&g, __NR_vmsplice, 1, 5, 1) == -EFAULT);
	CHECK_STR(got(0), "abcde");
	put(1, "12345");
	CHECK(CALL(&g, __NR_vmsplice, 0, AT, 2, 0) == 5);
	CHECK(CALL(&g, __NR_vmsplice, 0, AT, 2, NONBLOCK) == -EAGAIN);
	iov[0] = GUEST_AT;
	iov[1] = 12 * PAGE_SIZE;
	(void) guest_put(&g, AT - GUEST_AT, iov, sizeof(iov));
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 1, 0) == 12 * PAGE_SIZE);
	/* What fits. */
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 1, 0) == 4 * PAGE_SIZE);
	CHECK(CALL(&g, __NR_vmsplice, 1, AT, 1, NONBLOCK) == -EAGAIN);
	iov[0] = 0x1000;
	(void) guest_put(&g, AT - GUEST_AT, iov, sizeof(iov));
	CHECK(CALL(&g, __NR_vmsplice, 3, AT, 1, 0) == -EFAULT);
	CHECK(CALL(&g, __NR_vmsplice, 0, AT, 1, 0) == -EFAULT);
	CHECK(CALL(&g, __NR_read, 0, BUF, PAGE_SIZE) == PAGE_SIZE);
	CHECK(open_at("/f", O_RDWR) == 4 && CALL(&g, __NR_vmsplice, 4, AT, 1, 0) == -EBADF);
	close_all();
}

/* Whatever allocation fails, what did not arrive is still there. */
static void failing(void)
{
	for (unsigned int n = 1; n < 8; n++) {
		sysret_t r;

		pipes(O_NONBLOCK);
		CHECK(open_at("/f", O_RDWR | O_TRUNC) == 4);
		put(1, "abc");
		heap_fail_at(n);
		r = splice(0, 0, 4, 0, 3, 0);
		heap_fail_at(0);
		CHECK(r == 3 || r == -ENOMEM || r == -ENOSPC);
		if (r < 0)
			CHECK_STR(got(0), "abc");
		CHECK(CALL(&g, __NR_lseek, 4, 0, SEEK_SET) == 0);
		put(1, "xyz");
		heap_fail_at(n);
		r = CALL(&g, __NR_tee, 0, 3, 3, 0);
		heap_fail_at(0);
		CHECK(r == 3 || r == -ENOMEM);
		CHECK_STR(got(2), r == 3 ? "xyz" : "");
		CHECK_STR(got(0), "xyz");
		close_all();
	}
}

/* A socket takes what fits into it, though it is not ready for poll any more; an eventfd none. */
static void room(void)
{
	CHECK(CALL(&g, __NR_pipe2, BUF, 0) == 0 &&
	      CALL(&g, __NR_socketpair, AF_UNIX, SOCK_STREAM, 0, BUF) == 0 &&
	      CALL(&g, __NR_eventfd2, 0, 0) == 4);
	for (int n = 0; n < 4; n++)
		CHECK(CALL(&g, __NR_write, 1, GUEST_AT, 16384) == 16384);
	CHECK(splice(0, 0, 4, 0, 8, 0) == -EINVAL);
	CHECK(splice(0, 0, 2, 0, 65536, 0) == 65536 && splice(3, 0, 1, 0, 65536, 0) > 0);
	close_all();
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	between_pipes();
	files();
	sockets();
	room();
	memory();
	failing();
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
