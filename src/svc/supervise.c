/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "svc/program.h"
#include "sys/spawn.h"

#define ANSWER_ARENA (2 * SHIM_MESSAGE_MAX + (512u << 10))
#define EXIT_CANNOT  125

void shim_conn_close(struct shim_conn *c)
{
	close_fd(&c->fd);
	c->session = false;
	c->untaken = 0;
}

/* ---- asking ------------------------------------------------------------------------------ */

static int tell(struct shim_conn *c, const struct shim_msg *m, struct err *e)
{
	int r = shim_send(c->fd, m);

	if (r >= 0)
		return 0;
	if (r == -EMSGSIZE)
		return err_set(e, ERR_EXHAUSTED, EMSGSIZE,
			       "the request is longer than the %u bytes a shim takes: shorten the "
			       "arguments or the environment",
			       SHIM_MESSAGE_MAX);
	if (r == -EPIPE)
		return err_set(
			e, ERR_REMOTE, EPIPE,
			"the workload's shim is gone; 'atoll system repair' mends what it left");
	return err_sys(e, -r, "talk to the workload's shim");
}

/* The next message; ERROR becomes *e. *ret_exit_code (may be NULL) comes with it. */
static int hear(struct shim_conn *c, struct arena *a, enum shim_type want, struct shim_msg *ret,
		int *ret_exit_code, struct err *e)
{
	int r = shim_recv(c->fd, a, ret);

	if (r == 0)
		return err_set(
			e, ERR_REMOTE, ECONNRESET,
			"the workload's shim is gone; 'atoll system repair' mends what it left");
	if (r < 0)
		return err_sys(e, -r, "hear from the workload's shim");
	if (ret->type == SHIM_ERROR) {
		if (ret_exit_code)
			*ret_exit_code = (int) ret->error.exit_code;
		return err_set(e, (enum err_kind) ret->error.kind, (int) ret->error.sys, "%s",
			       ret->error.message);
	}
	shim_msg_close_fds(ret);
	if (ret->type != want)
		return err_set(e, ERR_REMOTE, EPROTO,
			       "the workload's shim answered with message %d instead of %d",
			       (int) ret->type, (int) want);
	return 0;
}

/* One request whose answer says nothing but that it was done. */
static int request(struct shim_conn *c, const struct shim_msg *m, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg answer;

	assert(!c->session);
	if (tell(c, m, e) < 0)
		return -1;
	return hear(c, &a, SHIM_OK, &answer, NULL, e);
}

int supervise_signal(struct shim_conn *c, int signo, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_SIGNAL);

	m.signal.signo = (uint64_t) signo;
	return request(c, &m, e);
}

int supervise_stop(struct shim_conn *c, const struct shim_stop *o, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_STOP);

	m.stop = *o;
	return request(c, &m, e);
}

int supervise_pause(struct shim_conn *c, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_PAUSE);

	return request(c, &m, e);
}

int supervise_resume(struct shim_conn *c, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_RESUME);

	return request(c, &m, e);
}

int supervise_update(struct shim_conn *c, const struct shim_update *u, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_UPDATE);

	m.update = *u;
	return request(c, &m, e);
}

int supervise_checkpoint(struct shim_conn *c, const struct shim_checkpoint *o, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_CHECKPOINT);

	m.checkpoint = *o;
	return request(c, &m, e);
}

int supervise_resize(struct shim_conn *c, unsigned rows, unsigned cols, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_RESIZE);

	m.resize = (struct shim_resize){ rows, cols };
	return request(c, &m, e);
}

int supervise_rename(struct shim_conn *c, const char *name, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_RENAME);

	m.rename.name = name;
	return request(c, &m, e);
}

int supervise_wait_send(struct shim_conn *c, enum shim_wait_for until, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_WAIT);

	m.wait.condition = until;
	return tell(c, &m, e);
}

int supervise_wait_recv(struct shim_conn *c, struct shim_exited *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg answer;

	if (hear(c, &a, SHIM_EXITED, &answer, NULL, e) < 0)
		return -1;
	*ret = answer.exited;
	return 0;
}

int supervise_wait(struct shim_conn *c, enum shim_wait_for until, struct shim_exited *ret,
		   struct err *e)
{
	if (supervise_wait_send(c, until, e) < 0)
		return -1;
	return supervise_wait_recv(c, ret, e);
}

int supervise_usage(struct shim_conn *c, struct usage *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg m = shim_msg_of(SHIM_USAGE);
	const struct usage_fields *u = &m.usage;

	if (tell(c, &m, e) < 0 || hear(c, &a, SHIM_USAGE_IS, &m, NULL, e) < 0)
		return -1;
	*ret = (struct usage){
		.at = (nsec_t) u->at,
		USAGE_FIGURES(u),
	};
	return 0;
}

/* The answer's texts are its message's. */
static int take_list(const struct shim_processes *from, struct arena *a,
		     struct engine_processes *ret, struct err *e)
{
	struct engine_processes all = { .v = arena_array(a, from->list.n + 1, sizeof(*all.v)) };

	if (!all.v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the list of processes");
	for (; all.n < from->list.n; all.n++) {
		struct engine_process p = { PROCESS_FIGURES(&from->list.v[all.n]) };
		const char **const texts[] = { &p.state, &p.terminal, &p.name, &p.command };

		for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
			*texts[k] = arena_strdup(a, *texts[k]);
			if (!*texts[k])
				return err_set(e, ERR_EXHAUSTED, ENOMEM,
					       "no memory for the list of processes");
		}
		all.v[all.n] = p;
	}
	*ret = all;
	return 0;
}

int supervise_top(struct shim_conn *c, struct arena *a, struct supervise_processes *ret,
		  struct err *e)
{
	auto_arena struct arena answer = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg m = shim_msg_of(SHIM_TOP);
	struct supervise_processes all = {};

	if (tell(c, &m, e) < 0 || hear(c, &answer, SHIM_PROCESSES_ARE, &m, NULL, e) < 0)
		return -1;
	all.listed = m.processes.listed;
	if (take_list(&m.processes, a, &all.list, e) < 0)
		return -1;
	all.pids_n = m.processes.pids.n;
	all.pids = arena_array(a, all.pids_n + 1, sizeof(*all.pids));
	if (!all.pids)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the list of processes");
	for (size_t i = 0; i < all.pids_n; i++) {
		uint32_t pid;

		if (num_parse_u32(str_of(m.processes.pids.v[i]), 1, INT_MAX, &pid) < 0)
			return err_set(e, ERR_REMOTE, EPROTO, "the shim's list of processes: '%s'",
				       m.processes.pids.v[i]);
		all.pids[i] = (pid_t) pid;
	}
	*ret = all;
	return 0;
}

int supervise_status(struct shim_conn *c, struct shim_status *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg m = shim_msg_of(SHIM_STATUS);

	if (tell(c, &m, e) < 0 || hear(c, &a, SHIM_STATUS_IS, &m, NULL, e) < 0)
		return -1;
	*ret = m.status;
	return 0;
}

/* ---- finding one ------------------------------------------------------------------------- */

int shim_connect(int state_fd, struct shim_conn *ret_conn, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "a socket for the workload's shim");
	(void) snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/shim.sock", state_fd);
	if (connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
			return err_set(e, ERR_NOT_FOUND, ENOENT, "the workload has no shim");
		return err_sys(e, errno, "connect to the workload's shim");
	}
	*ret_conn = (struct shim_conn){ .fd = take_fd(&fd) };
	return 0;
}

bool shim_alive(int state_fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_fd int fd = openat(state_fd, "shim.lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- starting one ------------------------------------------------------------------------ */

/* AddressSanitizer's vfork remembers one return address, and spawn_process() has another vfork. */
#if defined(__SANITIZE_ADDRESS__)
#define fork_between() fork()
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define fork_between() fork()
#endif
#endif
#ifndef fork_between
#define fork_between() vfork()
#endif

/*
 * Not a child of the caller, who may run for long and does not want to reap it: its parent between
 * ends at once, with the errno as its status. vfork: nothing of a large caller is copied.
 */
static int spawn_orphan(const struct spawn *s)
{
	int status;
	pid_t between = fork_between();

	if (between == 0) {
		pid_t pid;

		_exit(-spawn_process(s, &pid, NULL));
	}
	if (between < 0)
		return -errno;
	while (waitpid(between, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int spawn_shim(int state_fd, int sock, const char *id, bool child, struct err *e)
{
	char path[PATH_MAX], name[] = "atoll-shim", of[SHIM_ID_MAX + 1];
	char *argv[] = { name, of, NULL }; /* the id: for people who look at ps */
	int fds[] = { sock, state_fd };	   /* SHIM_FD and the one after it */
	struct spawn sp = SPAWN_INIT;
	auto_fd int log = FD_NONE;
	pid_t pid;
	int r;

	(void) snprintf(of, sizeof(of), "%s", id);
	if (program_path(name, path, e) < 0)
		return -1;
	log = openat(state_fd, "shim.log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
		     0600);
	if (log < 0)
		return err_sys(e, errno, "open 'shim.log' in the workload's run directory");
	sp.path = path;
	sp.argv = argv;
	sp.stdio[2] = log;
	sp.fds = fds;
	sp.fds_n = ARRAY_SIZE(fds);
	sp.new_session = true;
	r = child ? spawn_process(&sp, &pid, NULL) : spawn_orphan(&sp);
	return r < 0 ? err_sys(e, -r, "start '%s'", path) : 0;
}

int supervise_spawn(const char *id, int state_fd, bool child, struct shim_conn *ret_conn,
		    struct err *e)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_fd int theirs = FD_NONE;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "sockets for a shim");
	conn.fd = pair[0];
	theirs = pair[1];
	if (spawn_shim(state_fd, theirs, id, child, e) < 0)
		return -1;
	*ret_conn = conn;
	conn = SHIM_CONN_NONE;
	return 0;
}

int supervise_prepare(struct shim_conn *c, const struct shim_prepare *p, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_PREPARE);

	m.prepare = *p;
	return tell(c, &m, e);
}

int supervise_start(struct shim_conn *c, const struct shim_create *create, pid_t *ret_pid,
		    int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ANSWER_ARENA);
	struct shim_msg m = shim_msg_of(SHIM_CREATE);

	*ret_exit_code = EXIT_CANNOT;
	m.create = *create;
	if (tell(c, &m, e) < 0 || hear(c, &a, SHIM_STARTED, &m, ret_exit_code, e) < 0)
		return -1;
	*ret_pid = (pid_t) m.started.pid;
	c->session = create->attach;
	return 0;
}

/*
 * A regular file is shared as it is: its offset is the caller's and others', and it never makes
 * anybody wait. A pipe or device is opened anew, so that O_NONBLOCK is the shim's alone.
 */
static int sink_of(int fd)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FD_NONE;
	if (S_ISREG(st.st_mode))
		return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && !(fd == 0 && isatty(fd))))
		return FD_NONE;
	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, (fd ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void supervise_sinks(const bool want[static 3], int ret_sink[static 3])
{
	for (int i = 0; i < 3; i++) {
		ret_sink[i] = want[i] ? sink_of(i) : FD_NONE;
		if (ret_sink[i] < 0)
			ret_sink[i] = FD_NONE; /* then as messages */
	}
}
