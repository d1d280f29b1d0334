/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/summary.h"

#include <inttypes.h>

#include "trace/lines.h"

void summary_add(struct summary *s, const struct trace_call *c)
{
	uint32_t nr = c->head.nr < SUMMARY_CALLS ? c->head.nr : SUMMARY_CALLS - 1;

	if (c->head.kind == TRACE_LOST)
		s->lost += c->head.result > 0 ? (uint64_t) c->head.result : 0;
	if (c->head.kind != TRACE_EXIT)
		return;
	s->v[nr].calls++;
	s->v[nr].errors += c->head.result < 0 && c->head.result > -4096;
	s->v[nr].ns += c->head.took > 0 ? (uint64_t) c->head.took : 0;
}

static double percent(uint64_t part, uint64_t all)
{
	return all ? (double) part * 100 / (double) all : 0;
}

static void row(struct buf *out, uint64_t ns, uint64_t all_ns, uint64_t calls, uint64_t errors)
{
	buf_addf(out, "%6.2f %11.6f %11" PRIu64 " %9" PRIu64 " ", percent(ns, all_ns),
		 (double) ns / 1e9, calls ? ns / calls / 1000 : 0, calls);
	if (errors)
		buf_addf(out, "%9" PRIu64 " ", errors);
	else
		buf_adds(out, "          ");
}

static bool before(const struct summary *s, unsigned int a, unsigned int b)
{
	return s->v[a].ns != s->v[b].ns ? s->v[a].ns > s->v[b].ns : s->v[a].calls > s->v[b].calls;
}

void summary_print(const struct summary *s, struct buf *out)
{
	static const char rule[] = "------ ----------- ----------- --------- --------- "
				   "----------------\n";
	unsigned int order[SUMMARY_CALLS], n = 0;
	uint64_t ns = 0, calls = 0, errors = 0;

	for (unsigned int nr = 0; nr < SUMMARY_CALLS; nr++) {
		unsigned int at = n;

		if (!s->v[nr].calls)
			continue;
		ns += s->v[nr].ns;
		calls += s->v[nr].calls;
		errors += s->v[nr].errors;
		for (; at > 0 && before(s, nr, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = nr;
		n++;
	}
	buf_addf(out, "%% time     seconds  usecs/call     calls    errors syscall\n%s", rule);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int nr = order[i];

		row(out, s->v[nr].ns, ns, s->v[nr].calls, s->v[nr].errors);
		line_name(out, nr);
		buf_addc(out, '\n');
	}
	buf_adds(out, rule);
	row(out, ns, ns, calls, errors);
	buf_adds(out, "total\n");
	if (s->lost)
		buf_addf(out,
			 "%" PRIu64 " calls are missing: they came faster than they were read\n",
			 s->lost);
}
