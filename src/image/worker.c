/* SPDX-License-Identifier: Apache-2.0 */
#include "image/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/file.h"
#include "image/program.h"
#include "image/wire.h"
#include "sys/fdpass.h"
#include "sys/spawn.h"

struct worker {
	int sock; /* owned */
	pid_t pid;
};

static int start(struct worker *w, struct err *e)
{
	char path[PROGRAM_PATH_MAX];
	char name[] = "atoll-image";
	char *argv[] = { name, NULL }, *env[] = { NULL };
	struct spawn s = SPAWN_INIT;
	int pair[2];
	int r = program_find("atoll-image", path, e);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make a socket");
	s.path = path;
	s.argv = argv;
	s.env = env;
	s.stdio[2] = STDERR_FILENO;
	s.fds = &pair[1];
	s.fds_n = 1;
	s.death_signal = SIGKILL;
	r = spawn_process(&s, &w->pid, NULL);
	(void) close(pair[1]);
	if (r < 0) {
		(void) close(pair[0]);
		return err_sys(e, -r, "start %s", path);
	}
	w->sock = pair[0];
	return 0;
}

static int ask(struct worker *w, const struct wire_request *q, const int *fds, size_t fds_n,
	       const int *lower, struct err *e)
{
	int r = fdpass_send(w->sock, q, sizeof(*q), fds, fds_n);

	for (size_t i = 0; r >= 0 && i < q->lower_n; i += WIRE_FDS_MAX) {
		size_t n = q->lower_n - i < WIRE_FDS_MAX ? q->lower_n - i : WIRE_FDS_MAX;

		r = fdpass_send(w->sock, "", 1, lower + i, n);
	}
	return r < 0 ? err_sys(e, -r, "talk to atoll-image") : 0;
}

/* The next message: 1 a member (in text), 0 the result. */
static int receive(struct worker *w, char text[static WIRE_MEMBER_MAX], size_t *ret_n,
		   struct wire_result *ret_result, struct err *e)
{
	ssize_t n;

	do
		n = recv(w->sock, text, WIRE_MEMBER_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "hear from atoll-image");
	if (n == 0)
		return err_set(e, ERR_INTERNAL, EPIPE,
			       "atoll-image ended without a result; nothing was kept");
	if ((size_t) n == sizeof(*ret_result)) {
		memcpy(ret_result, text, sizeof(*ret_result));
		if (ret_result->magic == WIRE_MAGIC && ret_result->err.kind <= ERR_INTERNAL &&
		    memchr(ret_result->err.msg, '\0', sizeof(ret_result->err.msg)))
			return 0;
	}
	*ret_n = (size_t) n;
	return 1;
}

static void stop(struct worker *w)
{
	close_fd(&w->sock);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* told: for members, or NULL where none may come. */
static int run(const struct wire_request *q, const int *fds, size_t fds_n, const int *lower,
	       int (*told)(void *user, const char *text, size_t n, struct err *e), void *user,
	       struct unpack_result *ret_result, struct err *e)
{
	struct worker w = { .sock = FD_NONE };
	struct wire_result res = {};
	char text[WIRE_MEMBER_MAX];
	size_t n = 0;
	int r = start(&w, e);

	if (r < 0)
		return r;
	r = ask(&w, q, fds, fds_n, lower, e);
	while (r == 0) {
		r = receive(&w, text, &n, &res, e);
		if (r != 1)
			break;
		r = told ? told(user, text, n, e)
			 : err_set(e, ERR_INTERNAL, EPROTO, "atoll-image answered nonsense");
	}
	stop(&w);
	if (r < 0)
		return r;
	if (res.err.kind != ERR_NONE) {
		*e = res.err;
		return e->sys > 0 ? -e->sys : -EIO;
	}
	*ret_result = res.result;
	return 0;
}

int worker_unpack(const struct unpack_request *r, struct unpack_result *ret_result, struct err *e)
{
	const struct wire_request q = {
		.magic = WIRE_MAGIC,
		.verb = WIRE_UNPACK,
		.has_in = true,
		.has_dir = true,
		.has_out = r->copy_fd >= 0,
		.in_range = r->in_range,
		.plain_tree = r->plain_tree,
		.no_owner = r->no_owner,
		.lower_n = (uint32_t) r->lower_n,
		.in_off = r->in_off,
		.in_size = r->in_size,
		.bytes_max = r->bytes_max,
		.entries_max = r->entries_max,
	};
	const int fds[] = { r->in_fd, r->dir_fd, r->copy_fd };

	return run(&q, fds, r->copy_fd >= 0 ? 3 : 2, r->lower_fds, NULL, NULL, ret_result, e);
}

int worker_expand(int in_fd, int out_fd, uint64_t bytes_max, struct unpack_result *ret_result,
		  struct err *e)
{
	const struct wire_request q = { .magic = WIRE_MAGIC,
					.verb = WIRE_EXPAND,
					.has_in = true,
					.has_out = true,
					.bytes_max = bytes_max };
	const int fds[] = { in_fd, out_fd };

	return run(&q, fds, 2, NULL, NULL, NULL, ret_result, e);
}

int worker_squeeze(int in_fd, int out_fd, struct unpack_result *ret_result, struct err *e)
{
	const struct wire_request q = {
		.magic = WIRE_MAGIC, .verb = WIRE_SQUEEZE, .has_in = true, .has_out = true
	};
	const int fds[] = { in_fd, out_fd };

	return run(&q, fds, 2, NULL, NULL, NULL, ret_result, e);
}

struct members {
	struct arena *arena; /* borrowed */
	struct archive_member *items;
	size_t n;
};

static int take_member(void *user, const char *text, size_t n, struct err *e)
{
	struct members *ms = user;
	struct archive_member *m;
	struct wire_member w;

	if (n < sizeof(w))
		return err_set(e, ERR_INTERNAL, EPROTO, "atoll-image answered nonsense");
	memcpy(&w, text, sizeof(w));
	if (w.magic != WIRE_MAGIC || w.name_n > TAR_NAME_MAX || w.link_n > TAR_NAME_MAX ||
	    n != sizeof(w) + w.name_n + w.link_n || w.size > INT64_MAX || w.off > INT64_MAX)
		return err_set(e, ERR_INTERNAL, EPROTO, "atoll-image answered nonsense");
	text += sizeof(w);
	m = arena_push(ms->arena, &ms->items, &ms->n, sizeof(*m));
	if (!m)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the archive has too many members");
	while (w.name_n > 2 && text[0] == '.' && text[1] == '/') {
		text += 2;
		w.name_n -= 2;
	}
	*m = (struct archive_member){ .off = w.off, .size = w.size, .dir = w.dir };
	m->name = arena_dup(ms->arena, (struct str){ text, w.name_n });
	if (w.link_n)
		m->link = arena_dup(ms->arena, (struct str){ text + w.name_n, w.link_n });
	if (!m->name || (w.link_n && !m->link))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the archive has too many members");
	return 0;
}

int worker_index(int in_fd, struct arena *a, struct archive_member **ret_members, size_t *ret_n,
		 struct err *e)
{
	const struct wire_request q = { .magic = WIRE_MAGIC, .verb = WIRE_INDEX, .has_in = true };
	struct members ms = { .arena = a };
	struct unpack_result res;
	int r = run(&q, &in_fd, 1, NULL, take_member, &ms, &res, e);

	if (r < 0)
		return r;
	*ret_members = ms.items;
	*ret_n = ms.n;
	return 0;
}

int worker_pack(const struct pack_request *p, struct unpack_result *ret_result, struct err *e)
{
	struct wire_request q = {
		.magic = WIRE_MAGIC,
		.verb = WIRE_PACK,
		.has_dir = true,
		.has_out = true,
		.overlay_upper = p->overlay_upper,
		.sparse = p->sparse,
		.mtime_max = p->mtime_max,
	};
	const int fds[] = { p->dir_fd, p->out_fd };

	if (snprintf(q.prefix, sizeof(q.prefix), "%s", p->prefix ? p->prefix : "") >=
		    (int) sizeof(q.prefix) ||
	    snprintf(q.only, sizeof(q.only), "%s", p->only ? p->only : "") >= (int) sizeof(q.only))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "a name to pack is too long");
	return run(&q, fds, 2, NULL, NULL, NULL, ret_result, e);
}

int worker_advise(const struct advise_request *p, uint64_t *ret_n, struct err *e)
{
	struct wire_request q = { .magic = WIRE_MAGIC,
				  .verb = WIRE_ADVISE,
				  .has_in = p->in_fd >= 0,
				  .has_dir = p->in_fd < 0,
				  .has_out = true };
	const int fds[] = { p->in_fd >= 0 ? p->in_fd : p->dir_fd, p->out_fd };
	struct unpack_result res;
	int r;

	if (snprintf(q.only, sizeof(q.only), "%s", p->release ? p->release : "") >=
	    (int) sizeof(q.only))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "the release's name is too long");
	r = run(&q, fds, 2, NULL, NULL, NULL, &res, e);
	if (r < 0)
		return r;
	*ret_n = res.entries;
	return 0;
}

int worker_scan(const struct scan_request *p, uint64_t *ret_packages, struct err *e)
{
	const struct wire_request q = { .magic = WIRE_MAGIC,
					.verb = WIRE_SCAN,
					.has_dir = true,
					.has_out = true,
					.lower_n = (uint32_t) p->bases_n };
	const int fds[] = { p->dir_fd, p->out_fd };
	struct unpack_result res;
	int r = run(&q, fds, 2, p->base_fds, NULL, NULL, &res, e);

	if (r < 0)
		return r;
	*ret_packages = res.entries;
	return 0;
}

int worker_text_file(struct str text, struct err *e)
{
	auto_fd int fd = memfd_create("text", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_all(fd, text.p, text.n);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "give atoll-image a file") : take_fd(&fd);
}

int worker_verify(const struct verify_request *p, struct verify_result *ret_result, struct err *e)
{
	const struct wire_request q = { .magic = WIRE_MAGIC,
					.verb = WIRE_VERIFY,
					.has_in = true,
					.has_out = true,
					.lower_n = (uint32_t) p->keys_n };
	auto_fd int payload = worker_text_file(p->payload, e);
	auto_fd int signature = payload < 0 ? FD_NONE : worker_text_file(p->signature, e);
	const int fds[] = { payload, signature };
	struct unpack_result res;
	int r;

	if (signature < 0)
		return -EIO;
	r = run(&q, fds, 2, p->key_fds, NULL, NULL, &res, e);
	if (r < 0)
		return r;
	ret_result->good = res.entries > 0 && res.entries <= p->keys_n;
	ret_result->key = ret_result->good ? res.entries - 1 : 0;
	ret_result->print = res.diff;
	return 0;
}
