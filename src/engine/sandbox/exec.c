/* SPDX-License-Identifier: Apache-2.0 */
/* A further process of a sandbox, and the one that stands for it here. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/refuse.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/terminal.h"
#include "engine/sandbox/waiter.h"
#include "sys/pidfd.h"

#define EXEC_WITHIN (60 * NSEC_PER_SEC)

#define WHO "a sandbox"

static int check(const struct instance *in, const struct exec_spec *x, struct err *e)
{
	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "cannot exec in a paused sandbox: nothing in it runs");
	if (x->preserve_fds_n)
		return refuse_to(e, WHO, "take over open descriptors of the host");
	if (x->cgroups_n)
		return refuse_to(e, WHO, "start a process in a cgroup below its own");
	if (x->process->scheduler || x->process->io_priority || x->process->exec_cpu_affinity)
		return refuse_to(e, WHO, "choose how the host schedules a process");
	return 0;
}

struct running {
	const struct exec_spec *x;
	struct terminal terminal;
	int ask_sock, signal_sock; /* owned */
	int null_fd;		   /* owned: in place of streams that are not given */
};

static int open_all(struct running *k, struct sandbox *s, struct err *e)
{
	k->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (k->null_fd < 0)
		return err_sys(e, errno, "open /dev/null");
	if (k->x->process->terminal && terminal_open(&k->terminal, k->x->process, e) < 0)
		return -1;
	k->ask_sock = control_dial(s, e);
	if (k->ask_sock < 0)
		return k->ask_sock;
	k->signal_sock = control_dial(s, e);
	return k->signal_sock < 0 ? k->signal_sock : 0;
}

static int stream(const struct running *k, int n)
{
	return k->x->stdio[n] < 0 ? k->null_fd : k->x->stdio[n];
}

static int ask(const struct running *k, const struct sandbox *s, uint64_t *ret_process,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf text = BUF_INIT(SENTRY_MESSAGE_MAX);
	struct sentry_request q = sandbox_request(s, SENTRY_EXEC);
	struct sentry_reply answer;
	int r;

	inside_process(&text, k->x->process);
	if (!buf_ok(&text))
		return err_set(e, ERR_INVALID, E2BIG,
			       "exec: its arguments and environment are too long for a sandbox");
	q.spec = buf_z(&text);
	if (k->x->process->terminal) {
		q.in = k->terminal.slave;
	} else {
		q.in = stream(k, 0);
		q.out = stream(k, 1);
		q.err = stream(k, 2);
	}
	r = control_ask_on(k->ask_sock, &q, clock_deadline(EXEC_WITHIN), &a, &answer, e);
	if (r == 0)
		*ret_process = answer.process;
	return r;
}

/* It runs, and nobody would wait for it. */
static void end(const struct running *k, uint64_t process)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct sentry_request q = sentry_request(SENTRY_SIGNAL);
	struct sentry_reply answer;
	struct err ignored;

	q.process = process;
	q.signal = SIGKILL;
	(void) control_ask_on(k->signal_sock, &q, clock_deadline(EXEC_WITHIN), &a, &answer,
			      &ignored);
}

static int stand_for(const struct running *k, const struct sandbox *s, uint64_t process,
		     struct exec *ret, struct err *e)
{
	int r = waiter_start(k->ask_sock, k->signal_sock, process, FD_NONE, &ret->pid, &ret->pidfd,
			     e);

	if (r < 0 || !s->groups || !groups_any(s->groups))
		return r;
	/* It is held and ended with the rest. */
	return groups_placed(s->groups) ? groups_place(s->groups, ret->pid, e)
					: groups_attach(s->groups, ret->pid, s->in.pid, NULL, 0, e);
}

static int run(struct running *k, struct sandbox *s, struct exec *ret, struct err *e)
{
	uint64_t process = 0;
	int r = open_all(k, s, e);

	r = r < 0 ? r : ask(k, s, &process, e);
	if (r < 0)
		return r;
	r = stand_for(k, s, process, ret, e);
	if (r == 0 && k->x->process->terminal)
		r = terminal_give(&k->terminal, k->x->console_socket, &ret->console_fd, e);
	if (r < 0)
		end(k, process);
	return r;
}

int sandbox_exec(struct instance *in, const struct exec_spec *x, struct exec *ret, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct exec got = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	struct running k = { .x = x,
			     .terminal = TERMINAL_INIT,
			     .ask_sock = FD_NONE,
			     .signal_sock = FD_NONE,
			     .null_fd = FD_NONE };
	int r = check(in, x, e);

	if (r < 0)
		return r;
	r = run(&k, s, &got, e);
	terminal_fini(&k.terminal);
	close_fd(&k.ask_sock);
	close_fd(&k.signal_sock);
	close_fd(&k.null_fd);
	if (r == 0) {
		*ret = got;
	} else if (got.pidfd >= 0) {
		(void) pidfd_kill(got.pidfd, SIGKILL);
		(void) pidfd_reap(got.pidfd, NULL);
		close_fd(&got.pidfd);
	}
	return r;
}
