/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/criu.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "sys/fdpass.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define ANSWER_MAX (64u << 10)	/* bytes */
#define TAIL_MAX   (256u << 10) /* of a log, searched for its last error */

static bool runs(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int criu_find(const char *wanted, char ret_path[static PATH_MAX], struct err *e)
{
	bool plain = !wanted || !wanted[0];

	if (plain)
		wanted = "criu";
	if (strchr(wanted, '/')) {
		if (!runs(wanted) || !realpath(wanted, ret_path))
			return err_set(e, ERR_UNSUPPORTED, ENOENT,
				       "checkpoint and restore need CRIU: '%.200s' is no program "
				       "that can be run",
				       wanted);
		return 0;
	}
	if (spawn_find(wanted, ret_path) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOENT,
			       "checkpoint and restore need CRIU: there is no program '%.60s' in "
			       "PATH%s",
			       wanted, plain ? " (install criu)" : "");
	return 0;
}

int criu_open(struct criu_session *s, int *ret_theirs, struct err *e)
{
	int pair[2];

	s->errors_fd = memfd_create("criu-errors", MFD_CLOEXEC);
	if (s->errors_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "talking to criu");
	s->sock = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

int criu_start(struct criu_session *s, struct err *e)
{
	char *argv[] = { (char[]){ "criu" }, (char[]){ "swrk" }, (char[]){ "3" }, NULL };
	struct spawn sp = SPAWN_INIT;
	auto_fd int theirs = FD_NONE;
	int r = criu_open(s, &theirs, e);

	if (r < 0)
		return r;
	sp.path = s->path;
	sp.argv = argv;
	sp.stdio[1] = sp.stdio[2] = s->errors_fd;
	sp.fds = &theirs;
	sp.fds_n = 1;
	/*
	 * A group of its own: the terminal's ^C is not for it, or it would end in the middle of a
	 * dump. When we die the socket closes: criu gives up at its next question, and lets the
	 * container go on as it was.
	 */
	sp.new_group = true;
	r = spawn_process(&sp, &s->pid, &s->pidfd);
	return r < 0 ? err_sys(e, -r, "starting '%.200s'", s->path) : 0;
}

/* ---- what went wrong ---------------------------------------------------------------------- */

/* Of an unprivileged caller or a small machine: criu goes on after these. */
static bool harmless(const char *line)
{
	return strstr(line, "): rlimit: ") || strstr(line, "): tun: ");
}

static void plain(char *z)
{
	for (; *z; z++)
		*z = *z < ' ' || *z > '~' ? ' ' : *z;
}

/*
 * The last line of a log that tells of an error, and the one before, which mostly says why: "Unable
 * to open fd=1" comes after "File fd/1 has bad mode". What follows "FAILED." is of the clean-up.
 */
static void last_error(int fd, char *ret_text, size_t max)
{
	auto_free char *text = malloc(TAIL_MAX);
	char before[200] = "", last[200] = "";
	struct stat st;
	ssize_t n;

	ret_text[0] = '\0';
	if (!text || fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	n = pread(fd, text, TAIL_MAX, st.st_size > (off_t) TAIL_MAX ? st.st_size - TAIL_MAX : 0);
	for (struct str rest = { text, n > 0 ? (size_t) n : 0 }; rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest);
		char one[256];
		const char *error;

		(void) snprintf(one, sizeof(one), "%.*s", (int) (line.n < 250 ? line.n : 250),
				line.p);
		error = strstr(one, "Error (");
		if (!error || harmless(error))
			continue;
		if (strstr(error, " FAILED."))
			break;
		memcpy(before, last, sizeof(before));
		(void) snprintf(last, sizeof(last), "%s", error);
	}
	(void) snprintf(ret_text, max, "%s%s%s", before, before[0] ? "; " : "", last);
	plain(ret_text);
}

/* What it wrote to standard error: the loader's complaint, say. */
static void last_words(int fd, char *ret_text, size_t max)
{
	ssize_t n = pread(fd, ret_text, max - 1, 0);

	ret_text[n > 0 ? n : 0] = '\0';
	while (n > 0 && ret_text[n - 1] == '\n')
		ret_text[--n] = '\0';
	plain(ret_text);
}

static int failed(const struct criu_session *s, int sys, struct str said, struct err *e)
{
	char link[40], log[120] = "", text[300];
	auto_fd int fd = FD_NONE;
	ssize_t n;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", s->log_dir_fd);
	n = s->log_dir_fd < 0 ? -1 : readlink(link, log, sizeof(log) - 1);
	log[n < 0 ? 0 : n] = '\0';
	if (s->log_dir_fd >= 0 && s->log_file)
		fd = openat(s->log_dir_fd, s->log_file,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	last_error(fd, text, sizeof(text));
	if (text[0])
		return err_set(e, ERR_REMOTE, sys, "criu cannot %s (its log: %s/%s): %s", s->what,
			       log, s->log_file, text);
	last_words(s->errors_fd, text, sizeof(text));
	return err_set(e, ERR_REMOTE, sys, "criu cannot %s%s%.*s%s%s%s%s", s->what,
		       said.n ? ": " : "", (int) (said.n < 120 ? said.n : 120),
		       said.n ? said.p : "", sys > 0 ? ": " : "", sys > 0 ? strerror(sys) : "",
		       text[0] ? ": " : "", text);
}

/* ---- the conversation --------------------------------------------------------------------- */

static int say(struct criu_session *s, const struct criu_request *q, struct err *e)
{
	auto_buf struct buf out = BUF_INIT(CRIU_MESSAGE_MAX);
	int r;

	criu_encode(q, &out);
	r = buf_ok(&out) ? fdpass_send(s->sock, out.p, out.n, NULL, 0) : buf_error(&out);
	if (r == -EPIPE || r == -ECONNRESET)
		return failed(s, 0, STR("it ended at once"), e);
	return r < 0 ? err_sys(e, -r, "asking criu to %s", s->what) : 0;
}

static int hear(struct criu_session *s, char *buf, struct criu_response *ret_m, int *ret_fd,
		struct err *e)
{
	size_t fds = 0;
	ssize_t n;

	*ret_fd = FD_NONE;
	n = fdpass_recv(s->sock, buf, ANSWER_MAX, ret_fd, 1, &fds);
	if (n == 0 || n == -ECONNRESET)
		return failed(s, 0, STR("it ended without an answer"), e);
	if (n < 0)
		return err_sys(e, (int) -n, "reading criu's answer");
	if (criu_decode((struct str){ buf, (size_t) n }, ret_m) < 0) {
		close_fd(ret_fd);
		return err_set(e, ERR_REMOTE, EBADMSG, "criu's answer of %zd bytes is no answer",
			       n);
	}
	return 0;
}

static int end(struct criu_session *s, bool must_succeed, struct err *e)
{
	siginfo_t info = {};
	int r;

	(void) shutdown(s->sock, SHUT_WR);
	r = pidfd_poll(s->pidfd, NSEC_NEVER);
	r = r < 0 ? r : pidfd_reap(s->pidfd, &info);
	s->pid = 0;
	if (r < 0)
		return err_sys(e, -r, "waiting for criu to end");
	if (must_succeed && pidfd_status(&info) != 0)
		return failed(s, 0, STR("it failed after its answer"), e);
	return 0;
}

int criu_ask(struct criu_session *s, const struct criu_request *q, struct criu_response *ret_r,
	     struct err *e)
{
	struct criu_request go_on = { .type = CRIU_NOTIFY, .notify_success = true };
	auto_free char *buf = malloc(ANSWER_MAX);
	struct criu_response m;
	int r = buf ? say(s, q, e) : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	while (r == 0) {
		int fd;

		r = hear(s, buf, &m, &fd, e);
		if (r < 0)
			return r;
		if (!m.success) {
			close_fd(&fd);
			return failed(s, m.sys, m.message, e);
		}
		if (m.type != CRIU_NOTIFY) {
			close_fd(&fd);
			break;
		}
		if (s->notify) {
			r = s->notify(s, &m, fd, e);
		} else {
			close_fd(&fd);
		}
		go_on.notify_success = r == 0;
		if (r < 0) {
			struct err ignored;

			/* Told, it undoes what it did; the first failure is ours to tell. */
			if (say(s, &go_on, &ignored) == 0 && hear(s, buf, &m, &fd, &ignored) == 0)
				close_fd(&fd);
			return r;
		}
		r = say(s, &go_on, e);
	}
	if (r < 0)
		return r;
	if (m.type != (uint64_t) q->type)
		return err_set(e, ERR_REMOTE, EBADMSG, "criu answers another question (%llu)",
			       (unsigned long long) m.type);
	/* A pre-dump waits for the next one, and takes the end of the conversation for a failure.
	 */
	r = end(s, q->type == CRIU_DUMP || q->type == CRIU_RESTORE, e);
	m.script = m.message = STR("");
	*ret_r = m;
	return r;
}

void criu_close(struct criu_session *s)
{
	if (s->sock >= 0)
		(void) shutdown(s->sock, SHUT_RDWR);
	close_fd(&s->sock);
	/* Its peer is gone: it gives up by itself, and puts right what it was at. */
	if (s->pid > 0 && pidfd_poll(s->pidfd, clock_deadline(30 * NSEC_PER_SEC)) != 1)
		(void) pidfd_kill(s->pidfd, SIGKILL);
	if (s->pid > 0 && pidfd_poll(s->pidfd, clock_deadline(NSEC_PER_SEC)) == 1)
		(void) pidfd_reap(s->pidfd, NULL);
	s->pid = 0;
	close_fd(&s->pidfd);
	close_fd(&s->errors_fd);
}

int criu_usable(const char *wanted, int *ret_version, struct err *e)
{
	auto_criu struct criu_session s = CRIU_SESSION("tell its version");
	struct criu_request q = CRIU_REQUEST(CRIU_VERSION);
	struct criu_response m;
	int r = criu_find(wanted, s.path, e), version;

	r = r < 0 ? r : criu_start(&s, e);
	r = r < 0 ? r : criu_ask(&s, &q, &m, e);
	if (r < 0)
		return r;
	if (m.major < 0 || m.major > 1000 || m.minor < 0 || m.minor > 99 || m.sublevel < 0 ||
	    m.sublevel > 99)
		return err_set(e, ERR_REMOTE, EBADMSG, "criu's version makes no sense");
	version = m.major * 10000 + m.minor * 100 + m.sublevel;
	if (version < CRIU_MIN_VERSION)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "'%.200s' is criu %d.%d; checkpoint and restore need 3.15 or later",
			       s.path, (int) m.major, (int) m.minor);
	*ret_version = version;
	return 0;
}

int criu_need(const char *wanted, bool mem_track, bool lazy_pages, struct err *e)
{
	auto_criu struct criu_session s = CRIU_SESSION("tell its features");
	struct criu_request q = CRIU_REQUEST(CRIU_FEATURE_CHECK);
	struct criu_response m;
	int r = criu_find(wanted, s.path, e);

	q.ask_mem_track = mem_track;
	q.ask_lazy_pages = lazy_pages;
	r = r < 0 ? r : criu_start(&s, e);
	r = r < 0 ? r : criu_ask(&s, &q, &m, e);
	if (r < 0)
		return r;
	if (mem_track && !m.mem_track)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--pre-dump and --parent-path need a kernel that tracks changed "
			       "pages (CONFIG_MEM_SOFT_DIRTY): this one does not");
	if (lazy_pages && !m.lazy_pages)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--lazy-pages needs userfaultfd, which criu cannot use here");
	return 0;
}
