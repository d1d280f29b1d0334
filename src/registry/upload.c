/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/upload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#define TRIES	   5
#define ERROR_BODY ((size_t) 8 << 10)

/* One request, which may be made again. */
struct upload {
	struct registry *g;
	const char *what; /* for the user */
	const char *verb, *url;
	const char *type; /* of what is sent, or NULL */
	int file;	  /* what is sent, or FD_NONE */
	uint64_t bytes;
	bool foreign; /* another server's: it is not told who asks */
	uint64_t at;
	struct http_answer answer;
	struct buf body;
	char error[CURL_ERROR_SIZE];
};

static size_t give(char *to, size_t one, size_t n, void *user)
{
	struct upload *u = user;
	ssize_t got;

	do
		got = pread(u->file, to, (size_t) min_u64(one * n, u->bytes - u->at),
			    (off_t) u->at);
	while (got < 0 && errno == EINTR);
	if (got < 0 || (got == 0 && u->at < u->bytes))
		return CURL_READFUNC_ABORT;
	u->at += (uint64_t) got;
	return (size_t) got;
}

static int seek_to(void *user, curl_off_t offset, int from)
{
	struct upload *u = user;

	if (from != SEEK_SET || offset < 0 || (uint64_t) offset > u->bytes)
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

static bool set_sent(CURL *c, struct upload *u)
{
	if (u->file < 0)
		return streq(u->verb, "HEAD")
			       ? curl_easy_setopt(c, CURLOPT_NOBODY, 1L) == CURLE_OK
			       : curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
					 curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 0L) == CURLE_OK;
	return curl_easy_setopt(c, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_READFUNCTION, give) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_READDATA, u) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, seek_to) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SEEKDATA, u) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t) u->bytes) == CURLE_OK;
}

static CURLcode once(struct upload *u)
{
	char line[REGISTRY_TYPE_MAX + 32];
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:"), *more;
	CURL *c = http_handle(u->g, u->url, !u->foreign, &u->answer, u->error);
	CURLcode code = CURLE_OUT_OF_MEMORY;

	(void) snprintf(line, sizeof(line), "Content-Type: %s",
			u->type ? u->type : "application/octet-stream");
	more = headers && u->file >= 0 ? curl_slist_append(headers, line) : headers;
	u->at = 0;
	buf_clear(&u->body);
	if (c && more && set_sent(c, u) &&
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, more) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, u) == CURLE_OK)
		code = curl_easy_perform(c);
	if (c)
		(void) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &u->answer.status);
	curl_easy_cleanup(c);
	curl_slist_free_all(more ? more : headers);
	return code;
}

/* Until it is answered with one of these statuses (0: no second one); gives which. */
static int ask(struct upload *u, long good, long or_good, long *ret_status, struct err *e)
{
	bool authorized = false;

	for (unsigned int n = 0;; n++) {
		CURLcode code = once(u);
		long status = u->answer.status;
		nsec_t wait;

		if (code == CURLE_OK && (status == good || status == or_good)) {
			*ret_status = status;
			return 0;
		}
		if (code == CURLE_OK && status == 401 && !authorized && !u->foreign) {
			int r = http_authorize(u->g, &u->answer, e);

			authorized = true;
			if (r < 0)
				return r;
			continue;
		}
		if (n >= TRIES || u->answer.strayed || !http_is_passing(code, status))
			return http_failed(u->g, u->what, code, &u->answer, u->error,
					   buf_str(&u->body), e);
		wait = http_wait(n, &u->answer);
		(void) nanosleep(&(struct timespec){ wait / NSEC_PER_SEC, wait % NSEC_PER_SEC },
				 NULL);
	}
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
static int upload_url(struct registry *g, const char *base, const char *location,
		      const char *digest, char ret_url[static HTTP_URL_MAX], bool *ret_foreign,
		      struct err *e)
{
	CURLU *from = curl_url(), *to = curl_url();
	char query[DIGEST_TEXT_MAX + 16], *text = NULL;
	bool good;

	(void) snprintf(query, sizeof(query), "digest=%s", digest);
	good = from && to && curl_url_set(from, CURLUPART_URL, base, 0) == CURLUE_OK &&
	       curl_url_set(to, CURLUPART_URL, base, 0) == CURLUE_OK && *location &&
	       curl_url_set(to, CURLUPART_URL, location, 0) == CURLUE_OK &&
	       curl_url_set(to, CURLUPART_QUERY, query, CURLU_APPENDQUERY) == CURLUE_OK &&
	       curl_url_get(to, CURLUPART_URL, &text, 0) == CURLUE_OK &&
	       strlen(text) < HTTP_URL_MAX;
	if (good) {
		memcpy(ret_url, text, strlen(text) + 1);
		*ret_foreign = !same_part(from, to, CURLUPART_SCHEME, 0) ||
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

static void end(struct upload *u)
{
	buf_fini(&u->body);
}

int upload_blob(struct registry *g, const char *what, int file, uint64_t bytes, bool *ret_existed,
		struct err *e)
{
	char path[REGISTRY_WHAT_MAX], url[HTTP_URL_MAX], to[HTTP_URL_MAX];
	struct upload u = {
		.g = g, .what = what, .url = url, .file = -1, .body = BUF_INIT(ERROR_BODY)
	};
	long status = 0;
	int r;

	(void) snprintf(path, sizeof(path), "blobs/%s", what);
	http_url(g, path, url);
	u.verb = "HEAD";
	r = ask(&u, 200, 404, &status, e);
	*ret_existed = status == 200;
	if (r == 0 && !*ret_existed) {
		http_url(g, "blobs/uploads/", url);
		u.verb = "POST";
		r = ask(&u, 202, 0, &status, e);
	}
	if (r == 0 && !*ret_existed)
		r = upload_url(g, url, u.answer.location, what, to, &u.foreign, e);
	if (r == 0 && !*ret_existed) {
		u.verb = "PUT";
		u.url = to;
		u.file = file;
		u.bytes = bytes;
		r = ask(&u, 201, 0, &status, e);
	}
	end(&u);
	return r;
}

int upload_document(struct registry *g, const char *what, const char *type, int file,
		    uint64_t bytes, struct err *e)
{
	char url[HTTP_URL_MAX];
	struct upload u = { .g = g,
			    .what = what,
			    .verb = "PUT",
			    .url = url,
			    .type = type,
			    .file = file,
			    .bytes = bytes,
			    .body = BUF_INIT(ERROR_BODY) };
	long status;
	int r;

	http_url(g, what, url);
	r = ask(&u, 201, 0, &status, e);
	end(&u);
	return r;
}
