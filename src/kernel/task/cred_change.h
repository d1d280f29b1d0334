/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What setuid(2) and its kin, capset(2), prctl(2) and execve(2) make of credentials, as
 * credentials(7) and capabilities(7) have it. Each changes a copy of the caller's own
 * (cred_copy()); after an error the copy is to be thrown away. 0 or -EPERM, -EINVAL. An id of
 * UINT32_MAX (-1) is "leave it" where the man page says so, else -EINVAL.
 */
#pragma once

#include "kernel/task/cred.h"

#define CRED_KEEP UINT32_MAX

[[nodiscard]] int cred_setuid(struct cred *c, uint32_t uid);
[[nodiscard]] int cred_setreuid(struct cred *c, uint32_t real, uint32_t effective);
[[nodiscard]] int cred_setresuid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved);
[[nodiscard]] int cred_setgid(struct cred *c, uint32_t gid);
[[nodiscard]] int cred_setregid(struct cred *c, uint32_t real, uint32_t effective);
[[nodiscard]] int cred_setresgid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved);
/* No error: what may not be is left, as setfsuid(2) does. The old one is read before. */
void cred_setfsuid(struct cred *c, uint32_t uid);
void cred_setfsgid(struct cred *c, uint32_t gid);
/* Takes groups (of the heap). */
[[nodiscard]] int cred_setgroups(struct cred *c, uint32_t *groups, uint32_t count);

[[nodiscard]] int cred_capset(struct cred *c, uint64_t effective, uint64_t permitted,
			      uint64_t inheritable);
/* PR_CAPBSET_DROP; PR_CAP_AMBIENT_RAISE, LOWER, CLEAR_ALL; PR_SET_SECUREBITS; PR_SET_KEEPCAPS;
 * PR_SET_NO_NEW_PRIVS. */
[[nodiscard]] int cred_drop_bounding(struct cred *c, uint64_t capability);
[[nodiscard]] int cred_raise_ambient(struct cred *c, uint64_t capability);
[[nodiscard]] int cred_lower_ambient(struct cred *c, uint64_t capability);
void cred_clear_ambient(struct cred *c);
[[nodiscard]] int cred_set_securebits(struct cred *c, uint64_t bits);
[[nodiscard]] int cred_set_keepcaps(struct cred *c, uint64_t keep);
void cred_set_no_new_privs(struct cred *c);

/* What a program file says of who runs it. */
struct cred_file {
	uint32_t mode, uid, gid; /* S_ISUID and S_ISGID are seen; 0 where the mount is nosuid */
	bool capable;		 /* it has security.capability: */
	bool effective;
	uint64_t permitted, inheritable;
};

/* VFS_CAP_REVISION_2 and 3 (whose root is 0) of the bytes of a security.capability; -EINVAL: not
 * to be understood, and the file counts as having none. */
[[nodiscard]] int cred_file_capabilities(struct cred_file *f, const void *bytes, size_t n);
/* c becomes who runs the file. shared: somebody outside of the process could change its root
 * (CLONE_FS), so it gains nothing. *ret_secure: AT_SECURE. -EPERM: capabilities it was to have (its
 * effective bit) are outside the bounding set. */
[[nodiscard]] int cred_exec(struct cred *c, const struct cred_file *f, bool shared,
			    bool *ret_secure);
