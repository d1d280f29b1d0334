/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containers-certs.d(5) has for a registry: its own CAs (every X.crt), and who we are to it
 * (X.cert with X.key), of the first directory that there is for it: ~/.config/containers/certs.d,
 * /etc/containers/certs.d, /etc/docker/certs.d.
 */
#pragma once

#include "base/err.h"

struct certificates {
	int ca, cert, key; /* owned; FD_NONE: none. PEM. */
};

/* host[:port]. Fails: INVALID a certificate without its key, or a key without it. */
[[nodiscard]] int certificates_find(const char *host, struct certificates *ret, struct err *e);
void certificates_close(struct certificates *c);
