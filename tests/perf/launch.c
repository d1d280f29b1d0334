/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts commands and tells what each cost, for tests/perf/launcher.py. Small and static, as the
 * peak memory of a process counts from before its exec: started by a large program, nothing would
 * seem smaller than that.
 *
 *	-> the bytes of the arguments, each with its NUL, after their number: "12\n"
 *	<- "STATUS WALL_NS USER_US SYSTEM_US MAXRSS_KIB FAULTS\n"
 *
 * It is the reaper of all that the commands leave, at once, as a good process 1 would be.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 256, BYTES_MAX = 64 << 10 };

struct cost {
	int status;
	uint64_t wall_ns;
	struct rusage own;
	long maxrss_kib; /* of it, what it waited for, and orphans that ended meanwhile */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static int launch(char **argv, int null_fd, struct cost *ret)
{
	uint64_t began = now_ns();
	pid_t pid = vfork(), ended;

	if (pid == 0) {
		dup2(null_fd, 0);
		dup2(null_fd, 1);
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	do {
		struct rusage u;
		int status;

		ended = wait4(-1, &status, 0, &u);
		if (ended < 0)
			return -1;
		if (u.ru_maxrss > ret->maxrss_kib)
			ret->maxrss_kib = u.ru_maxrss;
		ret->status = status;
		ret->own = u;
	} while (ended != pid);
	ret->wall_ns = now_ns() - began;
	return 0;
}

static unsigned long us(struct timeval t)
{
	return (unsigned long) t.tv_sec * 1000000u + (unsigned long) t.tv_usec;
}

static int read_all(int fd, char *to, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t r = read(fd, to + have, n - have);

		if (r <= 0)
			return -1;
		have += (size_t) r;
	}
	return 0;
}

/* The number of bytes that follow; 0 at the end. */
static size_t read_size(void)
{
	size_t n = 0;
	char c;

	while (read(0, &c, 1) == 1 && c != '\n')
		n = n * 10 + (size_t) (c - '0');
	return n <= BYTES_MAX ? n : 0;
}

int main(void)
{
	static char bytes[BYTES_MAX];
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (size_t n; (n = read_size()) > 0;) {
		char *argv[ARGS_MAX] = { 0 }, line[128];
		struct cost c = { 0 };
		size_t argc = 0;

		if (read_all(0, bytes, n) < 0)
			return 1;
		for (char *p = bytes; p < bytes + n && argc < ARGS_MAX - 1; p += strlen(p) + 1)
			argv[argc++] = p;
		if (launch(argv, null_fd, &c) < 0)
			return 1;
		int k = snprintf(line, sizeof(line), "%d %llu %lu %lu %ld %ld\n", c.status,
				 (unsigned long long) c.wall_ns, us(c.own.ru_utime),
				 us(c.own.ru_stime), c.maxrss_kib, c.own.ru_minflt);
		if (write(1, line, (size_t) k) != k)
			return 1;
	}
	/* What was left running, detached, ends elsewhere. */
	return 0;
}
