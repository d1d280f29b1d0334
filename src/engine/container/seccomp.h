/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp of a spec into a BPF program. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct spec_seccomp;

/*
 * Compile, or take from the cache below cache_fd (FD_NONE: none; seccomp_cache.h); the program
 * lives in the arena. *ret_flags: SECCOMP_FILTER_FLAG_*, with NEW_LISTENER when
 * an action is SCMP_ACT_NOTIFY. Names that are no system call here are left out, as the
 * specification lets runtimes do. Where the default refuses (ERRNO, KILL, TRAP), a call newer than
 * all that the profile names on its architecture gives ENOSYS instead, as with runc: its author
 * cannot have meant it, and C libraries then use the old call. INVALID: an action, operator, flag
 * or architecture that does not exist, an errnoRet that its action does not take.
 */
[[nodiscard]] int seccomp_compile(struct arena *a, int cache_fd, const struct spec_seccomp *s,
				  struct sock_fprog *ret_prog, unsigned *ret_flags, struct err *e);

bool seccomp_arch_known(const char *word);	     /* "SCMP_ARCH_X86_64" */
bool seccomp_notifies(const struct spec_seccomp *s); /* whether a rule's action is NOTIFY */

/* INVALID: a rule names a system call that nobody knows. Without asking those rules are left out.
 */
[[nodiscard]] int seccomp_check_names(const struct spec_seccomp *s, struct err *e);
