/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/advisory.h"

#include <errno.h>
#include <strings.h>

#include "base/auto.h"

static const char *const severities[SEVERITIES] = {
	[SEVERITY_UNKNOWN] = "unknown", [SEVERITY_NEGLIGIBLE] = "negligible",
	[SEVERITY_LOW] = "low",		[SEVERITY_MEDIUM] = "medium",
	[SEVERITY_HIGH] = "high",	[SEVERITY_CRITICAL] = "critical",
};

const char *severity_name(enum severity s)
{
	return severities[s];
}

int severity_parse(struct str s, enum severity *ret)
{
	for (size_t i = 0; i < SEVERITIES; i++)
		if (s.n == strlen(severities[i]) && strncasecmp(s.p, severities[i], s.n) == 0) {
			*ret = (enum severity) i;
			return 0;
		}
	return -EINVAL;
}

/* ---- lines ---- */

static bool when_ok(struct str when)
{
	if (!when.n || when.n > ADVISORY_WHEN_MAX)
		return false;
	for (bool first = true; when.p; first = false) {
		struct str word = str_cut(when, ' ', &when);

		if (!package_word_ok(word) || !strchr("IFULENB", *word.p) ||
		    (*word.p == 'B' ? !first || word.n != 1 : word.n < 2))
			return false;
	}
	return true;
}

/* Whole characters, as many as fit. */
static struct str cut_summary(struct str s)
{
	if (s.n > ADVISORY_SUMMARY_MAX) {
		s.n = ADVISORY_SUMMARY_MAX;
		while (s.n && ((unsigned char) s.p[s.n] & 0xc0) == 0x80)
			s.n--;
	}
	return s;
}

int advisory_write(struct buf *out, const struct advisory *a)
{
	struct str summary = cut_summary(a->summary);

	if (!package_word_ok(a->ecosystem) || !package_word_ok(a->package) ||
	    !package_word_ok(a->id) || !when_ok(a->when) || a->severity >= SEVERITIES)
		return -EINVAL;
	buf_addstr(out, a->ecosystem);
	buf_addc(out, '\t');
	buf_addstr(out, a->package);
	buf_addc(out, '\t');
	buf_addstr(out, a->id);
	buf_addf(out, "\t%c\t", '0' + (char) a->severity);
	buf_addstr(out, a->when);
	buf_addc(out, '\t');
	for (size_t i = 0; i < summary.n; i++) {
		unsigned char c = (unsigned char) summary.p[i];

		buf_addc(out, c < ' ' || c == 0x7f ? ' ' : (char) c);
	}
	buf_addc(out, '\n');
	return 0;
}

bool advisory_parse(struct str line, struct advisory *ret)
{
	struct advisory a = { 0 };
	struct str severity;

	a.ecosystem = str_cut(line, '\t', &line);
	a.package = str_cut(line, '\t', &line);
	a.id = str_cut(line, '\t', &line);
	severity = str_cut(line, '\t', &line);
	a.when = str_cut(line, '\t', &line);
	a.summary = line;
	if (!line.p || line.n > ADVISORY_SUMMARY_MAX || memchr(line.p, '\t', line.n) ||
	    !package_word_ok(a.ecosystem) || !package_word_ok(a.package) ||
	    !package_word_ok(a.id) || severity.n != 1 || *severity.p < '0' ||
	    *severity.p >= '0' + SEVERITIES || !when_ok(a.when))
		return false;
	a.severity = (enum severity)(*severity.p - '0');
	*ret = a;
	return true;
}

bool advisory_of_binary(const struct advisory *a)
{
	return a->when.n > 1 && a->when.p[0] == 'B' && a->when.p[1] == ' ';
}

/* ---- matching ---- */

bool advisory_hits(const struct advisory *a, enum version_scheme scheme, struct str version,
		   struct str *ret_fixed)
{
	struct str rest = a->when, fixed = { 0 }, better = { 0 };
	bool hit = false, open = false;

	while (rest.p) {
		struct str word = str_cut(rest, ' ', &rest), v = { word.p + 1, word.n - 1 };
		int order = *word.p == 'B' || (*word.p == 'I' && str_is(v, "0"))
				    ? 1
				    : version_order(scheme, version, v);

		switch (*word.p) {
		case 'I':
			hit = hit || open;
			open = order >= 0;
			break;
		case 'F':
		case 'U':
			if (open && order < 0) {
				hit = true;
				if (!fixed.n && *word.p == 'F')
					fixed = v;
			}
			open = false;
			break;
		case 'L':
			hit = hit || (open && order <= 0);
			open = false;
			break;
		case 'E':
			hit = hit || order == 0;
			break;
		case 'N':
			if (order == 0)
				return false;
			if (order < 0 && (!better.n || version_order(scheme, v, better) < 0))
				better = v;
			break;
		}
	}
	if (!hit && !open)
		return false;
	*ret_fixed = fixed.n && better.n ? better : fixed;
	return true;
}

/* ---- the data base ---- */

int advisory_base(struct str text, struct str *ret_lines)
{
	if (!str_starts(text, ADVISORY_HEAD) || text.p[text.n - 1] != '\n')
		return -EINVAL;
	*ret_lines = (struct str){ text.p + strlen(ADVISORY_HEAD), text.n - strlen(ADVISORY_HEAD) };
	return 0;
}

/* As the line begins: with "ECOSYSTEM\tPACKAGE\t", or "ECOSYSTEM\t". */
static int begins_order(struct str line, struct str ecosystem, struct str package)
{
	const struct str parts[] = { ecosystem, STR("\t"), package, STR("\t") };
	size_t n = package.n ? 4 : 2;

	for (size_t i = 0; i < n; i++) {
		size_t m = line.n < parts[i].n ? line.n : parts[i].n;
		int r = m ? memcmp(line.p, parts[i].p, m) : 0;

		if (r)
			return r;
		if (m < parts[i].n)
			return -1;
		line = (struct str){ line.p + m, line.n - m };
	}
	return 0;
}

/* The first line that is not below (past: but above) the beginning, by halves. */
static size_t bound(struct str lines, struct str ecosystem, struct str package, bool past)
{
	size_t low = 0, high = lines.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2, end;

		while (middle > low && lines.p[middle - 1] != '\n')
			middle--;
		end = middle;
		while (end < lines.n && lines.p[end] != '\n')
			end++;
		int r = begins_order((struct str){ lines.p + middle, end - middle }, ecosystem,
				     package);

		if (r < 0 || (past && r == 0))
			low = end < lines.n ? end + 1 : end;
		else
			high = middle;
	}
	return low;
}

struct str advisory_find(struct str lines, struct str ecosystem, struct str package)
{
	size_t from = bound(lines, ecosystem, package, false);
	size_t to = bound(lines, ecosystem, package, true);

	return (struct str){ lines.p + from, to > from ? to - from : 0 };
}
