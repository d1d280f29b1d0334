/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a program of ours and atoll-registry, over a seqpacket socket that is its
 * descriptor 3. Fixed-size structs between processes of one build; both sides check size, magic and
 * each value.
 *
 * OPEN is the first request, and is answered before another is taken. After it as many as are
 * wanted go on at the same time; each is answered by one reply that is the last of its id, blobs by
 * REGISTRY_WENT_ON besides, as they come.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "fmt/reference.h"

#define REGISTRY_MAGIC	     0x41524731u
#define REGISTRY_SOCKET	     3
#define REGISTRY_WHAT_MAX    512
#define REGISTRY_USER_MAX    256
#define REGISTRY_SECRET_MAX  8192
#define REGISTRY_TYPE_MAX    128
#define REGISTRY_SOURCES_MAX 1024
#define REGISTRY_AT_ONCE     3 /* blobs; the others wait for their turn */
#define REGISTRY_FDS_MAX     4

enum registry_verb {
	REGISTRY_OPEN,	   /* descriptors: ca, more_ca, cert, key, those that are there */
	REGISTRY_DOCUMENT, /* a file: gets the body */
	REGISTRY_BLOB,	   /* a file, which keeps it; a pipe's end, which gets the same bytes */
	/* With REGISTRY_OPEN's push, and then nothing else: a file that is sent. */
	REGISTRY_SEND_BLOB,
	REGISTRY_SEND_DOCUMENT,
	REGISTRY_IDENTITY, /* after a login: a file: gets the identity token, if there is one */
};

struct registry_request {
	uint32_t magic;
	enum registry_verb verb;
	uint32_t id;
	bool once; /* OPEN, DOCUMENT: not tried again: there are others to ask */
	/* OPEN */
	char host[REFERENCE_NAME_MAX + 1];	 /* host[:port] */
	char repository[REFERENCE_NAME_MAX + 1]; /* "" for login */
	char sources[REGISTRY_SOURCES_MAX]; /* with push: others to read of, parted by blanks */
	char user[REGISTRY_USER_MAX], secret[REGISTRY_SECRET_MAX]; /* "" without */
	bool identity; /* the secret is an identity token: user may be "" */
	bool no_verify, login, push, search;
	bool may_be_plain, plain_first; /* without TLS, where it does not speak that; or asked so */
	bool has_ca, has_more_ca, has_cert, has_key;
	/*
	 * DOCUMENT, BLOB: "manifests/latest", "blobs/sha256:..."; with search "/v1/search?...";
	 * SEND_BLOB: "sha256:...", and in
	 * `repository` another one that has it, or "".
	 */
	char what[REGISTRY_WHAT_MAX];
	uint64_t bytes;		      /* of the blob; of a document at most */
	uint64_t have;		      /* so many of the blob are in the file */
	char type[REGISTRY_TYPE_MAX]; /* SEND_DOCUMENT */
};

struct registry_reply {
	uint32_t magic;
	uint32_t id;
	enum { REGISTRY_WENT_ON, REGISTRY_DONE } kind;
	uint64_t bytes;		      /* so far; in all */
	char type[REGISTRY_TYPE_MAX]; /* of a document: its media type, "" if none was told */
	char digest[DIGEST_TEXT_MAX]; /* and what the registry calls it, "" */
	bool plain;		      /* OPEN: without TLS */
	enum registry_sent { REGISTRY_SENT, REGISTRY_EXISTED, REGISTRY_MOUNTED } how;
	struct err err; /* DONE: kind ERR_NONE: it worked */
};
