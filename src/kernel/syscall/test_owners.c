/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told of an open file by signals: O_ASYNC, leases, F_NOTIFY. */
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>

#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define CREATED_QUERY (F_LINUX_SPECIFIC_BASE + 4)

static struct guest g;

static uint64_t text(const char *t)
{
	static uint64_t turn;

	turn = (turn + 1) % 4;
	return guest_text(&g, turn * 1024, t);
}

static sysret_t fcntl_of(sysret_t fd, int command, uint64_t arg)
{
	return CALL(&g, __NR_fcntl, (uint64_t) fd, (uint64_t) command, arg);
}

static sysret_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_open, text(name), flags, 0600);
}

static void close_it(sysret_t fd)
{
	CHECK(CALL(&g, __NR_close, (uint64_t) fd) == 0);
}

/* What came of this number, once. */
static bool came(int nr, struct signal_info *ret)
{
	return signals_take(g.task, SIGNAL_BIT(nr), ret);
}

static void asynchronous(void)
{
	struct f_owner_ex x = { F_OWNER_PID, (int) g.task->process->pid };
	struct signal_info i;
	int fds[2];
	sysret_t in, out;

	CHECK(CALL(&g, __NR_pipe2, GUEST_AT, 0) == 0);
	guest_get(&g, 0, fds, sizeof(fds));
	in = fds[0];
	out = fds[1];
	CHECK(fcntl_of(in, F_GETOWN, 0) == 0 && fcntl_of(in, F_GETSIG, 0) == 0);
	CHECK(fcntl_of(in, F_SETOWN, 999) == -ESRCH &&
	      fcntl_of(in, F_SETOWN, (uint64_t) INT32_MIN) == -EINVAL &&
	      fcntl_of(in, F_SETSIG, 65) == -EINVAL && fcntl_of(in, F_SETOWN_EX, 8) == -EFAULT);
	CHECK(fcntl_of(in, F_SETOWN_EX, guest_put(&g, 0, &x, sizeof(x))) == 0 &&
	      fcntl_of(in, F_GETOWN, 0) == x.pid && fcntl_of(in, F_SETSIG, SIGUSR1) == 0);
	CHECK(fcntl_of(in, F_SETFL, FASYNC) == 0 && fcntl_of(in, F_GETFL, 0) & FASYNC);
	CHECK(CALL(&g, __NR_write, (uint64_t) out, GUEST_AT, 5) == 5 && came(SIGUSR1, &i) &&
	      i.code == POLL_IN && i.poll.fd == in);
	/* That there is room is the other end's. */
	CHECK(CALL(&g, __NR_read, (uint64_t) in, GUEST_AT, 5) == 5 && !came(SIGUSR1, &i));
	CHECK(fcntl_of(in, F_SETSIG, 0) == 0 && fcntl_of(in, F_SETOWN, (uint64_t) -x.pid) == 0 &&
	      fcntl_of(in, F_GETOWN, 0) == -x.pid);
	CHECK(CALL(&g, __NR_write, (uint64_t) out, GUEST_AT, 1) == 1 && came(SIGIO, &i) &&
	      i.code == SI_KERNEL);
	CHECK(fcntl_of(in, F_SETFL, 0) == 0 &&
	      CALL(&g, __NR_write, (uint64_t) out, GUEST_AT, 1) == 1 && !came(SIGIO, &i));
	close_it(in);
	close_it(out);
}

static void leases(void)
{
	sysret_t fd = open_at("/f", O_CREAT | O_RDWR), other;
	struct signal_info i;
	nsec_t end;

	CHECK(fcntl_of(fd, CREATED_QUERY, 0) == 1);
	CHECK(fcntl_of(fd, F_SETLEASE, F_RDLCK) == -EAGAIN &&
	      fcntl_of(fd, F_SETLEASE, 9) == -EINVAL);
	close_it(fd);
	fd = open_at("/f", O_RDONLY);
	CHECK(fcntl_of(fd, CREATED_QUERY, 0) == 0 && fcntl_of(fd, F_SETLEASE, F_UNLCK) == -EAGAIN);
	CHECK(fcntl_of(fd, F_SETLEASE, F_RDLCK) == 0 && fcntl_of(fd, F_GETLEASE, 0) == F_RDLCK);
	other = open_at("/f", O_RDONLY);
	CHECK(other >= 0 && fcntl_of(other, F_SETLEASE, F_WRLCK) == -EAGAIN && !came(SIGIO, &i));
	close_it(other);
	/* It is asked for once, and the opener waits. */
	CHECK(open_at("/f", O_WRONLY | O_NONBLOCK) == -EAGAIN && came(SIGIO, &i) &&
	      fcntl_of(fd, F_GETLEASE, 0) == F_UNLCK);
	CHECK(open_at("/f", O_WRONLY) == -ERESTARTSYS &&
	      CALL(&g, __NR_truncate, text("/f"), 0) == -ERESTARTSYS && !came(SIGIO, &i));
	CHECK(fcntl_of(fd, F_SETLEASE, F_UNLCK) == 0 &&
	      CALL(&g, __NR_truncate, text("/f"), 0) == 0);
	/* One of a writer becomes one of readers, or goes by itself. */
	CHECK(fcntl_of(fd, F_SETLEASE, F_WRLCK) == 0);
	CHECK(open_at("/f", O_RDONLY | O_NONBLOCK) == -EAGAIN && came(SIGIO, &i) &&
	      fcntl_of(fd, F_GETLEASE, 0) == F_RDLCK);
	CHECK(fcntl_of(fd, F_SETLEASE, F_RDLCK) == 0);
	other = open_at("/f", O_RDONLY | O_NONBLOCK);
	close_it(other);
	CHECK(open_at("/f", O_RDWR | O_NONBLOCK) == -EAGAIN && came(SIGIO, &i));
	end = plat_now(PLAT_MONOTONIC) + 46 * NSEC_PER_SEC;
	while (plat_now(PLAT_MONOTONIC) < end)
		(void) fiber_park_until(end);
	fiber_undisturbed(g.fiber);
	other = open_at("/f", O_RDWR | O_NONBLOCK);
	CHECK(other >= 0 && fcntl_of(fd, F_GETLEASE, 0) == F_UNLCK);
	close_it(other);
	CHECK(fcntl_of(fd, F_SETLEASE, F_WRLCK) == 0);
	close_it(fd); /* and the lease with it */
	other = open_at("/f", O_RDWR | O_NONBLOCK);
	CHECK(other >= 0);
	close_it(other);
	g.cred->fsuid = 5;
	g.cred->effective &= ~((uint64_t) 1 << CAP_LEASE);
	fd = open_at("/f", O_RDONLY);
	CHECK(fcntl_of(fd, F_SETLEASE, F_RDLCK) == -EACCES);
	g.cred->fsuid = 0;
	g.cred->effective = UINT64_MAX;
	close_it(fd);
	fd = open_at("/", O_RDONLY);
	CHECK(fcntl_of(fd, F_SETLEASE, F_RDLCK) == -EINVAL);
	close_it(fd);
}

static void directories(void)
{
	struct signal_info i;
	sysret_t d, f;

	CHECK(CALL(&g, __NR_mkdir, text("/d"), 0700) == 0);
	d = open_at("/d", O_RDONLY);
	f = open_at("/d/f", O_CREAT | O_RDWR);
	CHECK(fcntl_of(f, F_NOTIFY, DN_CREATE) == -ENOTDIR &&
	      fcntl_of(d, F_NOTIFY, DN_CREATE) == 0);
	CHECK(fcntl_of(d, F_SETSIG, SIGUSR1) == 0);
	close_it(open_at("/d/g", O_CREAT | O_RDWR));
	CHECK(came(SIGUSR1, &i) && i.code == POLL_MSG && i.poll.fd == d);
	close_it(open_at("/d/h", O_CREAT | O_RDWR));
	CHECK(!came(SIGUSR1, &i)); /* once */
	CHECK(fcntl_of(d, F_NOTIFY, DN_RENAME | DN_ATTRIB | DN_MULTISHOT) == 0);
	CHECK(CALL(&g, __NR_rename, text("/d/g"), text("/g")) == 0 && !came(SIGUSR1, &i));
	CHECK(CALL(&g, __NR_rename, text("/d/h"), text("/d/i")) == 0 && came(SIGUSR1, &i));
	CHECK(CALL(&g, __NR_chmod, text("/d/i"), 0755) == 0 && came(SIGUSR1, &i));
	CHECK(CALL(&g, __NR_chmod, text("/d"), 0755) == 0 && came(SIGUSR1, &i));
	CHECK(fcntl_of(d, F_NOTIFY, 0) == 0 && CALL(&g, __NR_chmod, text("/d"), 0700) == 0 &&
	      !came(SIGUSR1, &i));
	CHECK(fcntl_of(d, F_NOTIFY, DN_ATTRIB) == 0);
	close_it(d);
	CHECK(CALL(&g, __NR_chmod, text("/d"), 0755) == 0 && !came(SIGUSR1, &i));
	close_it(f);
}

static void all(void *arg)
{
	(void) arg;
	guest_begin(&g);
	g.task->signals->blocked = UINT64_MAX;
	asynchronous();
	leases();
	directories();
	guest_end(&g);
}

int main(void)
{
	return test_run(8192, all);
}
