/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process is: a session of its own, reaper of all that descends from it, deaf to signals
 * meant for a terminal's processes, without a descriptor it does not need. It is given, by svc's
 * supervise.c: 3 the first connection, 4 the run directory STATE/workloads/ID, 2 its log there.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "shim/shim.h"
#include "store/paths.h"

#define STATE_FD     4
#define REAP_AT_ONCE 256 /* of a fork bomb's orphans, before others get their turn */
#define OOM_SCORE    "-999"
#define LOG_NAME     "shim.log"

/* ---- the OOM killer ---------------------------------------------------------------------- */

/*
 * A shim that is killed for memory loses its workload, so it asks to be the last. What it starts
 * must not inherit that. Without CAP_SYS_RESOURCE the kernel refuses, and nothing changes.
 */
static void guard_init(struct shim *s)
{
	auto_buf struct buf own = BUF_INIT(sizeof(s->oom_score) - 1);
	struct str text;

	if (file_read(AT_FDCWD, "/proc/self/oom_score_adj", &own) < 0 ||
	    file_put(AT_FDCWD, "/proc/self/oom_score_adj", STR(OOM_SCORE)) < 0)
		return;
	text = str_trim(buf_str(&own));
	memcpy(s->oom_score, text.p, text.n);
}

void guard_drop(struct shim *s)
{
	if (*s->oom_score)
		(void) file_put(AT_FDCWD, "/proc/self/oom_score_adj", str_of(s->oom_score));
}

void guard_raise(struct shim *s)
{
	if (*s->oom_score)
		(void) file_put(AT_FDCWD, "/proc/self/oom_score_adj", STR(OOM_SCORE));
}

/*
 * An ordinary user's shim keeps his namespaces as long as it is there: held to its end
 * (svc/user.c). Root has no such file.
 */
static void user_hold(void)
{
	int fd = openat(STATE_FD, "../../" PATHS_USER, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void) flock(fd, LOCK_SH);
}

/* ---- signals ----------------------------------------------------------------------------- */

static void reap(struct shim *s)
{
	int status;

	for (int i = 0; i < REAP_AT_ONCE; i++) {
		pid_t pid = waitpid(-1, &status, WNOHANG);
		int code;

		if (pid <= 0)
			return;
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (s->phase == PHASE_UP && s->in && pid == s->in->pid)
			life_ended(s, code);
		else if (!exec_ended(s, pid, code))
			(void) record_ended(s, pid, code); /* else an orphan: just reaped */
	}
	(void) raise(SIGCHLD); /* more may be there: come again after the others */
}

static void on_signals(struct loop_source *ls, uint32_t)
{
	struct shim *s = LOOP_OWNER(ls, struct shim, signals);
	struct signalfd_siginfo info;
	struct err e = {};

	if (read(ls->fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(s);
	/* The host goes down. Not the user's will: unless-stopped starts again. */
	if (info.ssi_signo == SIGTERM &&
	    life_stop(s, s->c.stop_signal ? (int) s->c.stop_signal : SIGTERM,
		      s->c.stop_timeout_ns ? (nsec_t) s->c.stop_timeout_ns : 10 * NSEC_PER_SEC,
		      false, &e) < 0)
		log_warn("told to stop, cannot: %s id=%s", e.msg, s->c.id);
}

static int signals_init(struct shim *s)
{
	sigset_t deaf, heard;

	(void) sigemptyset(&deaf);
	for (size_t i = 0; i < 10; i++) {
		static const int signos[10] = { SIGHUP,	 SIGINT,  SIGQUIT, SIGPIPE, SIGTERM,
						SIGUSR1, SIGUSR2, SIGCHLD, SIGTSTP, SIGXFSZ };

		(void) sigaddset(&deaf, signos[i]);
	}
	(void) sigemptyset(&heard);
	(void) sigaddset(&heard, SIGCHLD);
	(void) sigaddset(&heard, SIGTERM);
	if (sigprocmask(SIG_SETMASK, &deaf, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return -errno;
	return loop_add(&s->loop, &s->signals, s->signal_fd, EPOLLIN, on_signals);
}

/* ---- the process ------------------------------------------------------------------------- */

static int init(struct shim *s)
{
	int r;

	log_configure(&(struct log_config){ .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO });
	if (fcntl(SHIM_FD, F_GETFD) < 0 || fcntl(STATE_FD, F_GETFD) < 0) {
		log_error("atoll-shim is started by atoll, not by hand");
		return -EBADF;
	}
	if (close_range(STATE_FD + 1, ~0u, 0) < 0 || fcntl(SHIM_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(STATE_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(SHIM_FD, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return -errno;
	/* What a start takes and gives back by the hundred stays until lean_now(). */
	(void) mallopt(M_TRIM_THRESHOLD, 4 << 20);
	(void) mallopt(M_TOP_PAD, 256 << 10);
	(void) umask(022);
	if (chdir("/") < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	r = loop_init(&s->loop);
	if (r >= 0)
		r = signals_init(s);
	if (r < 0)
		return r;
	guard_init(s);
	user_hold();
	return client_new(s, SHIM_FD) ? 0 : -ENOMEM;
}

static void drop_empty_log(struct shim *s)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
		(void) unlinkat(s->state_fd, LOG_NAME, 0);
}

int main(void)
{
	static struct shim s = {
		.signal_fd = FD_NONE,
		.state_fd = STATE_FD,
		.listen_fd = FD_NONE,
		.lock_fd = FD_NONE,
		.c = { .bundle_fd = FD_NONE,
		       .root_fd = FD_NONE,
		       .root_disk_fd = FD_NONE,
		       .root_upper_fd = FD_NONE,
		       .sink = { FD_NONE, FD_NONE, FD_NONE } },
	};
	int r = init(&s);

	if (r >= 0)
		r = loop_run(&s.loop);
	if (r < 0)
		log_error("cannot go on: errno=%d", -r);
	if (s.phase == PHASE_NONE && s.lock_fd >= 0) { /* whoever wanted it has gone */
		life_unprepare(&s);
		record_fini(&s);
	}
	drop_empty_log(&s);
	record_clear_up(&s);
	return r < 0 ? 1 : 0;
}
