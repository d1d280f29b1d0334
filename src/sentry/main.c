/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-sentry: one sandbox. It opens what its options name, gives up all that it does not need,
 * and then serves the system calls of a container's processes by Atoll's own kernel to their end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "kernel/platform/host/host.h"
#include "kernel/syscall/refused.h"
#include "sentry/config.h"
#include "sentry/filter.h"
#include "sentry/gofer.h"
#include "sentry/host_tty.h"
#include "sentry/jail.h"
#include "sentry/options.h"
#include "sentry/outside.h"
#include "sentry/sandbox.h"
#include "sentry/seccomp.h"
#include "sys/enclose.h"

#define CONFIG_ARENA ((size_t) 64 << 20)
#define STDIO_FROM   10 /* numbers that are free for the guest's own */

static int fail(const struct err *e)
{
	(void) fprintf(stderr, "atoll-sentry: %s\n", e->msg);
	return SANDBOX_FAILED;
}

static int report_line(int fd, const char *text, int n)
{
	return write(fd, text, (size_t) n) == n ? 0 : -errno;
}

static int report_refused(int fd)
{
	uint64_t others;
	size_t n;
	const struct refused *all = refused_list(&n, &others);
	char text[128];
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = report_line(fd, text,
				snprintf(text, sizeof(text), "%s %u %u %llu %llu\n",
					 all[i].error & REFUSED_FILTERED ? "filtered" : "refused",
					 all[i].nr, all[i].error & ~REFUSED_FILTERED,
					 (unsigned long long) all[i].which,
					 (unsigned long long) all[i].count));
	if (r == 0 && others)
		r = report_line(
			fd, text,
			snprintf(text, sizeof(text), "others %llu\n", (unsigned long long) others));
	return r;
}

/* As proto/sentry.h has it. fd may be FD_NONE. */
static void report(int fd, int status, const struct err *e)
{
	char text[sizeof(e->msg) + 64];
	int n = status < 0 ? snprintf(text, sizeof(text), "%d %d %d %s\n", SANDBOX_FAILED,
				      (int) e->kind, e->sys, e->msg)
			   : snprintf(text, sizeof(text), "%d\n", status);

	if (fd < 0)
		return;
	if (write(fd, text, (size_t) n) != n || report_refused(fd) < 0)
		(void) fputs("atoll-sentry: --report cannot be written to\n", stderr);
}

static int map_image(const struct options *o, struct sandbox *s, struct err *e)
{
	auto_fd int fd = FD_NONE;
	struct stat st;
	void *at;

	if (o->root_share)
		return 0;
	fd = file_option_open(&o->root, O_RDONLY | O_NOCTTY, "--root", e);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "--root");
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(e, ERR_INVALID, EINVAL, "--root: this is no EROFS image");
	at = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_sys(e, errno, "--root: map the image");
	s->image = at;
	s->image_bytes = (size_t) st.st_size;
	return 0;
}

/*
 * The guest's. A terminal is opened once more, to be non-blocking without others noticing.
 */
static int take_stdio(int fd, int *ret_fd, struct err *e)
{
	char path[32];
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return err_set(e, ERR_INVALID, EBADF, "descriptor %d is not open", fd);
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, STDIO_FROM);
	if (*ret_fd < 0)
		return err_sys(e, errno, "keep descriptor %d", fd);
	if (!isatty(fd))
		return 0;
	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	close_fd(ret_fd);
	*ret_fd = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "open the terminal of descriptor %d again", fd) : 0;
}

/* What is left at 0, 1 and 2 is where this program's words go. */
static int take_three(const struct options *o, struct sandbox *s, struct err *e)
{
	auto_fd int log = FD_NONE;

	if (file_option_given(&o->log)) {
		log = file_option_open(&o->log, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, "--log",
				       e);
		if (log < 0)
			return -1;
	}
	for (int n = 0; n < 3; n++)
		if (take_stdio(n, &s->stdio[n], e) < 0)
			return -1;
	if ((log >= 0 && dup2(log, STDERR_FILENO) < 0) || dup2(STDERR_FILENO, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return err_sys(e, errno, "arrange the descriptors");
	return 0;
}

static int check_control(int fd, struct err *e)
{
	int listens = 0, type = 0;
	socklen_t n = sizeof(listens), m = sizeof(type);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) < 0 || !listens ||
	    type != SOCK_SEQPACKET)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--control: descriptor %d is no seqpacket socket that listens", fd);
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? err_sys(e, errno, "--control") : 0;
}

/* Each of a guest's sockets outside is a descriptor here. */
static int raise_files(struct err *e)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "read the limit of open files");
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0
		       ? err_sys(e, errno, "raise the limit of open files")
		       : 0;
}

/* The first is all; what happens to it is told this process. */
static void take_terminal(struct sandbox *s)
{
	close_fd(&s->stdio[1]);
	close_fd(&s->stdio[2]);
	s->resized = host_tty_claim(s->stdio[0]);
}

/* Its creator has put it where it belongs. */
static int await_creator(int fd, struct sandbox *s, struct err *e)
{
	char byte = 0;
	ssize_t n;

	s->creator = FD_NONE;
	if (fd < 0)
		return 0;
	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "--creator: read descriptor %d", fd);
	if (n == 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "the process that started this has ended");
	if (byte == 'b')
		s->creator = fd;
	return 0;
}

/* Up to where hostile bytes begin. */
static int prepare(const struct options *o, struct sandbox *s, struct arena *a, struct err *e)
{
	const struct jail j = { .set_ids = o->set_ids,
				.own_ids = o->own_ids,
				.uid = o->uid,
				.gid = o->gid,
				.network_stays = o->network_stays };
	auto_fd int config = FD_NONE, seccomp = FD_NONE, restore = FD_NONE;
	int load = open("/proc/loadavg", O_RDONLY | O_CLOEXEC); /* for good; or there is none */
	int r;

	if (file_option_given(&o->seccomp)) {
		seccomp = file_option_open(&o->seccomp, O_RDONLY | O_NOCTTY, "--seccomp", e);
		if (seccomp < 0)
			return -1;
	}
	if (file_option_given(&o->restore)) {
		restore = file_option_open(&o->restore, O_RDONLY | O_NOCTTY, "--restore", e);
		if (restore < 0)
			return -1;
	}
	config = file_option_open(&o->config, O_RDONLY | O_NOCTTY, "--config", e);
	if (config < 0 || map_image(o, s, e) < 0 || check_control(o->control, e) < 0 ||
	    (o->broker >= 0 && outside_check("--broker", o->broker, e) < 0) ||
	    (o->netstack >= 0 && outside_check("--netstack", o->netstack, e) < 0) ||
	    (o->gofer >= 0 && gofer_check(o->gofer, e) < 0) || take_three(o, s, e) < 0 ||
	    raise_files(e) < 0 || await_creator(o->creator, s, e) < 0)
		return -1;
	if (checkpoint_map(restore, &s->from, e) < 0)
		return -1;
	close_fd(&restore);
	s->control = o->control;
	s->gofer = o->gofer;
	s->files = (struct root_files){ .share = o->root_share,
					.binds = o->binds,
					.binds_n = o->binds_n };
	s->resized = FD_NONE;
	enclose_fds(STDERR_FILENO + 1,
		    (const int[]){ config, seccomp, s->control, s->gofer, o->broker, o->netstack,
				   s->creator, o->report, s->stdio[0], s->stdio[1], s->stdio[2],
				   load },
		    12);
	r = jail_enter(&j, &s->signals, e);
	if (r == 0)
		r = config_read(config, a, &s->spec, e);
	close_fd(&config);
	if (r == 0 && s->spec->process->terminal)
		take_terminal(s);
	if (r == 0)
		r = seccomp_read(seccomp, &s->seccomp, e);
	close_fd(&seccomp);
	if (r == 0)
		r = seccomp_fits(s->spec, &s->seccomp, e);
	if (r == 0)
		r = sandbox_begin(config_memory(s->spec), !o->no_gates, e);
	if (r == 0 && load >= 0)
		host_watch_load(load);
	if (r == 0 && o->broker >= 0)
		r = outside_begin(o->broker, e);
	else if (r == 0 && o->netstack >= 0)
		r = outside_stack_begin(o->netstack, e);
	return r < 0 ? r : filter_enter(e);
}

int main(int argc, char *argv[])
{
	static struct sandbox sandbox;
	const struct sigaction ignored = { .sa_handler = SIG_IGN };
	struct arena arena = ARENA_INIT(CONFIG_ARENA);
	struct options o;
	struct err e;
	int status;

	if (options_parse(argc - 1, argv + 1, &o, &e) < 0)
		return fail(&e);
	if (o.help || o.version) {
		(void) fputs(o.help ? options_help : "atoll-sentry " ATOLL_VERSION "\n", stdout);
		return 0;
	}
	(void) sigaction(SIGPIPE, &ignored, NULL); /* a valid signal: cannot fail */
	status = prepare(&o, &sandbox, &arena, &e);
	if (status == 0)
		status = sandbox_run(&sandbox, &e);
	report(o.report, status, &e);
	/* What is left of it goes with the process, and its stubs die with it. */
	_exit(status < 0 ? fail(&e) : status);
}
