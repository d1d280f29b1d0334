/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containers-policy.json(5) asks of images that come from registries: its default, and the
 * scopes of its transport "docker"; those of other transports are kept, not looked at. Pure: the
 * file is read by image/policy_read.h, signatures are verified by image/signature.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/reference.h"

#define POLICY_TEXT_MAX ((size_t) 4 << 20)

/* Which name a signature must be of. */
struct policy_identity {
	enum policy_match {
		POLICY_REPO_DIGEST_OR_EXACT, /* where nothing is said */
		POLICY_EXACT,
		POLICY_REPOSITORY,
		POLICY_EXACT_REFERENCE,
		POLICY_EXACT_REPOSITORY,
		POLICY_REMAP,
	} match;
	const char *reference;		    /* of EXACT_REFERENCE, and EXACT_REPOSITORY */
	const char *prefix, *signed_prefix; /* of REMAP */
};

struct policy_requirement {
	enum policy_kind {
		POLICY_ACCEPT,
		POLICY_REJECT,
		POLICY_SIGSTORE,    /* one of keys, or what `unsupported` names */
		POLICY_UNSUPPORTED, /* `unsupported` says what */
	} kind;
	const char **key_paths;
	size_t key_paths_n;
	struct str *keys; /* instead: their bytes */
	size_t keys_n;
	const char *unsupported; /* what it asks for that we cannot do */
	struct policy_identity identity;
};

struct policy_rule {
	const char *scope;			 /* NULL: the default; "": of all registries */
	struct policy_requirement *requirements; /* all are to be met; one at least */
	size_t n;
};

struct policy {
	struct arena arena; /* holds all */
	const char *file;
	const struct json *tree; /* the whole document */
	struct policy_rule otherwise;
	struct policy_rule *rules;
	size_t rules_n;
};

#define POLICY_INIT ((struct policy){ .arena = ARENA_INIT((size_t) 32 << 20) })

void policy_fini(struct policy *p);
#define auto_policy __attribute__((cleanup(policy_fini)))

/* p as POLICY_INIT; to be ended also where it fails. Fails: INVALID. */
[[nodiscard]] int policy_parse(struct policy *p, struct str text, const char *file, struct err *e);

/*
 * The rule of an image (its whole name with a tag or a digest): that of this very name, of its
 * repository or the nearest namespace of it, its host, "*.DOMAIN", of all registries; the default.
 */
const struct policy_rule *policy_find(const struct policy *p, const struct reference *ref);
/* "the default", "docker 'SCOPE'": for messages; bounded, printable. */
void policy_rule_name(const struct policy_rule *rule, char ret[static 160]);
/* As the file has it: "insecureAcceptAnything"... */
const char *policy_kind_name(const struct policy_requirement *q);

/* Whether a signature of the name `is` counts for the image that was asked for by `ref`. */
bool policy_identity_fits(const struct policy_identity *id, const struct reference *ref,
			  const struct reference *is);
