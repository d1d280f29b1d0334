/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a signature of an image is made of: the payload that is signed (cosign's "simple signing"),
 * and where it is kept in a registry: a manifest under the tag sha256-HEX.sig, whose layers are
 * payloads, each with its signature as an annotation. Pure; whether a signature is good is
 * image/signature.h's.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "fmt/reference.h"

#define SIGNATURE_MEDIA	      "application/vnd.dev.cosign.simplesigning.v1+json"
#define SIGNATURE_ANNOTATION  "dev.cosignproject.cosign/signature"
#define SIGNATURE_TAG_MAX     80
#define SIGNATURE_PAYLOAD_MAX ((size_t) 128 << 10)
#define SIGNATURE_MAX	      ((size_t) 4 << 10) /* bytes of one */
#define SIGNATURES_MAX	      64		 /* of one image; no more are looked at */

struct signature_payload {
	struct digest digest; /* of the manifest, or index */
	struct reference ref; /* what it is called there; "" for a tag that is not said */
};

/* Fails: INVALID, also where it says more than it may. Only of what is verified. */
[[nodiscard]] int signature_payload_decode(struct str text, struct signature_payload *ret_p,
					   struct err *e);
void signature_payload_write(struct buf *out, const struct signature_payload *p,
			     const char *creator);
/* The tag beside the manifest of that digest. */
void signature_tag(const struct digest *d, char ret_tag[static SIGNATURE_TAG_MAX]);
