/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/num.h"
#include "fmt/json.h"
#include "fmt/shown.h"
#include "fmt/url.h"

#define CONNECT_TIMEOUT 30L /* s */
#define CONNECT_HURRIED 10L /* s; where there are others to ask */
#define STALLED		60L /* s without a byte */
#define HOPS_MAX	10L
#define TRIES		5
#define RETRY_AFTER_MAX 60
#define ERROR_BODY	((size_t) 8 << 10)

/* ---- addresses ---- */

static bool is_private4(uint32_t a)
{
	return a >> 24 == 10 || a >> 24 == 127 || a >> 24 == 0 || a >> 20 == 0xac1 ||
	       a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe || a >> 22 == 0x191;
}

static bool is_private(const char *text)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1)
		return is_private4(ntohl(four.s_addr));
	if (inet_pton(AF_INET6, text, &six) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&six)) {
		memcpy(&four, six.s6_addr + 12, sizeof(four));
		return is_private4(ntohl(four.s_addr));
	}
	return IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six) ||
	       IN6_IS_ADDR_LINKLOCAL(&six) || (six.s6_addr[0] & 0xfe) == 0xfc;
}

/* Connected, and about to ask: a server outside has no say in whom we ask inside. */
static int may_ask(void *user, char *address, char *own, int port, int own_port)
{
	struct http_answer *a = user;
	bool is_public = !is_private(address);

	(void) own, (void) port, (void) own_port; /* the signature has them */
	if (a->hops++ == 0)
		a->first_public = is_public;
	if (!is_public && (a->first_public || a->of->at_public)) {
		a->strayed = true;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

/* ---- one request ---- */

static bool header_is(struct str line, const char *name, struct str *ret_value)
{
	size_t n = strlen(name);

	if (line.n <= n || strncasecmp(line.p, name, n) != 0 || line.p[n] != ':')
		return false;
	*ret_value = str_trim((struct str){ line.p + n + 1, line.n - n - 1 });
	return true;
}

static void keep(char *to, size_t size, struct str value)
{
	if (value.n < size && !memchr(value.p, '\0', value.n)) {
		memcpy(to, value.p, value.n);
		to[value.n] = '\0';
	}
}

static size_t take_header(char *p, size_t one, size_t n, void *user)
{
	struct http_answer *a = user;
	struct str line = { p, n }, value;
	uint32_t seconds;

	(void) one;			 /* is 1 */
	if (str_starts(line, "HTTP/")) { /* of the next answer: what was before is over */
		a->type[0] = a->digest[0] = a->challenge[0] = a->location[0] = '\0';
		a->retry_after = 0;
		a->from = 0;
	} else if (header_is(line, "content-type", &value)) {
		keep(a->type, sizeof(a->type), value);
		a->type[strcspn(a->type, "; \t")] = '\0';
	} else if (header_is(line, "location", &value)) {
		keep(a->location, sizeof(a->location), value);
	} else if (header_is(line, "docker-content-digest", &value)) {
		keep(a->digest, sizeof(a->digest), value);
	} else if (header_is(line, "content-range", &value)) {
		struct str rest, unit = str_cut(value, ' ', &rest);

		if (!str_is(unit, "bytes") ||
		    num_parse_u64(str_cut(rest, '-', &rest), 0, UINT64_MAX, &a->from) < 0)
			a->from = UINT64_MAX;
	} else if (header_is(line, "retry-after", &value)) {
		if (num_parse_u32(value, 0, UINT32_MAX, &seconds) == 0)
			a->retry_after = seconds;
	} else if (header_is(line, "www-authenticate", &value)) {
		size_t used = strlen(a->challenge);

		if (used + value.n + 3 < sizeof(a->challenge)) {
			if (used)
				a->challenge[used++] = ',';
			keep(a->challenge + used, sizeof(a->challenge) - used, value);
		}
	}
	return n;
}

static bool set_blob(CURL *c, CURLoption option, const struct buf *b)
{
	struct curl_blob blob = { .data = b->p, .len = b->n, .flags = CURL_BLOB_NOCOPY };

	return b->n == 0 || curl_easy_setopt(c, option, &blob) == CURLE_OK;
}

static bool set_tls(CURL *c, const struct registry *g)
{
	const long verify = !g->open.no_verify;

	return curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) == CURLE_OK &&
	       set_blob(c, CURLOPT_CAINFO_BLOB, &g->ca) &&
	       set_blob(c, CURLOPT_SSLCERT_BLOB, &g->cert) &&
	       set_blob(c, CURLOPT_SSLKEY_BLOB, &g->key);
}

static bool set_asker(CURL *c, const struct registry *g)
{
	if (g->challenge.scheme == CHALLENGE_BEARER)
		return !g->token.n ||
		       (curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER) == CURLE_OK &&
			curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, buf_z(&g->token)) == CURLE_OK);
	if (g->challenge.scheme != CHALLENGE_BASIC || !g->open.user[0])
		return true;
	return curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERNAME, g->open.user) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PASSWORD, g->open.secret) == CURLE_OK;
}

CURL *http_handle(const struct registry *g, const char *url, bool own, struct http_answer *a,
		  char error[static CURL_ERROR_SIZE])
{
	const char *schemes = g->plain ? "http,https" : "https";
	const long patience = g->open.once ? CONNECT_HURRIED : CONNECT_TIMEOUT;
	CURL *c = curl_easy_init();

	*a = (struct http_answer){ .of = g };
	error[0] = '\0';
	if (c && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, schemes) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, schemes) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_MAXREDIRS, HOPS_MAX) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, patience) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALLED) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_USERAGENT, "atoll/" ATOLL_VERSION) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERDATA, a) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, may_ask) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PREREQDATA, a) == CURLE_OK && set_tls(c, g) &&
	    (!own || set_asker(c, g)))
		return c;
	curl_easy_cleanup(c);
	return NULL;
}

/* docker.io is the name of a registry that has another address, and one more for its search. */
static const char *server(const struct registry *g)
{
	if (!streq(g->open.host, "docker.io"))
		return g->open.host;
	return g->open.search ? "index.docker.io" : "registry-1.docker.io";
}

void http_url(const struct registry *g, const char *what, char ret_url[static HTTP_URL_MAX])
{
	const char *repository = g->open.repository, *scheme = g->plain ? "http" : "https";

	/* 255 twice, less than 900 of what, and less than 32 beside. */
	if (what && *what == '/') {
		(void) snprintf(ret_url, HTTP_URL_MAX, "%s://%s%s", scheme, server(g), what);
		return;
	}
	(void) snprintf(ret_url, HTTP_URL_MAX, "%s://%s/v2/%s%s%s", scheme, server(g),
			what ? repository : "", what ? "/" : "", what ? what : "");
}

bool http_is_passing(CURLcode code, long status)
{
	switch (code) {
	case CURLE_OK:
		return status == 408 || status == 429 || (status >= 500 && status != 501);
	case CURLE_COULDNT_CONNECT:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

nsec_t http_wait(unsigned int n, const struct http_answer *a)
{
	nsec_t wait = NSEC_PER_SEC / 4 << min_u64(n, 5);

	if (a->retry_after)
		wait = (nsec_t) min_u64(a->retry_after, RETRY_AFTER_MAX) * NSEC_PER_SEC;
	return wait + wait / 4 * (random() % 256) / 256; /* not all of them at once */
}

/* What a registry says in its errors: {"errors":[{"code":"...","message":"..."}]}. */
static void told(struct str body, char to[static 160])
{
	struct arena a = ARENA_INIT((size_t) 1 << 20);
	const struct json *root = NULL, *list, *one;
	const char *message;
	struct err ignored = {};

	to[0] = '\0';
	if (body.n && json_parse(&a, body, &root, &ignored) == 0) {
		list = json_get(root, "errors");
		one = list && list->type == JSON_ARRAY && list->n ? &list->items[0] : NULL;
		message = json_string(json_get(one, "message"));
		if (!message || !*message)
			message = json_string(json_get(one, "code"));
		if (message)
			(void) snprintf(to, 160, ": %s", shown_of(str_of(message)).z);
	}
	arena_fini(&a);
}

static int status_failed(const struct registry *g, const char *what, const struct http_answer *a,
			 struct str body, struct err *e)
{
	const char *host = g->open.host;
	char why[160];

	told(body, why);
	switch (a->status) {
	case 401:
	case 403:
		if (g->open.search)
			return err_set(e, ERR_DENIED, EACCES,
				       "%s denies its list%s: it may want 'atoll login %s'", host,
				       why, host);
		if (g->open.login || !g->open.repository[0])
			return err_set(e, ERR_DENIED, EACCES,
				       "%s refuses this user name and password%s", host, why);
		return err_set(
			e, ERR_DENIED, EACCES,
			"%s denies access to %s%s: it is not there, or wants 'atoll login %s' "
			"by somebody who may",
			host, g->open.repository, why, host);
	case 404:
		if (g->open.search)
			return err_set(e, ERR_NOT_FOUND, ENOENT, "%s has no search%s", host, why);
		return err_set(e, ERR_NOT_FOUND, ENOENT, "%s has no %s of %s%s", host, what,
			       g->open.repository, why);
	case 429:
		return err_set(e, ERR_EXHAUSTED, EAGAIN,
			       "%s has had too many requests (429)%s: try again later, or log in",
			       host, why);
	default:
		return err_set(e, ERR_REMOTE, EIO, "%s answers %s with status %ld%s", host,
			       what ? what : "/v2/", a->status, why);
	}
}

int http_failed(const struct registry *g, const char *what, CURLcode code,
		const struct http_answer *a, const char *error, struct str body, struct err *e)
{
	const char *why = error[0] ? error : curl_easy_strerror(code);

	if (a->strayed)
		return err_set(e, ERR_REMOTE, EACCES,
			       "%s sends us from a public address to a private one: refused",
			       g->open.host);
	if (code == CURLE_OK)
		return status_failed(g, what, a, body, e);
	if (code == CURLE_UNSUPPORTED_PROTOCOL && a->hops)
		return err_set(e, ERR_REMOTE, EACCES,
			       "%s sends us to an address without TLS: refused", g->open.host);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return err_set(
			e, ERR_REMOTE, EACCES,
			"the certificate of %s cannot be verified: %s (its CA belongs in "
			"/etc/containers/certs.d/%s/ca.crt; --tls-verify=false does without)",
			g->open.host, shown_of(str_of(why)).z, g->open.host);
	return err_set(e, ERR_REMOTE, EIO, "%s cannot be reached: %s", g->open.host,
		       shown_of(str_of(why)).z);
}

/* ---- whole answers ---- */

static size_t take_body(char *p, size_t one, size_t n, void *user)
{
	(void) one; /* is 1 */
	buf_add(user, p, n);
	return buf_ok(user) ? n : 0;
}

struct question {
	const char *url;
	bool own;	    /* said with who asks, as it is wanted elsewhere */
	const char *user;   /* or NULL: said with this one and his secret */
	const char *posted; /* or NULL: a form */
};

static bool set_question(CURL *c, const struct registry *g, const struct question *q,
			 struct buf *body)
{
	if (q->user && (curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) != CURLE_OK ||
			curl_easy_setopt(c, CURLOPT_USERNAME, q->user) != CURLE_OK ||
			curl_easy_setopt(c, CURLOPT_PASSWORD, g->open.secret) != CURLE_OK))
		return false;
	/* A secret in a form goes to the server that it is for, and no further. */
	if (q->posted && (curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->posted) != CURLE_OK ||
			  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK))
		return false;
	return curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, body) == CURLE_OK;
}

/* With as many tries as it takes, up to some; *a says what came. */
static CURLcode ask(const struct registry *g, const struct question *q, struct http_answer *a,
		    char error[static CURL_ERROR_SIZE], struct buf *body)
{
	for (unsigned int n = 0;; n++) {
		CURL *c = http_handle(g, q->url, q->own, a, error);
		CURLcode code = CURLE_OUT_OF_MEMORY;
		nsec_t wait;

		buf_clear(body);
		if (c && set_question(c, g, q, body))
			code = curl_easy_perform(c);
		if (c)
			(void) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
		curl_easy_cleanup(c);
		/* A server that is not there is not waited for. */
		if (n + 1 == TRIES || g->open.once || code == CURLE_COULDNT_CONNECT ||
		    !http_is_passing(code, a->status))
			return code;
		wait = http_wait(n, a);
		(void) nanosleep(&(struct timespec){ wait / NSEC_PER_SEC, wait % NSEC_PER_SEC },
				 NULL);
	}
}

/* *sep: what stands before it, '\0' for nothing. */
static void add_query(struct buf *url, char *sep, const char *name, const char *value)
{
	if (!*value)
		return;
	if (*sep)
		buf_addc(url, *sep);
	buf_addf(url, "%s=", name);
	*sep = '&';
	url_escape(url, str_of(value));
}

static bool is_token(const char *z)
{
	for (const char *p = z; *p; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f)
			return false;
	return *z;
}

static int token_of(struct registry *g, struct str body, struct err *e)
{
	struct arena a = ARENA_INIT((size_t) 1 << 20);
	const struct json *root = NULL;
	const char *token = NULL, *refresh = NULL;
	struct err why = {};

	if (json_parse(&a, body, &root, &why) == 0) {
		token = json_string(json_get(root, "token"));
		if (!token)
			token = json_string(json_get(root, "access_token"));
		refresh = json_string(json_get(root, "refresh_token"));
	}
	buf_clear(&g->token);
	if (token && is_token(token))
		buf_adds(&g->token, token);
	buf_clear(&g->identity);
	if (g->open.login && refresh && is_token(refresh) && strlen(refresh) <= g->identity.max)
		buf_adds(&g->identity, refresh);
	arena_fini(&a);
	if (g->token.n == 0 || !buf_ok(&g->token))
		return err_set(e, ERR_REMOTE, EPROTO, "the token server of %s gives no token",
			       g->open.host);
	return 0;
}

/* Not more than we need, whatever the registry names. */
static void add_scope(struct buf *to, char *sep, bool apart, struct str repository,
		      const char *right)
{
	struct buf scope = BUF_INIT(REGISTRY_SOURCES_MAX + 32);

	buf_addf(&scope, "%srepository:%.*s:%s", apart ? "" : " ", (int) repository.n, repository.p,
		 right);
	if (apart)
		add_query(to, sep, "scope", buf_z(&scope));
	else
		url_escape(to, buf_str(&scope));
	buf_fini(&scope);
}

/* Several of GET are parameters each, of POST words of one. */
static void add_scopes(const struct registry *g, struct buf *to, char *sep)
{
	struct str rest = str_of(g->open.sources);

	if (g->open.search)
		add_query(to, sep, "scope", "registry:catalog:*");
	if (!g->open.repository[0])
		return;
	add_scope(to, sep, true, str_of(g->open.repository), g->open.push ? "pull,push" : "pull");
	while (rest.p && rest.n) {
		struct str one = str_cut(rest, ' ', &rest);

		add_scope(to, sep, !g->open.identity, one, "pull");
	}
}

/*
 * With GET, as the distribution specification's "token" has it; who has an identity token gives
 * that with POST, as its "oauth" has it.
 */
static void write_query(const struct registry *g, struct buf *to, char sep)
{
	const struct challenge *c = &g->challenge;

	add_query(to, &sep, "service", c->service);
	add_scopes(g, to, &sep);
	if (g->open.identity) {
		add_query(to, &sep, "client_id", "atoll");
		add_query(to, &sep, "grant_type", "refresh_token");
		add_query(to, &sep, "refresh_token", g->open.secret);
		return;
	}
	add_query(to, &sep, "account", g->open.user);
	if (g->open.login) { /* then it may give an identity token to be kept */
		add_query(to, &sep, "client_id", "atoll");
		add_query(to, &sep, "offline_token", "true");
	}
}

static int ask_token(struct registry *g, long *ret_status, struct err *e)
{
	struct buf text = BUF_INIT(HTTP_TOKEN_MAX), body = BUF_INIT(HTTP_TOKEN_MAX);
	const char *realm = g->challenge.realm;
	struct question q = {};
	char error[CURL_ERROR_SIZE];
	struct http_answer a;
	CURLcode code;
	int r;

	if (strncasecmp(realm, "https://", 8) != 0 &&
	    !(g->plain && strncasecmp(realm, "http://", 7) == 0))
		return err_set(e, ERR_REMOTE, EACCES, "%s names a token server without TLS: '%s'",
			       g->open.host, shown_of(str_of(realm)).z);
	if (g->open.identity) {
		write_query(g, &text, '\0');
		q.url = realm;
		q.posted = buf_z(&text);
	} else {
		buf_adds(&text, realm);
		write_query(g, &text, strchr(realm, '?') ? '&' : '?');
		q.url = buf_z(&text);
		q.user = g->open.user[0] ? g->open.user : NULL;
	}
	if (!buf_ok(&text)) {
		buf_fini(&text);
		return err_set(e, ERR_REMOTE, E2BIG, "the token server's address is too long");
	}
	code = ask(g, &q, &a, error, &body);
	*ret_status = code == CURLE_OK ? a.status : 0;
	if (code == CURLE_OK && a.status == 200)
		r = token_of(g, buf_str(&body), e);
	else if (g->open.identity && code == CURLE_OK && (a.status == 400 || a.status == 401))
		r = err_set(e, ERR_DENIED, EACCES,
			    "%s does not take the identity token: 'atoll login %s'", g->open.host,
			    g->open.host);
	else
		r = http_failed(g, "token", code, &a, error, buf_str(&body), e);
	if (text.p)
		explicit_bzero(text.p, text.n);
	buf_fini(&text);
	buf_fini(&body);
	return r;
}

static int fetch_token(struct registry *g, struct err *e)
{
	long status = 0;
	int r = ask_token(g, &status, e);

	/* Others' repositories are more than is needed: without them, then. */
	if (r < 0 && g->open.sources[0] && (status == 400 || status == 401 || status == 403)) {
		g->open.sources[0] = '\0';
		r = ask_token(g, &status, e);
	}
	return r;
}

int http_authorize(struct registry *g, const struct http_answer *a, struct err *e)
{
	struct challenge c;

	if (challenge_parse(str_of(a->challenge), &c) < 0)
		return err_set(e, ERR_REMOTE, EPROTO,
			       "%s does not say how it wants to be asked (WWW-Authenticate)",
			       g->open.host);
	g->challenge = c;
	if (c.scheme == CHALLENGE_BEARER)
		return fetch_token(g, e);
	if (c.scheme == CHALLENGE_BASIC && g->open.identity)
		return err_set(e, ERR_DENIED, EACCES,
			       "%s wants a password, and what is kept is an identity token: "
			       "'atoll login %s'",
			       g->open.host, g->open.host);
	if (c.scheme == CHALLENGE_BASIC && g->open.user[0])
		return 0;
	if (c.scheme == CHALLENGE_BASIC)
		return err_set(e, ERR_DENIED, EACCES,
			       "%s wants a user name and a password: 'atoll login %s'",
			       g->open.host, g->open.host);
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "%s wants to be asked in a way that is neither Basic nor Bearer",
		       g->open.host);
}

/* Nobody's name is told. Whether it answered as a registry does. */
static bool ask_what_it_is(struct registry *g, bool plain, struct http_answer *a, struct buf *body,
			   CURLcode *ret_code)
{
	char url[HTTP_URL_MAX];
	const struct question q = { .url = url };

	g->plain = plain;
	http_url(g, NULL, url);
	*ret_code = ask(g, &q, a, g->error, body);
	return *ret_code == CURLE_OK && (a->status == 200 || a->status == 401);
}

int http_open(struct registry *g, struct err *e)
{
	struct buf body = BUF_INIT(ERROR_BODY);
	char url[HTTP_URL_MAX];
	const struct question q = { .url = url, .own = true };
	struct http_answer a;
	CURLcode code;
	int r = 0;

	if (g->open.search && streq(g->open.host, "docker.io"))
		return 0; /* its search is another server, and open to all */
	/* One on the loopback seldom speaks TLS, and to find that out takes long. */
	if (!(g->open.plain_first && ask_what_it_is(g, true, &a, &body, &code)) &&
	    !ask_what_it_is(g, false, &a, &body, &code) && g->open.may_be_plain &&
	    code != CURLE_OK && code != CURLE_PEER_FAILED_VERIFICATION && !a.hops)
		(void) ask_what_it_is(g, true, &a, &body, &code); /* or nothing does there */
	http_url(g, NULL, url);
	g->at_public = a.hops && a.first_public;
	if (code == CURLE_OK && g->open.search) {
		/* Who asks is told where that is asked for. */
	} else if (code == CURLE_OK && a.status == 401) {
		r = http_authorize(g, &a, e);
		if (r == 0 && g->open.login) {
			code = ask(g, &q, &a, g->error, &body);
			if (code != CURLE_OK || a.status != 200)
				r = http_failed(g, NULL, code, &a, g->error, buf_str(&body), e);
		}
	} else if (code != CURLE_OK || a.status != 200) {
		r = http_failed(g, NULL, code, &a, g->error, buf_str(&body), e);
	}
	buf_fini(&body);
	return r;
}
