/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content digests as text ("sha256:" and 64 lower-case hex digits) and as 32 bytes. sha256 is the
 * only algorithm: the OCI image specification asks for no other. Hashing is image/hash.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define DIGEST_HEX_LEN	64
#define DIGEST_TEXT_MAX 72 /* "sha256:" + 64 + NUL */
#define DIGEST_HEX_MAX	65

struct digest {
	uint8_t b[32];
};

/* "sha256:HEX". -EINVAL for anything else, upper case and other algorithms included. */
[[nodiscard]] int digest_parse(struct str s, struct digest *ret_d);
/* Bare hex, as blobs and layers are named on disk. -EINVAL. */
[[nodiscard]] int digest_parse_hex(struct str s, struct digest *ret_d);
void digest_text(const struct digest *d, char ret_text[static DIGEST_TEXT_MAX]);
void digest_hex(const struct digest *d, char ret_hex[static DIGEST_HEX_MAX]);
bool digest_eq(const struct digest *a, const struct digest *b);
