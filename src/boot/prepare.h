/* SPDX-License-Identifier: Apache-2.0 */
/* One kernel made ready to be booted in a microVM: a vmlinux, and an initramfs of agent and
 * modules. */
#pragma once

#include "base/err.h"
#include "fmt/digest.h"

struct prepare {
	const char *kernel;  /* a path or "fd:N", as all of them */
	const char *shown;   /* the kernel's path, for messages; NULL: `kernel` */
	const char *modules; /* the directory with one of each version in it */
	const char *agent;   /* the guest's init */
	const char *cache;
};

/* Made, or found: the name of its directory in the cache. */
[[nodiscard]] int prepare(const struct prepare *p, char ret_hex[static DIGEST_HEX_MAX],
			  struct err *e);
