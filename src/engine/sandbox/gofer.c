/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/gofer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "engine/sandbox/server.h"
#include "engine/sandbox/shares.h"

#define PROGRAM	   "atoll-device"
#define SHARE_WORD 64
#define WORDS	   (2 * SHARES_MAX + 8)

static_assert(GOFER_SHARES_FD == SERVER_SOCKET + 1);

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

static void make_command(struct command *c, const struct shares *s)
{
	add(c, PROGRAM);
	add(c, "gofer");
	add(c, "--socket");
	(void) snprintf(c->socket, sizeof(c->socket), "fd:%d", SERVER_SOCKET);
	add(c, c->socket);
	for (size_t i = 0; i < s->n; i++) {
		(void) snprintf(c->shares[i], SHARE_WORD, "%s=fd:%zu%s", s->v[i].name,
				GOFER_SHARES_FD + i, s->v[i].read_only ? ",ro" : "");
		add(c, "--share");
		add(c, c->shares[i]);
		c->fds[i + 1] = s->v[i].fd;
	}
}

int gofer_start(const struct shares *s, const struct groups *g, int log_fd, int *ret_sock,
		pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	auto_free struct command *c = calloc(1, sizeof(*c));
	const struct server how = { .program = PROGRAM,
				    .words = c ? c->words : NULL,
				    .fds = c ? c->fds : NULL,
				    .fds_n = s->n + 1,
				    .netns_fd = FD_NONE,
				    .log_fd = log_fd };

	if (!c)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	make_command(c, s);
	return server_start(&how, g, ret_sock, ret_pid, ret_pidfd, e);
}
