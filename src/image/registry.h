/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry, spoken to by atoll-registry, the confined program that alone has the network
 * (image/registry_wire.h). What it brings is not believed: documents are hashed here, blobs by who
 * unpacks them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "fmt/digest.h"
#include "image/registry_wire.h"

struct registry;

struct registry_login {
	char user[REGISTRY_USER_MAX], secret[REGISTRY_SECRET_MAX]; /* "": without */
	bool identity; /* secret is an identity token, which stands for user and password */
};

struct registry_options {
	bool no_verify;	     /* any certificate, or no TLS */
	bool once;	     /* there are others to ask: up to the first document no second try */
	bool push;	     /* something is to be sent, nothing fetched */
	const char *sources; /* of it, or NULL: other repositories, parted by blanks */
	bool login;	     /* only see whether the login is good */
	bool search;	     /* only documents by their whole path ("/v2/_catalog") are asked for */
	const struct registry_login *login_as; /* or NULL */
};

/* After a login: the token to keep instead of the password; "" where the registry gives none. */
[[nodiscard]] int registry_identity(struct registry *g, char ret_token[static REGISTRY_SECRET_MAX],
				    struct err *e);

/*
 * Told as blobs arrive, by another thread than the caller's, one call at a time; or, by the
 * caller's, as they are sent. whole: the last.
 */
typedef void registry_told(void *user, size_t blob, uint64_t bytes, bool whole);

/*
 * host[:port] and repository as in a reference's name; repository "" with options->login or search.
 * Gives.
 * Fails: REMOTE it cannot be reached or answers nonsense, DENIED, UNSUPPORTED.
 */
[[nodiscard]] int registry_open(const char *host, const char *repository,
				const struct registry_options *options, struct registry **ret_g,
				struct err *e);
void registry_close(struct registry *g); /* NULL is fine; what is under way is given up */
/* Nothing is asked for any more: it ends while the caller does other things. Then close it. */
void registry_hang_up(struct registry *g);
static inline void registry_closep(struct registry **g)
{
	registry_close(*g);
}
#define auto_registry __attribute__((cleanup(registry_closep)))

/* "manifests/latest", "blobs/sha256:..."; up to max bytes. *ret_type: "" where it says none. */
[[nodiscard]] int registry_document(struct registry *g, const char *what, size_t max,
				    struct buf *ret_text, char ret_type[static REGISTRY_TYPE_MAX],
				    struct err *e);

/* A blob that is to be there. */
struct registry_send {
	struct digest digest;
	uint64_t size;
	int file;	  /* borrowed: all of it is there */
	const char *from; /* another repository of the registry that may have it; or NULL */
	/* Filled as it goes: */
	bool done;
	enum registry_sent how;
};
/* With options->push: all of them, some at a time; until all are there, or one has failed. */
[[nodiscard]] int registry_send_blobs(struct registry *g, struct registry_send *blobs, size_t n,
				      registry_told *told, void *user, struct err *e);
/* "manifests/latest", of this media type. */
[[nodiscard]] int registry_send_document(struct registry *g, const char *what, const char *type,
					 struct str text, struct err *e);

/* A blob that is wanted: into the file (borrowed), and readable from pipe at once. */
struct registry_blob {
	struct digest digest;
	uint64_t size;
	uint64_t have; /* so much of it is in the file */
	int file;      /* borrowed until it is asked for */
	int pipe;      /* owned: its end to read from; FD_NONE when taken */
	/* Filled as it goes: */
	bool done;
	struct err err;
};
/*
 * Begin with all of them; in this order, some at a time. They stay where they are until
 * registry_close(). No document can be asked for any more.
 */
[[nodiscard]] int registry_blobs(struct registry *g, struct registry_blob *blobs, size_t n,
				 registry_told *told, void *user, struct err *e);
/* Until this one is whole in its file, or has failed, as *e says. */
[[nodiscard]] int registry_blob_wait(struct registry *g, size_t i, struct err *e);
