/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/gofer.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/sandbox/shares.h"
#include "sys/pidfd.h"
#include "sys/self.h"
#include "sys/spawn.h"

#define PROGRAM	   "atoll-device"
#define FIRST_FD   (GOFER_SHARES_FD - 1)
#define SHARE_WORD 64
#define WORDS	   (2 * SHARES_MAX + 8)

struct command {
	char socket[16], shares[SHARES_MAX][SHARE_WORD];
	char *words[WORDS];
	int fds[SHARES_MAX + 1];
	size_t words_n;
};

static void add(struct command *c, const char *word)
{
	c->words[c->words_n++] = (char *) (uintptr_t) word; /* execve() changes none */
}

static void make_command(struct command *c, const struct shares *s, int sock)
{
	add(c, PROGRAM);
	add(c, "gofer");
	add(c, "--socket");
	(void) snprintf(c->socket, sizeof(c->socket), "fd:%d", FIRST_FD);
	add(c, c->socket);
	c->fds[0] = sock;
	for (size_t i = 0; i < s->n; i++) {
		(void) snprintf(c->shares[i], SHARE_WORD, "%s=fd:%zu%s", s->v[i].name,
				FIRST_FD + 1 + i, s->v[i].read_only ? ",ro" : "");
		add(c, "--share");
		add(c, c->shares[i]);
		c->fds[i + 1] = s->v[i].fd;
	}
}

static int enter_groups(const struct groups *g, pid_t pid, struct err *e)
{
	if (!g || !groups_any(g))
		return 0;
	return groups_placed(g) ? groups_place(g, pid, e) : groups_attach(g, pid, pid, NULL, 0, e);
}

static int spawn(struct command *c, const struct shares *s, int log_fd, pid_t *ret_pid,
		 int *ret_pidfd, struct err *e)
{
	char *env[] = { NULL }, path[PATH_MAX];
	struct spawn p = SPAWN_INIT;
	int r = self_sibling(PROGRAM, path);

	if (r < 0)
		return err_set(e, ERR_NOT_FOUND, -r,
			       PROGRAM " is not where this program is: the installation is "
				       "incomplete");
	p.path = path;
	p.argv = c->words;
	p.env = env;
	p.stdio[2] = log_fd;
	p.fds = c->fds;
	p.fds_n = s->n + 1;
	p.new_session = true;
	r = spawn_process(&p, ret_pid, ret_pidfd);
	return r < 0 ? err_sys(e, -r, "start " PROGRAM) : 0;
}

int gofer_start(const struct shares *s, const struct groups *g, int log_fd, int *ret_sock,
		pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	auto_free struct command *c = calloc(1, sizeof(*c));
	auto_fd int ours = FD_NONE, theirs = FD_NONE;
	int pair[2], r;

	if (!c)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make a pair of sockets");
	ours = pair[0];
	theirs = pair[1];
	make_command(c, s, theirs);
	r = spawn(c, s, log_fd, ret_pid, ret_pidfd, e);
	if (r < 0)
		return r;
	r = enter_groups(g, *ret_pid, e);
	if (r < 0) {
		(void) pidfd_kill(*ret_pidfd, SIGKILL);
		(void) pidfd_reap(*ret_pidfd, NULL);
		close_fd(ret_pidfd);
		return r;
	}
	*ret_sock = take_fd(&ours);
	return 0;
}
