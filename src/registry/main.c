/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-registry: speaks HTTP with one registry for the program that starts it
 * (image/registry.h), with no file but those it is given and no way to others. A program of its
 * own: libcurl takes longer to load than a layer to unpack, and who unpacks has no network. Not for
 * users: it has no command line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "registry/confine.h"
#include "registry/fetch.h"
#include "registry/upload.h"
#include "sys/fdpass.h"

#define PEM_MAX ((size_t) 4 << 20)

static int nonsense(struct err *e)
{
	return err_set(e, ERR_INTERNAL, EPROTO,
		       "atoll-registry got a request it does not understand");
}

static bool is_text(const char *p, size_t size)
{
	return memchr(p, '\0', size) != NULL;
}

/* 1: a request; 0: nobody asks any more. */
static int receive(struct registry_request *q, int fds[static REGISTRY_FDS_MAX], size_t *ret_n,
		   struct err *e)
{
	ssize_t r = fdpass_recv(REGISTRY_SOCKET, q, sizeof(*q), fds, REGISTRY_FDS_MAX, ret_n);

	if (r == 0 || r == -ECONNRESET)
		return 0;
	if (r != sizeof(*q) || q->magic != REGISTRY_MAGIC || !is_text(q->host, sizeof(q->host)) ||
	    !is_text(q->repository, sizeof(q->repository)) || !is_text(q->user, sizeof(q->user)) ||
	    !is_text(q->secret, sizeof(q->secret)) || !is_text(q->what, sizeof(q->what)) ||
	    !is_text(q->type, sizeof(q->type)) || !is_text(q->sources, sizeof(q->sources)))
		return nonsense(e);
	return 1;
}

static int take_pem(bool there, const int *fds, size_t n, size_t *at, struct buf *to, struct err *e)
{
	int r;

	if (!there)
		return 0;
	if (*at == n)
		return nonsense(e);
	r = fd_read_all(fds[(*at)++], to);
	return r < 0 ? err_sys(e, -r, "read certificates") : 0;
}

static int open_it(struct registry *g, const struct registry_request *q, const int *fds, size_t n,
		   struct err *e)
{
	size_t at = 0;
	int r = take_pem(q->has_ca, fds, n, &at, &g->ca, e);

	g->open = *q;
	if (r == 0 && g->ca.n)
		buf_addc(&g->ca, '\n');
	r = r < 0 ? r : take_pem(q->has_more_ca, fds, n, &at, &g->ca, e);
	r = r < 0 ? r : take_pem(q->has_cert, fds, n, &at, &g->cert, e);
	r = r < 0 ? r : take_pem(q->has_key, fds, n, &at, &g->key, e);
	for (size_t i = 0; i < n; i++)
		(void) close(fds[i]);
	return r;
}

static int reply(const struct registry *g, uint32_t id, const struct err *e)
{
	struct registry_reply a = {
		.magic = REGISTRY_MAGIC, .id = id, .kind = REGISTRY_DONE, .plain = g->plain
	};

	if (e)
		a.err = *e;
	return send(REGISTRY_SOCKET, &a, sizeof(a), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int give_identity(struct registry *g, const struct registry_request *q, int file)
{
	struct err why = {};
	int r = fd_write_all(file, buf_z(&g->identity), g->identity.n);

	if (r < 0)
		r = err_sys(&why, -r, "give the identity token");
	(void) close(file);
	return reply(g, q->id, r < 0 ? &why : NULL) < 0 ? 0 : 1;
}

/* Which of them it is: who sends does not fetch. */
struct work {
	struct registry *of;
	struct fetcher fetcher;
	struct uploader uploader;
};

static bool fits(const struct registry *g, enum registry_verb verb, size_t fds)
{
	switch (verb) {
	case REGISTRY_OPEN:
		return false;
	case REGISTRY_BLOB:
		return fds == 2 && !g->open.push;
	case REGISTRY_DOCUMENT:
	case REGISTRY_IDENTITY:
		return fds == 1 && !g->open.push;
	case REGISTRY_SEND_BLOB:
	case REGISTRY_SEND_DOCUMENT:
		return fds == 1 && g->open.push;
	}
	return false;
}

static int take(struct work *w, struct err *e)
{
	static struct registry_request q;
	int fds[REGISTRY_FDS_MAX];
	struct err why = {};
	size_t n = 0;
	int r = receive(&q, fds, &n, e);

	if (r <= 0)
		return r;
	if (!fits(w->of, q.verb, n)) {
		for (size_t i = 0; i < n; i++)
			(void) close(fds[i]);
		return nonsense(e);
	}
	w->of->open.once = q.once;
	if (q.verb == REGISTRY_IDENTITY)
		return give_identity(w->of, &q, fds[0]);
	r = w->of->open.push ? uploader_add(&w->uploader, &q, fds[0], &why)
			     : fetcher_add(&w->fetcher, &q, fds, &why);
	if (r < 0 && reply(w->of, q.id, &why) < 0)
		return 0;
	return 1;
}

static int work(struct registry *g, struct err *e)
{
	struct work w = { .of = g };
	int r = g->open.push ? uploader_init(&w.uploader, g, e) : fetcher_init(&w.fetcher, g, e);

	while (r >= 0) {
		bool asked = false;

		r = g->open.push ? uploader_run(&w.uploader, REGISTRY_SOCKET, &asked, e)
				 : fetcher_run(&w.fetcher, REGISTRY_SOCKET, &asked, e);
		if (r == 0 && asked && (r = take(&w, e)) == 0)
			return 0;
	}
	return r;
}

static int run(struct err *e)
{
	static struct registry_request q;
	static struct registry g = { .ca = BUF_INIT(2 * PEM_MAX),
				     .cert = BUF_INIT(PEM_MAX),
				     .key = BUF_INIT(PEM_MAX),
				     .token = BUF_INIT(HTTP_TOKEN_MAX),
				     .identity = BUF_INIT(REGISTRY_SECRET_MAX - 1) };
	int fds[REGISTRY_FDS_MAX], r;
	struct err why = {};
	size_t n = 0;

	/* What the libraries read of the host, they read now. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_INTERNAL, EIO, "libcurl cannot begin");
	tzset();
	r = receive(&q, fds, &n, e);
	if (r <= 0)
		return r;
	if (q.verb != REGISTRY_OPEN)
		return nonsense(e);
	r = open_it(&g, &q, fds, n, &why);
	r = r < 0 ? r : confine(REGISTRY_SOCKET, &why);
	r = r < 0 ? r : http_open(&g, &why);
	if (reply(&g, q.id, r < 0 ? &why : NULL) < 0 || r < 0)
		return 0;
	return work(&g, e);
}

int main(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int type = 0;
	socklen_t len = sizeof(type);
	struct err e = {};

	if (getsockopt(REGISTRY_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET) {
		(void) fputs("atoll-registry is started by atoll and has no commands of its own\n",
			     stderr);
		return 2;
	}
	(void) sigaction(SIGPIPE, &ignore, NULL); /* fails for a bad signal only */
	srandom((unsigned int) getpid());
	if (run(&e) == 0)
		return 0;
	(void) fprintf(stderr, "atoll-registry: %s\n", e.msg);
	return 1;
}
