/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references as users type them and as the store keeps them.
 *
 *	[domain[:port]/]path[:tag][@sha256:hex]
 *
 * The first component is a domain when it holds '.' or ':' or is "localhost" (or has an upper-case
 * letter); without one it is docker.io, and a single path component there gets "library/" before
 *it. Stored names are always whole ("docker.io/library/debian:bookworm"); shown ones are familiar
 * ("debian:bookworm").
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"

#define REFERENCE_MAX	   512 /* bytes of a whole reference, with NUL */
#define REFERENCE_NAME_MAX 255 /* bytes of domain/path */
#define REFERENCE_TAG_MAX  128

struct reference {
	char name[REFERENCE_NAME_MAX + 1]; /* "docker.io/library/debian" */
	char tag[REFERENCE_TAG_MAX + 1];   /* "" when none was given */
	bool has_digest;
	struct digest digest;
};

/* Fails: INVALID, saying which part is wrong and what is allowed there. */
[[nodiscard]] int reference_parse(struct str s, struct reference *ret_ref, struct err *e);

/* Whether it names no registry: "debian:12", "a/b". */
bool reference_is_short(struct str s);
/* It without its tag and digest. */
struct str reference_bare(struct str s);

/* "latest" where neither a tag nor a digest was given. */
void reference_default_tag(struct reference *ref);

/* name[:tag][@digest], as stored. */
void reference_text(const struct reference *ref, char ret_text[static REFERENCE_MAX]);

/* The familiar name without tag: "debian", "localhost/a/b". Points into ref. */
const char *reference_familiar(const struct reference *ref);
/* The same of a stored name ("docker.io/library/debian:1" gives "debian:1"). Points into it. */
const char *reference_familiar_of(const char *stored);

/*
 * What a user may mean by `s` besides a reference: an image id, whole ("sha256:HEX" or 64 hex
 * digits) or a prefix of 2 or more hex digits. Gives the hex part in ret_hex; false if it cannot
 * be.
 */
bool reference_is_id(struct str s, struct str *ret_hex);
