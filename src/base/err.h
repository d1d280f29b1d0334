/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error object. Plain data on the caller's stack, filled once where the failure is seen,
 * given context on its way up, printed once by whoever talks to the user.
 *
 * Two tiers. Mechanism (base, sys, most of fmt) returns >= 0 or -errno and says nothing. Modules
 * (everything above) take a `struct err *e` last and return 0 or a negative number with *e filled.
 * Callers branch on e->kind, never on the number. *e is untouched on success.
 */
#pragma once

#include <assert.h>
#include <limits.h>

enum err_kind {
	ERR_NONE,
	ERR_INVALID,	 /* the request is wrong and would be wrong again */
	ERR_NOT_FOUND,	 /* what was named does not exist */
	ERR_CONFLICT,	 /* the name is in use, or the state does not allow it */
	ERR_DENIED,	 /* the caller may not, or the kernel refused for lack of privilege */
	ERR_UNSUPPORTED, /* this machine or this engine cannot do it */
	ERR_EXHAUSTED,	 /* memory, disk, descriptors, ids or a configured limit ran out */
	ERR_TIMEOUT,	 /* the deadline passed */
	ERR_REMOTE,	 /* a peer process or server failed or answered nonsense */
	ERR_INTERNAL,	 /* our own defect, or a kernel answer nobody expected */
};

struct err {
	enum err_kind kind;
	int sys; /* the errno behind it, or 0 */
	char msg[504];
};
static_assert(sizeof(struct err) == 512 && sizeof(struct err) <= PIPE_BUF,
	      "one atomic write to a pipe");

/* Fill *e; returns -sys, or -EIO where sys is 0: always negative, so `return err_set(...)`. */
[[gnu::format(printf, 4, 5), gnu::nonnull(1)]] int err_set(struct err *e, enum err_kind kind,
							   int sys, const char *fmt, ...);

/* As err_set, the kind derived from the errno, ": strerror" appended. */
[[gnu::format(printf, 3, 4), gnu::nonnull(1)]] int err_sys(struct err *e, int sys, const char *fmt,
							   ...);

/* Prefix the message with "context: "; returns what err_set returned for it. */
[[gnu::format(printf, 2, 3), gnu::nonnull(1)]] int err_ctx(struct err *e, const char *fmt, ...);

/* The kind an errno usually means, for failures of system calls. */
enum err_kind err_kind_of(int sys);

/* A short lower-case word for the kind: "not-found". For logs and JSON. */
const char *err_kind_name(enum err_kind kind);
