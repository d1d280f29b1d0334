/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-probe: what `atoll compare` runs inside a workload, and beside it on bare metal.
 * Static, needs nothing of the image. One word says what to do:
 *
 *	mark		a line at once, then the end: start-up and exit are timed by who reads it
 *	serve		a line, then wait for SIGTERM: stop and idle memory
 *	measure DIR	costs of system calls, processes, computing and files below DIR
 *	surface		what of the kernel can be reached from here
 *
 * The answer is lines of "NAME MEDIAN P99 N" on standard output, nanoseconds or counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "bench/samples.h"

enum {
	SYSCALL_BATCHES = 200,
	SYSCALL_BATCH = 1000,
	FORKS = 100,
	COMPUTE_RUNS = 20,
	COMPUTE_STEPS = 2000000,
	FILE_MIB = 32,
	FILE_RUNS = 5,
	RANDOM_BATCHES = 64,
	RANDOM_BATCH = 128,
	BLOCK = 4096,
	CALLS_MAX = 470, /* one past the highest number tried */
};

#define MIB (1u << 20)

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static void report(const char *name, struct samples *s)
{
	struct figure f = samples_figure(s);

	if (f.known)
		printf("%s %llu %llu %u\n", name, (unsigned long long) f.median,
		       (unsigned long long) f.p99, f.n);
	s->n = 0;
}

static int mark(void)
{
	return fd_write_all(STDOUT_FILENO, "1\n", 2) < 0;
}

static int serve(void)
{
	sigset_t set;
	int signo;

	/* As PID 1 of a workload it has no default actions: SIGTERM must be asked for. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail("sigprocmask");
	if (mark())
		return 1;
	return sigwait(&set, &signo);
}

static void measure_syscall(struct samples *s)
{
	for (unsigned batch = 0; batch < SYSCALL_BATCHES; batch++) {
		nsec_t start = clock_mono();

		/* Not getpid(): a libc may remember its answer. */
		for (unsigned i = 0; i < SYSCALL_BATCH; i++)
			(void) syscall(SYS_getppid);
		samples_add(s, (uint64_t) (clock_mono() - start) / SYSCALL_BATCH);
	}
	report("syscall", s);
}

static int measure_fork_exec(const char *self, struct samples *s)
{
	for (unsigned i = 0; i < FORKS; i++) {
		char exit_word[] = "exit";
		char *argv[] = { exit_word, exit_word, NULL };
		nsec_t start = clock_mono();
		pid_t pid = fork();
		int status = 0;

		if (pid < 0)
			return fail("fork");
		if (pid == 0) {
			(void) execv(self, argv);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			return fail(self);
		samples_add(s, (uint64_t) (clock_mono() - start));
	}
	report("fork_exec", s);
	return 0;
}

/* Dependent integer work in registers: no kernel, no memory. */
static void measure_compute(struct samples *s)
{
	for (unsigned run = 0; run < COMPUTE_RUNS; run++) {
		uint64_t x = 88172645463325252u + run;
		nsec_t start = clock_mono();

		for (unsigned i = 0; i < COMPUTE_STEPS; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* The compiler may not fold the loop. */
			__asm__ volatile("" : "+r"(x));
		}
		samples_add(s, (uint64_t) (clock_mono() - start));
	}
	report("compute", s);
}

static int sequential(int fd, char *block, struct samples *write_s, struct samples *read_s)
{
	nsec_t start = clock_mono();

	for (unsigned i = 0; i < FILE_MIB; i++)
		if (pwrite(fd, block, MIB, (off_t) i * MIB) != (ssize_t) MIB)
			return fail("write");
	samples_add(write_s, (uint64_t) (clock_mono() - start) / FILE_MIB);

	start = clock_mono();
	for (unsigned i = 0; i < FILE_MIB; i++)
		if (pread(fd, block, MIB, (off_t) i * MIB) != (ssize_t) MIB)
			return fail("read");
	samples_add(read_s, (uint64_t) (clock_mono() - start) / FILE_MIB);
	return 0;
}

static int random_access(int fd, char *block, struct samples *s)
{
	uint64_t x = 2463534242u;

	for (unsigned batch = 0; batch < RANDOM_BATCHES; batch++) {
		nsec_t start = clock_mono();

		for (unsigned i = 0; i < RANDOM_BATCH; i++) {
			off_t at;

			x = x * 6364136223846793005u + 1442695040888963407u;
			at = (off_t) ((x >> 33) % ((uint64_t) FILE_MIB * MIB / BLOCK)) * BLOCK;
			if ((i % 2 ? pwrite(fd, block, BLOCK, at) : pread(fd, block, BLOCK, at)) !=
			    BLOCK)
				return fail("random access");
		}
		samples_add(s, (uint64_t) (clock_mono() - start) / RANDOM_BATCH);
	}
	report("random_io", s);
	return 0;
}

static int measure_files(const char *dir, struct samples *s)
{
	static struct samples reads;
	auto_free char *block = calloc(1, MIB);
	char path[4096];
	auto_fd int fd = FD_NONE;
	int r = 0;

	if (!block)
		return fail("memory");
	if ((size_t) snprintf(path, sizeof(path), "%s/.atoll-probe.XXXXXX", dir) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return fail(dir);
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return fail(path);
	/* Nameless from here on: whatever ends the probe, no file stays. */
	if (unlink(path) < 0)
		return fail(path);
	for (unsigned i = 0; i < FILE_RUNS && r == 0; i++)
		r = sequential(fd, block, s, &reads);
	if (r != 0)
		return r;
	report("file_write", s);
	report("file_read", &reads);
	return random_access(fd, block, s);
}

static int measure(const char *dir)
{
	static struct samples s;

	measure_syscall(&s);
	if (measure_fork_exec("/proc/self/exe", &s) != 0)
		return 1;
	measure_compute(&s);
	return measure_files(dir, &s);
}

/*
 * Calls that would do something with any arguments, or never come back. They are left out of the
 * count on bare metal and inside alike.
 */
static bool call_is_left_out(long nr)
{
	static const long left_out[] = {
		SYS_reboot,
		SYS_vhangup,
		SYS_sync,
		SYS_vfork,
		SYS_fork,
		SYS_clone,
		SYS_pause,
		SYS_munmap,
		SYS_rt_sigreturn,
		SYS_exit,
		SYS_exit_group,
		SYS_kexec_load,
		SYS_kexec_file_load,
		SYS_rt_sigsuspend,
	};

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (left_out[i] == nr)
			return true;
	/* 335..423 are no calls of x86-64, and 335 and 336 kill who tries them. */
	return nr >= 335 && nr < 424;
}

/*
 * One call with arguments no call accepts, in a process of its own. The kernel's own complaint
 * means the call was let through; EPERM and ENOSYS mean a wall stood before it (a capability the
 * caller lacks counts as one); so does being killed for it.
 */
static bool call_is_let_through(long nr)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return false;
	if (pid == 0) {
		/* With all bits set msgget would make a queue. */
		long flags = nr == SYS_msgget ? 0 : -1;

		(void) alarm(2);
		errno = 0;
		(void) syscall(nr, -1L, flags, -1L, -1L, -1L, -1L);
		_exit(errno == EPERM || errno == ENOSYS ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGALRM;
}

static unsigned capabilities(void)
{
	auto_buf struct buf text = BUF_INIT(1u << 16);
	const char *line = file_read(AT_FDCWD, "/proc/self/status", &text) == 0
				   ? strstr(buf_z(&text), "CapEff:\t")
				   : NULL;
	unsigned n = 0;

	if (!line)
		return 0;
	/* Sixteen hexadecimal digits. */
	for (line += strlen("CapEff:\t"); *line && *line != '\n'; line++) {
		unsigned digit = *line <= '9' ? (unsigned) (*line - '0')
					      : (unsigned) (*line - 'a') + 10;

		n += (unsigned) __builtin_popcount(digit & 15u);
	}
	return n;
}

/* Nodes that the caller may read or write; opening them to be sure would have effects. */
static int count_device(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void) type;
	(void) where;
	if ((S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) && access(path, R_OK | W_OK) == 0)
		printf("device 1 1 1\n");
	return 0;
}

static int surface(void)
{
	unsigned through = 0, tried = 0;

	for (long nr = 0; nr < CALLS_MAX; nr++) {
		if (call_is_left_out(nr))
			continue;
		tried++;
		through += call_is_let_through(nr);
	}
	printf("calls %u %u %u\n", through, through, tried);
	printf("capabilities %u %u 1\n", capabilities(), capabilities());
	return nftw("/dev", count_device, 16, FTW_PHYS) < 0 ? fail("/dev") : 0;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (streq(word, "mark"))
		return mark();
	if (streq(word, "exit"))
		return 0;
	if (streq(word, "serve"))
		return serve();
	if (streq(word, "surface"))
		return surface();
	if (streq(word, "measure") && argc == 3)
		return measure(argv[2]);
	(void) fprintf(stderr, "usage: atoll-probe mark|serve|surface|measure DIR\n");
	return 2;
}
