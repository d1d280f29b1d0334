/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/str.h"
#include "proxy/proxy.h"
#include "sys/caps.h"
#include "sys/fdpass.h"
#include "sys/filter.h"
#include "sys/ns.h"
#include "sys/unix.h"

#define CONNECT_LINE 64
/* A process's sockets are closed before its parent hears of its end. */
#define LOSS_WITHIN (NSEC_PER_SEC / 2)

/* As a user of its own where there is one to be had, and without rights anywhere. */
static int become_strange(void)
{
	const struct caps none = {};
	uint32_t id;
	int r;

	/* Without rights these fail, and there are none to be taken. */
	(void) unshare(CLONE_NEWNET | CLONE_NEWIPC);
	/* Some user namespaces forbid it (ns_deny_setgroups). */
	if (caps_effective(CAP_SETGID) && setgroups(0, NULL) < 0 && errno != EPERM)
		return errno;
	if (ns_stranger(&id) && setresgid(id, id, id) == 0 && setresuid(id, id, id) < 0)
		return errno;
	r = caps_set(&none);
	if (r < 0)
		return -r;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}

/* In the child: only what is needed stays, and it dies with this process. */
static int child_enter(const struct proxy_message *m)
{
	size_t n = m->fds_n - 1;
	int moved[PROXY_FDS_MAX], null_fd;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0)
		return errno;
	for (size_t i = 0; i <= n; i++) { /* out of the way of the numbers to be filled */
		moved[i] = fcntl(m->fds[i], F_DUPFD_CLOEXEC, PROXY_FDS_MAX + 8);
		if (moved[i] < 0)
			return errno;
	}
	if (dup2(moved[0], 2) < 0)
		return errno;
	for (size_t i = 0; i < n; i++) {
		if (dup2(moved[i + 1], 3 + (int) i) < 0)
			return errno;
	}
	if (close_range(3 + (unsigned) n, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	if (m->head.strange) {
		int why = become_strange();

		if (why)
			return why;
	}
	/* After the change of user, which would have taken it away. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return errno;
	return 0;
}

/* One that waits. */
static const struct seccomp_rule keepers[] = {
	FILTER_CALL(wait4),
	FILTER_CALL(rt_sigreturn),
	FILTER_CALL(restart_syscall),
	FILTER_CALL(exit_group),
};

/*
 * The kernel sends a parent's death signal with the parent's rights, and the proxy, which has none,
 * may send none to another user: the foreign program's parent is a process that may, waits for it,
 * and dies with the proxy. Returns in the program-to-be.
 */
static void keep(pid_t *ret_parent)
{
	const struct caps kill_only = { .effective = UINT64_C(1) << CAP_KILL,
					.permitted = UINT64_C(1) << CAP_KILL };
	static const struct filter_table table = FILTER_TABLE(keepers);
	pid_t proxy = getppid(), keeper = getpid(), pid = fork();
	struct err e;
	int status;

	if (pid <= 0) {
		*ret_parent = pid < 0 ? -1 : keeper;
		return;
	}
	(void) close_range(0, ~0u, 0);
	if (!caps_effective(CAP_KILL) || caps_set(&kill_only) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    getppid() != proxy || filter_set(&table, 1, &e) < 0)
		_exit(1); /* and with it what it keeps */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* "qemu-system-x86_64", "atoll-device fs", "atoll-device net 02:00:00:00:00:01". */
static const char *name_of(struct proxy *p, const char *const *words, size_t n)
{
	const char *slash = strrchr(words[0], '/'), *name = slash ? slash + 1 : words[0];
	const char *card = "";

	for (size_t i = 0; i + 1 < n; i++)
		if (streq(words[i], "--mac"))
			card = words[i + 1];
	name = streq(name, "atoll-device") && n > 1 ? arena_printf(&p->arena, "%s %s%s%s", name,
								   words[1], *card ? " " : "", card)
						    : arena_strdup(&p->arena, name);
	return name ? name : "a part of it";
}

int machine_spawn(struct proxy *p, const struct proxy_message *m, pid_t *ret_pid, struct err *e)
{
	pid_t parent = getpid(), pid;
	int failed[2], why = 0;
	ssize_t n;
	sigset_t none;

	if (m->head.words_n == 0 || m->fds_n == 0 || p->children_n == CHILDREN_MAX)
		return err_set(e, ERR_INTERNAL, EINVAL, "the engine asks the proxy for nonsense");
	if (pipe2(failed, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	pid = fork();
	if (pid == 0) {
		if (m->head.strange && caps_effective(CAP_KILL))
			keep(&parent);
		why = parent < 0 ? EAGAIN : child_enter(m);
		if (why == 0 && getppid() != parent)
			_exit(1);
		(void) sigemptyset(&none);
		(void) sigprocmask(SIG_SETMASK, &none, NULL);
		if (why == 0) {
			(void) execv(m->words[0], (char *const *) (uintptr_t) m->words);
			why = errno;
		}
		n = write(failed[1], &why, sizeof(why));
		_exit(n == (ssize_t) sizeof(why) ? 127 : 126);
	}
	(void) close(failed[1]);
	if (pid < 0) {
		(void) close(failed[0]);
		return err_sys(e, errno, "fork");
	}
	do
		n = read(failed[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	(void) close(failed[0]);
	if (n != 0) {
		(void) waitpid(pid, NULL, 0);
		return err_sys(e, n == (ssize_t) sizeof(why) ? why : EIO, "start '%.200s'",
			       m->words[0]);
	}
	p->children[p->children_n++] =
		(struct child){ .pid = pid, .name = name_of(p, m->words, m->head.words_n) };
	*ret_pid = pid;
	return 0;
}

static void note_lost(struct proxy *p, const char *name, int status)
{
	bool hard = WIFSIGNALED(status) || WEXITSTATUS(status) > 128;
	int signo = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128;

	/* The others end by themselves when they have lost it, and may be seen before it is. */
	if (p->lost && (p->lost_hard || !hard))
		return;
	p->lost_hard = hard;
	if (hard)
		(void) snprintf(p->why_lost, sizeof(p->why_lost), "%.100s was killed by signal %d",
				name, signo);
	else if (WEXITSTATUS(status) > 0) /* else as asked to, or its guest did */
		(void) snprintf(p->why_lost, sizeof(p->why_lost), "%.100s ended with status %d",
				name, WEXITSTATUS(status));
}

void machine_reap(struct proxy *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < p->children_n; i++) {
			if (p->children[i].pid == pid) {
				p->children[i].pid = 0;
				note_lost(p, p->children[i].name, status);
				p->lost = true;
			}
		}
	}
}

/* Whether one that has not been seen to end yet may be the one that all others end because of. */
static bool is_open(const struct proxy *p)
{
	for (size_t i = 0; i < p->children_n; i++)
		if (p->children[i].pid > 0)
			return !p->lost_hard;
	return !p->lost;
}

void machine_await_loss(struct proxy *p)
{
	struct pollfd v = { .fd = p->signal_fd, .events = POLLIN };
	nsec_t deadline = clock_deadline(LOSS_WITHIN);

	while (is_open(p) && clock_mono() < deadline && poll(&v, 1, clock_poll_ms(deadline)) > 0)
		proxy_signals(p);
}

int machine_lost(struct proxy *p, struct err *e)
{
	machine_await_loss(p);
	return err_set(e, ERR_REMOTE, EPIPE, "the machine has ended%s%s", *p->why_lost ? ": " : "",
		       p->why_lost);
}

/* ---- the agent --------------------------------------------------------------------------- */

static int receive(struct proxy *p, struct agent_link *l, nsec_t deadline, struct agent_msg *ret_m,
		   struct err *e)
{
	for (;;) {
		int r = agent_link_next(l, &p->arena, ret_m);

		if (r > 0)
			return 0;
		if (r < 0)
			return err_set(e, ERR_REMOTE, -r, "the machine's agent sends nonsense");
		r = proxy_wait(p, l->fd, POLLIN, deadline, e);
		if (r < 0)
			return r;
		r = agent_link_read(l);
		if (r == 0)
			return err_set(e, ERR_REMOTE, EPIPE, "the machine's agent hung up");
		if (r < 0 && r != -EAGAIN)
			return err_sys(e, -r, "reading from the machine's agent");
	}
}

int machine_ask(struct proxy *p, const struct agent_msg *m, enum agent_type answer, nsec_t deadline,
		struct agent_msg *ret_m, struct err *e)
{
	int r = agent_link_put(&p->link, m);

	if (r < 0)
		return err_sys(e, -r, "a message for the machine's agent");
	while ((r = agent_link_flush(&p->link)) == 0) {
		r = proxy_wait(p, p->link.fd, POLLOUT, deadline, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return err_sys(e, -r, "writing to the machine's agent");
	r = receive(p, &p->link, deadline, ret_m, e);
	if (r < 0)
		return r;
	if (ret_m->type == AGENT_ERROR)
		return err_set(e, (enum err_kind) ret_m->error.kind, (int) ret_m->error.sys, "%s",
			       ret_m->error.message);
	if (ret_m->type != answer)
		return err_set(e, ERR_REMOTE, EPROTO, "the machine's agent answers nonsense");
	return 0;
}

int machine_connect(struct proxy *p, int dir_fd, nsec_t deadline, struct err *e)
{
	char path[64], line[CONNECT_LINE] = "", c = 0;
	int n = snprintf(line, sizeof(line), "CONNECT %d\n", AGENT_PORT), r;

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" PROXY_VSOCK, dir_fd);
	auto_fd int fd = unix_connect(path, SOCK_STREAM, 0);

	if (fd < 0)
		return err_sys(e, -fd, "connect to the machine");
	if (send(fd, line, (size_t) n, MSG_NOSIGNAL) != n)
		return err_sys(e, errno, "connect to the machine");
	/* "OK <port>", and then the agent speaks. */
	for (size_t k = 0; k < sizeof(line) && c != '\n'; k++) {
		r = proxy_wait(p, fd, POLLIN, deadline, e);
		if (r < 0)
			return r;
		if (read(fd, &c, 1) != 1)
			return err_set(e, ERR_REMOTE, ECONNREFUSED,
				       "the machine's agent does not answer");
		line[k] = c;
	}
	if (strncmp(line, "OK ", 3) != 0)
		return err_set(e, ERR_REMOTE, EPROTO, "the machine answers nonsense");
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_sys(e, errno, "the connection to the machine");
	agent_link_fini(&p->link);
	agent_link_init(&p->link, take_fd(&fd));
	return 0;
}

static int wait_for_hello(struct proxy *p, int hello, nsec_t deadline, struct err *e)
{
	struct agent_msg m;
	size_t n = 0;
	char c;
	int fd = FD_NONE, r = proxy_wait(p, hello, POLLIN, deadline, e);

	if (r < 0)
		return r;
	if (fdpass_recv(hello, &c, 1, &fd, 1, &n) != 1 || n != 1)
		return err_set(e, ERR_REMOTE, EPIPE, "the machine's vsock device is gone");
	(void) fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	agent_link_fini(&p->hello);
	agent_link_init(&p->hello, fd);
	r = receive(p, &p->hello, deadline, &m, e);
	if (r < 0)
		return r;
	if (m.type != AGENT_HELLO || m.hello.version != AGENT_VERSION)
		return err_set(e, ERR_REMOTE, EPROTO,
			       "the machine's agent is of another version of Atoll");
	return 0;
}

/* The interfaces, as the engine has noted them. They live in the arena. */
static int read_network(struct proxy *p, int dir_fd, struct agent_setup *s, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	struct agent_msg m;
	int r = file_read(dir_fd, PROXY_NETWORK, &text);
	const char *kept = r < 0 ? NULL : arena_dup(&p->arena, buf_str(&text));

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = kept ? agent_decode(&p->arena, (struct str){ kept, text.n }, &m) : -ENOMEM;
	if (r < 0 || m.type != AGENT_SETUP)
		return err_sys(e, r < 0 ? -r : EBADMSG, "read '" PROXY_NETWORK "'");
	s->interfaces.v = m.setup.interfaces.v;
	s->interfaces.n = m.setup.interfaces.n;
	return 0;
}

static int boot(struct proxy *p, int dir_fd, int hello, const char *hostname, nsec_t deadline,
		struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_SETUP), answer;
	char entropy[64];
	int r = wait_for_hello(p, hello, deadline, e);

	if (r < 0)
		return r;
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t) sizeof(entropy))
		return err_sys(e, errno, "random bytes for the machine");
	r = machine_connect(p, dir_fd, deadline, e);
	if (r < 0)
		return r;
	r = read_network(p, dir_fd, &m.setup, e);
	if (r < 0)
		return r;
	m.setup.version = AGENT_VERSION;
	m.setup.hostname = hostname;
	m.setup.realtime_ns = (uint64_t) clock_wall();
	m.setup.entropy = (struct str){ entropy, sizeof(entropy) };
	r = machine_ask(p, &m, AGENT_OK, deadline, &answer, e);
	explicit_bzero(entropy, sizeof(entropy));
	return r;
}

int machine_boot(struct proxy *p, int dir_fd, int hello, const char *hostname, nsec_t deadline,
		 struct err *e)
{
	int r = boot(p, dir_fd, hello, hostname, deadline, e);

	if (r >= 0)
		return r;
	/* A line that was hung up: by a part that ended, which says more. */
	if (r == -EPIPE || r == -ECONNREFUSED || r == -ECONNRESET)
		machine_await_loss(p);
	if (p->lost)
		r = machine_lost(p, e);
	return err_ctx(e, "the machine does not start");
}
