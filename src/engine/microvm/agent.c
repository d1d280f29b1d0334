/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "proto/agent_link.h"
#include "proto/proxy.h"
#include "sys/unix.h"

/* "CONNECT <port>", answered by "OK <port>": the vsock device's own word, before the agent's. */
static int dial(int state_fd, nsec_t deadline, int *ret_fd, struct err *e)
{
	char path[64], line[64] = "", c = 0;
	int n;

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" PROXY_VSOCK, state_fd);
	auto_fd int fd = unix_connect(path, SOCK_STREAM, 0);

	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return err_set(e, ERR_CONFLICT, -fd, "the machine is not running");
	if (fd < 0)
		return err_sys(e, -fd, "connect to the machine");
	n = snprintf(line, sizeof(line), "CONNECT %d\n", AGENT_PORT);
	if (send(fd, line, (size_t) n, MSG_NOSIGNAL) != n)
		return err_sys(e, errno, "connect to the machine");
	for (size_t k = 0; k < sizeof(line) && c != '\n'; k++) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int r = poll(&pfd, 1, clock_poll_ms(deadline));

		if (r == 0)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the machine does not answer");
		if (r < 0 || read(fd, &c, 1) != 1)
			return err_set(e, ERR_CONFLICT, ECONNRESET,
				       "the machine's agent does not answer");
		line[k] = c;
	}
	if (strncmp(line, "OK ", 3) != 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_set(e, ERR_REMOTE, EPROTO, "the machine answers nonsense");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* What a message refers to is the link's, and goes with it: lists of processes are kept. */
static int keep(struct arena *a, struct agent_msg *m)
{
	for (size_t i = 0; m->type == AGENT_PROCESSES_ARE && i < m->processes.list.n; i++) {
		struct process_fields *p = &m->processes.list.v[i];
		const char **const texts[] = { &p->state, &p->terminal, &p->name, &p->command };

		for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
			*texts[k] = arena_strdup(a, *texts[k]);
			if (!*texts[k])
				return -ENOMEM;
		}
	}
	return 0;
}

static int ask(struct agent_link *l, int state_fd, const struct agent_msg *m,
	       enum agent_type answer, nsec_t deadline, struct arena *a, struct agent_msg *ret_m,
	       struct err *e)
{
	struct agent_msg got;
	int fd = FD_NONE, r = dial(state_fd, deadline, &fd, e);

	if (r < 0)
		return r;
	agent_link_init(l, fd);
	r = agent_link_put(l, m);
	r = r < 0 ? r : agent_link_send_all(l, deadline);
	r = r < 0 ? r : agent_link_wait(l, a, deadline, &got);
	r = r < 0 ? r : keep(a, &got);
	if (r < 0)
		return err_sys(e, -r, "asking the machine's agent");
	if (got.type == AGENT_ERROR)
		return err_set(e, (enum err_kind) got.error.kind, (int) got.error.sys, "%s",
			       got.error.message);
	if (got.type != answer)
		return err_set(e, ERR_REMOTE, EPROTO, "the machine's agent answers nonsense");
	*ret_m = got;
	return 0;
}

int agent_request(int state_fd, const struct agent_msg *m, enum agent_type answer, nsec_t deadline,
		  struct arena *a, struct agent_msg *ret_m, struct err *e)
{
	auto_agent_link struct agent_link l = AGENT_LINK_INIT;

	return ask(&l, state_fd, m, answer, deadline, a, ret_m, e);
}

/* A request that is answered by OK, on a link that stays. */
static int ask_ok(struct agent_link *l, enum agent_type type, nsec_t deadline, struct arena *a,
		  struct err *e)
{
	struct agent_msg m = agent_msg_of(type), got;
	int r = agent_link_put(l, &m);

	r = r < 0 ? r : agent_link_send_all(l, deadline);
	r = r < 0 ? r : agent_link_wait(l, a, deadline, &got);
	if (r < 0)
		return err_sys(e, -r, "asking the machine's agent");
	if (got.type == AGENT_ERROR)
		return err_set(e, (enum err_kind) got.error.kind, (int) got.error.sys, "%s",
			       got.error.message);
	return got.type == AGENT_OK
		       ? 0
		       : err_set(e, ERR_REMOTE, EPROTO, "the machine's agent answers nonsense");
}

int agent_hold(int state_fd, nsec_t deadline, struct arena *a, struct agent_link *l, struct err *e)
{
	int fd = FD_NONE, r = dial(state_fd, deadline, &fd, e);

	if (r < 0)
		return r;
	agent_link_init(l, fd);
	return ask_ok(l, AGENT_HOLD, deadline, a, e);
}

int agent_release(struct agent_link *l, nsec_t deadline, struct arena *a, struct err *e)
{
	return ask_ok(l, AGENT_RELEASE, deadline, a, e);
}

int agent_open(int state_fd, const struct agent_msg *m, nsec_t deadline, struct arena *a,
	       int *ret_sock, struct err *e)
{
	auto_agent_link struct agent_link l = AGENT_LINK_INIT;
	struct agent_msg got;
	int r = ask(&l, state_fd, m, AGENT_OK, deadline, a, &got, e);

	if (r == 0)
		*ret_sock = take_fd(&l.fd);
	return r;
}
