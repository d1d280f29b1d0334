/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/sandbox/shares.h"
#include "sys/self.h"
#include "sys/spawn.h"

#define FIRST_FD  3
#define FDS_MOST  10
#define WORD_MAX  32
#define WORDS_MAX (2 * FDS_MOST + 2 * SHARES_MAX + 8)

struct command {
	char text[FDS_MOST][WORD_MAX], binds[SHARES_MAX][WORD_MAX];
	char *words[WORDS_MAX];
	int fds[FDS_MOST];
	size_t words_n, fds_n;
};

static void add(struct command *c, const char *word)
{
	c->words[c->words_n++] = (char *) (uintptr_t) word; /* execve() changes none */
}

/* "OPTION fd:N" with the number that it will have there. */
static void add_fd(struct command *c, const char *option, int fd)
{
	if (fd < 0)
		return;
	(void) snprintf(c->text[c->fds_n], WORD_MAX, "fd:%zu", FIRST_FD + c->fds_n);
	add(c, option);
	add(c, c->text[c->fds_n]);
	c->fds[c->fds_n++] = fd;
}

static void add_shares(struct command *c, const struct shares *s)
{
	for (size_t i = s->root ? 1 : 0; i < s->n; i++) {
		(void) snprintf(c->binds[i], WORD_MAX, "%u=%s", s->v[i].mount, s->v[i].name);
		add(c, "--bind");
		add(c, c->binds[i]);
	}
	if (s->root) {
		add(c, "--root");
		add(c, "share:" SHARES_ROOT);
	}
}

static void make_command(struct command *c, const struct program *p, int creator)
{
	add(c, PROGRAM_SENTRY);
	add_fd(c, "--creator", creator);
	add_fd(c, "--root", p->root_fd);
	add_fd(c, "--gofer", p->gofer_fd);
	add_fd(c, p->strict ? "--netstack" : "--broker", p->broker_fd);
	if (p->shares)
		add_shares(c, p->shares);
	add_fd(c, "--config", p->config_fd);
	add_fd(c, "--seccomp", p->seccomp_fd);
	add_fd(c, "--restore", p->restore_fd);
	add_fd(c, "--control", p->control_fd);
	add_fd(c, "--log", p->log_fd);
	add_fd(c, "--report", p->end_fd);
	if (p->netns_fd >= 0) {
		add(c, "--network");
		add(c, "stay");
	}
	add(c, "--uid");
	add(c, "own");
}

int program_begin(int creator_fd, bool bound, struct err *e)
{
	return write(creator_fd, bound ? "b" : "g", 1) == 1
		       ? 0
		       : err_sys(e, errno, "let " PROGRAM_SENTRY " begin");
}

int program_start(const struct program *p, const struct groups *g, pid_t *ret_pid, int *ret_pidfd,
		  int *ret_creator, struct err *e)
{
	auto_fd int theirs = FD_NONE, ours = FD_NONE;
	auto_free struct command *c = calloc(1, sizeof(*c));
	struct spawn s = SPAWN_INIT;
	char *env[] = { NULL }, path[PATH_MAX];
	int ends[2], r = self_sibling(PROGRAM_SENTRY, path);

	if (r < 0)
		return err_set(e, ERR_NOT_FOUND, -r,
			       PROGRAM_SENTRY " is not where this program is: the installation is "
					      "incomplete");
	if (!c)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	theirs = ends[0];
	ours = ends[1];
	make_command(c, p, theirs);
	s.path = path;
	s.argv = c->words;
	s.env = env;
	memcpy(s.stdio, p->stdio, sizeof(s.stdio));
	s.fds = c->fds;
	s.fds_n = c->fds_n;
	s.netns_fd = p->netns_fd;
	s.new_session = true;
	r = spawn_process(&s, ret_pid, ret_pidfd);
	if (r < 0)
		return err_sys(e, -r, "start " PROGRAM_SENTRY);
	if (g && groups_any(g)) {
		r = groups_placed(g) ? groups_place(g, *ret_pid, e)
				     : groups_attach(g, *ret_pid, *ret_pid, NULL, 0, e);
		if (r < 0)
			return r;
	}
	*ret_creator = take_fd(&ours);
	return 0;
}
