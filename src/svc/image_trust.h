/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an image of a registry may be had, by policy.json(5). For svc's files on registries, not
 * for its callers.
 */
#pragma once

#include "base/err.h"
#include "fmt/policy.h"
#include "image/registry.h"

/* What a signature says that was found good. */
struct image_verified {
	struct digest digest; /* of the manifest, or the index */
	struct digest key;    /* SHA-256 of the public key */
	char identity[REFERENCE_MAX];
};

struct image_trust {
	struct policy policy;
	struct image_verified *verified; /* one for each requirement of signatures; in its arena */
	size_t verified_n;
};

#define IMAGE_TRUST_INIT ((struct image_trust){ .policy = POLICY_INIT })

/* Ended by image_trust_fini also where it fails. */
[[nodiscard]] int image_trust_read(struct image_trust *t, struct err *e);
void image_trust_fini(struct image_trust *t);

/*
 * What can be said before anything is asked for. Fails: DENIED it is rejected; UNSUPPORTED what it
 * asks for cannot be verified.
 */
[[nodiscard]] int image_trust_may(const struct image_trust *t, const struct reference *ref,
				  struct err *e);

/* What was found, and where. */
struct image_trust_subject {
	const struct reference *ref; /* as it was asked for */
	struct registry *registry;
	const struct digest *digests; /* of the manifest, and of the index it was chosen from */
	size_t digests_n;	      /* a signature of one of them is enough */
};
/*
 * Fetches what signatures there are if some are asked for. Fails: DENIED, and as the registry and
 * the files of keys do.
 */
[[nodiscard]] int image_trust_check(struct image_trust *t, const struct image_trust_subject *s,
				    struct err *e);
