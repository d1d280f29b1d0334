/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/resctrl.h"

static void add_line(struct buf *b, struct str line)
{
	line = str_trim(line);
	if (!line.n)
		return;
	buf_addstr(b, line);
	buf_addc(b, '\n');
}

void resctrl_schemata(const char *l3, const char *mb, const char *const *lines, size_t lines_n,
		      struct buf *ret_text)
{
	struct str rest = str_of(l3);

	/* Specification, intelRdt: lines of memory bandwidth are the other field's. */
	while (rest.p) {
		struct str line = str_cut(rest, '\n', &rest);

		if (!str_starts(str_trim(line), "MB:"))
			add_line(ret_text, line);
	}
	rest = str_of(mb);
	while (rest.p)
		add_line(ret_text, str_cut(rest, '\n', &rest));
	for (size_t i = 0; i < lines_n; i++)
		add_line(ret_text, str_of(lines[i]));
}

/* Without zeros in front: masks are padded by the kernel, to the width of the widest. */
static struct str number(struct str s)
{
	s = str_trim(s);
	while (s.n > 1 && *s.p == '0') {
		s.p++;
		s.n--;
	}
	return s;
}

static bool same_number(struct str a, struct str b)
{
	a = number(a);
	b = number(b);
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		/* of hexadecimal digits and decimal ones alike */
		if ((a.p[i] | 0x20) != (b.p[i] | 0x20))
			return false;
	}
	return true;
}

/* "0=ff;1=f" has the domain, with the value. */
static bool has_domain(struct str domains, struct str id, struct str value)
{
	while (domains.p) {
		struct str theirs, one = str_cut(domains, ';', &domains);
		struct str name = str_cut(one, '=', &theirs);

		if (theirs.p && same_number(name, id))
			return same_number(theirs, value);
	}
	return false;
}

static bool has_resource(struct str have, struct str resource, struct str domains)
{
	while (have.p) {
		struct str theirs, line = str_cut(have, '\n', &have);
		struct str name = str_trim(str_cut(line, ':', &theirs));

		if (!theirs.p || !str_eq(name, resource))
			continue;
		while (domains.p) {
			struct str value, one = str_cut(domains, ';', &domains);
			struct str id = str_cut(one, '=', &value);

			if (str_trim(one).n && (!value.p || !has_domain(theirs, id, value)))
				return false;
		}
		return true;
	}
	return false;
}

bool resctrl_same(struct str wanted, struct str have)
{
	while (wanted.p) {
		struct str domains, line = str_trim(str_cut(wanted, '\n', &wanted));
		struct str resource = str_trim(str_cut(line, ':', &domains));

		if (line.n && (!domains.p || !has_resource(have, resource, domains)))
			return false;
	}
	return true;
}
