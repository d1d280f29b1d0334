/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/trace.h"

#include <errno.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/sandbox.h"

#define ASK_WITHIN (10 * NSEC_PER_SEC)

static_assert(sizeof(((struct engine_trace *) 0)->calls) == SENTRY_TRACE_CALLS, "as it travels");

int sandbox_trace(int state_fd, const struct engine_trace *t, int *ret_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sandbox s = { .kernel_fd = state_fd };
	struct sentry_request q = sentry_request(SENTRY_TRACE);
	auto_fd int sock = control_dial(&s, e);
	struct sentry_reply answer;

	if (sock < 0)
		return sock;
	q.calls = (struct str){ (const char *) t->calls, sizeof(t->calls) };
	q.pids = (struct str){ (const char *) t->pids, t->pids_n * sizeof(*t->pids) };
	q.text = t->text;
	q.entries = t->entries;
	q.signals = t->signals;
	if (control_ask_on(sock, &q, clock_deadline(ASK_WITHIN), &a, &answer, e) < 0)
		return -1;
	*ret_fd = take_fd(&sock);
	return 0;
}

/* ---- what was refused ---- */

static int ask(const struct sandbox *s, struct arena *a, struct engine_refusals *ret, struct err *e)
{
	const struct sentry_request q = sentry_request(SENTRY_REFUSED);
	struct sentry_reply answer;
	int r = control_ask(s, &q, clock_deadline(ASK_WITHIN), a, &answer, e);

	if (r < 0)
		return r;
	*ret = (struct engine_refusals){ .v = arena_array(a, answer.refused.n + 1, sizeof(*ret->v)),
					 .n = answer.refused.n,
					 .others = answer.others };
	if (!ret->v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many calls were refused");
	for (size_t n = 0; n < ret->n; n++)
		ret->v[n] = (struct engine_refused){ .nr = answer.refused.v[n].nr,
						     .error = answer.refused.v[n].error,
						     .which = answer.refused.v[n].which,
						     .count = answer.refused.v[n].count,
						     .filtered = answer.refused.v[n].filtered };
	return 0;
}

/* "NUMBER ERRNO WHICH COUNT" */
static bool take_line(struct str line, struct engine_refused *ret)
{
	struct str rest;

	return num_parse_u64(str_cut(line, ' ', &rest), 0, UINT32_MAX, &ret->nr) == 0 &&
	       num_parse_u64(str_cut(rest, ' ', &rest), 0, 4095, &ret->error) == 0 &&
	       num_parse_u64(str_cut(rest, ' ', &rest), 0, UINT64_MAX, &ret->which) == 0 &&
	       num_parse_u64(rest, 0, UINT64_MAX, &ret->count) == 0;
}

/* Lines that are none of them are left out: a program that crashed may have written half of one. */
static int read_report(const struct sandbox *s, struct arena *a, struct engine_refusals *ret,
		       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(SANDBOX_END_MAX);
	struct engine_refusals all = {};
	int r = file_read(s->state_fd, SANDBOX_END, &text);
	struct str rest = buf_str(&text);

	if (r < 0 || text.n == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "nothing is known of the calls of its last run: it was killed, or "
			       "never ran");
	while (rest.p && rest.n) {
		struct str line = str_cut(rest, '\n', &rest), value;
		struct str key = str_cut(line, ' ', &value);
		bool filtered = str_is(key, "filtered");
		struct engine_refused one = { .filtered = filtered };

		if (str_is(key, "others")) {
			(void) num_parse_u64(value, 0, UINT64_MAX, &all.others); /* or 0 */
		} else if ((filtered || str_is(key, "refused")) && value.p &&
			   take_line(value, &one)) {
			struct engine_refused *v = arena_push(a, &all.v, &all.n, sizeof(*all.v));

			if (!v)
				return err_set(e, ERR_EXHAUSTED, ENOMEM,
					       "too many calls were refused");
			*v = one;
		}
	}
	*ret = all;
	return 0;
}

int sandbox_refused(int state_fd, struct arena *a, struct engine_refusals *ret, struct err *e)
{
	const struct sandbox s = { .state_fd = state_fd, .kernel_fd = state_fd };
	int r = ask(&s, a, ret, e);

	return r < 0 && e->kind == ERR_CONFLICT ? read_report(&s, a, ret, e) : r;
}
