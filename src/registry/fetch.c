/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "fmt/oci_image.h"

#define TRIES	   5
#define WORTH	   ((uint64_t) 1 << 20) /* so much more, and it may fail as often again */
#define ERROR_BODY ((size_t) 8 << 10)
#define TOLD_EVERY (NSEC_PER_SEC / 10)
#define PIPE_BYTES (1 << 20)
#define PUMP_MOST  ((uint64_t) 8 << 20) /* of one blob at a time */

struct fetch {
	struct fetch *next;
	struct registry_request q;
	int file, pipe; /* owned; pipe: FD_NONE of a document, and when all is in it */
	uint64_t have, piped, skip;
	CURL *curl; /* it is being fetched */
	struct curl_slist *headers;
	bool whole; /* all of it is in the file */
	bool left;  /* nobody reads the pipe any more */
	bool over;  /* the reply is not sent yet */
	bool asked_again;
	unsigned int tries;
	uint64_t had; /* when it was begun the last time */
	nsec_t not_before, told;
	uint64_t told_bytes;
	bool begun, too_long, bad_range;
	bool no_range; /* it gives another one than is asked for */
	int wrong;     /* errno of the file */
	struct http_answer answer;
	char error[CURL_ERROR_SIZE];
	struct buf body; /* of an answer that is an error */
	struct err err;
};

int fetcher_init(struct fetcher *f, struct registry *g, struct err *e)
{
	*f = (struct fetcher){ .of = g, .multi = curl_multi_init() };
	return f->multi ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

int fetcher_add(struct fetcher *f, const struct registry_request *q, const int *fds, struct err *e)
{
	struct fetch *t = calloc(1, sizeof(*t));
	bool blob = q->verb == REGISTRY_BLOB;

	if (!t || f->n == FETCH_MOST) {
		(void) close(fds[0]);
		if (blob)
			(void) close(fds[1]);
		free(t);
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too much is asked for at once");
	}
	*t = (struct fetch){ .q = *q,
			     .file = fds[0],
			     .pipe = blob ? fds[1] : FD_NONE,
			     .body = BUF_INIT(ERROR_BODY) };
	if (blob) {
		t->have = min_u64(q->have, q->bytes);
		t->whole = t->have == q->bytes;
		(void) fcntl(t->pipe, F_SETPIPE_SZ, PIPE_BYTES); /* or as it is */
		if (fcntl(t->pipe, F_SETFL, O_NONBLOCK) < 0)
			t->left = true;
	}
	if (f->last)
		f->last->next = t;
	else
		f->first = t;
	f->last = t;
	f->n++;
	return 0;
}

/* ---- its bytes ---- */

/* The first of an answer's body: what the file has already is not taken again. */
static void begin_body(struct fetch *t)
{
	t->begun = true;
	(void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer.status);
	t->skip = t->answer.status == 206 ? 0 : t->have;
	t->bad_range = t->answer.status == 206 && t->answer.from != t->have;
}

static size_t take_body(char *p, size_t one, size_t n, void *user)
{
	struct fetch *t = user;
	size_t all = n, skip;

	(void) one; /* is 1 */
	if (!t->begun)
		begin_body(t);
	if (t->bad_range)
		return 0;
	if (t->answer.status != 200 && t->answer.status != 206) {
		if (t->body.n < ERROR_BODY / 2)
			buf_add(&t->body, p, min_u64(n, ERROR_BODY / 2));
		return n;
	}
	skip = (size_t) min_u64(t->skip, n);
	t->skip -= skip;
	p += skip;
	n -= skip;
	if (n > t->q.bytes - t->have) {
		t->too_long = true;
		return 0;
	}
	for (size_t done = 0; done < n;) {
		ssize_t w = pwrite(t->file, p + done, n - done, (off_t) t->have);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			t->wrong = w < 0 ? errno : EIO;
			return 0;
		}
		done += (size_t) w;
		t->have += (uint64_t) w;
	}
	return all;
}

static struct curl_slist *accepted(void)
{
	static const char *const types[] = { MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST,
					     MEDIA_DOCKER_INDEX, MEDIA_DOCKER_MANIFEST };
	struct curl_slist *all = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		char line[128];
		struct curl_slist *more;

		(void) snprintf(line, sizeof(line), "Accept: %s", types[i]);
		more = curl_slist_append(all, line);
		if (!more) {
			curl_slist_free_all(all);
			return NULL;
		}
		all = more;
	}
	return all;
}

static bool set_up(struct fetcher *f, struct fetch *t)
{
	char url[HTTP_URL_MAX], range[32];
	CURL *c;

	http_url(f->of, t->q.what, url);
	c = t->curl = http_handle(f->of, url, true, &t->answer, t->error);
	if (!c || curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, t) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_PRIVATE, t) != CURLE_OK)
		return false;
	if (str_starts(str_of(t->q.what), "manifests/") &&
	    (!(t->headers = accepted()) ||
	     curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK))
		return false;
	(void) snprintf(range, sizeof(range), "%llu-", (unsigned long long) t->have);
	return !t->have || t->no_range || curl_easy_setopt(c, CURLOPT_RANGE, range) == CURLE_OK;
}

static void end_curl(struct fetcher *f, struct fetch *t)
{
	if (t->curl)
		(void) curl_multi_remove_handle(f->multi, t->curl); /* may not be in it */
	curl_easy_cleanup(t->curl);
	curl_slist_free_all(t->headers);
	t->curl = NULL;
	t->headers = NULL;
}

static void start(struct fetcher *f, struct fetch *t)
{
	t->begun = t->too_long = t->bad_range = false;
	buf_clear(&t->body);
	if (t->q.verb == REGISTRY_DOCUMENT)
		t->have = 0;
	t->had = t->have;
	if (set_up(f, t) && curl_multi_add_handle(f->multi, t->curl) == CURLM_OK)
		return;
	end_curl(f, t);
	t->over = true;
	(void) err_set(&t->err, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* ---- what came of it ---- */

static void failed(struct fetch *t)
{
	t->over = true;
	close_fd(&t->pipe);
}

static void again(struct fetch *t, unsigned int tries)
{
	if (t->have - min_u64(t->had, t->have) >= WORTH)
		t->tries = 0;
	t->not_before = clock_mono() + http_wait(t->tries, &t->answer);
	t->tries += tries;
}

static bool is_short(const struct fetch *t)
{
	return t->q.verb == REGISTRY_BLOB && t->have < t->q.bytes;
}

static void judge(struct fetcher *f, struct fetch *t, CURLcode code)
{
	const struct http_answer *a = &t->answer;
	bool good = code == CURLE_OK && (a->status == 200 || a->status == 206);

	if (good && !is_short(t)) {
		t->whole = true;
		t->over = t->q.verb == REGISTRY_DOCUMENT;
	} else if (t->too_long) {
		(void) err_set(&t->err, ERR_REMOTE, EFBIG,
			       "%s sends more of %s than the %llu bytes that it may have",
			       f->of->open.host, t->q.what, (unsigned long long) t->q.bytes);
		failed(t);
	} else if (t->wrong) {
		(void) err_sys(&t->err, t->wrong, "keep what is fetched of %s", t->q.what);
		failed(t);
	} else if (t->bad_range && !t->no_range) {
		t->no_range = true;
		again(t, 1);
	} else if (a->status == 401 && code == CURLE_OK && !t->asked_again) {
		t->asked_again = true;
		if (http_authorize(f->of, a, &t->err) < 0)
			failed(t);
	} else if (t->tries < TRIES && !t->q.once &&
		   (good || (http_is_passing(code, a->status) && !a->strayed))) {
		again(t, 1);
	} else if (good) {
		(void) err_set(
			&t->err, ERR_REMOTE, EBADMSG,
			"%s ends %s after %llu bytes of the %llu that it has by its manifest",
			f->of->open.host, t->q.what, (unsigned long long) t->have,
			(unsigned long long) t->q.bytes);
		failed(t);
	} else {
		(void) http_failed(f->of, t->q.what, code, a, t->error, buf_str(&t->body), &t->err);
		failed(t);
	}
	if (t->have > t->had)
		t->asked_again = false;
}

static void finished(struct fetcher *f)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(f->multi, &left))) {
		CURLcode code = m->data.result;
		struct fetch *t = NULL;

		if (m->msg != CURLMSG_DONE ||
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK || !t)
			continue;
		(void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer.status);
		end_curl(f, t);
		judge(f, t, code);
	}
}

/* From the file into the pipe, as much as that takes. */
static void pump(struct fetch *t)
{
	uint64_t end = min_u64(t->have, t->piped + PUMP_MOST);

	while (t->pipe >= 0 && !t->left && t->piped < end) {
		off_t at = (off_t) t->piped;
		ssize_t n = splice(t->file, &at, t->pipe, NULL, (size_t) (end - t->piped),
				   SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) /* who reads it has ended, and says why himself */
			t->left = true;
		else
			t->piped += (uint64_t) n;
	}
	if (t->left || (t->whole && t->piped == t->have))
		close_fd(&t->pipe);
	if (t->whole && t->pipe < 0)
		t->over = true;
}

/* ---- all of them ---- */

static bool send_reply(int sock, const struct registry_reply *a)
{
	/* Who asks may be busy with what came before. */
	return send(sock, a, sizeof(*a), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(*a);
}

static bool tell_end(struct fetch *t, int sock)
{
	struct registry_reply a = { .magic = REGISTRY_MAGIC,
				    .id = t->q.id,
				    .kind = REGISTRY_DONE,
				    .bytes = t->have,
				    .err = t->err };

	memcpy(a.type, t->answer.type, sizeof(a.type));
	memcpy(a.digest, t->answer.digest, sizeof(a.digest));
	return send_reply(sock, &a);
}

static void tell_progress(struct fetch *t, int sock, nsec_t now)
{
	struct registry_reply a = { .magic = REGISTRY_MAGIC, .id = t->q.id, .bytes = t->have };

	if (t->q.verb != REGISTRY_BLOB || t->have == t->told_bytes || now - t->told < TOLD_EVERY)
		return;
	t->told = now;
	t->told_bytes = t->have;
	(void) send_reply(sock, &a); /* the next one says more */
}

static void drop(struct fetcher *f, struct fetch **at)
{
	struct fetch *t = *at;

	*at = t->next;
	end_curl(f, t);
	close_fd(&t->file);
	close_fd(&t->pipe);
	buf_fini(&t->body);
	free(t);
	f->n--;
	f->last = NULL;
	for (t = f->first; t; t = t->next)
		f->last = t;
}

/* What may begin; how long it is until another may. */
static nsec_t begin(struct fetcher *f, nsec_t now)
{
	nsec_t next = NSEC_NEVER;
	unsigned int blobs = 0;

	for (struct fetch *t = f->first; t; t = t->next) {
		bool blob = t->q.verb == REGISTRY_BLOB;

		if (t->over || t->whole)
			continue;
		if (blob && blobs++ >= REGISTRY_AT_ONCE)
			continue;
		if (!t->curl && t->not_before > now)
			next = min_i64(next, t->not_before);
		else if (!t->curl)
			start(f, t);
	}
	return next;
}

/* One round of all: whether something is left to wait for beside the network and the pipes. */
static void serve(struct fetcher *f, int sock, nsec_t now, bool *ret_untold)
{
	*ret_untold = false;
	for (struct fetch **at = &f->first; *at;) {
		struct fetch *t = *at;

		if (t->q.verb == REGISTRY_BLOB && !t->over)
			pump(t);
		if (!t->over) {
			tell_progress(t, sock, now);
		} else if (tell_end(t, sock)) {
			drop(f, at);
			continue;
		} else {
			*ret_untold = true;
		}
		at = &t->next;
	}
}

static unsigned int watched(struct fetcher *f, int sock, bool untold, struct curl_waitfd *fds)
{
	unsigned int n = 0;

	fds[n++] = (struct curl_waitfd){
		.fd = sock, .events = (short) (CURL_WAIT_POLLIN | (untold ? CURL_WAIT_POLLOUT : 0))
	};
	for (struct fetch *t = f->first; t; t = t->next) {
		if (t->pipe >= 0 && t->piped < t->have)
			fds[n++] = (struct curl_waitfd){ .fd = t->pipe,
							 .events = CURL_WAIT_POLLOUT };
	}
	return n;
}

int fetcher_run(struct fetcher *f, int sock, bool *ret_asked, struct err *e)
{
	static struct curl_waitfd fds[FETCH_MOST + 1];
	nsec_t now = clock_mono(), next;
	int running = 0, timeout = 60000;
	unsigned int n;
	bool untold;

	next = begin(f, now);
	if (curl_multi_perform(f->multi, &running) != CURLM_OK)
		return err_set(e, ERR_INTERNAL, EIO, "libcurl cannot go on");
	finished(f);
	serve(f, sock, now, &untold);
	next = min_i64(next, begin(f, now));
	if (next != NSEC_NEVER)
		timeout = next <= now ? 0
				      : (int) min_i64((next - now) / NSEC_PER_MSEC + 1, timeout);
	n = watched(f, sock, untold, fds);
	if (curl_multi_poll(f->multi, fds, n, timeout, NULL) != CURLM_OK)
		return err_set(e, ERR_INTERNAL, EIO, "libcurl cannot wait");
	*ret_asked = fds[0].revents & (CURL_WAIT_POLLIN | CURL_WAIT_POLLPRI);
	return 0;
}
