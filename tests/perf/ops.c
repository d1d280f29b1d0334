/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What single operations of a kernel take: `ops DIR [NAME...]` prints a line per operation, its
 * name and the microseconds of one, the median of a few batches; `ops` alone their names. DIR:
 * where files are made. `ops -n TIMES DIR [NAME...]` does each so many times, for who counts what
 * comes of it. Static, so that the same bytes run on the host, in a container and in a
 * sandbox (tests/perf/sandbox.py).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES	 5
#define BATCH_NS (60 * 1000 * 1000)
#define PAGES	 16
#define FILES	 32

static char file[PATH_MAX], fresh[PATH_MAX], many[PATH_MAX], block[4096];
static const char *self;
static int64_t times; /* 0: as many as make a batch */
static int disk, near[2], far[2];
static pid_t partner;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void) fprintf(stderr, "ops: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- the operations ---- */

/* One that has an argument, so that nobody knows its answer without the kernel. */
static void null_call(void)
{
	(void) syscall(SYS_getsid, 0);
}

static void local_call(void)
{
	(void) syscall(SYS_getpid);
}

static void clock_now(void)
{
	(void) now();
}

static void open_close(void)
{
	int fd = open(file, O_RDONLY);

	must(fd >= 0 && close(fd) == 0, file);
}

static void look(void)
{
	struct stat st;

	must(stat(file, &st) == 0, file);
}

static void create_unlink(void)
{
	int fd = open(fresh, O_CREAT | O_EXCL | O_WRONLY, 0600);

	must(fd >= 0 && close(fd) == 0 && unlink(fresh) == 0, fresh);
}

static void read_4k(void)
{
	must(pread(disk, block, sizeof(block), 0) == sizeof(block), "pread");
}

static void write_4k(void)
{
	must(pwrite(disk, block, sizeof(block), 0) == sizeof(block), "pwrite");
}

/* As a program that makes a file does. */
static void make_whole(void)
{
	struct stat st;
	int fd = open(fresh, O_CREAT | O_EXCL | O_WRONLY, 0600);

	must(fd >= 0 && write(fd, block, sizeof(block)) == sizeof(block), fresh);
	must(fstat(fd, &st) == 0 && st.st_size == sizeof(block) && close(fd) == 0, fresh);
	must(stat(fresh, &st) == 0 && unlink(fresh) == 0, fresh);
}

/* As `ls -l` does. */
static void list_all(void)
{
	DIR *d = opendir(many);
	const struct dirent *e;
	struct stat st;
	int n = 0;

	must(d != NULL, many);
	while ((e = readdir(d))) {
		must(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, e->d_name);
		n++;
	}
	must(closedir(d) == 0 && n == FILES + 2, many);
}

/* A byte to the partner, and one back. */
static void ping_pong(void)
{
	char c = 0;

	must(write(far[1], &c, 1) == 1 && read(near[0], &c, 1) == 1, "ping-pong");
}

static void fork_exit(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	must(child > 0 && waitpid(child, NULL, 0) == child, "fork");
}

static void fork_exec(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		(void) execl(self, self, "", (char *) NULL); /* ends at once: main() */
		_exit(1);
	}
	must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "fork and exec");
}

static void vfork_exec(void)
{
	int status = -1;
	pid_t child = vfork();

	if (child == 0) {
		(void) execl(self, self, "", (char *) NULL); /* ends at once: main() */
		_exit(1);
	}
	must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "vfork and exec");
}

static void *nothing(void *arg)
{
	return arg;
}

static void thread(void)
{
	pthread_t t;

	must(pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0, "thread");
}

static volatile sig_atomic_t caught;

static void catch (int sig)
{
	caught = sig;
}

static void signal_self(void)
{
	caught = 0;
	must(raise(SIGUSR1) == 0 && caught == SIGUSR1, "signal");
}

static void map_touch(void)
{
	char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	must(p != MAP_FAILED, "mmap");
	for (int n = 0; n < PAGES; n++)
		p[n * 4096] = 1;
	must(munmap(p, PAGES * 4096) == 0, "munmap");
}

/* ---- what they need ---- */

static void make_file(void)
{
	disk = open(file, O_CREAT | O_RDWR, 0600);
	must(disk >= 0, file);
	write_4k();
}

static void end_file(void)
{
	must(close(disk) == 0 && unlink(file) == 0, file);
}

static void one_of_many(int n, char path[static PATH_MAX + 8])
{
	(void) snprintf(path, PATH_MAX + 8, "%s/%d", many, n);
}

static void make_many(void)
{
	char path[PATH_MAX + 8];

	must(mkdir(many, 0700) == 0, many);
	for (int n = 0; n < FILES; n++) {
		int fd;

		one_of_many(n, path);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		must(fd >= 0 && close(fd) == 0, path);
	}
}

static void end_many(void)
{
	char path[PATH_MAX + 8];

	for (int n = 0; n < FILES; n++) {
		one_of_many(n, path);
		must(unlink(path) == 0, path);
	}
	must(rmdir(many) == 0, many);
}

/* Who gives each byte back. */
static void make_partner(void)
{
	char c;

	partner = fork();
	must(partner >= 0, "fork");
	if (partner > 0) {
		must(close(far[0]) == 0 && close(near[1]) == 0, "close");
		return;
	}
	(void) close(far[1]);
	(void) close(near[0]);
	while (read(far[0], &c, 1) == 1 && write(near[1], &c, 1) == 1)
		;
	_exit(0);
}

static void make_pipes(void)
{
	must(pipe(near) == 0 && pipe(far) == 0, "pipe");
	make_partner();
}

static void make_sockets(void)
{
	int ends[2];

	/* As two pipes: each end of the pair is both. */
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	far[1] = ends[0];
	near[0] = dup(ends[0]);
	far[0] = ends[1];
	near[1] = dup(ends[1]);
	make_partner();
}

static void end_partner(void)
{
	must(close(far[1]) == 0 && close(near[0]) == 0, "close");
	must(waitpid(partner, NULL, 0) == partner, "wait");
}

static void make_handler(void)
{
	const struct sigaction a = { .sa_handler = catch };

	must(sigaction(SIGUSR1, &a, NULL) == 0, "sigaction");
}

static const struct operation {
	const char *name;
	void (*once)(void);
	void (*begin)(void), (*end)(void);
} operations[] = {
	{ "call", null_call, NULL, NULL },
	{ "local-call", local_call, NULL, NULL },
	{ "clock", clock_now, NULL, NULL },
	{ "open+close", open_close, make_file, end_file },
	{ "stat", look, make_file, end_file },
	{ "create+unlink", create_unlink, NULL, NULL },
	{ "make-whole", make_whole, NULL, NULL },
	{ "list-32", list_all, make_many, end_many },
	{ "read-4k", read_4k, make_file, end_file },
	{ "write-4k", write_4k, make_file, end_file },
	{ "pipe-pong", ping_pong, make_pipes, end_partner },
	{ "socket-pong", ping_pong, make_sockets, end_partner },
	{ "map+touch-16", map_touch, NULL, NULL },
	{ "signal", signal_self, make_handler, NULL },
	{ "thread", thread, NULL, NULL },
	{ "fork+exit", fork_exit, NULL, NULL },
	{ "fork+exec", fork_exec, NULL, NULL },
	{ "vfork+exec", vfork_exec, NULL, NULL },
};

/* ---- measuring ---- */

static int64_t batch(void (*once)(void), int64_t n)
{
	int64_t start = now();

	for (int64_t i = 0; i < n; i++)
		once();
	return now() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static void measure(const struct operation *o)
{
	int64_t n = 1, took;
	double us[BATCHES];

	if (o->begin)
		o->begin();
	if (times > 0) {
		(void) batch(o->once, times);
		if (o->end)
			o->end();
		return;
	}
	while ((took = batch(o->once, n)) < BATCH_NS / 8)
		n *= 2;
	n = n * BATCH_NS / took + 1;
	for (int i = 0; i < BATCHES; i++)
		us[i] = (double) batch(o->once, n) / (double) n / 1000;
	if (o->end)
		o->end();
	qsort(us, BATCHES, sizeof(us[0]), by_value);
	(void) printf("%s %.3f\n", o->name, us[BATCHES / 2]);
	(void) fflush(stdout);
}

static int wanted(const char *name, char *names[])
{
	if (!*names)
		return 1;
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return 1;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	self = argv[0];
	if (argc == 2 && !*argv[1])
		return 0; /* what fork+exec starts */
	if (argc < 2) {
		for (size_t n = 0; n < sizeof(operations) / sizeof(operations[0]); n++)
			(void) puts(operations[n].name);
		return 0;
	}
	if (argc > 3 && strcmp(argv[1], "-n") == 0) {
		times = strtoll(argv[2], NULL, 10);
		argv += 2;
	}
	(void) snprintf(file, sizeof(file), "%s/ops-file", argv[1]);
	(void) snprintf(fresh, sizeof(fresh), "%s/ops-fresh", argv[1]);
	(void) snprintf(many, sizeof(many), "%s/ops-many", argv[1]);
	for (size_t n = 0; n < sizeof(operations) / sizeof(operations[0]); n++) {
		if (wanted(operations[n].name, argv + 2))
			measure(&operations[n]);
	}
	return 0;
}
