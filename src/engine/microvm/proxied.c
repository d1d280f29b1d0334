/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/proxied.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "sys/pidfd.h"
#include "sys/self.h"
#include "sys/spawn.h"

#define PROGRAM "atoll-proxy"

int proxied_start(struct proxied *p, const char *id, const int stdio[3], const struct groups *g,
		  int netns, nsec_t deadline, struct err *e)
{
	char path[PATH_MAX];
	char *argv[] = { (char *) (uintptr_t) PROGRAM, (char *) (uintptr_t) id, NULL };
	char *env[] = { NULL };
	struct spawn s = SPAWN_INIT;
	int pair[2], r = self_sibling(PROGRAM, path);

	if (r < 0)
		return err_set(e, ERR_NOT_FOUND, -r,
			       PROGRAM " is not where this program is: the installation is "
				       "incomplete");
	p->got = calloc(1, sizeof(*p->got));
	if (!p->got)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socket pair");
	s.path = path;
	s.argv = argv;
	s.env = env;
	memcpy(s.stdio, stdio, sizeof(s.stdio));
	s.fds = (const int[]){ pair[1], pair[0] }; /* PROXY_FD, PROXY_GATE */
	s.fds_n = 2;
	s.new_session = true;
	s.death_signal = SIGKILL;
	s.netns_fd = netns; /* what it starts is there too */
	r = spawn_process(&s, &p->pid, &p->pidfd);
	(void) close(pair[1]);
	p->sock = pair[0];
	p->groups = g;
	p->deadline = deadline;
	if (r < 0)
		return err_sys(e, -r, "start " PROGRAM);
	/* Before it starts anything: all of the machine is in there. */
	if (!g || !groups_any(g))
		return 0;
	return groups_placed(g) ? groups_place(g, p->pid, e)
				: groups_attach(g, p->pid, p->pid, NULL, 0, e);
}

/* What the machine's processes said last, for a failure that says little. */
static void add_log(const struct proxied *p, struct err *e)
{
	char text[512], line[200] = "";
	off_t size = p->log_fd >= 0 ? lseek(p->log_fd, 0, SEEK_END) : 0;
	off_t from = size > (off_t) sizeof(text) - 1 ? size - (off_t) sizeof(text) + 1 : 0;
	ssize_t n = size > 0 ? pread(p->log_fd, text, sizeof(text) - 1, from) : 0;

	if (n <= 0)
		return;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[n] = '\0';
	const char *last = strrchr(text, '\n');

	last = last ? last + 1 : text;
	for (size_t i = 0; last[i] && i < sizeof(line) - 1; i++)
		line[i] = last[i] >= ' ' && last[i] <= '~' ? last[i] : '?';
	(void) err_set(e, e->kind, e->sys, "%.250s: %s", (char *) memcpy(text, e->msg, 251), line);
}

/* It has hung up, before it read what was sent: what it said before that is still to be read. */
static bool hung_up(int r)
{
	return r == -EPIPE || r == -ECONNRESET;
}

static int receive(struct proxied *p, struct err *e)
{
	int r = proxy_receive(p->sock, p->deadline, p->got);

	if (hung_up(r)) /* told once */
		r = proxy_receive(p->sock, p->deadline, p->got);
	if (r == -ETIMEDOUT) {
		(void) err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the machine did not get ready in time");
	} else if (r == 0) {
		(void) err_set(e, ERR_EXHAUSTED, ECHILD,
			       "the machine's proxy was killed while it was set up");
	} else if (r < 0) {
		(void) err_sys(e, -r, "reading from the machine's proxy");
	} else if (p->got->head.type == PROXY_FAILED) {
		*e = p->got->head.err;
	} else {
		return 0;
	}
	if (e->kind != ERR_NOT_FOUND && e->kind != ERR_DENIED && e->kind != ERR_INVALID)
		add_log(p, e);
	return -1;
}

int proxied_spawn(struct proxied *p, const char *const *words, const int *fds, size_t fds_n,
		  bool strange, struct err *e)
{
	struct proxy_head h = { .type = PROXY_SPAWN, .strange = strange };
	int all[PROXY_FDS_MAX], r;

	if (fds_n + 1 > PROXY_FDS_MAX)
		return err_set(e, ERR_UNSUPPORTED, E2BIG,
			       "a microvm cannot have more than %d shared directories",
			       PROXY_FDS_MAX - 8);
	all[0] = p->log_fd;
	memcpy(all + 1, fds, fds_n * sizeof(*fds));
	r = proxy_send(p->sock, &h, words, all, fds_n + 1);
	if (r < 0 && !hung_up(r))
		return err_sys(e, -r, "the machine's proxy");
	r = receive(p, e);
	proxy_close_fds(p->got);
	return r;
}

int proxied_ask(struct proxied *p, const struct proxy_head *h, const char *const *words,
		const int *fds, size_t fds_n, enum proxy_type until, int *ret_console,
		struct err *e)
{
	struct proxy_head head = *h;
	int r;

	head.deadline = p->deadline;
	r = proxy_send(p->sock, &head, words, fds, fds_n);
	if (r < 0 && !hung_up(r))
		return err_sys(e, -r, "the machine's proxy is gone");
	for (;;) {
		r = receive(p, e);
		if (r < 0)
			return r;
		if (p->got->head.type == PROXY_CONSOLE && p->got->fds_n == 1 && ret_console) {
			close_fd(ret_console);
			*ret_console = take_fd(&p->got->fds[0]);
		}
		proxy_close_fds(p->got);
		if (p->got->head.type == (uint32_t) until)
			return 0;
	}
}

void proxied_fini(struct proxied *p)
{
	free(TAKE(p->got));
	close_fd(&p->sock);
	close_fd(&p->pidfd);
}

void proxied_kill(struct proxied *p)
{
	if (p->pidfd >= 0) {
		(void) pidfd_kill(p->pidfd, SIGKILL);
		(void) pidfd_reap(p->pidfd, NULL);
	}
}

int proxied_end(int pidfd)
{
	siginfo_t info = { .si_signo = SIGRTMAX, .si_code = SI_QUEUE };

	info.si_int = PROXY_KILL;
	return pidfd_send_signal(pidfd, SIGRTMAX, &info, 0) < 0 ? -errno : 0;
}
