/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-image: reads archives and writes and scans trees for the programs that start it
 * (image/worker.h). Two processes: this one keeps its privilege, reads no byte of an archive and
 * answers three checked requests (image/help.h); its child does the work behind the walls of
 * image/confine.h. Not for users: it has no command line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/oci_image.h"
#include "image/advise.h"
#include "image/confine.h"
#include "image/feed.h"
#include "image/help.h"
#include "image/pack.h"
#include "image/scan.h"
#include "image/signature.h"
#include "image/squeeze.h"
#include "image/unpack.h"
#include "image/wire.h"
#include "sys/fdpass.h"

struct job {
	struct wire_request req;
	int in_fd, dir_fd, out_fd;     /* owned; FD_NONE where not given */
	int lower_fds[OCI_LAYERS_MAX]; /* owned */
	size_t lower_n;
};

static int bad_request(struct err *e)
{
	return err_set(e, ERR_INTERNAL, EPROTO, "atoll-image got a request it does not understand");
}

static int receive_lowers(struct job *j, struct err *e)
{
	while (j->lower_n < j->req.lower_n) {
		char c;
		size_t n = 0;
		ssize_t r = fdpass_recv(WIRE_SOCKET, &c, 1, j->lower_fds + j->lower_n,
					j->req.lower_n - j->lower_n, &n);

		if (r != 1 || n == 0)
			return bad_request(e);
		j->lower_n += n;
	}
	return 0;
}

static int receive(struct job *j, struct err *e)
{
	int fds[3] = { FD_NONE, FD_NONE, FD_NONE };
	size_t n = 0, at = 0;
	ssize_t r = fdpass_recv(WIRE_SOCKET, &j->req, sizeof(j->req), fds, 3, &n);
	const struct wire_request *q = &j->req;

	if (r != sizeof(j->req) || q->magic != WIRE_MAGIC || q->lower_n > OCI_LAYERS_MAX ||
	    n != (size_t) q->has_in + q->has_dir + q->has_out ||
	    !memchr(q->prefix, '\0', sizeof(q->prefix)) || !memchr(q->only, '\0', sizeof(q->only)))
		return bad_request(e);
	j->in_fd = q->has_in ? fds[at++] : FD_NONE;
	j->dir_fd = q->has_dir ? fds[at++] : FD_NONE;
	j->out_fd = q->has_out ? fds[at++] : FD_NONE;
	return receive_lowers(j, e);
}

static int confine_job(struct job *j, struct err *e)
{
	bool files = j->req.verb == WIRE_SCAN || j->req.verb == WIRE_VERIFY;
	int r = 0;

	if (j->dir_fd >= 0)
		r = confine_directory(&j->dir_fd, j->req.verb != WIRE_UNPACK, e);
	for (size_t i = 0; i < j->lower_n && r == 0 && !files; i++)
		r = confine_directory(&j->lower_fds[i], true, e);
	return r;
}

static int tell_member(void *user, const struct wire_member *m, const char *name, const char *link,
		       struct err *e)
{
	char text[WIRE_MEMBER_MAX];

	(void) user; /* unpack_index's signature has it */
	memcpy(text, m, sizeof(*m));
	memcpy(text + sizeof(*m), name, m->name_n);
	memcpy(text + sizeof(*m) + m->name_n, link, m->link_n);
	if (send(WIRE_SOCKET, text, sizeof(*m) + m->name_n + m->link_n, MSG_NOSIGNAL) < 0)
		return err_sys(e, errno, "tell of the archive's members");
	return 0;
}

static struct unpack_request unpack_request(const struct job *j)
{
	const struct wire_request *q = &j->req;

	return (struct unpack_request){
		.in_fd = j->in_fd,
		.in_range = q->in_range,
		.in_off = q->in_off,
		.in_size = q->in_size,
		.dir_fd = j->dir_fd,
		.lower_fds = j->lower_fds,
		.lower_n = j->lower_n,
		.copy_fd = q->verb == WIRE_UNPACK ? j->out_fd : FD_NONE,
		.plain_tree = q->plain_tree,
		.no_owner = q->no_owner,
		.bytes_max = q->bytes_max,
		.entries_max = q->entries_max,
	};
}

static int work(struct job *j, struct feed *feed, int help_sock, struct unpack_result *ret_result,
		struct err *e)
{
	const struct wire_request *q = &j->req;
	const struct unpack_request unpack = unpack_request(j);
	const struct pack_request pack = {
		.dir_fd = j->dir_fd,
		.out_fd = j->out_fd,
		.overlay_upper = q->overlay_upper,
		.sparse = q->sparse,
		.mtime_max = q->mtime_max,
		.prefix = q->prefix[0] ? q->prefix : NULL,
		.only = q->only[0] ? q->only : NULL,
	};
	const struct advise_request advise = { .in_fd = j->in_fd,
					       .dir_fd = j->dir_fd,
					       .out_fd = j->out_fd,
					       .release = q->only[0] ? q->only : NULL };
	const struct scan_request scan = { .dir_fd = j->dir_fd,
					   .base_fds = j->lower_fds,
					   .bases_n = j->lower_n,
					   .out_fd = j->out_fd };
	const struct signature_files verify = { .payload_fd = j->in_fd,
						.signature_fd = j->out_fd,
						.key_fds = j->lower_fds,
						.keys_n = j->lower_n };

	switch (q->verb) {
	case WIRE_UNPACK:
		return unpack_run(&unpack, feed, help_sock, ret_result, e);
	case WIRE_EXPAND:
		return unpack_expand(&unpack, j->out_fd, ret_result, e);
	case WIRE_INDEX:
		return unpack_index(j->in_fd, 1u << 20, tell_member, NULL, e);
	case WIRE_PACK:
		return pack_run(&pack, help_sock, ret_result, e);
	case WIRE_SQUEEZE:
		return squeeze_run(j->in_fd, j->out_fd, ret_result, e);
	case WIRE_ADVISE:
		return advise_run(&advise, &ret_result->entries, e);
	case WIRE_SCAN:
		return scan_run(&scan, &ret_result->entries, e);
	case WIRE_VERIFY:
		return signature_verify_run(&verify, ret_result, e);
	}
	return bad_request(e);
}

static int send_result(const struct unpack_result *res, const struct err *e)
{
	struct wire_result w = { .magic = WIRE_MAGIC };

	if (e)
		w.err = *e;
	else
		w.result = *res;
	return send(WIRE_SOCKET, &w, sizeof(w), MSG_NOSIGNAL) < 0 ? 1 : 0;
}

/* The reader: holds the archive and the blob it is copied to, no directory. */
[[gnu::noreturn]] static void read_archive(struct job *j, const struct feed *feed, int sock)
{
	const int keep[] = { sock, j->in_fd, j->out_fd };
	const struct unpack_request q = unpack_request(j);
	struct err e = {};

	/* Why it could not be confined is told by the other half, which fails the same way. */
	if (confine_enter(keep, ARRAY_SIZE(keep), &e) < 0)
		_exit(1);
	_exit(feed_read(feed, sock, &q));
}

/* The first process of the new namespaces: when it ends, the kernel ends the reader. */
[[gnu::noreturn]] static void confined(struct job *j, int help_sock)
{
	int keep[6 + OCI_LAYERS_MAX] = { WIRE_SOCKET, help_sock, j->dir_fd,
					 FD_NONE,     j->in_fd,	 j->out_fd };
	struct feed feed = { .sock = FD_NONE };
	struct unpack_result res = {};
	struct err e = {};
	int sock = FD_NONE, r = 0;

	if (j->req.verb == WIRE_UNPACK) {
		pid_t pid;

		r = feed_init_split(&feed, &sock, &e);
		pid = r < 0 ? -1 : fork();
		if (pid == 0)
			read_archive(j, &feed, sock);
		if (pid < 0 && r == 0)
			r = err_sys(&e, errno, "start the reader");
		close_fd(&sock);
		keep[3] = feed.sock;
		keep[4] = keep[5] = FD_NONE;
	}
	if (j->lower_n)
		memcpy(keep + 6, j->lower_fds, j->lower_n * sizeof(*keep));
	if (r == 0)
		r = confine_enter(keep, 6 + j->lower_n, &e);
	if (r == 0)
		r = work(j, &feed, help_sock, &res, &e);
	_exit(send_result(&res, r < 0 ? &e : NULL));
}

/* What became of the child; 0 when it has given its own result. */
static int reap(pid_t pid, struct err *e)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for the unpacker");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(e, ERR_INTERNAL, 0,
			       "the unpacker was killed by signal %d while reading the archive; "
			       "nothing of it was kept",
			       WTERMSIG(status));
	return err_set(e, ERR_INTERNAL, 0, "the unpacker ended without a result");
}

int main(void)
{
	static struct job job = { .in_fd = FD_NONE, .dir_fd = FD_NONE, .out_fd = FD_NONE };
	int help[2], type = 0, r;
	socklen_t len = sizeof(type);
	struct err e = {};
	pid_t pid;

	if (getsockopt(WIRE_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET) {
		(void) fputs("atoll-image is started by atoll and has no commands of its own\n",
			     stderr);
		return 2;
	}
	(void) umask(0); /* modes are the archive's; also of nodes, which the help makes */
	r = receive(&job, &e);
	if (r == 0)
		r = confine_job(&job, &e);
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, help) < 0)
		r = err_sys(&e, errno, "make a socket");
	if (r < 0)
		return send_result(NULL, &e);
	pid = confine_fork(&e);
	if (pid < 0)
		return send_result(NULL, &e);
	if (pid == 0) {
		(void) close(help[0]);
		confined(&job, help[1]);
	}
	(void) close(help[1]);
	help_serve(help[0]);
	r = reap(pid, &e);
	return r < 0 ? send_result(NULL, &e) : 0;
}
