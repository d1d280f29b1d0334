/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures by keys, by libcrypto: ECDSA over SHA-256 as cosign's are, RSA (PKCS #1 v1.5) over
 * it, Ed25519. For the confined worker only. What is signed is fmt/signature.h's.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "image/worker.h"

struct signature_files { /* all borrowed */
	int payload_fd;
	int signature_fd;
	const int *key_fds;
	size_t keys_n;
};

/*
 * *ret_result: entries is the number of the first key (from 1) that it is good by, 0 for none;
 * diff that key's SHA-256. Fails: INVALID a file is no public key; UNSUPPORTED of another kind.
 */
[[nodiscard]] int signature_verify_run(const struct signature_files *q,
				       struct unpack_result *ret_result, struct err *e);
