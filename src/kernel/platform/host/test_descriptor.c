/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of the host as files: what they give, how they wait, and what they leave as it was.
 */
#include "kernel/platform/host/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/host/host.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

#define RAM ((uint64_t) 1024)

static struct cred root_cred = { .effective = CRED_ALL };

static struct file *wrap(int fd)
{
	struct file *f = NULL;

	CHECK(host_descriptor(fd, &root_cred, &f) == 0);
	return f;
}

static int64_t get(struct file *f, char *to, size_t n, uint64_t *pos)
{
	struct uio u;

	uio_kernel(&u, to, n);
	return vfs_read(f, &u, pos);
}

static int64_t put(struct file *f, const char *from, size_t n)
{
	struct uio u;

	uio_kernel(&u, (char *) (uintptr_t) from, n); /* is only read */
	return file_write(f, &u, NULL, UINT64_MAX);
}

static unsigned int ready(struct file *f)
{
	return f->ops->poll(f, NULL);
}

/* ---- pipes ---- */

/* What another process does meanwhile. */
struct later {
	int fd;
	const char *text; /* to be written; NULL: closed */
};

static void later(void *arg)
{
	struct later *l = arg;

	if (l->text)
		CHECK(write(l->fd, l->text, strlen(l->text)) == (ssize_t) strlen(l->text));
	else
		CHECK(close(l->fd) == 0);
	fiber_exit();
}

static void test_pipe_read(void)
{
	char b[16] = "";
	int p[2];
	struct later writes, closes;
	struct fiber *x;
	struct file *f;

	CHECK(pipe2(p, O_CLOEXEC) == 0);
	f = wrap(p[0]);
	CHECK(file_can_read(f) && !file_can_write(f) && inode_is(f->inode, S_IFIFO));
	CHECK(!(fcntl(p[0], F_GETFL) & O_NONBLOCK));
	f->flags |= O_NONBLOCK;
	CHECK(get(f, b, 5, NULL) == -EAGAIN && ready(f) == 0);
	f->flags &= ~(unsigned int) O_NONBLOCK;
	/* Waits as a fiber: the other one runs. */
	writes = (struct later){ p[1], "hello" };
	CHECK(sched_spawn(later, &writes, &x) == 0);
	CHECK(get(f, b, sizeof(b), NULL) == 5 && memcmp(b, "hello", 5) == 0);
	CHECK(get(f, b, 0, NULL) == 0);
	CHECK(file_seek(f, 0, SEEK_CUR) == -ESPIPE && !f->ops->sync);
	closes = (struct later){ p[1], NULL };
	CHECK(sched_spawn(later, &closes, &x) == 0);
	CHECK(get(f, b, sizeof(b), NULL) == 0);
	CHECK(ready(f) & POLLHUP);
	CHECK(!(fcntl(p[0], F_GETFL) & O_NONBLOCK));
	file_unref(f);
	CHECK(fcntl(p[0], F_GETFD) < 0);
}

/* The carrier looks at the host meanwhile. */
static void pause_a_little(void)
{
	(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 1000000);
}

/* Takes all that comes. */
struct sink {
	int fd;
	size_t bytes;
	bool more, gone;
};

static void drain(void *arg)
{
	static char b[1 << 16];
	struct sink *s = arg;

	while (s->more) {
		ssize_t n = read(s->fd, b, sizeof(b));

		if (n > 0)
			s->bytes += (size_t) n;
		pause_a_little();
	}
	s->gone = true;
	fiber_exit();
}

static void test_pipe_write(void)
{
	static char big[1 << 20];
	struct sink s = { .more = true };
	struct fiber *x;
	struct file *f;
	int64_t n, all = 0;
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC) == 0 && fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	f = wrap(p[1]);
	CHECK(f->ops->breaks && ready(f) & POLLOUT);
	f->flags |= O_NONBLOCK;
	while ((n = put(f, big, sizeof(big))) > 0)
		all += n;
	CHECK(n == -EAGAIN && all == fcntl(p[1], F_GETPIPE_SZ) && !(ready(f) & POLLOUT));
	f->flags &= ~(unsigned int) O_NONBLOCK;
	s.fd = p[0];
	CHECK(sched_spawn(drain, &s, &x) == 0);
	CHECK(put(f, big, sizeof(big)) == sizeof(big));
	while (s.bytes < (size_t) all + sizeof(big))
		pause_a_little();
	s.more = false;
	while (!s.gone)
		pause_a_little();
	CHECK(s.bytes == (size_t) all + sizeof(big));
	CHECK(!(fcntl(p[1], F_GETFL) & O_NONBLOCK));
	CHECK(close(p[0]) == 0);
	CHECK(put(f, "x", 1) == -EPIPE && ready(f) & POLLERR);
	file_unref(f);
}

/* ---- sockets ---- */

static void test_socket(void)
{
	char b[16];
	int p[2];
	struct later writes;
	struct fiber *x;
	struct file *f;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0);
	f = wrap(p[0]);
	CHECK(file_can_read(f) && file_can_write(f) && inode_is(f->inode, S_IFSOCK));
	writes = (struct later){ p[1], "abc" };
	CHECK(sched_spawn(later, &writes, &x) == 0);
	CHECK(get(f, b, 2, NULL) == 2 && get(f, b + 2, 5, NULL) == 1 && memcmp(b, "abc", 3) == 0);
	CHECK(put(f, "def", 3) == 3 && read(p[1], b, sizeof(b)) == 3 && memcmp(b, "def", 3) == 0);
	CHECK(close(p[1]) == 0 && get(f, b, 1, NULL) == 0 && put(f, "x", 1) == -EPIPE);
	CHECK(!(fcntl(p[0], F_GETFL) & O_NONBLOCK));
	file_unref(f);
}

/* ---- regular files ---- */

static void test_regular(void)
{
	char name[] = "/tmp/descriptor-XXXXXX", b[16] = "";
	int fd = mkstemp(name), other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct file *f;
	struct stat st;

	CHECK(fd >= 0 && other >= 0 && unlink(name) == 0);
	CHECK(write(fd, "0123456789", 10) == 10 && lseek(fd, 2, SEEK_SET) == 2);
	f = wrap(fd);
	CHECK(inode_is(f->inode, S_IFREG) && f->inode->pager.size == 10);
	/* One position with those who share it. */
	CHECK(get(f, b, 3, NULL) == 3 && memcmp(b, "234", 3) == 0);
	CHECK(lseek(other, 0, SEEK_CUR) == 5);
	CHECK(get(f, b, 3, &(uint64_t){ 7 }) == 3 && memcmp(b, "789", 3) == 0);
	CHECK(lseek(other, 0, SEEK_CUR) == 5);
	CHECK(put(f, "xy", 2) == 2 && lseek(other, 0, SEEK_CUR) == 7);
	CHECK(file_seek(f, -1, SEEK_END) == 9 && get(f, b, 5, NULL) == 1 && b[0] == '9');
	CHECK(get(f, b, 5, NULL) == 0);
	/* The guest's own O_APPEND does not become the host's. */
	CHECK(file_seek(f, 0, SEEK_SET) == 0);
	f->flags |= O_APPEND;
	CHECK(put(f, "end", 3) == 3 && fstat(other, &st) == 0 && st.st_size == 13);
	CHECK(!(fcntl(other, F_GETFL) & O_APPEND));
	CHECK(f->inode->ops->refresh(f->inode) == 0 && f->inode->pager.size == 13);
	CHECK(ready(f) & POLLIN && f->ops->sync(f, true) == 0);
	CHECK(f->inode->ops->change(f->inode, &(struct vfs_change){ .what = ATTR_SIZE | ATTR_MODE,
								    .mode = S_IFREG | 0640,
								    .size = 4 }) == 0);
	CHECK(fstat(other, &st) == 0 && st.st_size == 4 && (st.st_mode & 0777) == 0600);
	CHECK(f->inode->pager.size == 4 && f->inode->mode == (S_IFREG | 0640));
	file_unref(f);
	CHECK(close(other) == 0);
}

/* ---- the rest ---- */

static void test_null(void)
{
	struct file *f = wrap(open("/dev/null", O_RDWR | O_CLOEXEC));
	char b[4];

	CHECK(inode_is(f->inode, S_IFCHR) && f->inode->rdev == 0x103);
	CHECK(get(f, b, 4, NULL) == 0 && put(f, "abc", 3) == 3);
	CHECK(f->ops->ioctl(f, TCGETS, 0, NULL) == -ENOTTY);
	file_unref(f);
}

/* Opened again, as by /proc/self/fd/1: it is the same one, and stays until both are closed. */
static void test_again(void)
{
	struct file g = {};
	struct file *f;
	int p[2];
	char b[4];

	CHECK(pipe2(p, O_CLOEXEC) == 0);
	f = wrap(p[1]);
	sleeplock_init(&g.pos_lock);
	g.flags = O_RDONLY;
	CHECK(f->inode->ops->open(f->inode, &g) == -EACCES);
	g.flags = O_WRONLY;
	CHECK(f->inode->ops->open(f->inode, &g) == 0 && g.own == f->own);
	inode_ref(f->inode);
	g.inode = f->inode;
	file_unref(f);
	CHECK(put(&g, "a", 1) == 1 && read(p[0], b, 4) == 1);
	g.ops->release(&g);
	CHECK(read(p[0], b, 4) == 0);
	CHECK(g.inode->ops->open(g.inode, &g) == -ENXIO);
	inode_unref(g.inode);
	CHECK(close(p[0]) == 0);
}

static void test_terminal(void)
{
	int master, slave;
	struct file *f = NULL;
	char b[8];

	if (openpty(&master, &slave, NULL, NULL, NULL) < 0)
		return; /* none here */
	CHECK(host_descriptor(slave, &root_cred, &f) == -EOPNOTSUPP);
	CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
	f = wrap(slave);
	f->flags |= O_NONBLOCK;
	CHECK(get(f, b, 8, NULL) == -EAGAIN);
	CHECK(write(master, "hi\n", 3) == 3);
	CHECK(get(f, b, 8, NULL) == 3 && memcmp(b, "hi\n", 3) == 0);
	CHECK(f->ops->ioctl(f, TIOCSTI, 0, NULL) == -ENOTTY);
	CHECK(f->ops->ioctl(f, TIOCSCTTY, 0, NULL) == -ENOTTY);
	file_unref(f);
	CHECK(close(master) == 0);
}

static void test_others(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct file *f;

	CHECK(host_descriptor(fd, &root_cred, &f) == -EOPNOTSUPP);
	CHECK(close(fd) == 0);
	CHECK(host_descriptor(fd, &root_cred, &f) == -EBADF);
}

static void body(void *arg)
{
	(void) arg;
	test_pipe_read();
	test_pipe_write();
	test_socket();
	test_regular();
	test_null();
	test_again();
	test_terminal();
	test_others();
	host_stop();
	fiber_exit();
}

int main(void)
{
	const struct sigaction ignored = { .sa_handler = SIG_IGN };
	struct fiber *f;
	struct err e = {};

	CHECK(sigaction(SIGPIPE, &ignored, NULL) == 0);
	if (host_begin(RAM, true, &e) < 0) {
		(void) fprintf(stderr, "the sandbox is not for this machine: %s\n", e.msg);
		return e.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}
