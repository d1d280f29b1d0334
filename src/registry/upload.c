/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each goes its own way, by what the registry answers:
 *
 *	HEAD blobs/DIGEST      -> 200 it is there            404 POST [upload_next]
 *	POST blobs/uploads/    -> 201 mounted                202 PUT there
 *	PUT  the place told    -> 201 sent                   fails for now: POST again
 *	PUT  manifests/TAG     -> 201 sent
 */
#include "registry/upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"

#define TRIES	   5
#define ERROR_BODY ((size_t) 8 << 10)
#define TOLD_EVERY (NSEC_PER_SEC / 10)

struct upload {
	struct upload *next;
	struct registry_request q;
	int file; /* owned */
	enum upload_phase { UPLOAD_LOOKS, UPLOAD_BEGINS, UPLOAD_SENDS, UPLOAD_DOCUMENT } phase;
	CURL *curl; /* it is under way */
	struct curl_slist *headers;
	char url[HTTP_URL_MAX]; /* of UPLOAD_SENDS */
	bool foreign;		/* another server's: it is not told who asks */
	bool authorized;	/* after a 401 of this phase */
	bool no_mount;		/* what is known of other repositories is not so */
	unsigned int tries;
	nsec_t not_before, told;
	uint64_t at, told_at;
	struct http_answer answer;
	struct buf body;
	char error[CURL_ERROR_SIZE];
	bool over; /* the reply is not sent yet */
	enum registry_sent how;
	struct err err;
};

int uploader_init(struct uploader *p, struct registry *g, struct err *e)
{
	*p = (struct uploader){ .of = g, .multi = curl_multi_init() };
	return p->multi ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

int uploader_add(struct uploader *p, const struct registry_request *q, int file, struct err *e)
{
	struct upload *u = p->n < UPLOAD_MOST ? calloc(1, sizeof(*u)) : NULL;
	bool blob = q->verb == REGISTRY_SEND_BLOB;

	if (!u) {
		(void) close(file);
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too much is asked for at once");
	}
	*u = (struct upload){ .q = *q,
			      .file = file,
			      .phase = blob ? UPLOAD_LOOKS : UPLOAD_DOCUMENT,
			      .body = BUF_INIT(ERROR_BODY) };
	if (p->last)
		p->last->next = u;
	else
		p->first = u;
	p->last = u;
	p->n++;
	return 0;
}

/* ---- one request ---- */

static size_t give(char *to, size_t one, size_t n, void *user)
{
	struct upload *u = user;
	ssize_t got;

	do
		got = pread(u->file, to, (size_t) min_u64(one * n, u->q.bytes - u->at),
			    (off_t) u->at);
	while (got < 0 && errno == EINTR);
	if (got < 0 || (got == 0 && u->at < u->q.bytes))
		return CURL_READFUNC_ABORT;
	u->at += (uint64_t) got;
	return (size_t) got;
}

static int seek_to(void *user, curl_off_t offset, int from)
{
	struct upload *u = user;

	if (from != SEEK_SET || offset < 0 || (uint64_t) offset > u->q.bytes)
		return CURL_SEEKFUNC_FAIL;
	u->at = (uint64_t) offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take_body(char *p, size_t one, size_t n, void *user)
{
	struct upload *u = user;

	(void) one; /* is 1 */
	if (u->body.n < ERROR_BODY / 2)
		buf_add(&u->body, p, min_u64(n, ERROR_BODY / 2));
	return n;
}

static bool is_mount(const struct upload *u)
{
	return u->q.repository[0] && !u->no_mount;
}

static void url_of(const struct registry *g, const struct upload *u,
		   char ret_url[static HTTP_URL_MAX])
{
	char what[REGISTRY_WHAT_MAX + REFERENCE_NAME_MAX + 64];

	switch (u->phase) {
	case UPLOAD_LOOKS:
		(void) snprintf(what, sizeof(what), "blobs/%s", u->q.what);
		break;
	case UPLOAD_BEGINS:
		if (is_mount(u))
			(void) snprintf(what, sizeof(what), "blobs/uploads/?mount=%s&from=%s",
					u->q.what, u->q.repository);
		else
			(void) snprintf(what, sizeof(what), "blobs/uploads/");
		break;
	case UPLOAD_DOCUMENT:
		(void) snprintf(what, sizeof(what), "%s", u->q.what);
		break;
	case UPLOAD_SENDS:
		memcpy(ret_url, u->url, sizeof(u->url));
		return;
	}
	http_url(g, what, ret_url);
}

static bool set_sent(CURL *c, struct upload *u)
{
	if (u->phase == UPLOAD_LOOKS)
		return curl_easy_setopt(c, CURLOPT_NOBODY, 1L) == CURLE_OK;
	if (u->phase == UPLOAD_BEGINS)
		return curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
		       curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 0L) == CURLE_OK;
	return curl_easy_setopt(c, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_READFUNCTION, give) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_READDATA, u) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, seek_to) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SEEKDATA, u) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t) u->q.bytes) == CURLE_OK;
}

static bool set_headers(struct upload *u)
{
	char line[REGISTRY_TYPE_MAX + 32];
	struct curl_slist *more;

	(void) snprintf(line, sizeof(line), "Content-Type: %s",
			u->phase == UPLOAD_DOCUMENT ? u->q.type : "application/octet-stream");
	u->headers = curl_slist_append(NULL, "Expect:");
	if (!u->headers || u->phase < UPLOAD_SENDS)
		return u->headers;
	more = curl_slist_append(u->headers, line);
	return more != NULL;
}

static bool set_up(struct uploader *p, struct upload *u)
{
	bool foreign = u->phase == UPLOAD_SENDS && u->foreign;
	char url[HTTP_URL_MAX];
	CURL *c;

	url_of(p->of, u, url);
	c = u->curl = http_handle(p->of, url, !foreign, &u->answer, u->error);
	return c && set_headers(u) && set_sent(c, u) &&
	       curl_easy_setopt(c, CURLOPT_HTTPHEADER, u->headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, u) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PRIVATE, u) == CURLE_OK;
}

static void end_curl(struct uploader *p, struct upload *u)
{
	if (u->curl)
		(void) curl_multi_remove_handle(p->multi, u->curl); /* may not be in it */
	curl_easy_cleanup(u->curl);
	curl_slist_free_all(u->headers);
	u->curl = NULL;
	u->headers = NULL;
}

static void start(struct uploader *p, struct upload *u)
{
	u->at = 0;
	buf_clear(&u->body);
	if (set_up(p, u) && curl_multi_add_handle(p->multi, u->curl) == CURLM_OK)
		return;
	end_curl(p, u);
	u->over = true;
	(void) err_set(&u->err, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* ---- where to ---- */

static bool same_part(CURLU *a, CURLU *b, CURLUPart part, unsigned int flags)
{
	char *x = NULL, *y = NULL;
	bool same = curl_url_get(a, part, &x, flags) == CURLUE_OK &&
		    curl_url_get(b, part, &y, flags) == CURLUE_OK && strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return same;
}

/* Its Location, which may be relative, and with the digest in its query. */
static int take_place(const struct registry *g, struct upload *u, struct err *e)
{
	CURLU *from = curl_url(), *to = curl_url();
	char query[REGISTRY_WHAT_MAX + 16], base[HTTP_URL_MAX], *text = NULL;
	const char *location = u->answer.location;
	bool good;

	http_url(g, "blobs/uploads/", base);
	(void) snprintf(query, sizeof(query), "digest=%s", u->q.what);
	good = from && to && curl_url_set(from, CURLUPART_URL, base, 0) == CURLUE_OK &&
	       curl_url_set(to, CURLUPART_URL, base, 0) == CURLUE_OK && *location &&
	       curl_url_set(to, CURLUPART_URL, location, 0) == CURLUE_OK &&
	       curl_url_set(to, CURLUPART_QUERY, query, CURLU_APPENDQUERY) == CURLUE_OK &&
	       curl_url_get(to, CURLUPART_URL, &text, 0) == CURLUE_OK &&
	       strlen(text) < sizeof(u->url);
	if (good) {
		memcpy(u->url, text, strlen(text) + 1);
		u->foreign = !same_part(from, to, CURLUPART_SCHEME, 0) ||
			     !same_part(from, to, CURLUPART_HOST, 0) ||
			     !same_part(from, to, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	}
	curl_free(text);
	curl_url_cleanup(from);
	curl_url_cleanup(to);
	return good ? 0
		    : err_set(e, ERR_REMOTE, EPROTO, "%s does not say where to upload to",
			      g->open.host);
}

/* ---- what came of it ---- */

static void go_to(struct upload *u, enum upload_phase phase)
{
	u->phase = phase;
	u->authorized = false;
}

static void done(struct upload *u, enum registry_sent how)
{
	u->how = how;
	u->over = true;
}

/* Whether the answer is one that leads on, or to the end. */
static bool upload_next(struct uploader *p, struct upload *u)
{
	long status = u->answer.status;

	switch (u->phase) {
	case UPLOAD_LOOKS:
		if (status == 200)
			done(u, REGISTRY_EXISTED);
		else if (status == 404)
			go_to(u, UPLOAD_BEGINS);
		else
			return false;
		return true;
	case UPLOAD_BEGINS:
		if (status == 201 && is_mount(u))
			done(u, REGISTRY_MOUNTED);
		else if (status != 202)
			return false;
		else if (take_place(p->of, u, &u->err) < 0)
			u->over = true;
		else
			go_to(u, UPLOAD_SENDS);
		return true;
	case UPLOAD_SENDS:
	case UPLOAD_DOCUMENT:
		if (status == 201)
			done(u, REGISTRY_SENT);
		return status == 201;
	}
	return false;
}

static void judge(struct uploader *p, struct upload *u, CURLcode code)
{
	const struct http_answer *a = &u->answer;
	bool foreign = u->phase == UPLOAD_SENDS && u->foreign;

	if (code == CURLE_OK && upload_next(p, u))
		return;
	if (code == CURLE_OK && a->status == 401 && !u->authorized && !foreign) {
		u->authorized = true;
		u->over = http_authorize(p->of, a, &u->err) < 0;
	} else if (u->tries < TRIES && !a->strayed && http_is_passing(code, a->status)) {
		u->not_before = clock_mono() + http_wait(u->tries++, a);
		/* What the registry has of it by now is not known. */
		if (u->phase == UPLOAD_SENDS)
			go_to(u, UPLOAD_BEGINS);
	} else if (code == CURLE_OK && u->phase == UPLOAD_BEGINS && is_mount(u)) {
		u->no_mount = true;
		u->authorized = false;
	} else {
		(void) http_failed(p->of, u->q.what, code, a, u->error, buf_str(&u->body), &u->err);
		u->over = true;
	}
}

static void finished(struct uploader *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		CURLcode code = m->data.result;
		struct upload *u = NULL;

		if (m->msg != CURLMSG_DONE ||
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &u) != CURLE_OK || !u)
			continue;
		(void) curl_easy_getinfo(u->curl, CURLINFO_RESPONSE_CODE, &u->answer.status);
		end_curl(p, u);
		judge(p, u, code);
	}
}

/* ---- all of them ---- */

static bool tell(struct upload *u, int sock, nsec_t now)
{
	struct registry_reply a = { .magic = REGISTRY_MAGIC,
				    .id = u->q.id,
				    .kind = u->over ? REGISTRY_DONE : REGISTRY_WENT_ON,
				    .bytes = u->phase == UPLOAD_SENDS ? u->at : 0,
				    .how = u->how,
				    .err = u->err };

	if (!u->over && (!a.bytes || u->at == u->told_at || now - u->told < TOLD_EVERY))
		return false;
	u->told = now;
	u->told_at = u->at;
	/* Who asks may be busy with what came before. */
	return send(sock, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(a) && u->over;
}

static void drop(struct uploader *p, struct upload **at)
{
	struct upload *u = *at;

	*at = u->next;
	end_curl(p, u);
	close_fd(&u->file);
	buf_fini(&u->body);
	free(u);
	p->n--;
	p->last = NULL;
	for (u = p->first; u; u = u->next)
		p->last = u;
}

/* What may begin; how long it is until another may. */
static nsec_t begin(struct uploader *p, nsec_t now)
{
	nsec_t next = NSEC_NEVER;
	unsigned int n = 0;

	for (struct upload *u = p->first; u && n < REGISTRY_AT_ONCE; u = u->next) {
		if (u->over)
			continue;
		n++;
		if (!u->curl && u->not_before > now)
			next = min_i64(next, u->not_before);
		else if (!u->curl)
			start(p, u);
	}
	return next;
}

/* Gives whether something is told that nobody takes yet. */
static bool serve(struct uploader *p, int sock, nsec_t now)
{
	bool untold = false;

	for (struct upload **at = &p->first; *at;) {
		if (tell(*at, sock, now)) {
			drop(p, at);
			continue;
		}
		untold = untold || (*at)->over;
		at = &(*at)->next;
	}
	return untold;
}

int uploader_run(struct uploader *p, int sock, bool *ret_asked, struct err *e)
{
	struct curl_waitfd fd = { .fd = sock, .events = CURL_WAIT_POLLIN };
	nsec_t now = clock_mono(), next;
	int running = 0, timeout = 60000;

	(void) begin(p, now);
	if (curl_multi_perform(p->multi, &running) != CURLM_OK)
		return err_set(e, ERR_INTERNAL, EIO, "libcurl cannot go on");
	finished(p);
	if (serve(p, sock, now))
		fd.events |= CURL_WAIT_POLLOUT;
	next = begin(p, now);
	if (next != NSEC_NEVER)
		timeout = next <= now ? 0
				      : (int) min_i64((next - now) / NSEC_PER_MSEC + 1, timeout);
	if (curl_multi_poll(p->multi, &fd, 1, timeout, NULL) != CURLM_OK)
		return err_set(e, ERR_INTERNAL, EIO, "libcurl cannot wait");
	*ret_asked = fd.revents & (CURL_WAIT_POLLIN | CURL_WAIT_POLLPRI);
	return 0;
}
