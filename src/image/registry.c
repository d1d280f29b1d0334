/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "image/certificates.h"
#include "image/program.h"
#include "sys/fdpass.h"
#include "sys/spawn.h"

struct registry {
	char host[REFERENCE_NAME_MAX + 1];
	int sock;  /* owned */
	bool once; /* of its options; until the first document */
	pid_t pid;
	uint32_t next_id;
	/* Blobs, and the thread that hears of them: */
	struct registry_blob *blobs; /* borrowed */
	size_t blobs_n;
	uint32_t first_id;
	registry_told *told;
	void *user;
	pthread_t thread;
	bool listens;
	pthread_mutex_t mutex; /* of the blobs' done and err */
	pthread_cond_t changed;
};

/* Who is asked where to go may be told by the environment; nothing else of it is passed on. */
static const char *const passed[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
				      "ALL_PROXY",  "no_proxy",	   "NO_PROXY" };

static int start(struct registry *g, struct err *e)
{
	char path[PROGRAM_PATH_MAX], vars[ARRAY_SIZE(passed)][1024];
	char name[] = "atoll-registry";
	char *argv[] = { name, NULL }, *env[ARRAY_SIZE(passed) + 1] = { NULL };
	struct spawn s = SPAWN_INIT;
	size_t n = 0;
	int pair[2];
	int r = program_find("atoll-registry", path, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		const char *value = secure_getenv(passed[i]);

		if (value && snprintf(vars[n], sizeof(vars[n]), "%s=%s", passed[i], value) <
				     (int) sizeof(vars[n])) {
			env[n] = vars[n];
			n++;
		}
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make a socket");
	s.path = path;
	s.argv = argv;
	s.env = env;
	s.stdio[2] = STDERR_FILENO;
	s.fds = &pair[1];
	s.fds_n = 1;
	s.death_signal = SIGKILL;
	r = spawn_process(&s, &g->pid, NULL);
	(void) close(pair[1]);
	if (r < 0) {
		(void) close(pair[0]);
		return err_sys(e, -r, "start %s", path);
	}
	g->sock = pair[0];
	return 0;
}

/* ---- what it says ---- */

static int receive(struct registry *g, struct registry_reply *a, struct err *e)
{
	ssize_t n;

	do
		n = recv(g->sock, a, sizeof(*a), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "hear from atoll-registry");
	if (n == 0)
		return err_set(e, ERR_INTERNAL, EPIPE, "atoll-registry ended without an answer");
	if (n != sizeof(*a) || a->magic != REGISTRY_MAGIC || a->err.kind > ERR_INTERNAL ||
	    !memchr(a->err.msg, '\0', sizeof(a->err.msg)) ||
	    !memchr(a->type, '\0', sizeof(a->type)) || !memchr(a->digest, '\0', sizeof(a->digest)))
		return err_set(e, ERR_INTERNAL, EPROTO, "atoll-registry answers nonsense");
	return 0;
}

/* The answer to the one request there is. */
static int answer(struct registry *g, uint32_t id, struct registry_reply *a, struct err *e)
{
	int r = receive(g, a, e);

	if (r == 0 && (a->id != id || a->kind != REGISTRY_DONE))
		r = err_set(e, ERR_INTERNAL, EPROTO, "atoll-registry answers nonsense");
	if (r == 0 && a->err.kind != ERR_NONE) {
		*e = a->err;
		r = a->err.sys > 0 ? -a->err.sys : -EIO;
	}
	return r;
}

static int ask(struct registry *g, struct registry_request *q, const int *fds, size_t n,
	       struct err *e)
{
	int r;

	q->magic = REGISTRY_MAGIC;
	q->id = g->next_id++;
	r = fdpass_send(g->sock, q, sizeof(*q), fds, n);
	return r < 0 ? err_sys(e, -r, "ask atoll-registry") : 0;
}

/* ---- opening ---- */

struct files {
	int fds[REGISTRY_FDS_MAX]; /* borrowed */
	size_t n;
};

static bool add_file(struct files *f, int fd)
{
	if (fd >= 0)
		f->fds[f->n++] = fd;
	return fd >= 0;
}

/* The connection's own machine: whoever is there may as well read its memory. */
static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
	       (strncmp(host, "localhost", 9) == 0 && (host[9] == ':' || !host[9]));
}

int registry_open(const char *host, const char *repository, const struct registry_options *options,
		  struct registry **ret_g, struct err *e)
{
	struct registry *g = calloc(1, sizeof(*g));
	struct registry_request *q = calloc(1, sizeof(*q));
	struct registry_reply a;
	struct certificates own = { FD_NONE, FD_NONE, FD_NONE };
	auto_fd int ca = open("/etc/ssl/certs/ca-certificates.crt", O_RDONLY | O_CLOEXEC);
	struct files f = {};
	int r = 0;

	if (!g || !q) {
		free(g);
		free(q);
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	}
	g->sock = FD_NONE;
	(void) pthread_mutex_init(&g->mutex, NULL); /* cannot fail so */
	(void) pthread_cond_init(&g->changed, NULL);
	g->once = options->once;
	*q = (struct registry_request){ .verb = REGISTRY_OPEN,
					.once = options->once,
					.no_verify = options->no_verify,
					.may_be_plain = options->no_verify || is_loopback(host),
					.plain_first = is_loopback(host),
					.login = options->login,
					.search = options->search,
					.push = options->push };
	if (snprintf(g->host, sizeof(g->host), "%s", host) >= (int) sizeof(g->host) ||
	    snprintf(q->repository, sizeof(q->repository), "%s", repository) >=
		    (int) sizeof(q->repository))
		r = err_set(e, ERR_INVALID, ENAMETOOLONG, "the registry's name is too long");
	memcpy(q->host, g->host, sizeof(q->host));
	if (options->sources && snprintf(q->sources, sizeof(q->sources), "%s", options->sources) >=
					(int) sizeof(q->sources))
		q->sources[0] = '\0'; /* more than is asked for at once */
	if (options->login_as) {
		memcpy(q->user, options->login_as->user, sizeof(q->user));
		memcpy(q->secret, options->login_as->secret, sizeof(q->secret));
		q->identity = options->login_as->identity;
	}
	r = r < 0 ? r : certificates_find(host, &own, e);
	q->has_ca = add_file(&f, ca);
	q->has_more_ca = add_file(&f, own.ca);
	q->has_cert = add_file(&f, own.cert);
	q->has_key = add_file(&f, own.key);
	r = r < 0 ? r : start(g, e);
	r = r < 0 ? r : ask(g, q, f.fds, f.n, e);
	r = r < 0 ? r : answer(g, 0, &a, e);
	explicit_bzero(q, sizeof(*q));
	free(q);
	certificates_close(&own);
	if (r < 0)
		registry_close(g);
	else
		*ret_g = g;
	return r;
}

void registry_hang_up(struct registry *g)
{
	if (g && g->pid > 0)
		(void) kill(g->pid, SIGKILL);
}

void registry_close(struct registry *g)
{
	if (!g)
		return;
	if (g->listens) {
		/* The thread's end comes with the program's. */
		registry_hang_up(g);
		(void) pthread_join(g->thread, NULL);
	}
	close_fd(&g->sock);
	while (g->pid > 0 && waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void) pthread_mutex_destroy(&g->mutex);
	(void) pthread_cond_destroy(&g->changed);
	free(g);
}

/* ---- documents ---- */

int registry_document(struct registry *g, const char *what, size_t max, struct buf *ret_text,
		      char ret_type[static REGISTRY_TYPE_MAX], struct err *e)
{
	struct registry_request *q = calloc(1, sizeof(*q));
	auto_fd int file = memfd_create("document", MFD_CLOEXEC);
	struct registry_reply a = {};
	int r = 0;

	if (!q || file < 0)
		r = err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	if (r == 0) {
		q->verb = REGISTRY_DOCUMENT;
		q->once = g->once;
		q->bytes = max;
		if (snprintf(q->what, sizeof(q->what), "%s", what) >= (int) sizeof(q->what))
			r = err_set(e, ERR_INVALID, ENAMETOOLONG, "%.40s... is too long", what);
	}
	r = r < 0 ? r : ask(g, q, &file, 1, e);
	r = r < 0 ? r : answer(g, g->next_id - 1, &a, e);
	free(q);
	if (r < 0)
		return r;
	g->once = false;
	if (lseek(file, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "read %s", what);
	r = fd_read_all(file, ret_text);
	if (r < 0)
		return err_sys(e, -r, "read %s", what);
	memcpy(ret_type, a.type, sizeof(a.type));
	return 0;
}

int registry_identity(struct registry *g, char ret_token[static REGISTRY_SECRET_MAX], struct err *e)
{
	struct registry_request *q = calloc(1, sizeof(*q));
	auto_fd int file = memfd_create("identity", MFD_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(REGISTRY_SECRET_MAX - 1);
	struct registry_reply a = {};
	int r = q && file >= 0 ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	if (r == 0) {
		q->verb = REGISTRY_IDENTITY;
		r = ask(g, q, &file, 1, e);
	}
	r = r < 0 ? r : answer(g, g->next_id - 1, &a, e);
	free(q);
	if (r < 0)
		return r;
	r = lseek(file, 0, SEEK_SET) < 0 ? -errno : fd_read_all(file, &text);
	if (r < 0 || memchr(buf_z(&text), '\0', text.n))
		return err_set(e, ERR_REMOTE, EPROTO, "the identity token is none");
	memcpy(ret_token, buf_z(&text), text.n + 1);
	return 0;
}

/* ---- what is sent ---- */

static int fill(struct registry_request *q, const char *what, const char *type, struct err *e)
{
	if (snprintf(q->what, sizeof(q->what), "%s", what) < (int) sizeof(q->what) &&
	    snprintf(q->type, sizeof(q->type), "%s", type) < (int) sizeof(q->type))
		return 0;
	return err_set(e, ERR_INVALID, ENAMETOOLONG, "%.40s... is too long", what);
}

static int ask_to_send(struct registry *g, struct registry_request *q,
		       const struct registry_send *b, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(&b->digest, text);
	q->verb = REGISTRY_SEND_BLOB;
	q->bytes = b->size;
	if (snprintf(q->repository, sizeof(q->repository), "%s", b->from ? b->from : "") >=
	    (int) sizeof(q->repository))
		q->repository[0] = '\0';
	if (fill(q, text, "", e) < 0)
		return -EINVAL;
	return ask(g, q, &b->file, 1, e);
}

int registry_send_blobs(struct registry *g, struct registry_send *blobs, size_t n,
			registry_told *told, void *user, struct err *e)
{
	struct registry_request *q = calloc(1, sizeof(*q));
	uint32_t first = g->next_id;
	int r = q ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	for (size_t i = 0; i < n && r == 0; i++)
		r = ask_to_send(g, q, &blobs[i], e);
	free(q);
	for (size_t left = n; left && r == 0;) {
		struct registry_reply a;
		size_t i;

		r = receive(g, &a, e);
		i = a.id - first;
		if (r == 0 && (i >= n || blobs[i].done))
			r = err_set(e, ERR_INTERNAL, EPROTO, "atoll-registry answers nonsense");
		if (r == 0 && a.err.kind != ERR_NONE) {
			*e = a.err;
			r = a.err.sys > 0 ? -a.err.sys : -EIO;
		}
		if (r < 0)
			break;
		blobs[i].done = a.kind == REGISTRY_DONE;
		blobs[i].how = a.how;
		left -= blobs[i].done;
		if (told)
			told(user, i, a.bytes, blobs[i].done);
	}
	return r;
}

int registry_send_document(struct registry *g, const char *what, const char *type, struct str text,
			   struct err *e)
{
	struct registry_request *q = calloc(1, sizeof(*q));
	auto_fd int file = memfd_create("document", MFD_CLOEXEC);
	struct registry_reply a = {};
	int r = q && file >= 0 && fd_write_all(file, text.p, text.n) == 0
			? fill(q, what, type, e)
			: err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	if (r == 0) {
		q->verb = REGISTRY_SEND_DOCUMENT;
		q->bytes = text.n;
		r = ask(g, q, &file, 1, e);
	}
	free(q);
	return r < 0 ? r : answer(g, g->next_id - 1, &a, e);
}

/* ---- blobs ---- */

static void end_all(struct registry *g, const struct err *why)
{
	for (size_t i = 0; i < g->blobs_n; i++) {
		if (!g->blobs[i].done) {
			g->blobs[i].done = true;
			g->blobs[i].err = *why;
		}
	}
}

static void *listen_to(void *user)
{
	struct registry *g = user;
	struct registry_reply a;
	struct err why = {};

	while (receive(g, &a, &why) == 0) {
		size_t i = a.id - g->first_id;

		if (i >= g->blobs_n)
			continue;
		if (g->told && (a.kind != REGISTRY_DONE || a.err.kind == ERR_NONE))
			g->told(g->user, i, a.bytes, a.kind == REGISTRY_DONE);
		if (a.kind != REGISTRY_DONE)
			continue;
		(void) pthread_mutex_lock(&g->mutex);
		g->blobs[i].done = true;
		g->blobs[i].err = a.err;
		(void) pthread_cond_broadcast(&g->changed);
		(void) pthread_mutex_unlock(&g->mutex);
	}
	(void) pthread_mutex_lock(&g->mutex);
	end_all(g, &why);
	(void) pthread_cond_broadcast(&g->changed);
	(void) pthread_mutex_unlock(&g->mutex);
	return NULL;
}

static int ask_for(struct registry *g, struct registry_request *q, struct registry_blob *b,
		   struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	int ends[2], fds[2], r;

	digest_text(&b->digest, text);
	(void) snprintf(q->what, sizeof(q->what), "blobs/%s", text);
	q->bytes = b->size;
	q->have = b->have;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	fds[0] = b->file;
	fds[1] = ends[1];
	b->pipe = ends[0];
	r = ask(g, q, fds, 2, e);
	(void) close(ends[1]);
	return r;
}

int registry_blobs(struct registry *g, struct registry_blob *blobs, size_t n, registry_told *told,
		   void *user, struct err *e)
{
	struct registry_request *q = calloc(1, sizeof(*q));
	int r = q ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	g->blobs = blobs;
	g->blobs_n = n;
	g->first_id = g->next_id;
	g->told = told;
	g->user = user;
	for (size_t i = 0; i < n; i++) {
		blobs[i].pipe = FD_NONE;
		blobs[i].done = false;
		blobs[i].err = (struct err){};
	}
	if (r == 0 && (r = pthread_create(&g->thread, NULL, listen_to, g)) != 0)
		r = err_sys(e, r, "start a thread");
	g->listens = r == 0;
	if (q)
		q->verb = REGISTRY_BLOB;
	for (size_t i = 0; i < n && r == 0; i++)
		r = ask_for(g, q, &blobs[i], e);
	free(q);
	return r;
}

int registry_blob_wait(struct registry *g, size_t i, struct err *e)
{
	const struct registry_blob *b = &g->blobs[i];

	(void) pthread_mutex_lock(&g->mutex);
	while (!b->done)
		(void) pthread_cond_wait(&g->changed, &g->mutex);
	(void) pthread_mutex_unlock(&g->mutex);
	if (b->err.kind == ERR_NONE)
		return 0;
	*e = b->err;
	return e->sys > 0 ? -e->sys : -EIO;
}
