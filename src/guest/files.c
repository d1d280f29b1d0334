/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"
#include "sys/enclose.h"

#define FDS_MAX	    32768
#define REQUEST_MAX (FS_WRITE_MAX + FS_BUFFER_MAX)

/* Whole, or not at all. */
static int get(int sock, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = read(sock, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EPIPE;
		p += k;
		n -= (size_t) k;
	}
	return 0;
}

static int put(int sock, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(sock, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t) k;
	}
	return 0;
}

/* One request after the other, until the host hangs up. */
static int serve(struct fs_session *s, int sock)
{
	auto_free uint8_t *in = malloc(REQUEST_MAX), *out = malloc(REQUEST_MAX);
	auto_free struct chain *c = calloc(1, sizeof(*c));
	struct fuse_in_header h;
	int r = in && out && c ? 0 : -ENOMEM;

	while (r == 0) {
		r = get(sock, in, sizeof(h));
		if (r < 0)
			break;
		memcpy(&h, in, sizeof(h));
		if (h.len < sizeof(h) || h.len > REQUEST_MAX)
			return -EBADMSG;
		r = get(sock, in + sizeof(h), h.len - sizeof(h));
		if (r < 0)
			break;
		c->parts[0] = (struct iovec){ in, h.len };
		c->parts[1] = (struct iovec){ out, REQUEST_MAX };
		c->out = &c->parts[0];
		c->in = &c->parts[1];
		c->out_n = c->in_n = 1;
		c->out_bytes = h.len;
		c->in_bytes = REQUEST_MAX;
		r = put(sock, out, fs_session_serve(s, c));
	}
	return r;
}

struct shown {
	struct fs_share shares[3];
	size_t n;
};

static void show(struct shown *v, const char *name, int fd)
{
	if (fd >= 0)
		v->shares[v->n++] = (struct fs_share){ .name = name, .fd = fd };
}

[[gnu::noreturn]] static void child(const struct workload *w, int root, int sock)
{
	auto_buf struct buf hello = BUF_INIT(64);
	struct agent_msg ok = agent_msg_of(AGENT_OK);
	struct fs_session *s = NULL;
	struct shown v = {};
	int keep[5], proc, r, sync_fds[2];
	size_t keep_n = 0;
	struct err e = {};

	(void) prctl(PR_SET_NAME, "atoll-files");
	/* The originals stay for the end: the session takes copies. */
	sync_fds[0] = root;
	sync_fds[1] = w->upper_fd;
	show(&v, "root", root);
	show(&v, "layers", w->layers_fd);
	show(&v, "upper", w->upper_fd);
	keep[keep_n++] = sock;
	for (size_t i = 0; i < v.n; i++)
		keep[keep_n++] = v.shares[i].fd;
	enclose_fds(3, keep, keep_n);
	for (size_t i = 0; i < v.n; i++)
		v.shares[i].fd = fcntl(v.shares[i].fd, F_DUPFD_CLOEXEC, 3);
	proc = fs_session_proc(&e);
	if (proc >= 0)
		s = fs_session_new(proc, v.shares, v.n, FDS_MAX, &e);
	if (!s || fs_session_enter(s, &e) < 0 || fcntl(sock, F_SETFL, O_RDWR) < 0 ||
	    agent_encode(&ok, &hello) < 0)
		_exit(1);
	s->overlay_marks = true;
	r = put(sock, (const uint8_t *) hello.p, hello.n);
	if (r == 0)
		(void) serve(s, sock); /* its end is the host's word that it wants no more */
	for (size_t i = 0; i < ARRAY_SIZE(sync_fds); i++) {
		auto_fd int fd = sync_fds[i] < 0 ? FD_NONE
						 : openat(sync_fds[i], ".",
							  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			(void) syncfs(fd); /* whoever relies on it has fsync, which tells */
	}
	_exit(0);
}

int files_serve(const struct workload *w, int sock, pid_t *ret_pid, struct err *e)
{
	auto_fd int root = FD_NONE;
	char path[40];
	pid_t pid;

	if (!w->in && w->layers_fd < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "container '%s' is not running", w->id);
	if (w->in) {
		(void) snprintf(path, sizeof(path), "/proc/%d/root", (int) w->in->pid);
		root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return err_sys(e, errno, "open the root of container '%s'", w->id);
	}
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "a process for the files of container '%s'", w->id);
	if (pid == 0)
		child(w, root, sock);
	*ret_pid = pid;
	return 0;
}
