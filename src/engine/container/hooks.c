/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

int hooks_state_text(struct arena *a, const struct spec *s, const char *id, int bundle_fd,
		     const char **ret_head, const char **ret_tail, struct err *e)
{
	auto_buf struct buf head = BUF_INIT(1 << 16), tail = BUF_INIT(1 << 20);
	struct json_writer w = JSON_WRITER(&head);
	char link[40], path[4096] = "";
	ssize_t n = -1;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", bundle_fd);
	if (bundle_fd >= 0)
		n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	/* The object is left open: hooks_run adds status and pid, and the tail closes it. */
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", s->oci_version);
	json_w_string(&w, "id", id);
	w = JSON_WRITER(&tail);
	json_w_object(&w, NULL);
	json_w_string(&w, "bundle", path);
	json_w_object(&w, "annotations");
	for (size_t i = 0; i < s->annotations_n; i++)
		json_w_string(&w, s->annotations[i].key, s->annotations[i].value);
	json_w_end(&w);
	json_w_end(&w);
	*ret_head = arena_strdup(a, buf_z(&head));
	*ret_tail = arena_strdup(a, buf_z(&tail) + (tail.n ? 1 : 0)); /* without its "{" */
	if (!buf_ok(&head) || !buf_ok(&tail) || !*ret_head || !*ret_tail)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the state for hooks: too large");
	return 0;
}

/* The state in a file in memory: a pipe could fill up before the hook reads. */
static int state_file(const struct hooks_call *c)
{
	auto_fd int fd = memfd_create("atoll-state", MFD_CLOEXEC);
	char text[128];
	int n, r;

	if (fd < 0)
		return -errno;
	if (c->pid)
		n = snprintf(text, sizeof(text), ",\"status\":\"%s\",\"pid\":%d,", c->status,
			     (int) c->pid);
	else
		n = snprintf(text, sizeof(text), ",\"status\":\"%s\",", c->status);
	r = fd_write_all(fd, c->head, strlen(c->head));
	r = r < 0 ? r : fd_write_all(fd, text, (size_t) n);
	r = r < 0 ? r : fd_write_all(fd, c->tail, strlen(c->tail));
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Room for the start of what a hook says on its standard error; more is read and let go. */
struct said {
	char text[200];
	size_t n;
};

/* What there is to read now: false at the end, which its children may put off. */
static bool hear(int fd, struct said *s)
{
	char more[4096];

	for (;;) {
		ssize_t n = read(fd, more, sizeof(more));
		size_t room = sizeof(s->text) - 1 - s->n;

		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		room = (size_t) n < room ? (size_t) n : room;
		memcpy(s->text + s->n, more, room);
		s->n += room;
		if ((size_t) n < sizeof(more))
			return true; /* a hook that floods must not keep us from its end */
	}
}

/* 1: it ended, 0: the deadline passed. */
static int wait_and_hear(int pidfd, int err_fd, nsec_t deadline, struct said *s)
{
	struct pollfd fds[2] = { { pidfd, POLLIN, 0 }, { err_fd, POLLIN, 0 } };

	for (;;) {
		int r = poll(fds, 2, clock_poll_ms(deadline));

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return 0;
		if (r > 0 && fds[1].revents && !hear(err_fd, s))
			fds[1].fd = FD_NONE;
		if (r > 0 && fds[0].revents)
			break;
		if (deadline != NSEC_NEVER && clock_mono() >= deadline)
			return 0;
	}
	if (fds[1].fd >= 0)
		(void) hear(err_fd, s);
	return 1;
}

static int wait_hook(const struct hooks_call *c, size_t i, const struct spec_hook *h, pid_t pid,
		     int pidfd, int err_fd, struct err *e)
{
	nsec_t deadline = h->timeout ? clock_deadline(h->timeout * NSEC_PER_SEC) : NSEC_NEVER;
	const char *name = spec_hook_name(c->kind);
	siginfo_t info = {};
	struct said said = {};
	int r = wait_and_hear(pidfd, err_fd, deadline, &said);

	if (r <= 0) {
		(void) kill(-pid, SIGKILL); /* its group: it is our own, unreaped child */
		(void) pidfd_reap(pidfd, NULL);
		if (r < 0)
			return err_sys(e, -r, "error running %s hook #%zu", name, i);
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "error running %s hook #%zu: '%.100s' took longer than %lld s", name,
			       i, h->path, (long long) h->timeout);
	}
	r = pidfd_reap(pidfd, &info);
	if (r < 0)
		return err_sys(e, -r, "error running %s hook #%zu", name, i);
	bool exited = info.si_code == CLD_EXITED;

	if (exited && info.si_status == 0)
		return 0;
	if (said.n && said.text[said.n - 1] == '\n')
		said.text[said.n - 1] = '\0';
	return err_set(e, ERR_REMOTE, info.si_status,
		       "error running %s hook #%zu: '%.100s': %s %d%s, stderr: '%.200s'", name, i,
		       h->path, exited ? "exit status" : "killed by signal", info.si_status,
		       !exited && info.si_status == SIGSYS ? " (bad system call)" : "", said.text);
}

static int run_one(const struct hooks_call *c, size_t i, const struct spec_hook *h, struct err *e)
{
	auto_fd int state_fd = state_file(c), pidfd = FD_NONE;
	auto_fd int err_fd = FD_NONE, err_write = FD_NONE;
	const char *own_argv[] = { h->path, NULL };
	struct spawn s = SPAWN_INIT;
	pid_t pid = 0;
	int r, ends[2];

	if (pipe2(ends, O_CLOEXEC) == 0) {
		err_fd = ends[0];
		err_write = ends[1];
	}
	if (state_fd < 0 || err_fd < 0 || fcntl(err_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "error running %s hook #%zu", spec_hook_name(c->kind), i);
	s.path = h->path;
	s.argv = (char *const *) (uintptr_t) (h->args_n ? h->args : own_argv);
	/* Without an "env" hooks get the runtime's: callers of runc rely on it. Never the image's.
	 */
	s.env = h->env ? (char *const *) (uintptr_t) h->env : c->env;
	s.stdio[0] = state_fd;
	s.stdio[1] = c->output && c->output[0] >= 0 ? c->output[0] : STDOUT_FILENO;
	s.stdio[2] = c->output && c->output[1] >= 0 ? c->output[1] : err_write;
	s.cwd_fd = c->cwd_fd;
	s.new_group = true;
	s.filter = c->filter;
	s.filter_flags = c->filter_flags;
	s.no_new_privs = c->no_new_privs;
	r = spawn_process(&s, &pid, &pidfd);
	if (r < 0)
		return err_sys(e, -r, "error running %s hook #%zu: '%.100s'",
			       spec_hook_name(c->kind), i, h->path);
	close_fd(&err_write);
	return wait_hook(c, i, h, pid, pidfd, err_fd, e);
}

int hooks_load(struct arena *a, const char *bundle, const char *config, const char *id,
	       const struct spec **ret_s, const char **ret_head, const char **ret_tail,
	       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	auto_fd int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct json *root = NULL;
	int r = dir < 0 ? -errno : file_read(dir, config ? config : "config.json", &text);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "%.200s of '%.200s'", config ? config : "config.json",
			       bundle);
	r = json_parse(a, buf_str(&text), &root, e);
	r = r < 0 ? r : spec_decode(a, root, ret_s, e);
	return r < 0 ? r : hooks_state_text(a, *ret_s, id, dir, ret_head, ret_tail, e);
}

int hooks_open_output(const struct spec *s, int ret_fds[static 2], struct err *e)
{
	static const char *const keys[2] = { "run.oci.hooks.stdout", "run.oci.hooks.stderr" };

	ret_fds[0] = ret_fds[1] = FD_NONE;
	for (int i = 0; i < 2; i++) {
		const char *path = spec_annotation(s, keys[i]);

		if (!path || !path[0])
			continue;
		ret_fds[i] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
		if (ret_fds[i] < 0) {
			int r = err_sys(e, errno, "annotation %s: '%.200s'", keys[i], path);

			close_fd(&ret_fds[0]);
			return r;
		}
	}
	return 0;
}

int hooks_run(const struct hooks_call *c, struct err *e)
{
	for (size_t i = 0; i < c->list->n; i++) {
		int r = run_one(c, i, &c->list->v[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}
