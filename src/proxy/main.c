/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process is: it has inherited the engine's socket as PROXY_FD and the workload's
 * streams as 0, 1 and 2, blocks every signal and hands them on, and ends with the status of the
 * process it stands for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "proxy/proxy.h"
#include "sys/caps.h"
#include "sys/filter.h"
#include "sys/mount.h"
#include "sys/path.h"

#define ARENA_MAX (32u << 20)
#define CODE_FAIL 125

int proxy_wait(struct proxy *p, int fd, short events, nsec_t deadline, struct err *e)
{
	for (;;) {
		struct pollfd v[] = { { .fd = fd, .events = events },
				      { .fd = p->signal_fd, .events = POLLIN } };
		int r = poll(v, 2, clock_poll_ms(deadline));

		if (r < 0 && errno != EINTR)
			return err_sys(e, errno, "wait for the machine");
		if (r > 0 && v[1].revents)
			proxy_signals(p);
		if (r > 0 && v[0].revents)
			return 1;
		if (p->lost)
			return machine_lost(p, e);
		if (r == 0 && clock_mono() >= deadline)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "the machine did not answer in time");
	}
}

/* There is nothing to save before there is a workload. */
static void end_soon(struct proxy *p)
{
	if (!p->created)
		_exit(CODE_LOST);
	if (!p->kill_by)
		p->kill_by = clock_deadline(PROXY_KILL_TIME);
	session_signal(p, SIGKILL);
}

void proxy_signals(struct proxy *p)
{
	struct signalfd_siginfo s;

	while (read(p->signal_fd, &s, sizeof(s)) == (ssize_t) sizeof(s)) {
		bool sent = s.ssi_code <= 0; /* by a process, not by the kernel */

		if (s.ssi_signo == SIGCHLD && !sent)
			machine_reap(p);
		else if (s.ssi_signo == (uint32_t) SIGRTMAX && s.ssi_code == SI_QUEUE &&
			 s.ssi_int == PROXY_KILL)
			end_soon(p);
		else if (sent || (s.ssi_signo != SIGPIPE && s.ssi_signo != SIGCHLD))
			session_signal(p, (int) s.ssi_signo);
	}
}

/* ---- the engine -------------------------------------------------------------------------- */

static int answer(const struct proxy *p, enum proxy_type type, int pid)
{
	struct proxy_head h = { .type = type, .pid = pid };

	return proxy_send(p->sync_fd, &h, NULL, NULL, 0);
}

static void answer_failed(const struct proxy *p, const struct err *e)
{
	struct proxy_head h = { .type = PROXY_FAILED, .err = *e };

	(void) proxy_send(p->sync_fd, &h, NULL, NULL, 0); /* whoever asked may be gone */
}

/* Nothing more is asked of it; a later engine finds no gate. */
static void close_gate(struct proxy *p)
{
	close_fd(&p->sync_fd);
	(void) close(PROXY_GATE);
}

int proxy_started(struct proxy *p, const struct agent_msg *m)
{
	if (!p->starting)
		return -EBADMSG;
	p->starting = false;
	p->started = true;
	(void) answer(p, PROXY_STARTED, (int) m->started.pid);
	close_gate(p);
	return 0;
}

int proxy_refused(struct proxy *p, const struct agent_msg *m)
{
	struct err e;

	if (!p->starting)
		return -EBADMSG;
	(void) err_set(&e, (enum err_kind) m->error.kind, (int) m->error.sys, "%s",
		       m->error.message);
	answer_failed(p, &e);
	close_gate(p);
	p->exited = true;
	p->code = CODE_FAIL;
	return 0;
}

int proxy_request(struct proxy *p, struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_START);
	auto_free struct proxy_message *q = calloc(1, sizeof(*q));
	int r = q ? proxy_receive(p->sync_fd, 0, q) : -ENOMEM;

	if (r <= 0)
		return err_sys(e, r < 0 ? -r : EPIPE, "the engine is gone");
	proxy_close_fds(q);
	if (q->head.type != PROXY_START || p->starting || p->started)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine asks the proxy for nonsense");
	if (prctl(PR_SET_PDEATHSIG, 0) < 0) /* from here on it lives by itself */
		return err_sys(e, errno, "live on without the engine");
	p->starting = true;
	r = agent_link_put(&p->link, &m);
	return r < 0 ? err_sys(e, -r, "starting the process in the machine") : 0;
}

/* ---- rights ------------------------------------------------------------------------------ */

/*
 * Its root is the workload's, so that who looks into it (/proc/PID/root) sees the workload's files
 * as they are beside a container's process: the root file system and what is bound into it. The
 * namespaces are of its own, and nothing else is in them; that of the network it was born in.
 */
static int take_view(const int *shares, size_t n, const char *const *places, int more)
{
	int r;

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | more) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = mount_attach(shares[0], AT_FDCWD, "/proc"); /* a directory every host has */
	if (r < 0)
		return r;
	/* A clone of a shared mount is shared: such a one cannot become the root. */
	if (fchdir(shares[0]) < 0 || mount(NULL, ".", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	for (size_t i = 1; i < n && places[i - 1]; i++) {
		auto_fd int at = path_open_in(shares[0], places[i - 1], O_PATH, 0);

		if (at >= 0) /* else covered by another mount of the guest's */
			(void) mount_attach(shares[i], at, "");
	}
	return 0;
}

/* An exec's proxy has nothing to show. */
static int empty_root(void)
{
	auto_fd int root = mount_new("tmpfs", NULL, 0, MOUNT_ATTR_RDONLY, NULL);

	return root < 0 ? root : take_view(&root, 1, NULL, CLONE_NEWNET);
}

FILTER_ARG_IS(is_death_signal, 0, PR_SET_PDEATHSIG);
FILTER_ARG_IS(is_size, 1, TIOCGWINSZ);

/*
 * All it does once there is a workload: it carries bytes between descriptors that are open already,
 * hears of signals and of its children's ends. It opens nothing, starts nothing, signals nobody.
 */
static const struct seccomp_rule calls[] = {
	/* streams, the agent, the engine */
	FILTER_CALL(read),
	FILTER_CALL(write),
	FILTER_CALL(sendto),
	FILTER_CALL(recvfrom),
	FILTER_CALL(sendmsg),
	FILTER_CALL(recvmsg),
	FILTER_CALL(close),
	FILTER_CALL(poll),
	FILTER_CALL(ppoll),
	FILTER_CALL_IF(ioctl, is_size),
	FILTER_CALL_IF(prctl, is_death_signal),
	FILTER_CALL(wait4),
};

/*
 * From here on it reads what a guest sends: without rights, or a way to new ones, with no other
 * files than the guest has, and no call that would open one.
 */
static int confine(const int *shares, size_t n, const char *const *places, struct err *e)
{
	const struct filter_table tables[] = { filter_common, FILTER_TABLE(calls) };
	struct caps none = {};
	int r = !caps_effective(CAP_SYS_ADMIN) ? 0
		: n			       ? take_view(shares, n, places, 0)
					       : empty_root();

	r = r < 0 ? r : caps_ambient(0);
	if (r == 0 && caps_effective(CAP_SETPCAP))
		r = caps_bound(0);
	r = r < 0 ? r : caps_set(&none);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "confine the proxy")
		     : filter_set(tables, ARRAY_SIZE(tables), e);
}

/* ---- its life ---------------------------------------------------------------------------- */

static int read_text(struct proxy *p, int fd, const char **ret_text, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(AGENT_TEXT_MAX);
	int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(fd, &text);

	*ret_text = r < 0 ? NULL : arena_dup(&p->arena, buf_str(&text));
	return *ret_text ? 0 : err_sys(e, r < 0 ? -r : ENOMEM, "read the specification");
}

static int open_session(struct proxy *p, const struct proxy_message *q, struct err *e)
{
	struct proxy_head h = { .type = PROXY_CONSOLE };
	auto_fd int master = FD_NONE;
	int r = session_open(p, &q->head, &master, e);

	if (r < 0 || master < 0)
		return r;
	r = proxy_send(p->sync_fd, &h, NULL, &master, 1);
	return r < 0 ? err_sys(e, -r, "hand over the terminal") : 0;
}

/* Where its end is noted: later it cannot open it. */
static int open_note(struct proxy *p, int state_fd, struct err *e)
{
	p->note_fd = openat(state_fd, PROXY_ENDED,
			    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return p->note_fd < 0 ? err_sys(e, errno, "make '" PROXY_ENDED "'") : 0;
}

static int create(struct proxy *p, struct proxy_message *q, struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_CREATE), got;
	int r;

	const size_t first = q->head.joins ? 3 : 4; /* of the shares */

	if (q->head.words_n < 2 || q->fds_n < first || q->fds_n - first != q->head.words_n - 1)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine asks the proxy for nonsense");
	r = open_note(p, q->fds[0], e);
	r = r < 0 ? r : read_text(p, q->fds[2], &m.create.config, e);
	if (r == 0 && !q->head.joins)
		r = machine_boot(p, q->fds[1], q->fds[3], "", q->head.deadline, e);
	r = r < 0 ? r : machine_connect(p, q->fds[1], q->head.deadline, e);
	r = r < 0 ? r : open_session(p, q, e);
	if (r < 0)
		return r;
	m.create.id = q->words[0];
	m.create.pids_of = q->words[1];
	m.create.rows = q->head.rows;
	m.create.cols = q->head.cols;
	m.create.stdin_open = q->head.stdin_open;
	m.create.files_only = q->head.files_only;
	if (q->head.root_disk) {
		m.create.lower = "/dev/vda";
		m.create.scratch = !q->head.root_upper;
		m.create.upper_disk = q->head.root_upper ? "/dev/vdb" : "";
	}
	r = machine_ask(p, &m, AGENT_CREATED, q->head.deadline, &got, e);
	r = r < 0 ? r : confine(q->fds + first, q->fds_n - first, q->words + 2, e);
	if (r < 0)
		return r;
	p->created = true;
	if (!q->head.bound && prctl(PR_SET_PDEATHSIG, 0) < 0)
		return err_sys(e, errno, "live on without the engine");
	r = answer(p, PROXY_CREATED, (int) got.started.pid);
	return r < 0 ? err_sys(e, -r, "the engine is gone") : 0;
}

/* The session of its first process, with its streams as they were but for what they lead to. */
static int attach(struct proxy *p, const struct proxy_message *q, struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_ATTACH), got;
	int r;

	m.attach.id = q->words[1];
	m.attach.as = q->words[0];
	m.attach.hostname = q->words[2];
	m.attach.rows = q->head.rows;
	m.attach.cols = q->head.cols;
	r = machine_ask(p, &m, AGENT_ATTACHED, q->head.deadline, &got, e);
	if (r < 0)
		return r;
	p->credit = got.attached.stdin_credit < AGENT_WINDOW ? got.attached.stdin_credit
							     : AGENT_WINDOW;
	if (!got.attached.stdin_open)
		close_fd(&p->in.fd);
	return (int) got.attached.pid;
}

static int restore(struct proxy *p, struct proxy_message *q, struct err *e)
{
	int pid, r;

	if (q->head.words_n < 3 || q->fds_n < 2 || q->fds_n - 2 != q->head.words_n - 2)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine asks the proxy for nonsense");
	r = open_note(p, q->fds[0], e);
	r = r < 0 ? r : machine_boot(p, q->fds[0], q->fds[1], q->words[2], q->head.deadline, e);
	r = r < 0 ? r : machine_connect(p, q->fds[0], q->head.deadline, e);
	r = r < 0 ? r : open_session(p, q, e);
	r = pid = r < 0 ? r : attach(p, q, e);
	r = r < 0 ? r : confine(q->fds + 2, q->fds_n - 2, q->words + 3, e);
	if (r < 0)
		return r;
	p->created = p->started = true;
	if (prctl(PR_SET_PDEATHSIG, 0) < 0) /* from here on it lives by itself */
		return err_sys(e, errno, "live on without the engine");
	r = answer(p, PROXY_STARTED, pid);
	close_gate(p);
	return r < 0 ? err_sys(e, -r, "the engine is gone") : 0;
}

/* A machine without a process of its own here: containers come and go in it. */
static int keep(struct proxy *p, struct proxy_message *q, struct err *e)
{
	int r;

	if (q->fds_n != 2)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine asks the proxy for nonsense");
	r = machine_boot(p, q->fds[0], q->fds[1], "", q->head.deadline, e);
	proxy_close_fds(q);
	agent_link_fini(&p->link);
	p->link = AGENT_LINK_INIT;
	r = r < 0 ? r : confine(NULL, 0, NULL, e);
	if (r < 0)
		return r;
	p->keeps = true;
	if (prctl(PR_SET_PDEATHSIG, 0) < 0)
		return err_sys(e, errno, "live on without the engine");
	(void) answer(p, PROXY_CREATED, 0);
	close_gate(p);
	return 0;
}

/* Until the machine ends, or this process is told to (end_soon). */
static int wait_for_end(struct proxy *p)
{
	while (!p->lost) {
		struct pollfd v = { .fd = p->signal_fd, .events = POLLIN };

		if (poll(&v, 1, -1) > 0)
			proxy_signals(p);
	}
	return 0;
}

static int execute(struct proxy *p, struct proxy_message *q, struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_EXEC), got;
	int r;

	if (q->head.words_n != 1 || q->fds_n != 2)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine asks the proxy for nonsense");
	r = read_text(p, q->fds[1], &m.exec.process, e);
	r = r < 0 ? r : machine_connect(p, q->fds[0], q->head.deadline, e);
	r = r < 0 ? r : open_session(p, q, e);
	if (r < 0)
		return r;
	m.exec.id = q->words[0];
	m.exec.rows = q->head.rows;
	m.exec.cols = q->head.cols;
	m.exec.stdin_open = q->head.stdin_open;
	r = machine_ask(p, &m, AGENT_STARTED, q->head.deadline, &got, e);
	proxy_close_fds(q); /* the state directory: nothing of it is needed any more */
	r = r < 0 ? r : confine(NULL, 0, NULL, e);
	if (r < 0)
		return r;
	p->created = p->started = true;
	if (prctl(PR_SET_PDEATHSIG, 0) < 0)
		return err_sys(e, errno, "live on without the engine");
	(void) answer(p, PROXY_STARTED, (int) got.started.pid);
	close_gate(p);
	return 0;
}

/* The engine's messages until there is a session. */
static int prepare(struct proxy *p, struct err *e)
{
	auto_free struct proxy_message *q = calloc(1, sizeof(*q));
	pid_t pid = 0;
	int r = 0;

	if (!q)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	while (r == 0 && !p->created && !p->keeps) {
		r = proxy_wait(p, p->sync_fd, POLLIN, NSEC_NEVER, e);
		if (r < 0)
			return r;
		r = proxy_receive(p->sync_fd, 0, q);
		if (r <= 0)
			return err_sys(e, r < 0 ? -r : EPIPE, "the engine is gone");
		switch ((enum proxy_type) q->head.type) {
		case PROXY_SPAWN:
			r = machine_spawn(p, q, &pid, e);
			if (r == 0 && (r = answer(p, PROXY_OK, pid)) < 0)
				r = err_sys(e, -r, "the engine is gone");
			break;
		case PROXY_CREATE:
			r = create(p, q, e);
			break;
		case PROXY_RESTORE:
			r = restore(p, q, e);
			break;
		case PROXY_EXEC:
			r = execute(p, q, e);
			break;
		case PROXY_KEEP:
			r = keep(p, q, e);
			break;
		case PROXY_NONE:
		case PROXY_START:
		case PROXY_OK:
		case PROXY_CONSOLE:
		case PROXY_CREATED:
		case PROXY_STARTED:
		case PROXY_FAILED:
			r = err_set(e, ERR_INTERNAL, EPROTO, "the engine is confused");
			break;
		}
		proxy_close_fds(q);
	}
	return r;
}

/* For those who ask afterwards whether memory was short. */
static void note_end(const struct proxy *p)
{
	char text[32 + PROXY_WHY_MAX];
	bool lost = *p->why_lost && p->code == CODE_LOST;
	int n = snprintf(text, sizeof(text), "%d %s%s%s\n", p->code, p->oom ? "oom" : "-",
			 lost ? " " : "", lost ? p->why_lost : "");

	if (p->note_fd >= 0) /* best effort: the state may be gone already */
		(void) fd_write_all(p->note_fd, text, (size_t) n);
}

static int init(struct proxy *p, struct err *e)
{
	sigset_t all;

	if (fcntl(PROXY_FD, F_GETFD) < 0 || fcntl(PROXY_GATE, F_GETFD) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "atoll-proxy is started by Atoll, not by hand");
	if (close_range(PROXY_GATE + 1, ~0u, 0) < 0 || fcntl(PROXY_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(PROXY_GATE, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "descriptors");
	(void) sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return err_sys(e, errno, "block signals");
	p->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signal_fd < 0 ? err_sys(e, errno, "signalfd") : 0;
}

int main(void)
{
	static struct proxy p = { .sync_fd = PROXY_FD,
				  .signal_fd = FD_NONE,
				  .note_fd = FD_NONE,
				  .slave_fd = FD_NONE,
				  .arena = ARENA_INIT(ARENA_MAX),
				  .in = { .fd = FD_NONE },
				  .out = { .fd = FD_NONE },
				  .err = { .fd = FD_NONE },
				  .code = CODE_LOST };
	struct err e = {};
	int r = init(&p, &e);

	p.link = p.hello = AGENT_LINK_INIT;
	if (r < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return CODE_FAIL;
	}
	r = prepare(&p, &e);
	if (r >= 0)
		r = p.keeps ? wait_for_end(&p) : session_run(&p, &e);
	if (r < 0 && p.sync_fd >= 0)
		answer_failed(&p, &e);
	if (r < 0)
		p.code = p.started ? CODE_LOST : CODE_FAIL;
	note_end(&p);
	return p.code; /* and with it the machine: see child_enter() */
}
