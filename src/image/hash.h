/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 by libcrypto, which uses the processor's own instructions for it. The low-level calls:
 * they need no library initialisation, which would cost a start-up more than the hash does.
 */
#pragma once

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stddef.h>

#include "base/str.h"
#include "fmt/digest.h"

struct hash {
	SHA256_CTX ctx;
};

void hash_init(struct hash *h);
void hash_add(struct hash *h, const void *p, size_t n);
void hash_end(struct hash *h, struct digest *ret_d);

struct digest hash_of(struct str text);
/* The chain id of a layer upon `parent` (NULL for the lowest): OCI image-spec, "Layer ChainID". */
struct digest hash_chain(const struct digest *parent, const struct digest *diff);
