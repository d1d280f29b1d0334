/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "runtime/notify.h"
#include "sys/fdpass.h"
#include "sys/pidfd.h"
#include "sys/unix.h"

#define FIRST_PASSED 3
#define PASSED_MAX   1024
#define COPY_MAX     8192

int socket_connect(const char *path, struct err *e)
{
	int fd = unix_connect(path, SOCK_STREAM, 0);

	return fd < 0 ? err_sys(e, -fd, "connect to the socket '%s'", path) : fd;
}

int pidfd_hand_over(const char *path, int pidfd, struct err *e)
{
	auto_fd int s = socket_connect(path, e);

	if (s < 0)
		return s;
	int r = fdpass_send(s, "pidfd", 5, &pidfd, 1);

	return r < 0 ? err_sys(e, -r, "send the pidfd to '%s'", path) : 0;
}

static int count_fds(const struct terminal_request *t, struct passed *p, struct err *e)
{
	const char *pid = secure_getenv("LISTEN_PID"), *fds = secure_getenv("LISTEN_FDS");
	uint32_t preserved = 0, listening = 0, for_pid = 0;

	if (t->preserve_fds &&
	    num_parse_u32(str_of(t->preserve_fds), 0, PASSED_MAX, &preserved) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--preserve-fds '%s': must be a number from 0 to %d",
			       t->preserve_fds, PASSED_MAX);
	/* Meant for us, as systemd's socket activation says; meant for nobody: then for us too. */
	if (fds && num_parse_u32(str_of(fds), 0, PASSED_MAX, &listening) == 0 && pid &&
	    num_parse_u32(str_of(pid), 0, INT32_MAX, &for_pid) == 0 && (pid_t) for_pid != getpid())
		listening = 0;
	p->listen_fds = listening;
	p->fds_n = (size_t) listening + preserved;
	return 0;
}

int passed_open(struct runtime *rt, const struct terminal_request *t, struct passed *ret_p,
		struct err *e)
{
	auto_passed struct passed p = { .console_socket = FD_NONE };
	const char *socket = t->console_socket && t->console_socket[0] ? t->console_socket : NULL;

	if (t->terminal && t->detach && !socket)
		return err_set(e, ERR_INVALID, EINVAL,
			       "cannot allocate tty if runc will detach without setting console "
			       "socket (--console-socket)");
	if (socket && (!t->terminal || !t->detach))
		return err_set(e, ERR_INVALID, EINVAL,
			       "cannot use console socket if runc will not detach or allocate tty");
	int r = count_fds(t, &p, e);

	if (r < 0)
		return r;
	p.fds = arena_array(rt->arena, p.fds_n + 1, sizeof(*p.fds));
	if (!p.fds)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < p.fds_n; i++) {
		p.fds[i] = FIRST_PASSED + (int) i;
		int flags = fcntl(p.fds[i], F_GETFD);

		/* What exec brought has no FD_CLOEXEC; what is our own by now has: never that. */
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			continue;
		/* Callers give a number that is large enough: closed here, closed there. */
		log_debug("--preserve-fds: descriptor %d is not open", p.fds[i]);
		p.fds[i] = FD_NONE;
	}
	if (socket) {
		p.console_socket = socket_connect(socket, e);
		if (p.console_socket < 0)
			return err_ctx(e, "--console-socket");
	}
	*ret_p = p;
	p.console_socket = FD_NONE;
	return 0;
}

void passed_close(struct passed *p)
{
	close_fd(&p->console_socket);
}

int passed_env(struct runtime *rt, const struct passed *p, struct spec_process *process,
	       struct err *e)
{
	const char *names = secure_getenv("LISTEN_FDNAMES"), *named = "";
	size_t first = process->env_n;

	if (p->listen_fds == 0)
		return 0;
	const char **env = arena_array(rt->arena, process->env_n + 4, sizeof(*env));

	if (!env)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (process->env_n)
		memcpy(env, process->env, process->env_n * sizeof(*env));
	env[process->env_n] = arena_printf(rt->arena, "LISTEN_FDS=%zu", p->listen_fds);
	env[process->env_n + 1] = "LISTEN_PID="; /* of itself: the engine fills it in */
	process->env_n += 2;
	if (names && names[0])
		env[process->env_n++] = named = arena_printf(rt->arena, "LISTEN_FDNAMES=%s", names);
	if (!env[first] || !named)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	process->env = env;
	return 0;
}

static void taken_signals(sigset_t *set)
{
	static const int kept[] = { SIGKILL, SIGSTOP, SIGURG, SIGPIPE, SIGTTOU, SIGTTIN,
				    SIGSEGV, SIGBUS,  SIGFPE, SIGILL,  SIGABRT, SIGSYS };

	(void) sigfillset(set);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		(void) sigdelset(set, kept[i]);
}

void foreground_prepare(void)
{
	sigset_t set;

	taken_signals(&set);
	(void) sigprocmask(SIG_BLOCK, &set, NULL);
}

struct stage {
	pid_t pid;
	int pidfd, signals;
	int console;		     /* FD_NONE: no terminal, or it was closed */
	bool input;		     /* ours is still open */
	const struct notify *notify; /* NULL: none */
};

static void copy_size(int console)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		(void) ioctl(console, TIOCSWINSZ, &size);
}

static void pass_signal(const struct stage *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
		int signo = (int) info.ssi_signo;

		if (signo == SIGWINCH && s->console >= 0)
			copy_size(s->console);
		else if (signo != SIGCHLD)
			(void) pidfd_kill(s->pidfd, signo); /* it may have ended: seen next */
	}
}

/* false: the end of `from`. */
static bool copy(int from, int to)
{
	char data[COPY_MAX];
	ssize_t n = read(from, data, sizeof(data));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && fd_write_all(to, data, (size_t) n) == 0;
}

/* What the terminal still holds when the workload has ended. */
static void drain(const struct stage *s)
{
	struct pollfd p = { .fd = s->console, .events = POLLIN };

	while (s->console >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN) &&
	       copy(s->console, STDOUT_FILENO)) {
	}
}

static int serve(struct stage *s, struct err *e)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = s->pidfd, .events = POLLIN },
			{ .fd = s->signals, .events = POLLIN },
			{ .fd = s->console, .events = POLLIN },
			{ .fd = s->console >= 0 && s->input ? STDIN_FILENO : -1, .events = POLLIN },
			{ .fd = s->notify ? s->notify->sock : -1, .events = POLLIN },
		};

		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, errno, "wait for process %d", s->pid);
		}
		if (p[1].revents)
			pass_signal(s);
		if (p[2].revents && !copy(s->console, STDOUT_FILENO))
			s->console = FD_NONE;
		if (p[3].revents && s->console >= 0 && !copy(STDIN_FILENO, s->console))
			s->input = false;
		if (p[4].revents) {
			(void) notify_forward(s->notify, getpid());
			continue; /* what was said before the end counts */
		}
		if (p[0].revents)
			return 0;
	}
}

/* Orphans of the workload become ours (we may be their subreaper): none stays a zombie. */
static void reap_others(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
}

int foreground_wait(pid_t pid, int pidfd, int console_fd, const struct notify *n, struct err *e)
{
	struct stage s = {
		.pid = pid, .pidfd = pidfd, .console = console_fd, .input = true, .notify = n
	};
	struct termios before, raw;
	bool is_raw = false;
	sigset_t set;
	siginfo_t info;

	taken_signals(&set);
	auto_fd int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	s.signals = signals;
	if (signals < 0)
		return err_sys(e, errno, "signalfd");
	if (console_fd >= 0 && tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		cfmakeraw(&raw);
		is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
		copy_size(console_fd);
	}
	int r = serve(&s, e);

	drain(&s);
	if (is_raw)
		(void) tcsetattr(STDIN_FILENO, TCSANOW, &before);
	if (r < 0)
		return r;
	r = pidfd_reap(pidfd, &info);
	reap_others();
	return r < 0 ? err_sys(e, -r, "reap process %d", pid) : pidfd_status(&info);
}
