/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/server.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "sys/pidfd.h"
#include "sys/self.h"
#include "sys/spawn.h"

int server_enter_groups(const struct groups *g, pid_t pid, struct err *e)
{
	if (!g || !groups_any(g))
		return 0;
	return groups_placed(g) ? groups_place(g, pid, e) : groups_attach(g, pid, pid, NULL, 0, e);
}

static int spawn(const struct server *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	char *env[] = { NULL }, path[PATH_MAX];
	struct spawn p = SPAWN_INIT;
	int r = self_sibling(s->program, path);

	if (r < 0)
		return err_set(e, ERR_NOT_FOUND, -r,
			       "%s is not where this program is: the installation is incomplete",
			       s->program);
	p.path = path;
	p.argv = s->words;
	p.env = env;
	p.stdio[2] = s->log_fd;
	p.fds = s->fds;
	p.fds_n = s->fds_n;
	p.netns_fd = s->netns_fd;
	p.new_session = true;
	r = spawn_process(&p, ret_pid, ret_pidfd);
	return r < 0 ? err_sys(e, -r, "start %s", s->program) : 0;
}

int server_pair(int *ret_ours, int *ret_theirs, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make a pair of sockets");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

int server_start_at(const struct server *s, const struct groups *g, int sock, pid_t *ret_pid,
		    int *ret_pidfd, struct err *e)
{
	int r;

	s->fds[0] = sock;
	r = spawn(s, ret_pid, ret_pidfd, e);
	if (r < 0)
		return r;
	r = server_enter_groups(g, *ret_pid, e);
	if (r < 0) {
		(void) pidfd_kill(*ret_pidfd, SIGKILL);
		(void) pidfd_reap(*ret_pidfd, NULL);
		close_fd(ret_pidfd);
	}
	return r;
}

int server_start(const struct server *s, const struct groups *g, int *ret_sock, pid_t *ret_pid,
		 int *ret_pidfd, struct err *e)
{
	auto_fd int ours = FD_NONE, theirs = FD_NONE;
	int r = server_pair(&ours, &theirs, e);

	r = r < 0 ? r : server_start_at(s, g, theirs, ret_pid, ret_pidfd, e);
	if (r == 0)
		*ret_sock = take_fd(&ours);
	return r;
}
