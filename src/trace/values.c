/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/values.h"

#include <inttypes.h>
#include <sys/sysmacros.h>

#include "trace/names.h"
#include "trace/structs.h"

#define AT_FDCWD_VALUE (-100)

void value_text(struct buf *out, const char *p, size_t n, size_t most, bool cut)
{
	cut = cut || n > most;
	n = n > most ? most : n;
	buf_addc(out, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char) p[i];
		bool digit = i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '7';

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			buf_addc(out, (char) c);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if (c == '\r')
			buf_adds(out, "\\r");
		else
			buf_addf(out, digit ? "\\%03o" : "\\%o", c);
	}
	buf_adds(out, cut ? "\"..." : "\"");
}

static void address(struct buf *out, uint64_t value)
{
	if (value)
		buf_addf(out, "%#" PRIx64, value);
	else
		buf_adds(out, "NULL");
}

void value_plain(struct buf *out, enum argument_kind kind, uint64_t v)
{
	if (name_value(out, kind, v))
		return;
	switch ((int) kind) {
	case ARGUMENT_INT:
	case ARGUMENT_FD:
	case ARGUMENT_PID:
	case ARGUMENT_PROTOCOL:
		buf_addf(out, "%" PRId32, (int32_t) v);
		break;
	case ARGUMENT_ID:
		buf_addf(out, (uint32_t) v == UINT32_MAX ? "-1" : "%" PRIu32, (uint32_t) v);
		break;
	case ARGUMENT_UINT:
		buf_addf(out, "%" PRIu32, (uint32_t) v);
		break;
	case ARGUMENT_LONG:
		buf_addf(out, "%" PRId64, (int64_t) v);
		break;
	case ARGUMENT_SIZE:
		buf_addf(out, "%" PRIu64, v);
		break;
	case ARGUMENT_HEX:
	case ARGUMENT_FCNTL_ARGUMENT:
		buf_addf(out, v ? "%#" PRIx64 : "%" PRIx64, v);
		break;
	case ARGUMENT_DIRFD:
		if ((int32_t) v == AT_FDCWD_VALUE)
			buf_adds(out, "AT_FDCWD");
		else
			buf_addf(out, "%" PRId32, (int32_t) v);
		break;
	case ARGUMENT_MODE:
		name_mode(out, (uint32_t) v);
		break;
	case ARGUMENT_DEVICE:
		buf_addf(out, "makedev(%#x, %#x)", major(v), minor(v));
		break;
	case ARGUMENT_SIGNAL:
		name_signal(out, v & UINT32_MAX);
		break;
	default: /* an address */
		address(out, v);
	}
}

/* ---- what is behind addresses ---- */

static struct str bytes_of(const struct trace_piece *p)
{
	return (struct str){ p->bytes, p->head.bytes };
}

static bool is_cut(const struct trace_piece *p)
{
	return p->head.flags & TRACE_CUT;
}

static void piece_text(struct buf *out, const struct trace_piece *p, size_t text)
{
	value_text(out, p->bytes, p->head.bytes, text, is_cut(p) && p->head.bytes >= text);
}

/* Words of a list, struct iovecs. False: there is none. */
static bool items(struct buf *out, const struct trace_call *c, unsigned int n, enum trace_what what,
		  size_t text)
{
	bool some = false;

	for (size_t i = 0; i < c->parts_n; i++) {
		const struct trace_piece *p = &c->parts[i];

		if (p->head.argument != n || (p->head.what != what && p->head.what != TRACE_MORE))
			continue;
		buf_adds(out, some ? ", " : "[");
		some = true;
		if (p->head.what == TRACE_MORE) {
			buf_adds(out, "...");
		} else if (what == TRACE_WORD) {
			piece_text(out, p, text);
		} else {
			buf_adds(out, "{iov_base=");
			piece_text(out, p, text);
			buf_addf(out, ", iov_len=%" PRIu64 "}", p->head.of);
		}
	}
	if (some)
		buf_addc(out, ']');
	return some;
}

static bool message(struct buf *out, const struct trace_call *c, unsigned int n, size_t text)
{
	const struct trace_piece *head = trace_find(c, n, TRACE_HEADER),
				 *name = trace_find(c, n, TRACE_ADDRESS);
	uint64_t control = 0, pieces = 0;
	uint32_t flags = 0;

	if (!head || head->head.bytes < 56)
		return false;
	memcpy(&pieces, head->bytes + 24, sizeof(pieces));
	memcpy(&control, head->bytes + 40, sizeof(control));
	memcpy(&flags, head->bytes + 48, sizeof(flags));
	buf_adds(out, "{msg_name=");
	if (!name || !struct_address(out, bytes_of(name)))
		buf_adds(out, "NULL");
	buf_adds(out, ", msg_iov=");
	if (!items(out, c, n, TRACE_PIECE, text))
		buf_adds(out, pieces ? "..." : "NULL");
	buf_addf(out, ", msg_iovlen=%" PRIu64 ", msg_controllen=%" PRIu64 ", msg_flags=", pieces,
		 control);
	value_plain(out, ARGUMENT_MSG_FLAGS, flags);
	buf_addc(out, '}');
	return true;
}

static bool option_value(struct buf *out, const struct trace_piece *p, size_t text)
{
	if (p->head.bytes == 4)
		return struct_text(out, ARGUMENT_INT_IN, bytes_of(p));
	piece_text(out, p, text);
	return true;
}

/* Of one part. */
static bool whole(struct buf *out, const struct trace_call *c, enum argument_kind kind,
		  unsigned int n, size_t text)
{
	const struct trace_piece *p = trace_find(c, n, TRACE_WHOLE);
	uint32_t count;

	if (!p)
		return false;
	switch ((int) kind) {
	case ARGUMENT_PATH:
	case ARGUMENT_TEXT_OUT:
		value_text(out, p->bytes, p->head.bytes, SIZE_MAX, is_cut(p));
		return true;
	case ARGUMENT_TEXT:
	case ARGUMENT_BYTES:
	case ARGUMENT_BYTES_OUT:
		piece_text(out, p, text);
		return true;
	case ARGUMENT_ADDRESS:
	case ARGUMENT_ADDRESS_OUT:
		return struct_address(out, bytes_of(p));
	case ARGUMENT_OPTION_VALUE:
	case ARGUMENT_OPTION_VALUE_OUT:
		return option_value(out, p, text);
	case ARGUMENT_POLLFDS:
		return struct_pollfds(out, bytes_of(p), c->head.kind == TRACE_EXIT);
	case ARGUMENT_EPOLL_EVENTS_OUT:
		return struct_epoll_events(out, bytes_of(p));
	case ARGUMENT_ENVIRONMENT:
		if (p->head.bytes < sizeof(count))
			return false;
		memcpy(&count, p->bytes, sizeof(count));
		address(out, c->head.args[n]);
		buf_addf(out, " /* %" PRIu32 " vars */", count);
		return true;
	default:
		return struct_text(out, kind, bytes_of(p));
	}
}

void value_argument(struct buf *out, const struct trace_call *c, enum argument_kind kind,
		    unsigned int n, size_t text)
{
	bool done;

	switch ((enum argument_shape) argument_infos[kind].shape) {
	case SHAPE_VALUE:
		done = false;
		break;
	case SHAPE_PIECES:
		done = items(out, c, n, TRACE_PIECE, text);
		break;
	case SHAPE_WORDS:
		done = items(out, c, n, TRACE_WORD, text);
		break;
	case SHAPE_MESSAGE:
		done = message(out, c, n, text);
		break;
	default:
		done = whole(out, c, kind, n, text);
	}
	if (!done)
		value_plain(out, kind, c->head.args[n]);
}

/* ---- results ---- */

/* The kernel's own numbers, which no guest sees. */
static const char *restart(int64_t result)
{
	switch (result) {
	case -512:
		return "ERESTARTSYS (To be restarted if SA_RESTART is set)";
	case -513:
		return "ERESTARTNOINTR (To be restarted)";
	case -514:
		return "ERESTARTNOHAND (To be restarted if no handler)";
	case -516:
		return "ERESTART_RESTARTBLOCK (Interrupted by signal)";
	default:
		return NULL;
	}
}

void value_result(struct buf *out, unsigned int nr, int64_t result)
{
	uint64_t error = -(uint64_t) result;

	if (restart(result)) {
		buf_addf(out, "? %s", restart(result));
	} else if (error > 0 && error < 4096 && name_error((unsigned int) error)) {
		buf_addf(out, "-1 %s (%s)", name_error((unsigned int) error),
			 strerror((int) error));
	} else {
		switch (call_arguments(nr)->result) {
		case RESULT_NEVER:
			buf_addc(out, '?');
			break;
		case RESULT_ADDRESS:
			buf_addf(out, "%#" PRIx64, (uint64_t) result);
			break;
		case RESULT_MODE:
			name_mode(out, (uint32_t) result);
			break;
		default:
			buf_addf(out, "%" PRId64, result);
		}
	}
}
