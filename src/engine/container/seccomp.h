/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp of a spec into a BPF program. */
#pragma once

#include <linux/filter.h>

#include "base/arena.h"
#include "base/err.h"

struct spec_seccomp;

/*
 * Compile, or take from the cache below cache_fd (FD_NONE: none; seccomp_cache.h); the program
 * lives in the arena. *ret_flags: SECCOMP_FILTER_FLAG_*. System calls this
 * machine's library doesn't know are left out (their default action holds), as the specification
 * lets runtimes do. INVALID: an action, operator, flag or architecture that does not exist.
 */
[[nodiscard]] int seccomp_compile(struct arena *a, int cache_fd, const struct spec_seccomp *s,
				  struct sock_fprog *ret_prog, unsigned *ret_flags, struct err *e);
