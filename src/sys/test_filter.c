/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"

#define PAGE 4096

FILTER_ARG_IS(is_dupfd, 1, F_DUPFD);

static const struct seccomp_rule first[] = { FILTER_CALL(exit_group), FILTER_CALL(getppid) };
static const struct seccomp_rule second[] = { FILTER_CALL_IF(mmap, filter_not_code),
					      FILTER_CALL_IF(fcntl, is_dupfd) };

/* The wait status of a child that makes one call behind the filter; it ends with 0 if it worked. */
static int status_of(long nr, long a, long b, long c, long d, long f)
{
	static const struct filter_table tables[] = { FILTER_TABLE(first), FILTER_TABLE(second) };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    filter_set(tables, ARRAY_SIZE(tables), &e) < 0)
			_exit(2);
		/* Not _exit(): a sanitizer has something to do before that, behind the filter. */
		(void) syscall(SYS_exit_group, syscall(nr, a, b, c, d, f, 0) == -1 ? 3 : 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

/* Killed, or refused where a sanitizer is. */
static bool refused(int status)
{
	return (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) ||
	       (WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

int main(void)
{
	const long flags = MAP_PRIVATE | MAP_ANONYMOUS;

	CHECK(status_of(SYS_getppid, 0, 0, 0, 0, 0) == 0);
	CHECK(status_of(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, flags, -1) == 0);
	CHECK(status_of(SYS_fcntl, 2, F_DUPFD, 0, 0, 0) == 0);
	CHECK(refused(status_of(SYS_mmap, 0, PAGE, PROT_READ | PROT_EXEC, flags, -1)));
	CHECK(refused(status_of(SYS_fcntl, 2, F_GETFD, 0, 0, 0)));
	CHECK(refused(status_of(SYS_socket, 1, 1, 0, 0, 0)));
	return test_done();
}
