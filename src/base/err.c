/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int err_result(int sys)
{
	return sys > 0 ? -sys : -EIO;
}

[[gnu::format(printf, 4, 0)]] static void err_vset(struct err *e, enum err_kind kind, int sys,
						   const char *fmt, va_list ap)
{
	char text[sizeof(e->msg)]; /* an argument may point into e->msg */

	(void) vsnprintf(text, sizeof(text), fmt, ap);
	e->kind = kind;
	e->sys = sys;
	memcpy(e->msg, text, sizeof(e->msg));
}

int err_set(struct err *e, enum err_kind kind, int sys, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, kind, sys, fmt, ap);
	va_end(ap);
	return err_result(sys);
}

int err_sys(struct err *e, int sys, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	err_vset(e, err_kind_of(sys), sys, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	(void) snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(sys));
	return err_result(sys);
}

int err_ctx(struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->msg)];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t) n < sizeof(text))
		(void) snprintf(text + n, sizeof(text) - (size_t) n, ": %s", e->msg);
	memcpy(e->msg, text, sizeof(e->msg));
	return err_result(e->sys);
}

enum err_kind err_kind_of(int sys)
{
	switch (sys) {
	case 0:
		return ERR_NONE;
	case EINVAL:
	case ENAMETOOLONG:
	case ELOOP:
	case EBADMSG:
	case E2BIG:
		return ERR_INVALID;
	case ENOENT:
	case ESRCH:
	case ENODEV:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
	case EBUSY:
	case ENOTEMPTY:
		return ERR_CONFLICT;
	case EPERM:
	case EACCES:
	case EROFS:
		return ERR_DENIED;
	case ENOSYS:
	case EOPNOTSUPP:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return ERR_UNSUPPORTED;
	case ENOMEM:
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case EFBIG:
		return ERR_EXHAUSTED;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case EPROTO:
		return ERR_REMOTE;
	default:
		return ERR_INTERNAL;
	}
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",	       [ERR_INVALID] = "invalid",
		[ERR_NOT_FOUND] = "not-found", [ERR_CONFLICT] = "conflict",
		[ERR_DENIED] = "denied",       [ERR_UNSUPPORTED] = "unsupported",
		[ERR_EXHAUSTED] = "exhausted", [ERR_TIMEOUT] = "timeout",
		[ERR_REMOTE] = "remote",       [ERR_INTERNAL] = "internal",
	};

	return names[kind];
}
