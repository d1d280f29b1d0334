/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/member.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/refuse.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/making.h"
#include "engine/sandbox/pod.h"
#include "engine/sandbox/server.h"
#include "engine/sandbox/waiter.h"
#include "sys/process.h"

#define GOFER_ROOM (512 << 10) /* sentry/gofer.c */

/* As atoll-sentry has --bind: which share is the source of which mount. */
static void write_binds(struct buf *out, const struct shares *s)
{
	char line[48];

	for (size_t i = s->root ? 1 : 0; i < s->n; i++) {
		(void) snprintf(line, sizeof(line), "%u=%s\n", s->v[i].mount, s->v[i].name);
		buf_addstr(out, str_of(line));
	}
}

static int read_whole(int fd, struct buf *ret)
{
	return fd < 0 ? 0 : fd_read_all(fd, ret);
}

/* Its number there, and its first process'. */
static int ask_add(struct making *k, int sock, nsec_t deadline, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf binds = BUF_INIT(SENTRY_MESSAGE_MAX), config = binds, filter = binds;
	struct sentry_request q = sentry_request(SENTRY_ADD);
	struct sentry_reply answer;
	const int room = GOFER_ROOM;
	int r = sandbox_pod_pids_of(k->s, &q.pids_of, e);

	if (r < 0)
		return r;
	write_binds(&binds, &k->shares);
	if (read_whole(k->config_fd, &config) < 0 || read_whole(k->seccomp_fd, &filter) < 0 ||
	    !buf_ok(&binds))
		return err_set(e, ERR_UNSUPPORTED, E2BIG,
			       "the specification of a pod's container is too large for a sandbox");
	/* Its kernel makes no call that could wait for it, and changes no socket. */
	if (fcntl(k->gofer_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "the gofer's socket");
	(void) setsockopt(k->gofer_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* or less */
	q.binds = buf_z(&binds);
	q.spec = buf_z(&config);
	q.gofer = k->gofer_fd;
	q.filter = buf_str(&filter);
	q.in = making_stream(k, 0);
	if (!k->s->spec->process->terminal) {
		q.out = making_stream(k, 1);
		q.err = making_stream(k, 2);
	}
	r = control_ask_on(sock, &q, deadline, &a, &answer, e);
	if (r < 0)
		return r;
	k->s->container = answer.container;
	k->s->process = answer.process;
	return 0;
}

/* The process that stands for it on the host; with it goes what it stands for. */
static int stand(struct making *k, int ask_sock, struct err *e)
{
	struct sandbox *s = k->s;
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	auto_fd int signal_sock = control_dial(s, e);
	int r;

	if (signal_sock < 0)
		return signal_sock;
	r = waiter_start(ask_sock, signal_sock, s->process, k->network.netns_fd, &s->in.pid,
			 &s->in.pidfd, e);
	r = r < 0 ? r : server_enter_groups(s->groups, s->in.pid, e);
	if (r < 0)
		return r;
	groups_arrived(s->groups);
	return process_ident_fd(s->in.pidfd, s->in.pid, &s->ident, &kind) < 0
		       ? err_set(e, ERR_INTERNAL, ESRCH, "the pod's kernel has ended")
		       : 0;
}

/* Its own limit is nobody's to keep: that of all is. */
static int check_memory(const struct sandbox *s, nsec_t deadline, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sentry_request(SENTRY_STATS);
	struct sentry_reply answer;
	int r = s->memory ? control_ask(s, &q, deadline, &a, &answer, e) : 0;

	return r < 0 || !s->memory || answer.memory_limit
		       ? r
		       : refuse_to(e, "a sandbox",
				   "limit the memory of one container of a pod whose own is not "
				   "limited");
}

static int join(struct making *k, nsec_t deadline, struct err *e)
{
	struct sandbox *s = k->s;
	auto_fd int sock = control_dial(s, e);
	int r = sock < 0 ? sock : ask_add(k, sock, deadline, e);

	close_fd(&k->gofer_fd);
	close_fd(&k->terminal.slave);
	r = r < 0 ? r : stand(k, sock, e);
	r = r < 0 ? r : sandbox_hooks(s, SPEC_HOOK_PRESTART, "creating", k->b->bundle_fd, e);
	return r < 0 ? r
		     : sandbox_hooks(s, SPEC_HOOK_CREATE_RUNTIME, "creating", k->b->bundle_fd, e);
}

int member_make(struct making *k, nsec_t deadline, struct err *e)
{
	struct sandbox *s = k->s;
	int r = shares_open(&k->shares, &s->arena, k->b, POD_MEMBER, true, e);

	r = r < 0 ? r : hooked_begin(&s->hooked, &s->arena, s->id, k->b, e);
	r = r < 0 ? r : sandbox_pod_enter(s, &k->pod, deadline, &k->lock_fd, e);
	close_fd(&k->lock_fd); /* others may come; it is a member */
	r = r < 0 ? r : sandbox_pod_network(s, e);
	r = r < 0 ? r : check_memory(s, deadline, e);
	if (r == 0 && s->spec->linux_.ns[SPEC_NS_NETWORK].path)
		r = sandbox_network_open(&k->network, s->spec, POD_MEMBER, e);
	r = r < 0 ? r : making_groups(k, e);
	r = r < 0 ? r : making_config(k, e);
	r = r < 0 ? r : making_filter(k, e);
	r = r < 0 ? r : making_files(k, e);
	r = r < 0 ? r : join(k, deadline, e);
	r = r < 0 ? r : sandbox_pod_tell(s, e);
	if (r == 0 && s->spec->process->terminal)
		r = terminal_give(&k->terminal, k->b->console_socket, &s->in.console_fd, e);
	return r < 0 ? r : pid_file_write(k->b->pid_file, s->in.pid, e);
}

static int ask(const struct sandbox *s, enum sentry_type type, nsec_t deadline, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sandbox_request(s, type);
	struct sentry_reply answer;

	return control_ask(s, &q, deadline, &a, &answer, e);
}

int member_remove(const struct sandbox *s, nsec_t deadline, struct err *e)
{
	int r = s->container ? ask(s, SENTRY_REMOVE, deadline, e) : 0;

	return r < 0 && e->kind == ERR_CONFLICT ? 0 : r; /* it, or all of the pod, is gone */
}
