/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One registry, as the distribution specification 1.1 has it: how it is reached, who asks, and what
 * is fetched from it. The server is hostile: what it says is bounded, and where it sends us is
 * checked. Our own secrets go to it, and to the token server it names, over TLS where it has that.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/challenge.h"
#include "image/registry_wire.h"

#define HTTP_URL_MAX   2048
#define HTTP_TOKEN_MAX ((size_t) 64 << 10)

struct registry {
	struct registry_request open; /* as it came */
	struct buf ca, cert, key;     /* PEM; ca: of the host and more */
	bool plain;		      /* it is spoken to without TLS */
	bool at_public;		      /* its address is no private one */
	struct challenge challenge;   /* the last */
	struct buf token;	      /* of Bearer; "" for none */
	struct buf identity;	      /* what a login brought to be kept; "" for none */
	char error[CURL_ERROR_SIZE];
};

/* What one answer was, besides its body. */
struct http_answer {
	long status;
	char type[REGISTRY_TYPE_MAX], digest[DIGEST_TEXT_MAX];
	char challenge[4096];	  /* of WWW-Authenticate, all of them */
	unsigned int retry_after; /* seconds; 0: it says nothing */
	char location[1024];	  /* of an answer that is no redirect: where to go on */
	uint64_t from;		  /* Content-Range's first byte; 0 */
	unsigned int hops;	  /* connections for it; after the first: redirected */
	bool strayed;		  /* from a public address to a private one: refused */
	bool first_public;
	const struct registry *of;
};

/* Which server it is, and what it wants to know; a token where it wants one. */
[[nodiscard]] int http_open(struct registry *g, struct err *e);
/* Another token, or none, after a 401 with this challenge. Fails: DENIED. */
[[nodiscard]] int http_authorize(struct registry *g, const struct http_answer *a, struct err *e);

/*
 * A handle for this address with all that is common, and whose headers go into *a; with who asks
 * when `own`. NULL without memory.
 */
CURL *http_handle(const struct registry *g, const char *url, bool own, struct http_answer *a,
		  char error[static CURL_ERROR_SIZE]);
/* "https://host/v2/repository/what" */
void http_url(const struct registry *g, const char *what, char ret_url[static HTTP_URL_MAX]);

/* Whether it may go well later; and when that is tried the n-th time (from 0): a time to wait. */
bool http_is_passing(CURLcode code, long status);
nsec_t http_wait(unsigned int n, const struct http_answer *a);
/* What is wrong with it, for the user. body: of the answer, as far as it is kept. */
int http_failed(const struct registry *g, const char *what, CURLcode code,
		const struct http_answer *a, const char *error, struct str body, struct err *e);
