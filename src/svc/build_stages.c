/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages are made side by side, each by a child of this process: the store and the output are then
 * its own. A stage begins when its base is there; where it copies from another one it asks for
 * that, and waits. What the first of them says is seen as it says it, what the others say when they
 * are done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "svc/build_parts.h"

#define AT_WORK_MIN  2
#define AT_WORK_MAX  8
#define CHILDREN_MAX 64
#define PIECE_BYTES  4096

/* From a child: it wants a stage's image, or it has come to its end. To it: the image. */
struct word {
	enum { WORD_WANTS, WORD_ENDS, WORD_HAS } kind;
	size_t stage;
	int result;
	char id[DIGEST_TEXT_MAX];
	struct err e;
};

struct child {
	size_t stage;
	pid_t pid;  /* 0: there is none */
	int sock;   /* owned */
	int said;   /* owned: a file of what it said; FD_NONE: that is seen already */
	bool waits; /* for `wants` */
	size_t wants;
};

struct crew {
	struct builder *b;
	struct child v[CHILDREN_MAX];
	size_t most, n;
};

/* ---- the child ---- */

int build_await(struct builder *b, size_t stage, struct err *e)
{
	struct build_stage *g = &b->stages[stage];
	struct word w = { .kind = WORD_WANTS, .stage = stage };
	int r;

	if (g->done)
		return 0;
	if (b->ask_fd < 0 || send(b->ask_fd, &w, sizeof(w), MSG_NOSIGNAL) != (ssize_t) sizeof(w) ||
	    recv(b->ask_fd, &w, sizeof(w), 0) != (ssize_t) sizeof(w) || w.kind != WORD_HAS)
		return err_set(e, ERR_INTERNAL, 0, "the stage that it copies from is not there");
	r = build_image(b, w.id, &g->image, e);
	g->done = r == 0;
	return r;
}

[[gnu::noreturn]] static void child(struct builder *b, size_t stage, bool is_target, int said,
				    int sock)
{
	struct word w = { .kind = WORD_ENDS };
	int r = 0;

	/* A database is not to be carried over a fork, nor is the watcher of another process. */
	b->svc->store = NULL;
	b->guard = NULL;
	b->empty[0] = '\0';
	b->ask_fd = sock;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    (said >= 0 && (dup2(said, b->req->out[0]) < 0 || dup2(said, b->req->out[1]) < 0)))
		r = err_sys(&w.e, errno, "begin a stage of the build");
	r = r < 0 ? r : svc_store(b->svc, &w.e);
	b->content.store = b->svc->store;
	r = r < 0 ? r : build_stage(b, stage, is_target, &w.e);
	build_run_end(b);
	if (b->empty[0])
		content_tmp_drop(&b->content, b->empty);
	w.result = r;
	if (r == 0)
		memcpy(w.id, b->stages[stage].image->id_text, sizeof(w.id));
	_exit(send(sock, &w, sizeof(w), MSG_NOSIGNAL) == (ssize_t) sizeof(w) ? 0 : 1);
}

static int start(struct crew *c, size_t stage, bool is_target, struct err *e)
{
	struct child *to = &c->v[c->n];
	int socks[2];

	*to = (struct child){ .stage = stage, .said = FD_NONE };
	if (c->n > 0) {
		to->said = memfd_create("said", MFD_CLOEXEC);
		if (to->said < 0)
			return err_sys(e, errno, "make a file for what a stage says");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0) {
		close_fd(&to->said);
		return err_sys(e, errno, "make a socket");
	}
	to->pid = fork();
	if (to->pid == 0) {
		(void) close(socks[0]);
		child(c->b, stage, is_target, to->said, socks[1]);
	}
	(void) close(socks[1]);
	to->sock = socks[0];
	if (to->pid < 0) {
		close_fd(&to->sock);
		close_fd(&to->said);
		return err_sys(e, errno, "fork");
	}
	c->n++;
	return 0;
}

/* ---- what it tells ---- */

static void show(const struct builder *b, int said)
{
	char piece[PIECE_BYTES];
	ssize_t n;

	if (said < 0 || lseek(said, 0, SEEK_SET) < 0)
		return;
	while ((n = read(said, piece, sizeof(piece))) > 0)
		if (fd_write_all(b->req->out[0], piece, (size_t) n) < 0)
			return; /* nobody looks */
}

static void end_child(struct crew *c, size_t i)
{
	struct child *k = &c->v[i];

	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	show(c->b, k->said);
	close_fd(&k->sock);
	close_fd(&k->said);
	memmove(k, k + 1, (--c->n - i) * sizeof(*k));
}

static int take_end(struct crew *c, size_t i, const struct word *w, struct err *e)
{
	struct build_stage *g = &c->b->stages[c->v[i].stage];
	int r;

	end_child(c, i);
	if (w->result < 0) {
		*e = w->e;
		return w->result;
	}
	r = build_image(c->b, w->id, &g->image, e);
	g->done = r == 0;
	return r;
}

static int take_word(struct crew *c, size_t i, struct err *e)
{
	struct child *k = &c->v[i];
	struct word w = {};
	ssize_t n = recv(k->sock, &w, sizeof(w), 0);

	if (n != (ssize_t) sizeof(w) || w.stage >= c->b->stages_n) {
		end_child(c, i);
		return err_set(e, ERR_REMOTE, 0, "the process of a stage was killed");
	}
	if (w.kind == WORD_ENDS)
		return take_end(c, i, &w, e);
	k->waits = true;
	k->wants = w.stage;
	return 0;
}

/* To those who wait for what is there by now. */
static int give(struct crew *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		struct child *k = &c->v[i];
		struct word w = { .kind = WORD_HAS };

		if (!k->waits || !c->b->stages[k->wants].done)
			continue;
		k->waits = false;
		memcpy(w.id, c->b->stages[k->wants].image->id_text, sizeof(w.id));
		if (send(k->sock, &w, sizeof(w), MSG_NOSIGNAL) < 0 && errno != EPIPE)
			return err_sys(e, errno, "tell a stage what it waits for");
	}
	return 0;
}

static int wait_for_words(struct crew *c, struct err *e)
{
	struct pollfd p[CHILDREN_MAX];
	size_t n = c->n;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = c->v[i].sock, .events = POLLIN };
	while (poll(p, n, -1) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for a stage");
	for (size_t i = n; i > 0 && r == 0; i--) /* those who end leave the row */
		if (p[i - 1].revents)
			r = take_word(c, i - 1, e);
	return r < 0 ? r : give(c, e);
}

/* What they run goes with them: their watchers see to it. */
static void stop_all(struct crew *c)
{
	while (c->n > 0) {
		(void) kill(c->v[c->n - 1].pid, SIGKILL);
		end_child(c, c->n - 1);
	}
}

/* ---- who begins ---- */

static bool is_made(const struct crew *c, size_t stage)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].stage == stage)
			return true;
	return false;
}

static size_t at_work(const struct crew *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += !c->v[i].waits;
	return n;
}

/* Earlier stages first, and all that others can wait for: so somebody is always at work. */
static int begin(struct crew *c, size_t target, struct err *e)
{
	const struct builder *b = c->b;
	int r = 0;

	for (size_t i = 0; i <= target && r == 0 && c->n < CHILDREN_MAX; i++) {
		const struct build_stage *g = &b->stages[i];

		if (at_work(c) >= c->most)
			break;
		if (g->needed && !g->done && !is_made(c, i) &&
		    (g->base_stage == BUILD_NO_STAGE || b->stages[g->base_stage].done))
			r = start(c, i, i == target, e);
	}
	return r;
}

static size_t left(const struct builder *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->stages_n; i++)
		n += b->stages[i].needed && !b->stages[i].done;
	return n;
}

int build_stages(struct builder *b, size_t target, struct err *e)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct crew c = { .b = b, .most = AT_WORK_MIN };
	int r = 0;

	if (processors > AT_WORK_MIN)
		c.most = processors < AT_WORK_MAX ? (size_t) processors : AT_WORK_MAX;
	while (r == 0 && left(b) > 0) {
		if (c.n == 0 && left(b) == 1) /* which needs no child */
			return build_stage(b, target, true, e);
		r = begin(&c, target, e);
		r = r < 0 ? r : wait_for_words(&c, e);
	}
	stop_all(&c);
	return r;
}
