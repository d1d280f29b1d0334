/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process is: PID 1 of a guest, without arguments (those it has are the kernel's), or, to
 * be looked at on a host, a process that listens on a unix socket:
 *
 *	atoll-agent --listen SOCKET --run DIR
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/auto.h"
#include "base/log.h"
#include "guest/agent.h"
#include "guest/forward.h"
#include "guest/machine.h"

#define REAP_AT_ONCE 256 /* of a fork bomb's orphans, before others get their turn */
#define BACKLOG	     128
#define HELLO_WITHIN (60 * NSEC_PER_SEC)
#define HELLO_AGAIN  (100 * NSEC_PER_MSEC)

struct program {
	struct agent agent;
	struct forwards forwards;
	struct agent_link hello; /* to the host; stays, and says nothing more */
	struct loop_source hello_ls;
	struct loop_timer hello_timer;
	nsec_t hello_until;
	nsec_t lost_at; /* when a host that had been greeted was gone; 0: none was */
};

/* ---- children ---------------------------------------------------------------------------- */

static void reap(struct agent *a)
{
	int status;

	for (int i = 0; i < REAP_AT_ONCE; i++) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return;
		if (workload_released(a, pid))
			continue;
		(void) session_child_ended(
			a, pid, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	}
	(void) raise(SIGCHLD); /* more may be there: come again after the others */
}

static void on_signals(struct loop_source *ls, uint32_t)
{
	struct agent *a = LOOP_OWNER(ls, struct agent, signals);
	struct signalfd_siginfo info;

	if (read(ls->fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(a);
	else if (!a->machine)
		loop_stop(&a->loop);
}

static int signals_init(struct agent *a)
{
	sigset_t deaf, heard;

	(void) sigfillset(&deaf);
	(void) sigemptyset(&heard);
	(void) sigaddset(&heard, SIGCHLD);
	(void) sigaddset(&heard, SIGTERM);
	(void) sigaddset(&heard, SIGINT);
	if (sigprocmask(SIG_SETMASK, &deaf, NULL) < 0)
		return -errno;
	a->signal_fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signal_fd < 0)
		return -errno;
	return loop_add(&a->loop, &a->signals, a->signal_fd, EPOLLIN, on_signals);
}

/* ---- greeting the host ------------------------------------------------------------------- */

static void hello_try(struct loop_timer *t);

static void hello_again(struct program *p)
{
	loop_remove(&p->hello_ls);
	agent_link_fini(&p->hello);
	if (clock_mono() < p->hello_until)
		loop_timer_set(&p->agent.loop, &p->hello_timer, clock_deadline(HELLO_AGAIN),
			       hello_try);
	else
		log_error("the host does not listen");
}

/*
 * The host says nothing on it: what can be read is its end. Then the machine was restored from a
 * snapshot, and its new host waits, or it has none any more: a host that hangs up on each greeting
 * is not greeted without a pause.
 */
static void hello_gone(struct loop_source *ls, uint32_t)
{
	struct program *p = LOOP_OWNER(ls, struct program, hello_ls);
	nsec_t now = clock_mono();
	bool often = p->lost_at && now - p->lost_at < NSEC_PER_SEC;
	char c;

	if (recv(ls->fd, &c, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_remove(ls);
	agent_link_fini(&p->hello);
	p->lost_at = now;
	p->hello_until = clock_deadline(HELLO_WITHIN);
	loop_timer_set(&p->agent.loop, &p->hello_timer, often ? now + HELLO_AGAIN : now, hello_try);
}

static void hello_ready(struct loop_source *ls, uint32_t)
{
	struct program *p = LOOP_OWNER(ls, struct program, hello_ls);
	struct agent_msg m = agent_msg_of(AGENT_HELLO);
	struct utsname name;
	struct timespec t = {};
	int failed = 0;
	socklen_t n = sizeof(failed);

	if (getsockopt(ls->fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0 || failed) {
		hello_again(p);
		return;
	}
	(void) uname(&name);
	(void) clock_gettime(CLOCK_BOOTTIME, &t);
	m.hello = (struct agent_hello){
		.version = AGENT_VERSION,
		.build = ATOLL_VERSION,
		.kernel = name.release,
		.boot_ns = (uint64_t) t.tv_sec * (uint64_t) NSEC_PER_SEC + (uint64_t) t.tv_nsec,
		.problems = machine_problems(),
	};
	if (agent_link_put(&p->hello, &m) < 0) {
		hello_again(p);
		return;
	}
	loop_remove(ls); /* an empty socket takes a message this short at once */
	machine_complete();
	if (loop_add(&p->agent.loop, ls, p->hello.fd, EPOLLIN, hello_gone) < 0)
		log_error("the end of the host would not be noticed");
}

static void hello_try(struct loop_timer *t)
{
	struct program *p = LOOP_OWNER(t, struct program, hello_timer);
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = AGENT_HELLO_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	agent_link_init(&p->hello, fd < 0 ? FD_NONE : fd);
	if (fd < 0 ||
	    (connect(fd, (const struct sockaddr *) &to, sizeof(to)) < 0 && errno != EINPROGRESS) ||
	    loop_add(&p->agent.loop, &p->hello_ls, fd, EPOLLOUT, hello_ready) < 0)
		hello_again(p);
}

/* ---- where it listens -------------------------------------------------------------------- */

static int listen_vsock(struct agent *a)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = AGENT_PORT };

	a->vsock = true;
	a->listen_fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->listen_fd < 0 || bind(a->listen_fd, (const struct sockaddr *) &at, sizeof(at)) < 0 ||
	    listen(a->listen_fd, BACKLOG) < 0)
		return -errno;
	return connections_listen(a);
}

static int listen_unix(struct agent *a, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	a->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->listen_fd < 0 || bind(a->listen_fd, (const struct sockaddr *) &at, sizeof(at)) < 0 ||
	    listen(a->listen_fd, BACKLOG) < 0)
		return -errno;
	return connections_listen(a);
}

/* ---- the process ------------------------------------------------------------------------- */

static int init_common(struct agent *a, const char *run)
{
	int r = loop_init(&a->loop);

	r = r < 0 ? r : signals_init(a);
	if (r < 0)
		return r;
	a->run_fd = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return a->run_fd < 0 ? -errno : 0;
}

static int be_init(struct program *p)
{
	int r;

	p->agent.machine = true;
	machine_boot();
	r = init_common(&p->agent, MACHINE_RUN);
	r = r < 0 ? r : listen_vsock(&p->agent);
	r = r < 0 ? r : forwards_listen(&p->forwards, &p->agent.loop);
	if (r < 0)
		return r;
	p->hello_until = clock_deadline(HELLO_WITHIN);
	loop_timer_set(&p->agent.loop, &p->hello_timer, 0, hello_try);
	return 0;
}

static int be_looked_at(struct program *p, int argc, char **argv)
{
	static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
						 { "run", required_argument, NULL, 'r' },
						 {} };
	const char *path = NULL, *run = NULL;
	int r = 0;

	log_configure(&(struct log_config){ .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN });
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
		if (o == 'l')
			path = optarg;
		else if (o == 'r')
			run = optarg;
		else
			r = -EINVAL;
	}
	if (r < 0 || !path || !run || optind != argc) {
		log_error("atoll-agent is the init of a microVM; else: --listen SOCKET --run DIR");
		return -EINVAL;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	r = init_common(&p->agent, run);
	return r < 0 ? r : listen_unix(&p->agent, path);
}

int main(int argc, char **argv)
{
	static struct program p = {
		.agent = { .signal_fd = FD_NONE, .listen_fd = FD_NONE, .run_fd = FD_NONE },
		.hello = { .fd = FD_NONE }
	};
	bool machine = getpid() == 1;
	int r = machine ? be_init(&p) : be_looked_at(&p, argc, argv);

	if (r >= 0)
		r = loop_run(&p.agent.loop);
	if (r < 0)
		log_error("cannot go on: errno=%d", -r);
	if (machine)
		machine_off();
	while (p.agent.workloads)
		workload_remove(p.agent.workloads);
	return r < 0 ? 1 : 0;
}
