/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "kernel/syscall/list/calls.h"
#include "trace/names.h"
#include "trace/values.h"

#define LINE_MAX_BYTES ((size_t) 64 << 10)
#define CREATES	       (0100 | 020000000) /* O_CREAT, and O_TMPFILE's own bit: a mode follows */

void line_name(struct buf *out, unsigned int nr)
{
	size_t n;
	const struct call_info *calls = call_list(&n);

	for (size_t i = 0; i < n; i++)
		if (calls[i].nr == nr) {
			buf_adds(out, calls[i].name);
			return;
		}
	buf_addf(out, "syscall_%#x", nr);
}

/* ---- how a line begins ---- */

static void begin(struct lines *l, int64_t at, uint32_t tid, struct buf *out)
{
	time_t seconds = at / NSEC_PER_SEC;
	int64_t since = l->last ? at - l->last : 0;
	struct tm tm;

	if (l->style.clock && localtime_r(&seconds, &tm))
		buf_addf(out, "%02d:%02d:%02d.%06" PRId64 " ", tm.tm_hour, tm.tm_min, tm.tm_sec,
			 at % NSEC_PER_SEC / 1000);
	if (l->style.relative)
		buf_addf(out, "%6" PRId64 ".%06" PRId64 " ", since > 0 ? since / NSEC_PER_SEC : 0,
			 since > 0 ? since % NSEC_PER_SEC / 1000 : 0);
	l->last = at;
	if (tid)
		buf_addf(out, "[pid %" PRIu32 "] ", tid);
}

/* ---- arguments ---- */

static unsigned int count_of(const struct call_arguments *a)
{
	unsigned int n = 0;

	while (n < ARGUMENTS_MOST && a->kinds[n] != ARGUMENT_NONE)
		n++;
	return n;
}

/* What no call with these other arguments has. */
static bool left_out(const struct trace_call *c, const struct call_arguments *a, unsigned int n)
{
	static const unsigned char alone[] = { 1, 3, 9, 11, 25, 34 }; /* F_GETFD, F_GETFL, ... */
	uint64_t before = n ? c->head.args[n - 1] : 0;

	if (n == 0)
		return false;
	if (a->kinds[n] == ARGUMENT_MODE && a->kinds[n - 1] == ARGUMENT_OPEN_FLAGS)
		return !(before & CREATES);
	if (a->kinds[n] == ARGUMENT_FCNTL_ARGUMENT)
		for (size_t i = 0; i < sizeof(alone); i++)
			if (before == alone[i])
				return true;
	return a->kinds[n] == ARGUMENT_FCNTL_ARGUMENT && (before == 1032 || before == 1034);
}

/* Nothing, where it is left out. */
static void add_argument(const struct lines *l, const struct trace_call *c,
			 const struct call_arguments *a, unsigned int n, struct buf *out)
{
	if (left_out(c, a, n))
		return;
	if (a->kinds[n] == ARGUMENT_FCNTL_ARGUMENT && (uint32_t) c->head.args[n - 1] == 4)
		value_plain(out, ARGUMENT_OPEN_FLAGS, c->head.args[n]);
	else if (a->kinds[n] == ARGUMENT_FCNTL_ARGUMENT && (uint32_t) c->head.args[n - 1] == 2)
		buf_adds(out, c->head.args[n] == 1 ? "FD_CLOEXEC" : "0");
	else
		value_argument(out, c, (enum argument_kind) a->kinds[n], n, l->style.text);
}

/* Only as the call ends is it known. */
static bool comes_out(const struct call_arguments *a, unsigned int n)
{
	return argument_infos[a->kinds[n]].when == ARGUMENT_OUT;
}

/* ---- calls that have begun ---- */

static struct line_pending *find(struct lines *l, uint32_t tid)
{
	for (size_t n = 0; n < l->n; n++)
		if (l->pending[n].tid == tid)
			return &l->pending[n];
	return NULL;
}

static void forget(struct lines *l, struct line_pending *p)
{
	free(p->text);
	*p = l->pending[--l->n];
}

static struct line_pending *room_for_one(struct lines *l)
{
	if (!l->pending)
		l->pending = calloc(LINES_PENDING_MAX, sizeof(*l->pending));
	return l->pending && l->n < LINES_PENDING_MAX ? &l->pending[l->n++] : NULL;
}

static void join(struct buf *out, bool *some, struct str text)
{
	if (text.n == 0)
		return;
	if (*some)
		buf_adds(out, ", ");
	*some = true;
	buf_addstr(out, text);
}

/* Argument n as its call's beginning had it. */
static struct str part_of(const struct line_pending *p, unsigned int n)
{
	size_t begins = n ? p->ends[n - 1] : 0;

	return p->text ? (struct str){ p->text + begins, p->ends[n] - begins } : (struct str){};
}

/* Up to the first argument that is not known yet. */
static void tell(struct lines *l, struct line_pending *p, struct buf *out)
{
	const struct call_arguments *a = call_arguments(p->nr);
	unsigned int n = 0, count = count_of(a);
	bool some = false;

	if (p->told)
		return;
	begin(l, p->at, p->tid, out);
	line_name(out, p->nr);
	buf_addc(out, '(');
	for (; n < count && !comes_out(a, n); n++)
		join(out, &some, part_of(p, n));
	if (some && n < count)
		buf_adds(out, ", ");
	p->shown = n;
	p->told = true;
}

static void tell_unfinished(struct lines *l, struct line_pending *p, struct buf *out)
{
	if (p->told)
		return;
	tell(l, p, out);
	buf_adds(out, " <unfinished ...>\n");
}

static void entry(struct lines *l, const struct trace_call *c, struct buf *out)
{
	const struct call_arguments *a = call_arguments(c->head.nr);
	auto_buf struct buf text = BUF_INIT(LINE_MAX_BYTES);
	struct line_pending *p = find(l, c->head.tid), one = {};
	bool kept = true;

	if (p) { /* its end was not told */
		tell_unfinished(l, p, out);
		forget(l, p);
	}
	p = room_for_one(l);
	if (!p) {
		kept = false;
		p = &one;
	}
	*p = (struct line_pending){ .tid = c->head.tid, .nr = c->head.nr, .at = c->head.at };
	for (unsigned int n = 0; n < count_of(a); n++) {
		if (!comes_out(a, n))
			add_argument(l, c, a, n, &text);
		p->ends[n] = text.n;
	}
	if (!buf_ok(&text)) /* of no call: arguments as numbers, at most */
		memset(p->ends, 0, sizeof(p->ends));
	p->text = buf_take(&text);
	if (!p->text)
		memset(p->ends, 0, sizeof(p->ends));
	if (!kept) {
		tell_unfinished(l, p, out);
		free(p->text);
	}
}

/* ---- and ended ---- */

/* p: its beginning; NULL: that was before the trace, and told is what came out alone. */
static void rest_of_arguments(const struct lines *l, const struct trace_call *c,
			      const struct line_pending *p, unsigned int from, struct buf *out)
{
	const struct call_arguments *a = call_arguments(c->head.nr);
	bool some = false;

	for (unsigned int n = from; n < count_of(a); n++) {
		auto_buf struct buf text = BUF_INIT(LINE_MAX_BYTES);

		if (p && !comes_out(a, n)) {
			join(out, &some, part_of(p, n));
		} else if (comes_out(a, n)) {
			add_argument(l, c, a, n, &text);
			join(out, &some, buf_str(&text));
		}
	}
}

/* What poll(2) wrote is told after its result. */
static void told_after(const struct lines *l, const struct trace_call *c, struct buf *out)
{
	if (call_arguments(c->head.nr)->kinds[0] != ARGUMENT_POLLFDS || c->head.result <= 0 ||
	    !trace_find(c, 0, TRACE_WHOLE))
		return;
	buf_adds(out, " (");
	value_argument(out, c, ARGUMENT_POLLFDS, 0, l->style.text);
	buf_addc(out, ')');
}

static void leave(struct lines *l, const struct trace_call *c, struct buf *out)
{
	struct line_pending *p = find(l, c->head.tid);
	int64_t took = c->head.took;

	if (p && p->nr != c->head.nr) {
		tell_unfinished(l, p, out);
		forget(l, p);
		p = NULL;
	}
	if (p && !p->told) {
		begin(l, p->at, p->tid, out);
		line_name(out, p->nr);
		buf_addc(out, '(');
		rest_of_arguments(l, c, p, 0, out);
	} else {
		begin(l, c->head.at, c->head.tid, out);
		buf_adds(out, "<... ");
		line_name(out, c->head.nr);
		buf_adds(out, " resumed>");
		rest_of_arguments(l, c, p, p ? p->shown : 0, out);
	}
	buf_adds(out, ") = ");
	value_result(out, c->head.nr, c->head.result);
	told_after(l, c, out);
	if (l->style.durations && took >= 0)
		buf_addf(out, " <%" PRId64 ".%06" PRId64 ">", took / NSEC_PER_SEC,
			 took % NSEC_PER_SEC / 1000);
	buf_addc(out, '\n');
	if (p)
		forget(l, p);
}

/* ---- the rest ---- */

static void signal_line(struct lines *l, const struct trace_call *c, struct buf *out)
{
	const uint64_t *a = c->head.args;

	begin(l, c->head.at, c->head.tid, out);
	buf_adds(out, "--- ");
	name_signal(out, a[0]);
	buf_adds(out, " {si_signo=");
	name_signal(out, a[0]);
	buf_adds(out, ", si_code=");
	name_signal_code(out, a[0], (int64_t) a[1]);
	if (a[0] == 4 || a[0] == 7 || a[0] == 8 || a[0] == 11)
		buf_addf(out, ", si_addr=%#" PRIx64, a[4]);
	else
		buf_addf(out, ", si_pid=%" PRIu32 ", si_uid=%" PRIu32, (uint32_t) a[2],
			 (uint32_t) a[3]);
	buf_adds(out, "} ---\n");
}

static void end_line(struct lines *l, const struct trace_call *c, struct buf *out)
{
	struct line_pending *p = find(l, c->head.tid);
	uint32_t status = (uint32_t) c->head.result;

	if (p) {
		if (p->told) {
			begin(l, c->head.at, p->tid, out);
			buf_adds(out, "<... ");
			line_name(out, p->nr);
			buf_adds(out, " resumed>");
		} else {
			tell(l, p, out);
		}
		buf_adds(out, ") = ?\n");
		forget(l, p);
	}
	begin(l, c->head.at, c->head.tid, out);
	if (c->head.result < 0) {
		buf_adds(out, "+++ exited +++\n");
	} else if (status & 0x7f) {
		buf_adds(out, "+++ killed by ");
		name_signal(out, status & 0x7f);
		buf_adds(out, status & 0x80 ? " (core dumped) +++\n" : " +++\n");
	} else {
		buf_addf(out, "+++ exited with %" PRIu32 " +++\n", status >> 8 & 0xff);
	}
}

void lines_add(struct lines *l, const struct trace_call *c, struct buf *out)
{
	switch ((enum trace_kind) c->head.kind) {
	case TRACE_ENTRY:
		entry(l, c, out);
		break;
	case TRACE_EXIT:
		leave(l, c, out);
		break;
	case TRACE_SIGNAL:
		signal_line(l, c, out);
		break;
	case TRACE_END:
		end_line(l, c, out);
		break;
	case TRACE_LOST:
		begin(l, c->head.at, 0, out);
		buf_addf(out,
			 "*** %" PRId64 " records are missing: they came faster than they "
			 "were read ***\n",
			 c->head.result);
		break;
	}
}

void lines_tell(struct lines *l, int64_t before, struct buf *out)
{
	for (size_t n = 0; n < l->n; n++)
		if (l->pending[n].at <= before)
			tell_unfinished(l, &l->pending[n], out);
}

bool lines_wait(const struct lines *l)
{
	for (size_t n = 0; n < l->n; n++)
		if (!l->pending[n].told)
			return true;
	return false;
}

void lines_fini(struct lines *l)
{
	while (l->n)
		forget(l, &l->pending[l->n - 1]);
	free(l->pending);
	l->pending = NULL;
}
