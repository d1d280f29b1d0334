/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/structs.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sys/sysmacros.h>

#include "base/auto.h"
#include "trace/names.h"
#include "trace/values.h"

/* Of x86-64, whose guests these are of: little-endian, and read at any place. */
static uint64_t number(struct str s, size_t at, size_t bytes)
{
	uint64_t v = 0;

	if (at + bytes <= s.n)
		memcpy(&v, s.p + at, bytes);
	return v;
}

static uint32_t u32(struct str s, size_t at)
{
	return (uint32_t) number(s, at, 4);
}

static uint64_t u64(struct str s, size_t at)
{
	return number(s, at, 8);
}

static int64_t i64(struct str s, size_t at)
{
	return (int64_t) u64(s, at);
}

/* ---- times ---- */

static void time_text(struct buf *out, struct str s, size_t at, const char *part)
{
	buf_addf(out, "{tv_sec=%" PRId64 ", tv_%s=%" PRId64 "}", i64(s, at), part, i64(s, at + 8));
}

static void set_time(struct buf *out, struct str s, size_t at)
{
	int64_t ns = i64(s, at + 8);

	if (ns == 0x3fffffff)
		buf_adds(out, "UTIME_NOW");
	else if (ns == 0x3ffffffe)
		buf_adds(out, "UTIME_OMIT");
	else
		time_text(out, s, at, "nsec");
}

static void timer_text(struct buf *out, struct str s, const char *part)
{
	buf_adds(out, "{it_interval=");
	time_text(out, s, 0, part);
	buf_adds(out, ", it_value=");
	time_text(out, s, 16, part);
	buf_addc(out, '}');
}

/* ---- files ---- */

static void stat_text(struct buf *out, struct str s)
{
	uint32_t mode = u32(s, 24);

	buf_adds(out, "{st_mode=");
	name_mode(out, mode);
	if ((mode & 0170000) == 0020000 || (mode & 0170000) == 0060000)
		buf_addf(out, ", st_rdev=makedev(%#x, %#x)", major(u64(s, 40)), minor(u64(s, 40)));
	else
		buf_addf(out, ", st_size=%" PRId64, i64(s, 48));
	buf_adds(out, ", ...}");
}

static void statx_text(struct buf *out, struct str s)
{
	buf_adds(out, "{stx_mask=");
	(void) name_value(out, ARGUMENT_STATX_MASK, u32(s, 0)); /* it has names */
	buf_adds(out, ", stx_mode=");
	name_mode(out, (uint32_t) number(s, 28, 2));
	buf_addf(out, ", stx_size=%" PRIu64 ", ...}", u64(s, 40));
}

static void statfs_text(struct buf *out, struct str s)
{
	buf_addf(out,
		 "{f_type=%#" PRIx64 ", f_bsize=%" PRIu64 ", f_blocks=%" PRIu64 ", f_bfree=%" PRIu64
		 ", ...}",
		 u64(s, 0), u64(s, 8), u64(s, 16), u64(s, 24));
}

static void open_how(struct buf *out, struct str s)
{
	buf_adds(out, "{flags=");
	(void) name_value(out, ARGUMENT_OPEN_FLAGS, u64(s, 0)); /* it has names */
	if (u64(s, 8))
		buf_addf(out, ", mode=%#03" PRIo64, u64(s, 8));
	buf_adds(out, ", resolve=");
	name_resolve_flags(out, u64(s, 16));
	buf_addc(out, '}');
}

/* ---- processes ---- */

static void status_text(struct buf *out, uint32_t status)
{
	uint32_t sig = status & 0x7f;

	if (sig == 0) {
		buf_addf(out, "[{WIFEXITED(s) && WEXITSTATUS(s) == %u}]", status >> 8 & 0xff);
	} else if (status == 0xffff) {
		buf_adds(out, "[{WIFCONTINUED(s)}]");
	} else if (sig == 0x7f) {
		buf_adds(out, "[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
		name_signal(out, status >> 8 & 0xff);
		buf_adds(out, "}]");
	} else {
		buf_adds(out, "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
		name_signal(out, sig);
		buf_adds(out, status & 0x80 ? " && WCOREDUMP(s)}]" : "}]");
	}
}

static void limit_value(struct buf *out, uint64_t v)
{
	if (v == UINT64_MAX)
		buf_adds(out, "RLIM64_INFINITY");
	else if (v && v % 1024 == 0)
		buf_addf(out, "%" PRIu64 "*1024", v / 1024);
	else
		buf_addf(out, "%" PRIu64, v);
}

static void action_text(struct buf *out, struct str s)
{
	uint64_t handler = u64(s, 0);

	buf_adds(out, "{sa_handler=");
	if (handler <= 1)
		buf_adds(out, handler ? "SIG_IGN" : "SIG_DFL");
	else
		buf_addf(out, "%#" PRIx64, handler);
	buf_adds(out, ", sa_mask=");
	name_signals(out, u64(s, 24));
	buf_adds(out, ", sa_flags=");
	name_action_flags(out, u64(s, 8));
	if (u64(s, 8) & 0x04000000)
		buf_addf(out, ", sa_restorer=%#" PRIx64, u64(s, 16));
	buf_addc(out, '}');
}

static void clone_args(struct buf *out, struct str s)
{
	buf_adds(out, "{flags=");
	(void) name_value(out, ARGUMENT_CLONE_FLAGS, u64(s, 0) & ~(uint64_t) 0xff); /* names */
	buf_adds(out, ", exit_signal=");
	name_signal(out, u64(s, 32));
	if (u64(s, 40))
		buf_addf(out, ", stack=%#" PRIx64 ", stack_size=%#" PRIx64, u64(s, 40), u64(s, 48));
	buf_addc(out, '}');
}

static void names_text(struct buf *out, struct str s)
{
	static const char *const members[] = { "sysname", "nodename", "release" };

	buf_addc(out, '{');
	for (size_t n = 0; n < ARRAY_SIZE(members); n++) {
		const char *p = s.p + n * 65;

		buf_addf(out, "%s%s=", n ? ", " : "", members[n]);
		value_text(out, p, strnlen(p, 65), 65, false);
	}
	buf_adds(out, ", ...}");
}

bool struct_text(struct buf *out, enum argument_kind kind, struct str s)
{
	if (s.n < argument_infos[kind].unit)
		return false;
	switch ((int) kind) {
	case ARGUMENT_INT_IN:
	case ARGUMENT_INT_OUT:
		buf_addf(out, "[%" PRId32 "]", (int32_t) u32(s, 0));
		return true;
	case ARGUMENT_OFFSET_INOUT:
		buf_addf(out, "[%" PRId64 "]", i64(s, 0));
		return true;
	case ARGUMENT_PIPE_OUT:
		buf_addf(out, "[%" PRId32 ", %" PRId32 "]", (int32_t) u32(s, 0),
			 (int32_t) u32(s, 4));
		return true;
	case ARGUMENT_STATUS_OUT:
		status_text(out, u32(s, 0));
		return true;
	case ARGUMENT_STAT_OUT:
		stat_text(out, s);
		return true;
	case ARGUMENT_STATX_OUT:
		statx_text(out, s);
		return true;
	case ARGUMENT_STATFS_OUT:
		statfs_text(out, s);
		return true;
	case ARGUMENT_TIMESPEC:
	case ARGUMENT_TIMESPEC_OUT:
		time_text(out, s, 0, "nsec");
		return true;
	case ARGUMENT_TIMESPECS:
		buf_addc(out, '[');
		set_time(out, s, 0);
		buf_adds(out, ", ");
		set_time(out, s, 16);
		buf_addc(out, ']');
		return true;
	case ARGUMENT_TIMEVAL:
	case ARGUMENT_TIMEVAL_OUT:
		time_text(out, s, 0, "usec");
		return true;
	case ARGUMENT_ITIMERSPEC:
	case ARGUMENT_ITIMERSPEC_OUT:
		timer_text(out, s, "nsec");
		return true;
	case ARGUMENT_ITIMERVAL:
	case ARGUMENT_ITIMERVAL_OUT:
		timer_text(out, s, "usec");
		return true;
	case ARGUMENT_RLIMIT:
	case ARGUMENT_RLIMIT_OUT:
		buf_adds(out, "{rlim_cur=");
		limit_value(out, u64(s, 0));
		buf_adds(out, ", rlim_max=");
		limit_value(out, u64(s, 8));
		buf_addc(out, '}');
		return true;
	case ARGUMENT_SIGSET:
	case ARGUMENT_SIGSET_OUT:
		name_signals(out, u64(s, 0));
		return true;
	case ARGUMENT_SIGACTION:
	case ARGUMENT_SIGACTION_OUT:
		action_text(out, s);
		return true;
	case ARGUMENT_UTSNAME_OUT:
		names_text(out, s);
		return true;
	case ARGUMENT_CLONE_ARGS:
		clone_args(out, s);
		return true;
	case ARGUMENT_OPEN_HOW:
		open_how(out, s);
		return true;
	case ARGUMENT_EPOLL_EVENT:
		buf_adds(out, "{events=");
		name_epoll_events(out, u32(s, 0));
		buf_addf(out, ", data=%#" PRIx64 "}", u64(s, 4));
		return true;
	default:
		return false;
	}
}

/* ---- sockets ---- */

static void inet_text(struct buf *out, struct str s)
{
	char text[INET_ADDRSTRLEN];

	/* It fits, and the family is known. */
	(void) inet_ntop(AF_INET, s.p + 4, text, sizeof(text));
	buf_addf(out, "{sa_family=AF_INET, sin_port=htons(%u), sin_addr=inet_addr(\"%s\")}",
		 ntohs((uint16_t) number(s, 2, 2)), text);
}

static void inet6_text(struct buf *out, struct str s)
{
	char text[INET6_ADDRSTRLEN];

	(void) inet_ntop(AF_INET6, s.p + 8, text, sizeof(text));
	buf_addf(out, "{sa_family=AF_INET6, sin6_port=htons(%u), inet_pton(AF_INET6, \"%s\")",
		 ntohs((uint16_t) number(s, 2, 2)), text);
	if (u32(s, 24))
		buf_addf(out, ", sin6_scope_id=%u", u32(s, 24));
	buf_addc(out, '}');
}

static void unix_text(struct buf *out, struct str s)
{
	struct str path = { s.p + 2, s.n - 2 };

	buf_adds(out, "{sa_family=AF_UNIX");
	if (path.n && path.p[0]) {
		buf_adds(out, ", sun_path=");
		value_text(out, path.p, strnlen(path.p, path.n), path.n, false);
	} else if (path.n) {
		buf_adds(out, ", sun_path=@");
		value_text(out, path.p + 1, path.n - 1, path.n, false);
	}
	buf_addc(out, '}');
}

bool struct_address(struct buf *out, struct str s)
{
	uint16_t family = (uint16_t) number(s, 0, 2);

	if (s.n < 2)
		return false;
	if (family == AF_UNIX) {
		unix_text(out, s);
	} else if (family == AF_INET && s.n >= 8) {
		inet_text(out, s);
	} else if (family == AF_INET6 && s.n >= 24) {
		inet6_text(out, s);
	} else if (family == AF_NETLINK && s.n >= 12) {
		buf_addf(out, "{sa_family=AF_NETLINK, nl_pid=%u, nl_groups=%#x}", u32(s, 4),
			 u32(s, 8));
	} else {
		buf_adds(out, "{sa_family=");
		(void) name_value(out, ARGUMENT_FAMILY, family); /* it has names */
		buf_adds(out, ", sa_data=");
		value_text(out, s.p + 2, s.n - 2, s.n, false);
		buf_addc(out, '}');
	}
	return true;
}

bool struct_pollfds(struct buf *out, struct str s, bool told)
{
	bool some = false;

	buf_addc(out, '[');
	for (size_t at = 0; at + 8 <= s.n; at += 8) {
		uint32_t events = (uint32_t) number(s, at + (told ? 6 : 4), 2);

		if (told && !events)
			continue;
		buf_addf(out, "%s{fd=%" PRId32 ", %s=", some ? ", " : "", (int32_t) u32(s, at),
			 told ? "revents" : "events");
		name_poll_events(out, events);
		buf_addc(out, '}');
		some = true;
	}
	buf_addc(out, ']');
	return true;
}

bool struct_epoll_events(struct buf *out, struct str s)
{
	buf_addc(out, '[');
	for (size_t at = 0; at + 12 <= s.n; at += 12) {
		if (at)
			buf_adds(out, ", ");
		(void) struct_text(out, ARGUMENT_EPOLL_EVENT,
				   (struct str){ s.p + at, 12 }); /* enough */
	}
	buf_addc(out, ']');
	return true;
}
